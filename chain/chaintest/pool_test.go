package chaintest_test

import (
	"crypto/ecdsa"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

const gwei = 1_000_000_000

// outsider makes raw transactions with go-ethereum alone, as any wallet would.
type outsider struct {
	t   *testing.T
	w   *world
	key *ecdsa.PrivateKey
}

func newOutsider(t *testing.T, w *world) outsider {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte(t.Name())))
	require.NoError(t, err)
	o := outsider{t, w, key}
	w.Fund(o.address(), ether(1))
	w.Mine(1)
	return o
}

func (o outsider) address() chain.Address {
	return chain.Address(crypto.PubkeyToAddress(o.key.PublicKey).Hex())
}

func (o outsider) sign(data types.TxData) []byte {
	tx, err := types.SignNewTx(o.key, types.LatestSignerForChainID(big.NewInt(1337)), data)
	require.NoError(o.t, err)
	raw, err := tx.MarshalBinary()
	require.NoError(o.t, err)
	return raw
}

// pay is a plain payment of value wei at that nonce, tip and cap.
func (o outsider) pay(nonce uint64, value, tip, limit int64) []byte {
	to := common.HexToAddress(string(o.w.own.Address))
	return o.sign(&types.DynamicFeeTx{
		ChainID: big.NewInt(1337), Nonce: nonce, To: &to, Value: big.NewInt(value), Gas: 21_000,
		GasTipCap: big.NewInt(tip), GasFeeCap: big.NewInt(limit),
	})
}

func (o outsider) send(raw []byte) error {
	_, err := o.w.Send(raw)
	return err
}

func TestMempoolReplacementNeedsTenPercent(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	require.NoError(t, o.send(o.pay(0, 1, gwei, 10*gwei)))
	require.NoError(t, o.send(o.pay(0, 1, gwei, 10*gwei)), "already known")
	require.Len(t, w.Mempool(), 1)
	for name, raw := range map[string][]byte{
		"same price":    o.pay(0, 2, gwei, 10*gwei),
		"only the cap":  o.pay(0, 2, gwei, 11*gwei),
		"only the tip":  o.pay(0, 2, 1_100_000_000, 10*gwei),
		"a wei too low": o.pay(0, 2, 1_100_000_000, 11*gwei-1),
	} {
		require.ErrorIs(t, o.send(raw), chain.ErrUnderpriced, name)
	}
	require.NoError(t, o.send(o.pay(0, 3, 1_100_000_000, 11*gwei)))
	require.Len(t, w.Mempool(), 1)
	w.Mine(1)
	require.Equal(t, amount(3), w.BalanceOf(w.own.Address, w.eth))
	require.ErrorIs(t, o.send(o.pay(0, 1, gwei, 10*gwei)), chain.ErrLockSpent, "nonce too low")
}

func TestMempoolCountsWhatWaits(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	half := int64(500_000_000_000_000_000)
	require.NoError(t, o.send(o.pay(0, half, gwei, 2*gwei)))
	var short *chain.InsufficientFundsError
	require.ErrorAs(t, o.send(o.pay(1, half, gwei, 2*gwei)), &short)
	require.Equal(t, o.address(), short.Account)
	require.Equal(t, ether(1), short.Available)
	require.NoError(t, o.send(o.pay(1, half/2, gwei, 2*gwei)))
	require.NoError(t, o.send(o.pay(0, half/2, 2*gwei, 4*gwei)), "what it replaces does not count")
}

func TestNonceGapWaits(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	require.NoError(t, o.send(o.pay(1, 5, gwei, 2*gwei)))
	w.Mine(1)
	require.Len(t, w.Mempool(), 1, "its turn has not come")
	require.NoError(t, o.send(o.pay(0, 6, gwei, 2*gwei)))
	w.Mine(1)
	require.Empty(t, w.Mempool())
	require.Equal(t, amount(11), w.BalanceOf(w.own.Address, w.eth))
	require.Equal(t, uint64(2), w.Nonce(o.address()))
}

func TestFees(t *testing.T) {
	w := newWorld(t, chaintest.Options{Fees: chaintest.Fees{BaseFee: amount(5 * gwei), Tip: amount(gwei), MinTip: amount(gwei / 2)}})
	o := newOutsider(t, w)
	require.ErrorIs(t, o.send(o.pay(0, 1, gwei/4, 9*gwei)), chain.ErrUnderpriced, "below the least tip")
	require.NoError(t, o.send(o.pay(0, 1, gwei, 4*gwei)), "below the base fee it may wait")
	w.Mine(1)
	require.Len(t, w.Mempool(), 1)
	w.SetFees(chaintest.Fees{BaseFee: amount(3 * gwei)})
	before := w.BalanceOf(o.address(), w.eth)
	w.Mine(1)
	require.Empty(t, w.Mempool())
	paid, err := before.Sub(w.BalanceOf(o.address(), w.eth))
	require.NoError(t, err)
	require.Equal(t, amount(21_000*4*gwei+1), paid, "base fee and tip, up to the cap")
	require.Equal(t, amount(21_000*4*gwei), w.Transactions(w.Head().Height)[0].Fee)
}

