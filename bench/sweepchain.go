package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/crypto/keccak"
	"github.com/ethereum/go-ethereum/rlp"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/chain/evm/evmtest/sweeptokens"
	"github.com/bursar-go/bursar/hdwallet"
)

// sweeps is a geth with the contract of the sweeps and three tokens on it, and who
// uses them.
type sweeps struct {
	node *running
	// sponsor is the node's own account: it deploys forwarders, mints and pays.
	sponsor string
	client  *evm.Client
	account *hdwallet.Account
	signer  *hdwallet.Signer
	// sweeper is the contract of what the client sends, which is the float's; forwards
	// that of the forwarders, which are the node's account's.
	sweeper, forwards *contracts.Sweeper
	float, treasury   chain.Account
	tokens            map[string]*minted
	made              uint32 // accounts and salts
}

// minted is a token of which everybody may have as much as he wants.
type minted struct {
	asset    chain.Asset
	contract contracts.Address
	class    contracts.Class
}

// sweeping starts all of that, or returns what was started before.
func (b *bench) sweeping() (*sweeps, error) {
	if b.sweeps != nil {
		return b.sweeps, nil
	}
	node, err := startDevGeth()
	if err != nil {
		return nil, err
	}
	b.ends = append(b.ends, func() error { node.stop(); return nil })
	s := &sweeps{node: node, tokens: map[string]*minted{}}
	var assets []chain.Asset
	for _, step := range []func() error{
		s.openWallet, s.planSweeper,
		func() (err error) { assets, err = s.issue(); return err },
		func() error { return s.connect(assets) },
		s.fund, s.deploy,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	b.sweeps = s
	return s, nil
}

// openWallet derives the accounts of the gateway's own.
func (s *sweeps) openWallet() error {
	wallet, err := hdwallet.FromMnemonic(devMnemonic, "")
	if err != nil {
		return err
	}
	if s.account, err = wallet.Account(coinType); err != nil {
		return err
	}
	if s.float, err = s.at(1, 0); err != nil {
		return err
	}
	s.treasury, err = s.at(1, 1)
	return err
}

// at is an account of the wallet.
func (s *sweeps) at(change, index uint32) (chain.Account, error) {
	public, err := s.account.PublicKey(change, index)
	if err != nil {
		return chain.Account{}, err
	}
	raw, err := evm.Codec().FromPublicKey(nil, public)
	if err != nil {
		return chain.Account{}, err
	}
	address, err := evm.Codec().Format(raw)
	return chain.Account{Address: address, Key: s.account.KeyRef(change, index)}, err
}

// planSweeper makes the contracts, which are not on the chain yet. Each sweeps in its
// sponsor's transactions alone.
func (s *sweeps) planSweeper() error {
	var accounts []string
	if err := s.node.ask(&accounts, "eth_accounts"); err != nil {
		return err
	}
	if len(accounts) == 0 {
		return errors.New("geth has no account")
	}
	s.sponsor = accounts[0]
	owner, err := s.at(1, 2)
	if err != nil {
		return err
	}
	p := contracts.Params{Treasury: rawAddress(string(s.treasury.Address)), Owner: rawAddress(string(owner.Address)), Sponsor: rawAddress(s.sponsor)}
	if s.forwards, err = contracts.New(p); err != nil {
		return err
	}
	p.Sponsor = rawAddress(string(s.float.Address))
	s.sweeper, err = contracts.New(p)
	return err
}

// issue puts the tokens on the chain. The treasury has some of each, as it always has
// but for the very first sweep.
func (s *sweeps) issue() (assets []chain.Asset, err error) {
	create := func(name string, args ...[32]byte) (contracts.Address, error) {
		r, err := s.send(nil, sweeptokens.Init(name, args...), 0, 3_000_000)
		return rawAddress(r.ContractAddress), err
	}
	for _, t := range sweepTokens() {
		var contract contracts.Address
		switch t.name {
		case "usdt":
			contract, err = create("UsdtLike")
		case "usdc":
			if contract, err = create("UsdcLike"); err == nil {
				contract, err = create("Proxy", wordOf(contract))
			}
		default:
			contract, err = create("OzLike")
		}
		if err != nil {
			return nil, err
		}
		asset, err := evm.Token(localChain(), hexAddress(contract), strings.ToUpper(t.name), 6)
		if err != nil {
			return nil, err
		}
		m := &minted{asset, contract, t.class}
		if err := s.mint(m, rawAddress(string(s.treasury.Address))); err != nil {
			return nil, err
		}
		s.tokens[t.name], assets = m, append(assets, asset)
	}
	return assets, nil
}

func localChain() chain.ID { return evm.Local(1337).Info.ID }

// connect makes the client and the signer, as a gateway's main program does.
func (s *sweeps) connect(assets []chain.Asset) (err error) {
	s.client, err = evm.New(evm.Config{Preset: evm.Local(1337), URL: s.node.url, Sweeper: s.sweeper, Tokens: assets})
	if err != nil {
		return err
	}
	wallet, err := hdwallet.FromMnemonic(devMnemonic, "")
	if err != nil {
		return err
	}
	id := localChain()
	s.signer, err = hdwallet.NewSigner(hdwallet.Policy{
		Codecs:   map[chain.ID]chain.Codec{id: evm.CodecWith(s.sweeper)},
		Treasury: map[chain.ID][]chain.Address{id: {s.treasury.Address}},
	}, wallet)
	return err
}

// The deployment proxy comes by a transaction that nobody has the key of: any
// signature is that of some account.
//
// Source: https://github.com/Arachnid/deterministic-deployment-proxy
const (
	proxyMaker     = "0x3fAB184622Dc19b6109349B94811493BF2a45362"
	proxyInit      = "604580600e600039806000f350fe"
	proxySignature = "2222222222222222222222222222222222222222222222222222222222222222"
)

// fund gives the float and the proxy's maker their coin, once for all figures.
func (s *sweeps) fund() error {
	for _, to := range []string{string(s.float.Address), proxyMaker} {
		address := rawAddress(to)
		if _, err := s.send(&address, nil, 1000, 21_000); err != nil {
			return err
		}
	}
	return nil
}

// deploy puts the proxy on the chain, the forwarders' contract and then, by the client,
// the sweeper.
func (s *sweeps) deploy() error {
	half, _ := new(big.Int).SetString(proxySignature, 16) // it is a constant
	raw, err := rlp.EncodeToBytes([]any{
		uint64(0), big.NewInt(100e9), uint64(100_000), []byte{}, uint64(0), append(bytesOf(proxyInit), contracts.DeployerCode()...), uint64(27), half, half,
	})
	if err != nil {
		return err
	}
	var hash string
	if err := s.await("the node takes the proxy", func() (bool, error) {
		err := s.node.ask(&hash, "eth_sendRawTransaction", "0x"+hex.EncodeToString(raw))
		return err == nil, err
	}); err != nil {
		return err
	}
	if _, err := s.receipt(hash); err != nil {
		return err
	}
	to, data := s.forwards.Deployment()
	if _, err := s.send(&to, data, 0, 2_000_000); err != nil {
		return err
	}
	d, err := s.client.DeploySweeper(context.Background(), s.float)
	if err != nil {
		return err
	}
	if _, err := s.land(d); err != nil {
		return err
	}
	return s.client.VerifySweeper(context.Background())
}

// prepare is Prepare of the client.
func (s *sweeps) prepare(in chain.Intent) (chain.Draft, error) {
	return s.client.Prepare(context.Background(), in)
}

// carryOut takes an intent all the way, and returns the gas that it used.
func (s *sweeps) carryOut(in chain.Intent) (uint64, error) {
	d, err := s.prepare(in)
	if err != nil {
		return 0, err
	}
	if len(d.Needs) > 0 {
		return 0, fmt.Errorf("a draft still needs %v", d.Needs)
	}
	return s.land(d)
}

// land has a draft signed, and returns the gas of its receipt.
func (s *sweeps) land(d chain.Draft) (uint64, error) {
	ctx := context.Background()
	signed, err := s.client.Sign(ctx, d, s.signer)
	if err != nil {
		return 0, err
	}
	// The pool follows a new block a moment later: until then an account that was
	// just paid has no coin for it.
	if err := s.await("the node takes "+string(signed.ID), func() (bool, error) {
		err := s.client.Broadcast(ctx, signed)
		return err == nil, err
	}); err != nil {
		return 0, err
	}
	var status chain.TxStatus
	if err := s.mined(string(signed.ID), func() (bool, error) {
		out, err := s.client.Status(ctx, signed.ID)
		if err != nil {
			return false, err
		}
		status = out[0]
		return status.State == chain.TxIncluded || status.State == chain.TxFailed, nil
	}); err != nil {
		return 0, err
	}
	return gasOf(status)
}

// gasOf is the gas of a transaction that did all that it was for.
func gasOf(status chain.TxStatus) (uint64, error) {
	switch {
	case status.State != chain.TxIncluded:
		return 0, fmt.Errorf("%s: %s", status.ID, status.State)
	case status.Unswept != nil:
		return 0, fmt.Errorf("%s: %d of %d entries failed", status.ID, len(status.Unswept.Failed), status.Unswept.Tried)
	}
	return status.GasUsed, nil
}

// quantity is a number as nodes write it.
type quantity uint64

// UnmarshalText implements encoding.TextUnmarshaler.
func (q *quantity) UnmarshalText(text []byte) error {
	n, ok := new(big.Int).SetString(string(text), 0)
	if !ok || !n.IsUint64() {
		return fmt.Errorf("no quantity: %q", text)
	}
	*q = quantity(n.Uint64())
	return nil
}

// minedTx is what is read of a receipt.
type minedTx struct {
	Status, GasUsed quantity
	ContractAddress string
	Logs            []struct {
		Address string
		Topics  []string
	}
}

// check returns an error where a transaction failed, or a batch of the sweeper says that
// it did not sweep every entry.
func (r minedTx) check(sweeper contracts.Address) error {
	if r.Status != 1 {
		return errors.New("the transaction failed")
	}
	topic := contracts.UnsweptTopic()
	for _, l := range r.Logs {
		if strings.EqualFold(l.Address, hexAddress(sweeper)) && len(l.Topics) > 0 && strings.EqualFold(l.Topics[0], "0x"+hex.EncodeToString(topic[:])) {
			return errors.New("entries of the batch failed")
		}
	}
	return nil
}

// send has the sponsor make a transaction, with so many coins; to is nil for a contract
// that is created.
func (s *sweeps) send(to *contracts.Address, data []byte, coins, gas uint64) (minedTx, error) {
	value := new(big.Int).Mul(new(big.Int).SetUint64(coins), big.NewInt(1e18))
	tx := map[string]string{
		"from": s.sponsor, "input": "0x" + hex.EncodeToString(data), "value": "0x" + value.Text(16), "gas": fmt.Sprintf("0x%x", gas),
	}
	if to != nil {
		tx["to"] = hexAddress(*to)
	}
	var hash string
	if err := s.node.ask(&hash, "eth_sendTransaction", tx); err != nil {
		return minedTx{}, err
	}
	return s.receipt(hash)
}

// receipt waits for a transaction, which must have succeeded.
func (s *sweeps) receipt(hash string) (minedTx, error) {
	var r *minedTx
	if err := s.mined(hash, func() (bool, error) {
		err := s.node.ask(&r, "eth_getTransactionReceipt", hash)
		return r != nil, err
	}); err != nil {
		return minedTx{}, err
	}
	if err := r.check(s.forwards.Address()); err != nil {
		return minedTx{}, fmt.Errorf("%s: %w", hash, err)
	}
	return *r, nil
}

// pokes is how often a node is given something else to do that has not mined a
// transaction. Its pool works a moment behind, and what it overlooks for one block
// waits for the next, of which only a transaction is the cause.
const pokes = 200 * time.Millisecond

// mined waits until something shows that a transaction is in a block.
func (s *sweeps) mined(hash string, is func() (bool, error)) error {
	next := time.Now().Add(pokes)
	return s.await(hash+" is in a block", func() (bool, error) {
		if time.Now().After(next) {
			next = time.Now().Add(pokes)
			var other string
			if err := s.node.ask(&other, "eth_sendTransaction", map[string]string{"from": s.sponsor, "to": s.sponsor}); err != nil {
				return false, err
			}
		}
		return is()
	})
}

// patience is how long the node may take for anything.
const patience = 30 * time.Second

// await asks again and again, whether something is so.
func (s *sweeps) await(what string, is func() (bool, error)) error {
	for end := time.After(patience); ; {
		yes, err := is()
		if yes {
			return nil
		}
		select {
		case <-end:
			return errors.Join(fmt.Errorf("after %s it is not so that %s", patience, what), err)
		case <-s.node.done:
			return errors.New("geth has ended")
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// mint gives everybody a deposit.
func (s *sweeps) mint(token *minted, to ...contracts.Address) error {
	data := bytesOf("ea66696c") // mint(address[],uint256)
	data = append(data, number(64)...)
	data = append(data, number(deposit)...)
	data = append(data, number(uint64(len(to)))...)
	for _, a := range to {
		word := wordOf(a)
		data = append(data, word[:]...)
	}
	_, err := s.send(&token.contract, data, 0, 100_000+60_000*uint64(len(to)))
	return err
}

// treasuryHas is the treasury's balance by the token itself.
func (s *sweeps) treasuryHas(token *minted) (chain.Amount, error) {
	who := wordOf(rawAddress(string(s.treasury.Address)))
	call := map[string]string{"to": hexAddress(token.contract), "input": "0x70a08231" + hex.EncodeToString(who[:])}
	var out string
	if err := s.node.ask(&out, "eth_call", call, "latest"); err != nil {
		return chain.Amount{}, err
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(out, "0x"))
	if err != nil || len(raw) != 32 {
		return chain.Amount{}, fmt.Errorf("balanceOf answers %q", out)
	}
	return chain.AmountFromBytes(raw)
}

// accounts are deposit addresses that the chain has never seen.
func (s *sweeps) accounts(n int) ([]chain.Account, error) {
	out := make([]chain.Account, n)
	for i := range out {
		var err error
		if out[i], err = s.at(0, s.made); err != nil {
			return nil, err
		}
		s.made++
	}
	return out, nil
}

// salts are new ones, which look like the keyed function's that they ought to be.
func (s *sweeps) salts(n int) []contracts.Salt {
	out := make([]contracts.Salt, n)
	for i := range out {
		h := keccak.NewLegacyKeccak256()
		h.Write(binary.BigEndian.AppendUint32(nil, s.made))
		out[i] = contracts.Salt(h.Sum(nil)[:8])
		s.made++
	}
	return out
}

func addressesOf(accounts []chain.Account) (out []contracts.Address) {
	for _, a := range accounts {
		out = append(out, rawAddress(string(a.Address)))
	}
	return out
}

// rawAddress reads an address that a node or the codec wrote; of others it makes a
// wrong one.
func rawAddress(text string) (out contracts.Address) {
	copy(out[:], bytesOf(strings.TrimPrefix(text, "0x")))
	return out
}

func hexAddress(a contracts.Address) string { return "0x" + hex.EncodeToString(a[:]) }

// bytesOf reads hex; of what is none it makes nothing.
func bytesOf(text string) []byte {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return raw
}

// wordOf pads an address, number a number.
func wordOf(a contracts.Address) (out [32]byte) {
	copy(out[12:], a[:])
	return out
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 24), n) }
