package bursar_test

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

// blind lets the sweeper work while the scanner reads nothing.
func (f *flow) blind() {
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodHeaders || c.Method == chaintest.MethodTransfers {
			return errNode
		}
		return nil
	})
}

// TestThreat_D9_ARefundOfAForgottenLife: the store lost its last commits, and with
// them that an approved refund was signed and mined. It is not paid once more, not
// even where the sweeper is faster than the scanner; a person decides.
func TestThreat_D9_ARefundOfAForgottenLife(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p, q := f.Create("USDC", "10"), f.Create("USDC", "7")
	f.Pay(p)
	f.Pay(q)
	f.Settle()
	float := f.account(1, 1, f.float())
	f.refuse(chaintest.MethodPrepare)
	r := f.approve(p, all)
	waits, err := f.ask(q, all)
	require.NoError(t, err)
	f.Chain.Fail(nil)
	f.steal(float, f.USDC, p.Amount, r.To) // what the other life of the store did
	f.Chain.Mine(1)
	f.blind()
	for range 5 {
		f.Chain.AdvanceTime(time.Minute)
		f.Chain.MineOnly()
		_ = f.Gateway.Step(f.ctx())
	}
	require.Equal(t, bursar.PayoutPlanned, f.payout(r).Status)
	require.Equal(t, "WAITING_FOR_THE_SCANNER", f.payout(r).FailureCode)
	require.Zero(t, f.payout(r).Failures)
	require.Empty(t, f.attempts(r))

	f.Chain.Fail(nil)
	f.Settle()
	for _, x := range []bursar.Payout{r, waits} {
		require.Equal(t, bursar.PayoutHalted, f.payout(x).Status)
		require.Equal(t, "IN_DOUBT", f.payout(x).FailureCode)
		_, err = f.Gateway.ApprovePayout(f.ctx(), x.ID, f.approval(x, 2*time.Hour))
		require.ErrorIs(t, err, bursar.ErrPayoutClosed)
	}
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))

	// The first was it, the second was not.
	_, err = f.Gateway.CancelPayout(f.ctx(), r.ID)
	require.NoError(t, err)
	_, err = f.Gateway.RetryPayout(f.ctx(), waits.ID)
	require.NoError(t, err)
	require.Equal(t, bursar.PayoutAwaitingApproval, f.payout(waits).Status, "nobody approved it yet")
	_, err = f.Gateway.ApprovePayout(f.ctx(), waits.ID, f.approval(waits, time.Hour))
	require.NoError(t, err)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(waits).Status)
	require.Equal(t, sumOf(t, p.Amount, q.Amount), f.Chain.BalanceOf(r.To, f.USDC))
	f.noBrokenRules()
}

func sumOf(t testing.TB, a, b chain.Amount) chain.Amount {
	t.Helper()
	n, err := a.Add(b)
	require.NoError(t, err)
	return n
}

// A float that was at work before the scanner began pays its first refund later: when
// no transaction of a forgotten life can be new to the scanner any more.
func TestRefundOfAFloatWithAPast(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	f.steal(f.account(1, 1, f.float()), f.USDC, chain.NewAmount(5), f.Chain.Payer("somebody"))
	f.Chain.Mine(2)
	require.NoError(t, f.Gateway.Stop(f.ctx()))
	f.reconfigure(func(c *bursar.Config) {
		f.Store = memory.NewWith(memory.Options{Now: f.Chain.Now})
		c.Store = f.Store
	})
	p := f.settled("10")
	r := f.approve(p, all)
	f.Step()
	require.Equal(t, "WAITING_FOR_THE_SCANNER", f.payout(r).FailureCode)
	f.Mine(1)
	f.Settle()
	require.Empty(t, f.attempts(r))
	f.Mine(64)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
}

// TestThreat_F23_AStuckRefundIsApprovedAnew: a replacement is signed too, and the
// first approval has ended meanwhile.
func TestThreat_F23_AStuckRefundIsApprovedAnew(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	f.reconfigure(func(c *bursar.Config) {
		codec, public := f.Chain.Client().Codec(), c.Approvers[0]
		signer, err := hdwallet.NewSigner(hdwallet.Policy{
			Approvers: []ed25519.PublicKey{public}, Codecs: map[chain.ID]chain.Codec{f.Chain.Info().ID: codec},
			Treasury: map[chain.ID][]chain.Address{f.Chain.Info().ID: {f.Treasury}}, Now: f.Chain.Now,
		}, c.Wallet)
		require.NoError(t, err)
		c.Signer = signer
	})
	lasts := func(p bursar.Payout, d time.Duration) chain.Approval {
		return f.approval(p, time.Until(f.Chain.Now().Add(d)))
	}
	p := f.settled("10")
	f.refuse(chaintest.MethodBroadcast)
	r, err := f.ask(p, all)
	require.NoError(t, err)
	_, err = f.Gateway.ApprovePayout(f.ctx(), r.ID, lasts(r, time.Hour))
	require.NoError(t, err)
	f.Step()
	require.Equal(t, bursar.PayoutBroadcast, f.payout(r).Status)
	f.Chain.Fail(nil)
	f.Chain.AdvanceTime(2 * time.Hour)
	_, err = f.Gateway.BumpPayout(f.ctx(), r.ID, chain.Amount{})
	require.NoError(t, err)
	f.Step()
	require.Equal(t, "SIGNER_REFUSED", f.payout(r).FailureCode)
	require.Len(t, f.attempts(r), 1)
	_, err = f.Gateway.ApprovePayout(f.ctx(), r.ID, lasts(r, time.Hour))
	require.NoError(t, err)
	f.Step()
	require.Len(t, f.attempts(r), 2)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))
	f.noBrokenRules()
}

