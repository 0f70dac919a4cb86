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

// refuse has the node refuse a method until Chain.Fail(nil).
func (f *flow) refuse(method chaintest.Method) {
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == method {
			return errNode
		}
		return nil
	})
}

// failed makes a payment whose sweep has used up its tries, of a token that is well
// again.
func (f *flow) failed() (bursar.Payment, bursar.Payout) {
	f.t.Helper()
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Confirm()
	f.burn(func() bool {
		rows := f.payouts(bursar.PayoutSweep)
		return len(rows) == 1 && rows[0].Status == bursar.PayoutFailed
	})
	sweep := f.only(bursar.PayoutSweep)
	require.Equal(f.t, bursar.PayoutFailed, sweep.Status)
	return p, sweep
}

// burn has the token fail on the chain what was prepared with good hope, until enough
// of it did, and makes it well again.
func (f *flow) burn(enough func() bool) {
	f.t.Helper()
	for range 200 {
		if enough() {
			break
		}
		f.Chain.AdvanceTime(10 * time.Minute)
		f.Chain.SetTransferRate(f.USDC, 1, 1)
		f.Step()
		f.Chain.SetTransferRate(f.USDC, 0, 1)
		f.Chain.Mine(1)
	}
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	f.Mine(1)
}

// underway makes a payment whose sweep waits in the mempool.
func (f *flow) underway() (bursar.Payment, bursar.Payout) {
	f.t.Helper()
	p := f.paid("ETH")
	for len(f.payouts(bursar.PayoutSweep)) == 0 || f.only(bursar.PayoutSweep).Status != bursar.PayoutBroadcast {
		f.Mine(1)
	}
	return p, f.only(bursar.PayoutSweep)
}

// halted makes a payment whose sweep found its nonce spent by a stranger who has the
// key, and left most of the money there.
func (f *flow) halted() (bursar.Payment, bursar.Payout) {
	f.t.Helper()
	f.refuse(chaintest.MethodBroadcast)
	p := f.paid("ETH")
	f.Mine(4)
	sweep := f.only(bursar.PayoutSweep)
	f.steal(sweep.From, f.ETH, chain.NewAmount(1), f.Chain.Payer("thief"))
	f.Mine(9)
	f.Chain.Fail(nil)
	require.Equal(f.t, bursar.PayoutHalted, f.payout(sweep).Status)
	return p, sweep
}

func TestRetryOfAFailedPayout(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p, sweep := f.failed()
	got, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.NoError(t, err)
	require.Equal(t, bursar.PayoutPlanned, got.Status)
	require.Equal(t, f.payout(sweep), got, "what is returned is what is stored")
	require.Zero(t, got.Tries)
	require.Empty(t, got.FailureCode)
	require.Equal(t, sweep.Group+1, got.Group)
	again, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.NoError(t, err)
	require.Equal(t, got, again, "once more changes nothing")

	f.AdvanceTime(2 * time.Hour) // the failures have used up its gas, and its top-ups for now
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(sweep).Status)
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(f.Treasury, f.USDC))
	require.Len(t, f.payouts(bursar.PayoutSweep), 1)
	f.noBrokenRules()
	f.allSwept()
	_, err = f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutClosed)
	_, err = f.Gateway.CancelPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutClosed)
	_, err = f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.Amount{})
	require.ErrorIs(t, err, bursar.ErrPayoutClosed)
}

// It has all its tries again, and no more of them.
func TestRetryOfAPayoutThatFailsAgain(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, sweep := f.failed()
	_, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.NoError(t, err)
	f.burn(func() bool { return false })
	require.Equal(t, bursar.PayoutFailed, f.payout(sweep).Status)
	require.Len(t, f.attempts(sweep), 6)
	require.Equal(t, 2, f.count(bursar.PayoutFailedEvent, sweep.ID))
	f.noBrokenRules()
}

