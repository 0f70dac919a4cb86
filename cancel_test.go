package bursar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// cancel asks for a payout under way to be canceled.
func (f *flow) cancel(p bursar.Payout) bursar.Payout {
	f.t.Helper()
	got, err := f.Gateway.CancelPayout(f.ctx(), p.ID)
	require.NoError(f.t, err)
	require.True(f.t, got.Canceling)
	require.Equal(f.t, p.Status, got.Status, "it is not canceled yet")
	return got
}

// overtaken checks that the newest attempt of a payout cancels it: the same nonce, more
// for its place, and nothing that moves.
func (f *flow) overtaken(p bursar.Payout) chain.TxID {
	f.t.Helper()
	old, by := f.both(p)
	require.Equal(f.t, old.Locks[:1], by.Locks)
	return by.TxID
}

// both are an attempt that moves something and one that cancels it.
func (f *flow) both(p bursar.Payout) (old, by bursar.Attempt) {
	f.t.Helper()
	for _, a := range f.attempts(p) {
		if a.Cancels {
			by = a
		} else {
			old = a
		}
	}
	require.NotEmpty(f.t, by.TxID)
	require.NotEmpty(f.t, old.TxID)
	return old, by
}

func TestThreat_F6_AStuckSweepIsCanceled(t *testing.T) {
	for _, symbol := range []string{"ETH", "USDC"} {
		t.Run(symbol, func(t *testing.T) {
			f := newFlow(t, bursartest.Options{})
			p := f.paid(symbol)
			f.until(func() bool {
				rows := f.payouts(bursar.PayoutSweep)
				return len(rows) == 1 && rows[0].Status == bursar.PayoutBroadcast
			})
			sweep := f.only(bursar.PayoutSweep)
			asset := map[string]chain.Asset{"ETH": f.ETH, "USDC": f.USDC}[symbol]
			f.cancel(sweep)
			f.cancel(sweep) // again is no error, and no second transaction
			f.Step()
			f.Step()
			require.Len(t, f.attempts(sweep), 2)
			by := f.overtaken(sweep)
			f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
			f.Mine(1)
			require.Equal(t, bursar.PayoutConfirmingFailed, f.payout(sweep).Status)
			require.Equal(t, "CANCELING", f.payout(sweep).FailureCode)
			require.Equal(t, by, f.payout(sweep).TxID)
			_, err := f.Gateway.CancelPayout(f.ctx(), sweep.ID)
			require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
			require.Zero(t, f.count(bursar.PayoutCanceledEvent, sweep.ID))
			f.Mine(8)
			got := f.payout(sweep)
			require.Equal(t, bursar.PayoutCanceled, got.Status)
			require.False(t, got.Canceling)
			require.Equal(t, 1, f.count(bursar.PayoutCanceledEvent, sweep.ID))
			require.True(t, f.Chain.BalanceOf(f.Treasury, asset).IsZero())
			require.True(t, f.incoming()[0].Reserved.IsZero(), "the money is free")
			again, err := f.Gateway.CancelPayout(f.ctx(), sweep.ID)
			require.NoError(t, err)
			require.Equal(t, got, again)
			f.noBrokenRules()

			f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepFinal })
			f.Settle()
			require.Equal(t, bursar.StatusSettled, f.Payment(p).Status, "another sweep moved it")
			require.Equal(t, bursar.PayoutCanceled, f.payout(sweep).Status)
			f.noBrokenRules()
			f.allSwept()
		})
	}
}

// The transaction that was to be canceled can be faster.
func TestThreat_F7_ACancellationThatComesTooLate(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p, sweep := f.underway()
	f.cancel(sweep)
	f.Mine(1) // the block comes before the sweeper's look
	require.Equal(t, bursar.PayoutConfirming, f.payout(sweep).Status)
	require.True(t, f.payout(sweep).Canceling, "a reorg may give it another chance")
	f.Settle()
	got := f.payout(sweep)
	require.Equal(t, bursar.PayoutConfirmed, got.Status)
	require.False(t, got.Canceling)
	require.Len(t, f.attempts(sweep), 1)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Zero(t, f.count(bursar.PayoutCanceledEvent, sweep.ID))
	f.noBrokenRules()
	f.allSwept()
}