func TestPoolLimitEvictsTheCheapest(t *testing.T) {
	w := newWorld(t, chaintest.Options{PoolLimit: 3})
	o := newOutsider(t, w)
	id := func(raw []byte) chain.TxID {
		t := new(types.Transaction)
		require.NoError(o.t, t.UnmarshalBinary(raw))
		return chain.TxID(t.Hash().Hex())
	}
	var raws [][]byte
	for i, tip := range []int64{5, 3, 4} {
		raws = append(raws, o.pay(uint64(i), 1, tip*gwei, 100*gwei))
		require.NoError(t, o.send(raws[i]))
	}
	require.ErrorIs(t, o.send(o.pay(3, 1, 3*gwei, 100*gwei)), chain.ErrUnderpriced, "no more than the cheapest")
	require.ErrorIs(t, o.send(o.pay(3, 1, 4*gwei, 4*gwei)), chain.ErrUnderpriced, "what a miner gets counts, not what is offered")
	require.NoError(t, o.send(raws[0]), "already known")
	dear := o.pay(3, 1, 6*gwei, 100*gwei)
	require.NoError(t, o.send(dear))
	require.Equal(t, []chain.TxID{id(raws[0]), id(raws[2]), id(dear)}, w.Mempool())
	require.NoError(t, o.send(o.pay(3, 2, 7*gwei, 110*gwei)), "a replacement takes no more room")
	require.Len(t, w.Mempool(), 3)
	w.Mine(1)
	require.Equal(t, uint64(1), w.Nonce(o.address()), "the rest waits for the nonce that was evicted")
	require.Len(t, w.Mempool(), 2)
	require.NoError(t, o.send(raws[1]), "and can be sent again")
	w.Mine(1)
	require.Equal(t, uint64(4), w.Nonce(o.address()))
}

// TestPoolLimitAndPayers: a payer has no way to send again, so that what the
// mempool does not take of it is lost.
func TestPoolLimitAndPayers(t *testing.T) {
	w := newWorld(t, chaintest.Options{PoolLimit: 1})
	first := w.Pay("alice", w.own.Address, w.eth, amount(1))
	lost := w.Pay("bob", w.own.Address, w.eth, amount(2))
	require.Equal(t, []chain.TxID{first}, w.Mempool())
	require.Equal(t, chain.TxUnknown, w.state(t, lost))
	w.Mine(1)
	w.Pay("bob", w.own.Address, w.eth, amount(4))
	w.Mine(1)
	require.Equal(t, amount(5), w.BalanceOf(w.own.Address, w.eth))
}

func TestRefusedTransactions(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	to := common.HexToAddress(string(w.own.Address))
	for name, raw := range map[string][]byte{
		"low gas":  o.sign(&types.LegacyTx{To: &to, Gas: 20_999, GasPrice: big.NewInt(2 * gwei)}),
		"creation": o.sign(&types.LegacyTx{Gas: 100_000, GasPrice: big.NewInt(2 * gwei)}),
		"tip over cap": o.sign(&types.DynamicFeeTx{
			ChainID: big.NewInt(1337), To: &to, Gas: 21_000, GasTipCap: big.NewInt(2), GasFeeCap: big.NewInt(1),
		}),
		"garbage": {1, 2, 3},
		"nothing": nil,
	} {
		require.Error(t, o.send(raw), name)
	}
	foreign, err := types.SignNewTx(o.key, types.LatestSignerForChainID(big.NewInt(1)), &types.LegacyTx{To: &to, Gas: 21_000, GasPrice: big.NewInt(2 * gwei)})
	require.NoError(t, err)
	raw, err := foreign.MarshalBinary()
	require.NoError(t, err)
	require.Error(t, o.send(raw), "made for another chain")
	replayable, err := types.SignNewTx(o.key, types.HomesteadSigner{}, &types.LegacyTx{To: &to, Gas: 21_000, GasPrice: big.NewInt(2 * gwei)})
	require.NoError(t, err)
	raw, err = replayable.MarshalBinary()
	require.NoError(t, err)
	require.Error(t, o.send(raw), "made for any chain")
	require.Empty(t, w.Mempool())
}

func TestLegacyTransactionsAreExecuted(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	to := common.HexToAddress(string(w.own.Address))
	require.NoError(t, o.send(o.sign(&types.LegacyTx{To: &to, Gas: 21_000, GasPrice: big.NewInt(2 * gwei), Value: big.NewInt(9)})))
	w.Mine(1)
	tx := w.Transactions(w.Head().Height)[0]
	require.Equal(t, chain.TxIncluded, tx.State)
	require.Equal(t, o.address(), tx.From)
	require.Equal(t, amount(2*gwei), tx.GasPrice)
	require.Equal(t, amount(9), w.BalanceOf(w.own.Address, w.eth))
}

func TestOutOfGas(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	contract := common.HexToAddress(string(w.usd.Contract))
	data := append([]byte{0xa9, 0x05, 0x9c, 0xbb}, make([]byte, 64)...)
	require.NoError(t, o.send(o.sign(&types.LegacyTx{To: &contract, Gas: 25_000, GasPrice: big.NewInt(2 * gwei), Data: data})))
	w.Mine(1)
	tx := w.Transactions(w.Head().Height)[0]
	require.Equal(t, chain.TxFailed, tx.State)
	require.Equal(t, uint64(25_000), tx.GasUsed, "all of it is used")
	require.Equal(t, amount(25_000*2*gwei), tx.Fee)
}
