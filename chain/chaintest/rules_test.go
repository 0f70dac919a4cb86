package chaintest_test

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// legacy is a call of value wei with that gas limit.
func (o outsider) legacy(nonce uint64, to chain.Address, value int64, gas uint64, data []byte) []byte {
	target := common.HexToAddress(string(to))
	return o.sign(&types.LegacyTx{Nonce: nonce, To: &target, Value: big.NewInt(value), Gas: gas, GasPrice: big.NewInt(2 * gwei), Data: data})
}

// last is the newest transaction of the chain.
func (w *world) last() chain.TxStatus {
	all := w.Transactions(w.Head().Height)
	return all[len(all)-1]
}

func TestDataHasItsLeastGas(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	data := []byte{0, 0, 7}
	const least = 21_000 + 2*10 + 40
	require.Error(t, o.send(o.legacy(0, w.own.Address, 1, least-1, data)))
	require.NoError(t, o.send(o.legacy(0, w.own.Address, 1, least, data)))
	w.Mine(1)
	require.Equal(t, chain.TxIncluded, w.last().State)
	require.Equal(t, uint64(least), w.last().GasUsed)
}

func TestAccessListsCostGas(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	to := common.HexToAddress(string(w.own.Address))
	list := types.AccessList{{Address: to, StorageKeys: make([]common.Hash, 2)}, {Address: to}}
	const least = 21_000 + 2*2_400 + 2*1_900
	raw := func(gas uint64) []byte {
		return o.sign(&types.AccessListTx{ChainID: big.NewInt(1337), To: &to, Gas: gas, GasPrice: big.NewInt(2 * gwei), AccessList: list})
	}
	require.Error(t, o.send(raw(least-1)))
	require.NoError(t, o.send(raw(least)))
	w.Mine(1)
	require.Equal(t, uint64(least), w.last().GasUsed)
}

// TestWhatFollowsTheArgumentsDoesNotMatter: wallets that mark their payments put
// bytes behind a token's calldata.
func TestWhatFollowsTheArgumentsDoesNotMatter(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	w.Grant(o.address(), w.usd, amount(9))
	w.Mine(1)
	data := append([]byte{0xa9, 0x05, 0x9c, 0xbb}, common.LeftPadBytes(common.FromHex(string(w.own.Address)), 32)...)
	data = append(data, common.LeftPadBytes([]byte{5}, 32)...)
	for i, calldata := range [][]byte{append(data, 1, 2, 3), data[:67]} {
		require.NoError(t, o.send(o.legacy(uint64(i), w.usd.Contract, 0, 100_000, calldata)))
		w.Mine(1)
		require.Equal(t, i == 0, w.last().State == chain.TxIncluded)
		require.Equal(t, amount(5), w.BalanceOf(w.own.Address, w.usd))
	}
}

// TestOnlyWhatCouldBeMinedCounts: what waits behind a gap may cost more than is
// left, until the gap is closed.
func TestOnlyWhatCouldBeMinedCounts(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	most := int64(900_000_000_000_000_000)
	require.NoError(t, o.send(o.pay(1, most, gwei, 2*gwei)))
	require.NoError(t, o.send(o.pay(3, most, gwei, 2*gwei)))
	require.NoError(t, o.send(o.pay(0, most, gwei, 2*gwei)))
	var short *chain.InsufficientFundsError
	require.ErrorAs(t, o.send(o.pay(2, 1, gwei, 2*gwei)), &short, "now two of them count")
	require.Len(t, w.Mempool(), 3)
	w.Mine(1)
	require.Empty(t, w.Mempool(), "what the account cannot pay any more is forgotten")
	require.Equal(t, amount(uint64(most)), w.BalanceOf(w.own.Address, w.eth))
}

// TestAReorgKeepsWhatItCouldPay: what was paid from a payment of a replaced block
// is mined again behind it.
func TestAReorgKeepsWhatItCouldPay(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	require.NoError(t, o.send(o.pay(0, 7, gwei, 2*gwei)))
	w.Mine(1)
	w.Rewind(2)
	require.Len(t, w.Mempool(), 2)
	require.True(t, w.BalanceOf(o.address(), w.eth).IsZero())
	w.Mine(1)
	require.Equal(t, amount(7), w.BalanceOf(w.own.Address, w.eth))
}

func TestAReplacementOffersMoreEvenOfWei(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	require.NoError(t, o.send(o.pay(0, 1, 0, 10*gwei)))
	require.ErrorIs(t, o.send(o.pay(0, 2, 0, 20*gwei)), chain.ErrUnderpriced, "a tenth more than nothing is nothing")
	require.NoError(t, o.send(o.pay(0, 2, 1, 20*gwei)))
}

// TestWhatIsMalformedIsToldFirst: a node looks at a transaction before it looks at
// its account.
func TestWhatIsMalformedIsToldFirst(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	require.NoError(t, o.send(o.pay(0, 1, gwei, 2*gwei)))
	w.Mine(1)
	err := o.send(o.legacy(0, w.own.Address, 1, 20_999, nil))
	require.ErrorContains(t, err, "intrinsic gas")
	require.NotErrorIs(t, err, chain.ErrLockSpent)
}

func TestLogs(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	fake := w.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenSpoofer, Imitates: w.usd})
	id := w.Pay("alice", w.own.Address, fake, amount(5))
	require.Empty(t, w.Logs(id), "not mined")
	w.Mine(1)
	logs := w.Logs(id)
	require.Len(t, logs, 2)
	require.Equal(t, fake.Contract, logs[0].Contract)
	require.Len(t, logs[0].Topics, 3)
	require.Equal(t, common.LeftPadBytes([]byte{5}, 32), logs[0].Data)
	require.Len(t, logs[1].Data, 64)
	logs[0].Data[0] = 1
	require.Zero(t, w.Logs(id)[0].Data[0], "it is a copy")
	w.Rewind(1)
	require.Empty(t, w.Logs(id))
}