// Which of the two is mined can change with the branch, until one is final.
func TestThreat_A4_AReorgDecidesOfACancellation(t *testing.T) {
	for name, final := range map[string]int{"canceled": 0, "confirmed": 1} {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, bursartest.Options{})
			_, sweep := f.underway()
			f.cancel(sweep)
			f.Step()
			old, by := f.both(sweep)
			f.Mine(1)
			require.Equal(t, bursar.PayoutConfirmingFailed, f.payout(sweep).Status)

			f.Chain.Reorg(1, chaintest.ReorgOptions{DropAll: true})
			_, err := f.Chain.Send(old.Raw)
			require.NoError(t, err)
			f.Chain.Mine(1)
			f.Step()
			got := f.payout(sweep)
			require.Equal(t, bursar.PayoutConfirming, got.Status)
			require.Equal(t, old.TxID, got.TxID)
			require.True(t, got.Canceling)
			if final == 0 {
				f.Chain.Reorg(1, chaintest.ReorgOptions{DropAll: true})
				_, err = f.Chain.Send(by.Raw)
				require.NoError(t, err)
				f.Chain.Mine(1)
				f.Step()
				require.Equal(t, bursar.PayoutConfirmingFailed, f.payout(sweep).Status)
			}
			f.Mine(10)
			require.Equal(t, name, string(f.payout(sweep).Status))
			require.Len(t, f.attempts(sweep), 2)
			f.Settle()
			f.noBrokenRules()
			f.allSwept()
		})
	}
}

// What nobody has taken yet is not sent once more: what cancels it is sent alone.
func TestThreat_F7_WhatWasNeverSentIsNotSentToBeCanceled(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.refuse(chaintest.MethodBroadcast)
	_, sweep := f.underway()
	require.Empty(t, f.Chain.Mempool())
	f.cancel(sweep)
	f.Chain.Fail(nil)
	f.Chain.AdvanceTime(time.Hour) // it would be due to be sent again
	tried := f.attempts(sweep)[0].SentAt
	f.Step()
	old, _ := f.both(sweep)
	require.Equal(t, tried, old.SentAt)
	require.Equal(t, []chain.TxID{f.overtaken(sweep)}, f.Chain.Mempool())
	f.Mine(9)
	require.Equal(t, bursar.PayoutCanceled, f.payout(sweep).Status)
	f.Settle()
	f.noBrokenRules()
	f.allSwept()
}

// A cancellation that is stuck itself is made dearer, and stays one.
func TestThreat_F6_AStuckCancellationIsReplaced(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, sweep := f.underway()
	f.cancel(sweep)
	f.Step()
	f.Chain.SetFees(chaintest.Fees{BaseFee: chain.NewAmount(50e9)})
	for range 4 {
		f.AdvanceTime(time.Hour)
		f.Mine(1)
	}
	require.Greater(t, len(f.attempts(sweep)), 2)
	f.overtaken(sweep)
	f.Mine(10)
	require.Equal(t, bursar.PayoutCanceled, f.payout(sweep).Status)
	f.Settle()
	f.noBrokenRules()
	f.allSwept()
}

// A batch is overtaken whole, by the sponsor's nonce, and its sources go on.
func TestThreat_F6_ABatchIsCanceled(t *testing.T) {
	f := batched(t)
	payments := f.crowd("USDC", 3)
	f.until(func() bool {
		rows := f.payouts(bursar.PayoutSweep)
		return len(rows) == 1 && rows[0].Status == bursar.PayoutBroadcast
	})
	batch := f.only(bursar.PayoutSweep)
	f.cancel(batch)
	f.Step()
	require.Equal(t, []chain.TxID{f.overtaken(batch)}, f.Chain.Mempool())
	f.Mine(9)
	require.Equal(t, bursar.PayoutCanceled, f.payout(batch).Status)
	require.True(t, f.payout(batch).Moved.IsZero())
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	for _, p := range payments {
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	}
	f.noBrokenRules()
	f.allSwept()
}

// A refund that waits in the pool can be canceled, although the approval of it has
// ended, and what it was to pay is the payer's again.
func TestThreat_F23_ARefundUnderWayIsCanceled(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	r := f.approve(p, all)
	f.Step()
	require.Equal(t, bursar.PayoutBroadcast, f.payout(r).Status)
	f.Chain.AdvanceTime(48 * time.Hour)
	f.cancel(f.payout(r))
	f.Step()
	f.overtaken(r)
	f.Mine(9)
	require.Equal(t, bursar.PayoutCanceled, f.payout(r).Status)
	require.Equal(t, 1, f.count(bursar.PayoutCanceledEvent, r.ID))
	require.True(t, f.Chain.BalanceOf(r.To, f.USDC).IsZero())
	require.Zero(t, f.count(bursar.PayoutDeferred, r.ID), "nothing of it is in doubt")
	again := f.approve(p, func(q *bursar.RefundRequest) { all(q); q.Key = "again" })
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(again).Status)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(again.To, f.USDC))
	f.noBrokenRules()
}

// Nothing keeps a sweep to an old treasury from being canceled.
func TestThreat_F1_ASweepToAnOldTreasuryIsCanceled(t *testing.T) {
	f := newFlow(t, bursartest.Options{SkipLedger: true}) // there are two treasuries
	_, sweep := f.underway()
	old := f.Treasury
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Treasury = f.Chain.Payer("new treasury") })
	f.cancel(sweep)
	f.Step()
	f.overtaken(sweep)
	f.Mine(9)
	require.Equal(t, bursar.PayoutCanceled, f.payout(sweep).Status)
	require.True(t, f.Chain.BalanceOf(old, f.ETH).IsZero())
	f.Settle()
	require.False(t, f.Chain.BalanceOf(f.Chain.Payer("new treasury"), f.ETH).IsZero())
	f.noBrokenRules()
}