// A payout in the pause after a failure does not wait for its end.
func TestRetryEndsThePause(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	f.refuse(chaintest.MethodPrepare)
	f.paid("ETH")
	for range 40 {
		f.Mine(1)
	}
	sweep := f.only(bursar.PayoutSweep)
	require.Equal(t, bursar.PayoutPlanned, sweep.Status)
	require.Positive(t, sweep.Failures)
	require.True(t, sweep.NotBefore.After(f.Chain.Now()))
	f.Chain.Fail(nil)
	f.Step()
	require.Equal(t, bursar.PayoutPlanned, f.payout(sweep).Status, "it waits")
	got, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.NoError(t, err)
	require.Zero(t, got.Failures)
	f.Step()
	require.Equal(t, bursar.PayoutBroadcast, f.payout(sweep).Status)
	f.noBrokenRules()
}

// A reorg of final blocks has set free what had failed for good: it can be mined
// again, and nothing else may be made in its place.
func TestThreat_F7_FailedAttemptThatCameLoose(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, sweep := f.failed()
	row := f.incoming()[0]
	f.Reorg(int(f.state().Tip().Height-row.Block)+1, chaintest.ReorgOptions{DropAll: true})
	require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	require.Equal(t, bursar.PayoutFailed, f.payout(sweep).Status)
	_, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	_, err = f.Gateway.CancelPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	require.True(t, f.attempts(sweep)[0].Open, "nothing was written")

	// They fail once more, for good. What they were to move is not there: a retry
	// makes nothing of it.
	f.Chain.SetTransferRate(f.USDC, 0, 1)
	for _, a := range f.attempts(sweep) {
		f.Mine(4) // its top-up
		_, err := f.Chain.Send(a.Raw)
		require.NoError(t, err)
	}
	f.Mine(12)
	require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	for _, a := range f.attempts(sweep) {
		require.False(t, a.Open)
	}
	got, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.NoError(t, err)
	require.Equal(t, bursar.PayoutCanceled, got.Status)
	require.Equal(t, "GIVEN_UP", got.FailureCode)
	f.noBrokenRules()
}

// A stranger's transaction made ours void; a reorg takes it back.
func TestThreat_F7_HaltedAttemptThatCameLoose(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, sweep := f.halted()
	f.Reorg(10, chaintest.ReorgOptions{DropAll: true})
	require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	require.Equal(t, bursar.PayoutHalted, f.payout(sweep).Status)
	_, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	_, err = f.Gateway.CancelPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
}

func TestCancelOfAFailedPayout(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p, sweep := f.failed()
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
	got, err := f.Gateway.CancelPayout(f.ctx(), sweep.ID)
	require.NoError(t, err)
	require.Equal(t, bursar.PayoutCanceled, got.Status)
	require.Equal(t, f.payout(sweep), got)
	again, err := f.Gateway.CancelPayout(f.ctx(), sweep.ID)
	require.NoError(t, err)
	require.Equal(t, got, again)
	_, err = f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutClosed)
	require.True(t, f.incoming()[0].Reserved.IsZero(), "the money is free")

	f.Mine(4)
	require.Len(t, f.payouts(bursar.PayoutSweep), 1, "nothing is swept here")

	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepFinal })
	f.AdvanceTime(2 * time.Hour)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status, "another sweep moved it")
	require.Equal(t, p.Amount, f.Chain.BalanceOf(f.Treasury, f.USDC))
	f.noBrokenRules()
	f.allSwept()
}

// What is in a block cannot be called back.
func TestThreat_F7_NothingMinedIsCanceled(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p, sweep := f.underway()
	_, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	f.Mine(1)
	require.Equal(t, bursar.PayoutConfirming, f.payout(sweep).Status)
	_, err = f.Gateway.CancelPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	_, err = f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	_, err = f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.Amount{})
	require.ErrorIs(t, err, bursar.ErrNotBumpable)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.EqualValues(t, 1, f.Chain.Nonce(p.Address))
	f.noBrokenRules()
}

