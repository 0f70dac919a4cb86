package chaintest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bursar-go/bursar/chain"
)

// Gas that transactions use. The figures are of the size that real chains have;
// only their being plausible and constant matters.
const (
	gasTransaction   = 21_000
	gasZeroByte      = 4
	gasByte          = 16
	gasFloorZeroByte = 10
	gasFloorByte     = 40
	gasListAddress   = 2_400
	gasListKey       = 1_900
	gasToken         = 12_500 // a token transfer beyond the transaction itself
	gasFreshSlot     = 17_100 // where the receiver held nothing of the token
	gasSplit         = 10_000 // one part of a splitter call
	gasReject        = 200
	gasDestruct      = 65_000 // the destructor's contract, made and destroyed
)

// event is one log of a receipt.
type event struct {
	contract common.Address
	topics   []common.Hash
	data     []byte
}

// receipt is what a transaction did in one block. It is immutable once its
// block is attached.
type receipt struct {
	tx       *tx
	block    *block
	index    uint32
	ok       bool
	reason   string // why not ok
	gasUsed  uint64
	gasPrice chain.Amount
	fee      chain.Amount
	logs     []event
	inner    []innerMove
	output   []byte
}

// innerMove is native coin that a contract sent on.
type innerMove struct {
	path     string // the place of the call, as chain.TransferID has it
	from, to common.Address
	amount   chain.Amount
}

// contract is the Go model of a contract's code.
type contract interface {
	// call runs a message that m.value was already credited for. An error
	// reverts everything the transaction did.
	call(m *message) (output []byte, err error)
}

// message is one call of a contract.
type message struct {
	c        *Chain
	world    world
	from, to common.Address
	value    chain.Amount
	data     []byte
	r        *receipt // gets logs and inner moves
	gas      uint64   // used so far
	limit    uint64   // of the transaction, beside what does not come of its call; set for that call
	path     string   // of this call, followed by a dot; empty for the transaction itself
	calls    int      // made so far
}

// next is the path of the next call that this one makes.
func (m *message) next() string {
	m.calls++
	return m.path + strconv.Itoa(m.calls-1)
}

func (m *message) emit(data []byte, topics ...common.Hash) {
	m.r.logs = append(m.r.logs, event{contract: m.to, topics: topics, data: data})
}

func reverted(reason string) error { return &chain.RevertError{Reason: reason} }

// intrinsicGas is what a transaction with that data uses before any code runs.
func intrinsicGas(data []byte) uint64 {
	zeros := uint64(bytes.Count(data, []byte{0}))
	return gasTransaction + zeros*gasZeroByte + (uint64(len(data))-zeros)*gasByte
}

// floorGas is the least that a transaction with that data uses and must offer,
// whatever code does (EIP-7623).
func floorGas(data []byte) uint64 {
	zeros := uint64(bytes.Count(data, []byte{0}))
	return gasTransaction + zeros*gasFloorZeroByte + (uint64(len(data))-zeros)*gasFloorByte
}

// listGas is what naming slots in advance costs (EIP-2930). Models have no slots,
// so that it saves them nothing.
func listGas(list types.AccessList) uint64 {
	return uint64(len(list))*gasListAddress + uint64(list.StorageKeys())*gasListKey
}

// besideGas is what a transaction pays for beside its data and its call.
func (t *tx) besideGas() uint64 { return listGas(t.raw.AccessList()) + authorisationGas(t.raw) }

// errNotNow reports a transaction that cannot be in the block being made, but
// perhaps in a later one.
var errNotNow = errors.New("chaintest: not executable in this block")

// apply executes t on w and returns the world after it; w is not changed. It is
// errNotNow where a miner would leave the transaction out.
func (c *Chain) apply(w world, t *tx) (*receipt, world, error) {
	base := c.fees.BaseFee
	if t.raw.Nonce() != w.nonce(t.from) || t.cap.Less(base) {
		return nil, w, errNotNow
	}
	after := w.copy()
	if err := c.mintExternal(after, common.Address{}, t.from, t.cost); err != nil {
		return nil, w, errNotNow
	}
	if after.balance(common.Address{}, t.from).Less(t.cost) {
		return nil, w, errNotNow
	}
	after.setNonce(t.from, t.raw.Nonce()+1)
	c.delegate(after, t.delegations)

	r := &receipt{tx: t}
	done := after.copy()
	gas, output, err := c.run(done, t.from, *t.raw.To(), t.value, t.raw.Data(), r)
	gas = max(gas+t.besideGas(), floorGas(t.raw.Data()))
	if err == nil && c.doomed[t.id] {
		err = reverted("doomed by the test")
	}
	if err == nil && gas > t.raw.Gas() {
		err = reverted("out of gas")
	}
	r.gasUsed = min(gas, t.raw.Gas())
	r.ok, r.output = err == nil, output
	if err != nil {
		// Value, token movements and logs are undone; nonces, delegations and the fee stay.
		r.reason, r.logs, r.inner, done = err.Error(), nil, nil, after
	}
	if err := r.charge(done, base); err != nil {
		return nil, w, errNotNow
	}
	return r, done, nil
}

// charge takes the fee. Miners keep no account here: fees leave the world.
func (r *receipt) charge(w world, base chain.Amount) error {
	price, err := base.Add(r.tx.tip)
	if err != nil {
		price = r.tx.cap
	}
	r.gasPrice = price.Min(r.tx.cap)
	if r.fee, err = r.gasPrice.Mul(r.gasUsed); err != nil {
		return err
	}
	return w.debit(common.Address{}, r.tx.from, r.fee)
}

// run moves the value and calls the contract, if there is one. It changes w
// also where it fails. The gas is what the call needs, whatever limit it has.
func (c *Chain) run(w world, from, to common.Address, value chain.Amount, data []byte, r *receipt) (gas uint64, output []byte, err error) {
	gas = intrinsicGas(data)
	if err := moveNative(w, from, to, value); err != nil {
		return gas, nil, err
	}
	code, ok := c.contracts[to]
	if !ok {
		return gas, nil, nil
	}
	m := &message{c: c, world: w, from: from, to: to, value: value, data: data, r: r, gas: gas, limit: math.MaxUint64}
	if r.tx != nil {
		m.limit = r.tx.raw.Gas() - min(r.tx.raw.Gas(), r.tx.besideGas())
	}
	output, err = code.call(m)
	return m.gas, output, err
}

func moveNative(w world, from, to common.Address, value chain.Amount) error {
	if err := w.debit(common.Address{}, from, value); err != nil {
		return reverted("insufficient balance for transfer")
	}
	if err := w.credit(common.Address{}, to, value); err != nil {
		return reverted("balance overflow")
	}
	return nil
}

// mintExternal gives an external payer what it is about to spend: payers of a
// test are rich, and their balances are nobody's concern.
func (c *Chain) mintExternal(w world, token, owner common.Address, need chain.Amount) error {
	if !c.external[owner] {
		return nil
	}
	return w.credit(token, owner, need.SubFloor(w.balance(token, owner)))
}

// try runs a call on the newest block of a view without keeping anything, as
// eth_call and eth_estimateGas do.
func (c *Chain) try(w world, from, to common.Address, value chain.Amount, data []byte) (gas uint64, output []byte, err error) {
	gas, output, err = c.run(w.copy(), from, to, value, data, new(receipt))
	gas = max(gas, floorGas(data))
	if err != nil {
		return gas, nil, fmt.Errorf("execution reverted: %w", err)
	}
	return gas, output, nil
}