// Where nobody can sign, or replace, what is signed stays.
func TestCancelingNeedsASigner(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, sweep := f.underway()
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
	_, err := f.Gateway.CancelPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	require.ErrorIs(t, err, chain.ErrUnsupported)
	require.False(t, f.payout(sweep).Canceling)
}

// What a payout was worth does not bound what its cancellation may cost: a sweep whose
// budget is spent on its first offer is canceled all the same.
func TestThreat_F6_ACancellationMayCostMoreThanThePayout(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, sweep := f.underway()
	budget := f.attempts(sweep)[0].MaxFee

	twice, err := budget.Mul(2)
	require.NoError(t, err)
	f = newFlow(t, bursartest.Options{})
	f.Pay(f.Create("ETH", f.ETH.Format(twice))) // half of what it moves is the most that a sweep costs
	f.until(func() bool { return len(f.payouts()) == 1 && f.payouts()[0].Status == bursar.PayoutBroadcast })
	sweep = f.only(bursar.PayoutSweep)
	require.Equal(t, budget, sweep.MaxFee)
	_, err = f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.Amount{})
	require.NoError(t, err)
	f.Step()
	require.Equal(t, "FEE_TOO_HIGH", f.payout(sweep).FailureCode)
	f.cancel(f.payout(sweep))
	f.Step()
	f.overtaken(sweep)
	_, by := f.both(sweep)
	require.True(t, budget.Less(by.MaxFee))
	f.Mine(9)
	require.Equal(t, bursar.PayoutCanceled, f.payout(sweep).Status)
	f.Settle()
	f.noBrokenRules()
}

// An operator cancels while a dearer transaction is being signed: that one is not
// recorded, and not sent.
func TestThreat_F7_CanceledWhileItIsBumped(t *testing.T) {
	during := func() {}
	o := bursartest.Options{Edit: func(*bursar.Config) {}}
	signedBy(&o, func(chain.KeyRef) bool { during(); return false })
	f := newFlow(t, o)
	_, sweep := f.underway()
	_, err := f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.Amount{})
	require.NoError(t, err)
	first := f.attempts(sweep)[0].TxID
	during = func() { during = func() {}; f.cancel(sweep) }
	_ = f.Gateway.Step(f.ctx()) // the step says that it was in the way
	for _, a := range f.attempts(sweep) {
		require.True(t, a.Cancels || a.TxID == first)
	}
	f.Chain.AdvanceTime(time.Minute)
	f.Step()
	require.Len(t, f.attempts(sweep), 2)
	f.overtaken(sweep)
	f.Settle()
	f.noBrokenRules()
	f.allSwept()
}

// A batch that offers all that it may, and is stuck since gas has become dearer, is
// canceled by itself: it holds the sponsor's nonce, and with it whatever else the sponsor
// pays for. What it was to move goes in smaller ones.
func TestThreat_F6_ABatchThatIsStuckAtItsCapGivesWay(t *testing.T) {
	f := batched(t)
	f.crowd("USDC", 6)
	f.until(func() bool { return len(f.payouts()) > 0 && f.payouts()[0].Status == bursar.PayoutBroadcast })
	cost := f.attempts(f.only(bursar.PayoutSweep))[0].MaxFee

	f = batched(t, func(o *bursartest.Options) {
		edit := o.Edit
		o.Edit = func(c *bursar.Config) { edit(c); c.Chains[0].MaxFee = cost }
	})
	payments := f.crowd("USDC", 6)
	f.until(func() bool { return len(f.payouts()) > 0 && f.payouts()[0].Status == bursar.PayoutBroadcast })
	batch := f.only(bursar.PayoutSweep)
	fees := f.Chain.Client()
	market, err := fees.EstimateFees(f.ctx())
	require.NoError(t, err)
	dear, err := market.Now.Mul(3)
	require.NoError(t, err)
	f.Chain.SetFees(chaintest.Fees{BaseFee: dear})
	f.Mine(1)
	require.Equal(t, bursar.PayoutBroadcast, f.payout(batch).Status, "nobody mines it")
	for range 60 {
		f.AdvanceTime(10 * time.Minute)
	}
	got := f.payout(batch)
	require.Equal(t, bursar.PayoutCanceled, got.Status, "%s %s", got.FailureCode, got.FailureReason)
	require.Equal(t, 1, f.count(bursar.PayoutCanceledEvent, batch.ID))
	for _, p := range payments {
		require.Equal(t, bursar.StatusSettled, f.Payment(p).Status, "at the price of the day")
	}
	f.noBrokenRules()
	f.allSwept()
}