// Where the approvers are known to the signer alone, a wrong signature can come first:
// the right one over the same words takes its place.
func TestAWrongSignatureIsReplaced(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	r, err := f.ask(p, all)
	require.NoError(t, err)
	good := f.approval(r, time.Hour)
	bad := good
	bad.Signature = make([]byte, ed25519.SignatureSize)
	f.reconfigure(func(c *bursar.Config) { c.Approvers = nil })
	for _, a := range []chain.Approval{bad, good} {
		got, err := f.Gateway.ApprovePayout(f.ctx(), r.ID, a)
		require.NoError(t, err)
		require.Equal(t, a.Signature, got.Approval.Signature)
	}
}

// TestThreat_A2_ExcessThatIsNotFinalStays: the money that came first is confirmed and
// not final, and only a part of it is on top. A reorg must not leave the merchant with
// a claim that was given away.
func TestThreat_A2_ExcessThatIsNotFinalStays(t *testing.T) {
	f := newRefunds(t, bursartest.Options{Chain: tagged()})
	p := f.settled("10")
	f.PayAmount(p, "3")
	for range 60 {
		if f.Payment(p).Excess == units(t, f.USDC, "3") {
			break
		}
		f.Mine(1)
	}
	require.Equal(t, units(t, f.USDC, "3"), f.Payment(p).Excess)
	require.False(t, f.Payment(p).Final)
	excess := func(r *bursar.RefundRequest) { r.Excess = true }
	_, err := f.ask(p, excess)
	require.ErrorIs(t, err, bursar.ErrNothingToRefund)
	f.Settle()
	r, err := f.ask(p, excess)
	require.NoError(t, err)
	require.Equal(t, units(t, f.USDC, "3"), r.Amount)
}

// What is decided after a refund in the same commit tells of it too.
func TestTheLastEventTellsOfTheRefund(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	r := f.approve(p, exactly("5"))
	for range 20 {
		if f.payout(r).Status == bursar.PayoutConfirming {
			break
		}
		f.Mine(1)
	}
	f.PayAmount(p, "3")
	for range 40 {
		f.Chain.Mine(1)
	}
	f.Settle()
	told := f.told(p.ID)
	require.Equal(t, bursar.PaymentOverpaid, told[len(told)-1].Kind)
	require.Equal(t, "5", told[len(told)-1].Data.Refunded)
}

// Refunds that wait, however many, keep no sweep from being planned.
func TestThreat_F13_RefundsHoldNoSweepUp(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("100")
	f.refuse(chaintest.MethodBroadcast)
	for i := range 65 {
		f.approve(p, func(r *bursar.RefundRequest) { exactly("0.1")(r); r.Key = fmt.Sprint(i) })
	}
	f.Step()
	before := len(f.payouts(bursar.PayoutSweep))
	other := f.Create("ETH", "1")
	f.Pay(other)
	f.Confirm()
	f.Chain.Fail(nil)
	for range 60 { // blocks that leave the first refund out
		f.Chain.MineOnly()
		f.Step()
	}
	require.Len(t, f.payouts(bursar.PayoutSweep), before+1)
}

// A refund that was asked for before the wallets changed is paid by the float that was
// to pay it.
func TestRefundOfARetiredFloat(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	r := f.approve(p, all)
	f.reconfigure(func(c *bursar.Config) {
		next, err := hdwallet.FromMnemonic("legal winner thank year wave sausage worth useful legal winner thank yellow", "")
		require.NoError(t, err)
		c.Retired, c.Wallet = []*hdwallet.Wallet{c.Wallet}, next
	})
	require.NotEqual(t, r.From.Address, f.float())
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status, "%+v", f.payout(r))
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))
	f.noBrokenRules()
}

// A token may move more than it was told to, or less: what moved is what was given
// back.
func TestRefundThatMovedSomethingElse(t *testing.T) {
	for rate, moved := range map[[2]uint64]string{{1, 2}: "2.5", {3, 2}: "7.5"} {
		f := newRefunds(t, bursartest.Options{SkipLedger: true})
		p := f.Create("USDC", "10")
		f.PayAmount(p, "12")
		f.Settle()
		r := f.approve(p, exactly("5"))
		f.Chain.SetTransferRate(f.USDC, rate[0], rate[1])
		f.Settle()
		f.Chain.SetTransferRate(f.USDC, 1, 1)
		want := units(t, f.USDC, moved)
		require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
		require.Equal(t, want, f.payout(r).Moved)
		require.Equal(t, want, f.Payment(p).Refunded)
		require.Equal(t, want, f.Payment(p).Refunding)
		f.noBrokenRules()
	}
}
