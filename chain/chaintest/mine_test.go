package chaintest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

func TestMineWith(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	a := w.Pay("alice", w.own.Address, w.eth, amount(1))
	b := w.Pay("bob", w.own.Address, w.eth, amount(2))
	next := w.Pay("bob", w.own.Address, w.eth, amount(3))

	ref := w.MineWith(chaintest.MineOptions{Empty: true})
	require.Equal(t, w.Head(), ref)
	require.Empty(t, w.Transactions(ref.Height))
	require.Len(t, w.Mempool(), 3)

	at := ref.Time.Add(-time.Hour)
	ref = w.MineWith(chaintest.MineOptions{At: at, Leave: []chain.TxID{b, "0x1"}})
	require.Equal(t, at, ref.Time)
	require.Equal(t, uint64(2), ref.Height)
	require.Len(t, w.Transactions(2), 1)
	require.Equal(t, a, w.Transactions(2)[0].ID)
	require.Equal(t, []chain.TxID{b, next}, w.Mempool(), "what follows in nonce is left out with it")

	ref = w.MineWith(chaintest.MineOptions{})
	require.Len(t, w.Transactions(3), 2)
	require.Equal(t, w.Now(), ref.Time)
	require.Empty(t, w.Mempool())
}

// base is the base fee, told by what a plain payment of an outsider pays.
func (o outsider) base(nonce uint64) chain.Amount {
	require.NoError(o.t, o.send(o.pay(nonce, 1, 0, 1_000*gwei)))
	o.w.Mine(1)
	return o.w.Transactions(o.w.Head().Height)[0].GasPrice
}

func TestWalkFees(t *testing.T) {
	const target = 15_000_000
	for name, c := range map[string]struct{ old, used, want uint64 }{
		"full blocks raise it by an eighth":    {80 * gwei, 2 * target, 90 * gwei},
		"empty ones lower it by an eighth":     {80 * gwei, 0, 70 * gwei},
		"on target it stays":                   {80 * gwei, target, 80 * gwei},
		"half way":                             {80 * gwei, target * 3 / 2, 85 * gwei},
		"more than full is full":               {80 * gwei, 99 * target, 90 * gwei},
		"the smallest step up is a wei":        {9, target + 1, 10},
		"the smallest step down is nothing":    {1000, target - 1, 1000},
		"rounded down":                         {999, 0, 999 - 124},
		"it never falls below seven wei":       {7, 0, 7},
		"a chain that began below comes to it": {3, 0, 7},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, chaintest.Options{Fees: chaintest.Fees{BaseFee: amount(c.old)}})
			o := newOutsider(t, w)
			w.WalkFees(c.used, target)
			require.Equal(t, amount(c.want), o.base(0))
		})
	}
	w := newWorld(t, chaintest.Options{})
	require.Panics(t, func() { w.WalkFees(1, 0) })
}

// TestWalkFeesLeavesTheTip: only the base fee walks.
func TestWalkFeesLeavesTheTip(t *testing.T) {
	w := newWorld(t, chaintest.Options{Fees: chaintest.Fees{BaseFee: amount(80), Tip: amount(5), MinTip: amount(3)}})
	o := newOutsider(t, w)
	w.WalkFees(2, 1)
	require.ErrorIs(t, o.send(o.pay(0, 1, 2, gwei)), chain.ErrUnderpriced)
	w.Pay("alice", w.own.Address, w.eth, amount(1))
	w.Mine(1)
	require.Equal(t, amount(95), w.Transactions(w.Head().Height)[0].GasPrice)
}