func TestThreat_F4_HaltedPayoutGoesOnWhenAnOperatorLooked(t *testing.T) {
	for _, verb := range []func(*flow, string) (bursar.Payout, error){
		func(f *flow, id string) (bursar.Payout, error) { return f.Gateway.RetryPayout(f.ctx(), id) },
		func(f *flow, id string) (bursar.Payout, error) { return f.Gateway.CancelPayout(f.ctx(), id) },
	} {
		f := newFlow(t, bursartest.Options{})
		p, sweep := f.halted()
		f.Mine(20)
		require.Equal(t, bursar.PayoutHalted, f.payout(sweep).Status, "by itself it does not")
		_, err := verb(f, sweep.ID)
		require.NoError(t, err)
		require.False(t, f.attempts(sweep)[0].Open, "its nonce is spent")
		f.AdvanceTime(time.Hour)
		f.Settle()
		require.EqualValues(t, 2, f.Chain.Nonce(p.Address), "the stranger's, and one of ours")
		require.False(t, f.Chain.BalanceOf(f.Treasury, f.ETH).IsZero())
	}
}

func TestBumpPayout(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p, sweep := f.underway()
	f.Chain.MineOnly()
	f.Step()
	require.Len(t, f.attempts(sweep), 1, "it is not stuck yet")
	got, err := f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.Amount{})
	require.NoError(t, err)
	require.Equal(t, 1, got.Urged)
	again, err := f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.Amount{})
	require.NoError(t, err)
	require.Equal(t, got, again, "asked twice is asked once")
	for range 3 {
		f.Chain.MineOnly()
		f.Step()
	}
	attempts := f.attempts(sweep)
	require.Len(t, attempts, 2, "one replacement for one request")
	require.Equal(t, attempts[0].Locks, attempts[1].Locks)
	require.Equal(t, 1, f.count(bursar.PayoutBumped, sweep.ID))
	// As often as an operator wants, beyond what the sweeper does by itself.
	for n := 2; n < 9; n++ {
		_, err := f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.Amount{})
		require.NoError(t, err)
		f.Chain.MineOnly()
		f.Step()
		require.Len(t, f.attempts(sweep), n+1)
	}
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
	require.EqualValues(t, 1, f.Chain.Nonce(p.Address))
	f.noBrokenRules()
	f.allSwept()
}

func TestBumpPayoutMayCostMore(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Chains[0].MaxFee = chain.NewAmount(9e17) }})
	_, sweep := f.underway()
	var field *bursar.FieldError
	for _, bad := range []chain.Amount{chain.NewAmount(1), chain.NewAmount(1e18)} {
		_, err := f.Gateway.BumpPayout(f.ctx(), sweep.ID, bad)
		require.ErrorAs(t, err, &field, bad)
		require.Equal(t, "BumpPayout.MaxFee", field.Field)
	}
	require.Zero(t, f.payout(sweep).Urged, "nothing was written")
	got, err := f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.NewAmount(9e17))
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(9e17), got.MaxFee)
	f.noBrokenRules()
}

func TestBumpPayoutWhereNobodySigns(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, sweep := f.underway()
	f.reconfigure(func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
	_, err := f.Gateway.BumpPayout(f.ctx(), sweep.ID, chain.Amount{})
	require.ErrorIs(t, err, chain.ErrUnsupported)
}

func TestPayoutVerbsOnNothing(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, err := f.Gateway.RetryPayout(f.ctx(), "po_1")
	require.ErrorIs(t, err, bursar.ErrNotFound)
	_, err = f.Gateway.CancelPayout(f.ctx(), "")
	require.ErrorIs(t, err, bursar.ErrNotFound)
	_, err = f.Gateway.BumpPayout(f.ctx(), "po_1", chain.Amount{})
	require.ErrorIs(t, err, bursar.ErrNotFound)
	_, err = new(bursar.Gateway).RetryPayout(f.ctx(), "po_1")
	require.ErrorIs(t, err, bursar.ErrNotStarted)
}

// A reorg of final blocks can take the stranger's transaction back: then what was signed
// here is no longer void.
func TestThreat_F4_AHaltedPayoutWhoseNonceIsFreeAgain(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	_, sweep := f.halted()
	f.Chain.Reorg(10, chaintest.ReorgOptions{DropAll: true})
	f.Step()
	require.Equal(t, bursar.PayoutHalted, f.payout(sweep).Status)
	require.Zero(t, f.Chain.Nonce(sweep.From.Address))
	require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	_, err := f.Gateway.RetryPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	_, err = f.Gateway.CancelPayout(f.ctx(), sweep.ID)
	require.ErrorIs(t, err, bursar.ErrPayoutUnderway)
	require.ErrorContains(t, err, "can still be mined")
}
