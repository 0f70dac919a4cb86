package node

import (
	"crypto/ecdsa"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// Account is an account of a test's own, so that one of its transactions can be
// left out or replaced without any of the stranger's waiting for it.
type Account struct {
	// Address is its address.
	Address common.Address
	n       *Network
	key     *ecdsa.PrivateKey
}

// coin is a whole coin in wei.
func coin() *big.Int { return big.NewInt(1e18) }

// Account returns an account that has ten coins. The name and what the chain is
// like make its key, so that it is new.
func (n *Network) Account(name string) *Account {
	n.t.Helper()
	a := n.Unlocked(keyOf(n.t.Name() + " " + name + " " + new(big.Int).SetUint64(*n.nonce).String()))
	n.Fund(a.Address, new(big.Int).Mul(coin(), big.NewInt(10)))
	return a
}

// Unlocked returns the account of a key.
func (n *Network) Unlocked(key *ecdsa.PrivateKey) *Account {
	return &Account{Address: addressOf(key), n: n, key: key}
}

// Tx is what an account sends. To is nil for a contract creation; a nil Value is
// zero; Gas 0 is 300,000.
type Tx struct {
	To    *common.Address // To is the receiver; nil: a contract is created.
	Value *big.Int        // Value is in wei.
	Data  []byte          // Data is the call or the init code.
	Gas   uint64          // Gas is the limit.
	// Tip is what a unit of gas pays beyond the base fee, in gwei. 0: 2.
	Tip int64
	// Cap is the most that a unit of gas may cost, in wei. Nil: 100 gwei.
	Cap *big.Int
	// Instead takes the nonce of another transaction of the account, at twice its
	// price; nil: the next nonce that no block has.
	Instead *types.Transaction
	// Delegate are EIP-7702 authorisations; with them it is of type 4.
	Delegate []types.SetCodeAuthorization
}

// Sign signs a transaction without sending it.
func (a *Account) Sign(t Tx) *types.Transaction {
	a.n.t.Helper()
	nonce := a.Nonce()
	if t.Instead != nil {
		nonce = t.Instead.Nonce()
	}
	if t.Value == nil {
		t.Value = new(big.Int)
	}
	if t.Gas == 0 {
		t.Gas = 300_000
	}
	tip, limit := t.price()
	number := new(big.Int).SetUint64(a.n.ChainID)
	var body types.TxData = &types.DynamicFeeTx{ChainID: number, Nonce: nonce, To: t.To, Value: t.Value, Data: t.Data, Gas: t.Gas, GasTipCap: tip, GasFeeCap: limit}
	if len(t.Delegate) > 0 {
		// Four words of 256 bits, of a type that this package need not name.
		words := [...]types.SetCodeAuthorization{{}, {}, {}, {}}
		for i, n := range []*big.Int{number, t.Value, tip, limit} {
			if words[i].ChainID.SetFromBig(n) {
				a.n.t.Fatalf("%s has more than 256 bits", n)
			}
		}
		body = &types.SetCodeTx{
			ChainID: &words[0].ChainID, Nonce: nonce, To: *t.To, Value: &words[1].ChainID, Data: t.Data, Gas: t.Gas,
			GasTipCap: &words[2].ChainID, GasFeeCap: &words[3].ChainID, AuthList: t.Delegate,
		}
	}
	tx, err := types.SignNewTx(a.key, types.LatestSignerForChainID(number), body)
	a.n.must(err)
	return tx
}

// price is what a unit of gas pays: twice as much as the one to be replaced, of
// which every pool takes that for enough.
func (t Tx) price() (tip, limit *big.Int) {
	tip, limit = big.NewInt(t.Tip*1e9), t.Cap
	switch {
	case t.Instead != nil:
		two := big.NewInt(2)
		return new(big.Int).Mul(t.Instead.GasTipCap(), two), new(big.Int).Mul(t.Instead.GasFeeCap(), two)
	case limit == nil:
		limit = big.NewInt(100e9)
	}
	if t.Tip == 0 {
		tip = big.NewInt(2e9)
	}
	if tip.Cmp(limit) > 0 {
		tip = limit
	}
	return tip, limit
}

// Send signs a transaction and hands it to the node.
func (a *Account) Send(t Tx) *types.Transaction {
	a.n.t.Helper()
	tx := a.Sign(t)
	a.n.must(a.n.deliver(tx))
	return tx
}

// Nonce is how many transactions of the account are in blocks.
func (a *Account) Nonce() uint64 {
	a.n.t.Helper()
	ctx, cancel := a.n.context()
	defer cancel()
	nonce, err := a.n.Eth.NonceAt(ctx, a.Address, nil)
	a.n.must(err)
	return nonce
}

// Authorize signs that the account runs a contract's code, in a transaction of
// somebody else.
func (a *Account) Authorize(code common.Address) types.SetCodeAuthorization {
	a.n.t.Helper()
	auth := types.SetCodeAuthorization{Address: code, Nonce: a.Nonce()}
	auth.ChainID.SetUint64(a.n.ChainID)
	auth, err := types.SignSetCode(a.key, auth)
	a.n.must(err)
	return auth
}

// deliver hands a signed transaction to the node; where each makes a block, it is
// in one afterwards.
func (n *Network) deliver(tx *types.Transaction) error {
	raw, err := tx.MarshalBinary()
	if err != nil {
		return err
	}
	if err := n.resend(raw); err != nil || !n.MinesAtOnce {
		return err
	}
	if _, err = n.receipt(tx.Hash()); err == nil {
		_, err = n.settle()
	}
	return err
}

// again is what a new branch gets: the given transactions first, and then those
// dropped whose account and nonce none of these has.
func (n *Network) again(dropped []hexutil.Bytes, instead []*types.Transaction) (raws []hexutil.Bytes, err error) {
	type place struct {
		from  common.Address
		nonce uint64
	}
	signer := types.LatestSignerForChainID(new(big.Int).SetUint64(n.ChainID))
	taken := map[place]bool{}
	add := func(raw hexutil.Bytes) error {
		var tx types.Transaction
		if err := tx.UnmarshalBinary(raw); err != nil {
			return err
		}
		from, err := types.Sender(signer, &tx)
		if at := (place{from, tx.Nonce()}); err == nil && !taken[at] {
			taken[at], raws = true, append(raws, raw)
		}
		return err
	}
	for _, tx := range instead {
		raw, err := tx.MarshalBinary()
		if err = errors.Join(err, add(raw)); err != nil {
			return nil, err
		}
	}
	for _, raw := range dropped {
		if err := add(raw); err != nil {
			return nil, err
		}
	}
	return raws, nil
}
