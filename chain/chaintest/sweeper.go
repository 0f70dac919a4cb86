package chaintest

import (
	"math"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// Gas of a batch. An entry of a token costs what it does beside the transfer's own
// fresh slot.
const (
	gasAuthorisation = 25_000 // each (EIP-7702)
	gasSweep         = 10_000 // the batch beside its entries
	gasSweepEntry    = 9_000
)

// sweeper models Options.Sweeper, which stands on the chain from the first block on.
// Each entry is a call of its own to an account that delegates: one that fails is
// undone alone, and told in the log. Of a transaction that is not the sponsor's every
// entry fails.
type sweeper struct{ *contracts.Sweeper }

func (s sweeper) call(m *message) ([]byte, error) {
	b, err := contracts.DecodeBatch(m.data)
	switch {
	case err != nil && !m.value.IsZero():
		return nil, nil // it takes coin, which its owner can fetch
	case err != nil, b.Op != contracts.OpSweep, !m.value.IsZero():
		return nil, reverted("unknown function")
	}
	token, err := m.c.sweptToken(b.Asset)
	if err != nil {
		return nil, err
	}
	m.gas += gasSweep
	u := contracts.Unswept{}
	for _, e := range b.Entries {
		// It stops where an entry could use more than what is left.
		if left := m.limit - min(m.gas, m.limit); left < (contracts.Cost{}).Limit(0, b.Gas) {
			break
		}
		u.Tried++
		if !s.entry(m, token, e, b.Gas) {
			u.Failed = append(u.Failed, e)
		}
	}
	said := unsweptData(u)
	if u.Tried < len(b.Entries) || len(u.Failed) > 0 {
		m.emit(said, common.Hash(contracts.UnsweptTopic()))
	}
	return said, nil
}

// sweptToken is the token of a batch, nil for the coin.
func (c *Chain) sweptToken(asset common.Address) (*token, error) {
	if asset == (common.Address{}) {
		return nil, nil
	}
	t, ok := c.contracts[asset].(*token)
	if !ok {
		return nil, reverted("no contract there")
	}
	return t, nil
}

// entry sweeps one account and reports whether it did. What it does is done on a copy
// first, so that a failure leaves nothing behind.
func (s sweeper) entry(m *message, t *token, e contracts.Entry, most uint64) bool {
	account := common.Address(e.Account)
	path := m.next()
	trial := message{c: m.c, world: m.world.copy(), from: account, r: new(receipt)}
	ok := s.may(m, account) && pay(&trial, t, path, s.Params().Treasury, e.Amount)
	m.gas += min(gasSweepEntry+trial.gas, most)
	if !ok || gasSweepEntry+trial.gas > most {
		return false
	}
	done := message{c: m.c, world: m.world, from: account, r: m.r}
	return pay(&done, t, path, s.Params().Treasury, e.Amount)
}

// may reports whether the account lets this transaction sweep it.
func (s sweeper) may(m *message, account common.Address) bool {
	p := s.Params()
	return m.world.delegate(account) == common.Address(s.Address()) && (p.Sponsor == m.from || p.Sponsor == contracts.Address{})
}

// pay moves an amount from the account that runs m, zero for all that it has. It may
// have changed m's world where it returns false.
func pay(m *message, t *token, path string, treasury common.Address, amount chain.Amount) bool {
	asset := common.Address{}
	if t != nil {
		asset = common.HexToAddress(string(t.asset.Contract))
	}
	if amount.IsZero() {
		if amount = m.world.balance(asset, m.from); amount.IsZero() {
			return false
		}
	}
	if t == nil {
		m.to, m.path = m.from, path+"."
		return m.send(m.next(), treasury, amount) == nil
	}
	m.to = asset
	output, err := t.transfer(m, m.from, treasury, amount)
	return err == nil && !returnedFalse(output)
}

// unsweptData is the data of the log, and what a batch returns.
func unsweptData(u contracts.Unswept) []byte {
	var out []byte
	for _, n := range []int{u.Tried, 64, len(u.Failed)} {
		word := chain.NewAmount(uint64(n)).Bytes32()
		out = append(out, word[:]...)
	}
	for _, e := range u.Failed {
		word := e.Amount.Bytes32()
		out = append(append(out, e.Account[:]...), word[20:]...)
	}
	return out
}

// unswept is what the sweeper's log in a receipt says, nil where there is none.
func (c *Chain) unswept(r *receipt) *chain.Unswept {
	if c.sweeper == nil {
		return nil
	}
	for _, e := range r.logs {
		if e.contract != c.sweeper.Address() || len(e.topics) != 1 || e.topics[0] != contracts.UnsweptTopic() {
			continue
		}
		u, err := contracts.DecodeUnswept(contracts.OpSweep, e.data)
		if err != nil {
			return nil
		}
		out := &chain.Unswept{Tried: u.Tried}
		for _, e := range u.Failed {
			out.Failed = append(out.Failed, chain.UnsweptMove{Account: textAddress(e.Account), Amount: e.Amount})
		}
		return out
	}
	return nil
}

// delegation is an authorisation whose signature tells whose it is, for this chain or
// for all.
type delegation struct {
	authority, to common.Address
	nonce         uint64
}

// delegationsOf reads the authorisations of a transaction. Those that nobody gave, and
// those for other chains, are skipped, as the protocol does.
func (c *Chain) delegationsOf(t *types.Transaction) (out []delegation) {
	for _, a := range t.SetCodeAuthorizations() {
		if by, err := a.Authority(); err == nil && (a.ChainID.IsZero() || a.ChainID.CmpBig(c.number) == 0) {
			out = append(out, delegation{authority: by, to: a.Address, nonce: a.Nonce})
		}
	}
	return out
}

// delegate has the authorisations of a transaction take effect (EIP-7702): each whose
// nonce is the account's present one uses it up, whatever the transaction does
// afterwards.
func (c *Chain) delegate(w world, list []delegation) {
	for _, d := range list {
		if _, code := c.contracts[d.authority]; code || d.nonce == math.MaxUint64 || d.nonce != w.nonce(d.authority) {
			continue
		}
		w.setDelegate(d.authority, d.to)
		w.setNonce(d.authority, d.nonce+1)
	}
}

// delegationLocks are the nonces that the authorisations of t name, each once.
func (t *tx) delegationLocks() (out []chain.Lock) {
	for _, d := range t.delegations {
		if lock := nonceLock(d.authority, d.nonce); !slices.Contains(out, lock) {
			out = append(out, lock)
		}
	}
	return out
}

// authorisationGas is what the authorisations of a transaction cost, used or not.
func authorisationGas(t *types.Transaction) uint64 {
	return uint64(len(t.SetCodeAuthorizations())) * gasAuthorisation
}

// delegate is the contract that an account delegates to, zero where it does not.
func (w world) delegate(owner common.Address) common.Address {
	v, _ := w.slots.Get(slot('d', common.Address{}, owner))
	word := v.Bytes32()
	return common.BytesToAddress(word[:])
}

func (w world) setDelegate(owner, to common.Address) {
	v, err := chain.AmountFromBytes(to[:])
	if err != nil || v.IsZero() {
		w.slots.Delete(slot('d', common.Address{}, owner))
		return
	}
	w.slots.Set(slot('d', common.Address{}, owner), v)
}

// Delegate returns the contract that an account delegates to at the newest block
// (EIP-7702); empty where it delegates to none.
func (c *Chain) Delegate(a chain.Address) chain.Address {
	owner := mustAddress("Delegate", a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if to := c.head().world.delegate(owner); to != (common.Address{}) {
		return textAddress(to)
	}
	return ""
}
