package bursar_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// approver is a key that no gateway has.
func approver() (ed25519.PublicKey, ed25519.PrivateKey) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat("a", ed25519.SeedSize)))
	return key.Public().(ed25519.PublicKey), key
}

// approval is the signature for exactly what a payout pays.
func (f *flow) approval(p bursar.Payout, lasts time.Duration) chain.Approval {
	// The signer goes by the clock of its own host, which is years ahead of the chain's.
	a := chain.Approval{Payout: p.ID, Asset: p.Asset.ID, To: p.To, Amount: p.Amount, NotAfter: time.Now().Add(lasts)}
	_, key := approver()
	a.Signature = ed25519.Sign(key, a.Message())
	return a
}

// newRefunds is a flow whose gateway has an approver, and coin and tokens in its float.
func newRefunds(t testing.TB, o bursartest.Options) *flow {
	t.Helper()
	edit := o.Edit
	o.Edit = func(c *bursar.Config) {
		public, _ := approver()
		c.Approvers = []ed25519.PublicKey{public}
		if edit != nil {
			edit(c)
		}
	}
	f := newFlow(t, o)
	f.fund(f.float(), f.ETH, "5")
	f.fund(f.float(), f.USDC, "500")
	f.Confirm()
	return f
}

func (f *flow) float() chain.Address {
	f.t.Helper()
	to, err := f.Gateway.Float(f.Chain.Info().ID)
	require.NoError(f.t, err)
	return to
}

// fund sends money as its owner would.
func (f *flow) fund(to chain.Address, asset chain.Asset, amount string) {
	f.t.Helper()
	f.Chain.Pay("owner", to, asset, units(f.t, asset, amount))
	f.Mine(1)
}

// ask asks for a refund to a new address.
func (f *flow) ask(p bursar.Payment, edit func(*bursar.RefundRequest)) (bursar.Payout, error) {
	req := bursar.RefundRequest{To: string(f.Chain.Payer("refunded")), Key: "k1"}
	edit(&req)
	return f.Gateway.Refund(f.ctx(), p.ID, req)
}

func all(r *bursar.RefundRequest) { r.All = true }

func exactly(amount string) func(*bursar.RefundRequest) {
	return func(r *bursar.RefundRequest) { r.Amount = decimal.RequireFromString(amount) }
}

// approve asks for a refund and approves it.
func (f *flow) approve(p bursar.Payment, edit func(*bursar.RefundRequest)) bursar.Payout {
	f.t.Helper()
	r, err := f.ask(p, edit)
	require.NoError(f.t, err)
	r, err = f.Gateway.ApprovePayout(f.ctx(), r.ID, f.approval(r, time.Hour))
	require.NoError(f.t, err)
	return r
}

// on is what is booked on an account, as a debit.
func (f *flow) on(a bursar.Account, asset chain.Asset) string {
	f.t.Helper()
	out := "0"
	f.read(func(r bursar.Reader) error {
		rows, err := r.Balances(f.ctx(), bursar.BalanceQuery{Asset: asset.ID, Accounts: []bursar.Account{a}})
		if len(rows) > 0 {
			out = rows[0].Sum.String()
		}
		return err
	})
	return out
}

// claims are what is booked on one kind of a payment's accounts.
func (f *flow) claims(p bursar.Payment, kind string) string {
	f.t.Helper()
	return f.on(bursar.Account(kind+p.ID), p.Asset)
}

// settled is a payment of USDC whose money is final and swept.
func (f *flow) settled(amount string) bursar.Payment {
	f.t.Helper()
	p := f.Create("USDC", amount)
	f.Pay(p)
	f.Settle()
	return p
}

func TestRefundOfAll(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	r, err := f.ask(p, all)
	require.NoError(t, err)
	require.Equal(t, bursar.PayoutAwaitingApproval, r.Status)
	require.Equal(t, f.payout(r), r, "what is returned is what is stored")
	require.Equal(t, p.Amount, r.Amount)
	require.Equal(t, f.float(), r.From.Address)
	f.Settle()
	require.Equal(t, bursar.PayoutAwaitingApproval, f.payout(r).Status, "it waits for its approval")

	again, err := f.ask(p, all)
	require.NoError(t, err)
	require.Equal(t, r.ID, again.ID)
	r, err = f.Gateway.ApprovePayout(f.ctx(), r.ID, f.approval(r, time.Hour))
	require.NoError(t, err)
	require.Equal(t, bursar.PayoutPlanned, r.Status)
	require.Equal(t, f.payout(r), r)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))
	got := f.Payment(p)
	require.Equal(t, p.Amount, got.Refunded)
	require.Equal(t, bursar.StatusSettled, got.Status)
	told := f.told(p.ID)
	last := told[len(told)-1]
	require.Equal(t, bursar.PaymentRefunded, last.Kind)
	require.Equal(t, "10", last.Data.Refunded)
	require.Equal(t, "0", f.claims(p, "paid:"))
	why, err := f.Gateway.Explain(f.ctx(), p.ID)
	require.NoError(t, err)
	require.Contains(t, why.String(), "10 USDC were given back, final")
	f.noBrokenRules()
	_, err = f.ask(p, func(r *bursar.RefundRequest) { r.All, r.Key = true, "k2" })
	require.ErrorIs(t, err, bursar.ErrNothingToRefund)
	once, err := f.ask(p, all)
	require.NoError(t, err, "a repetition is no second refund")
	require.Equal(t, bursar.PayoutConfirmed, once.Status)
}

func TestRefundTakesTheExcessFirst(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.PayAmount(p, "13")
	f.Settle()
	r := f.approve(p, func(r *bursar.RefundRequest) { r.Excess = true })
	require.Equal(t, units(t, f.USDC, "3"), r.Amount)
	require.Equal(t, "0", f.claims(p, "excess:"))
	require.Equal(t, "-10000000", f.claims(p, "paid:"))
	_, err := f.ask(p, func(r *bursar.RefundRequest) { r.Excess, r.Key = true, "k2" })
	require.ErrorIs(t, err, bursar.ErrNothingToRefund)
	two, err := f.ask(p, func(r *bursar.RefundRequest) { r.Amount, r.Key = decimal.RequireFromString("4"), "k3" })
	require.NoError(t, err)
	require.Equal(t, "-6000000", f.claims(p, "paid:"))
	_, err = f.ask(p, func(r *bursar.RefundRequest) { r.Amount, r.Key = decimal.RequireFromString("6.000001"), "k4" })
	f.field(err, "RefundRequest.Amount", bursar.CodeOutOfRange)
	_, err = f.Gateway.CancelPayout(f.ctx(), two.ID)
	require.NoError(t, err)
	require.Equal(t, bursar.PayoutCanceled, f.payout(two).Status)
	require.Equal(t, "-10000000", f.claims(p, "paid:"))
	f.Settle()
	require.Equal(t, units(t, f.USDC, "3"), f.Payment(p).Refunded)
	require.Equal(t, units(t, f.USDC, "3"), f.Payment(p).Refunding)
	f.noBrokenRules()
}

// A payment that missed its deadline holds what came; that goes back too.
func TestRefundOfHeldMoney(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.Create("ETH", "1")
	f.PayAmount(p, "0.25")
	f.Confirm()
	f.AdvanceTime(48 * time.Hour)
	f.Settle()
	require.Equal(t, bursar.StatusUnderpaid, f.Payment(p).Status)
	r := f.approve(p, all)
	f.Settle()
	require.Equal(t, units(t, f.ETH, "0.25"), f.Chain.BalanceOf(r.To, f.ETH))
	require.Equal(t, "0", f.claims(p, "held:"))
	f.noBrokenRules()
	_, err := f.Gateway.AcceptPayment(f.ctx(), p.ID, "accept")
	require.NoError(t, err, "booked after all, and given back already")
	f.Step()
	f.noBrokenRules()
}

// field makes sure that an error names a field.
func (f *flow) field(err error, name string, code bursar.Code) {
	f.t.Helper()
	var bad *bursar.FieldError
	require.ErrorAs(f.t, err, &bad)
	require.Equal(f.t, name, bad.Field)
	require.Equal(f.t, code, bad.Code)
}

func TestThreat_F24_RefundToAWrongPlace(t *testing.T) {
	var asked []bursar.Screening
	f := newRefunds(t, bursartest.Options{Edit: func(c *bursar.Config) {
		c.Screen = func(_ context.Context, s bursar.Screening) error {
			asked = append(asked, s)
			switch s.Amount {
			case chain.NewAmount(1):
				return errors.New("on a list")
			case chain.NewAmount(2):
				panic("the list is gone")
			}
			return nil
		}
	}})
	p := f.Create("USDC", "10")
	_, err := f.ask(p, all)
	require.ErrorIs(t, err, bursar.ErrNothingToRefund)
	f.Pay(p)
	f.Settle()
	sponsor, err := f.Gateway.Sponsor(f.Chain.Info().ID)
	require.NoError(t, err)
	good := string(f.Chain.Payer("refunded"))
	for _, bad := range []string{
		"0x12", good[:len(good)-1], strings.ToLower(good[:20]) + strings.ToUpper(good[20:]), "0x0000000000000000000000000000000000000000",
		string(p.Address), string(sponsor), string(f.float()), string(f.Treasury), string(f.USDC.Contract),
	} {
		_, err := f.ask(p, func(r *bursar.RefundRequest) { r.All, r.To = true, bad })
		f.field(err, "RefundRequest.To", bursar.CodeInvalid)
	}
	for name, edit := range map[string]func(*bursar.RefundRequest){
		"To":     func(r *bursar.RefundRequest) { r.All, r.To = true, "" },
		"Key":    func(r *bursar.RefundRequest) { r.All, r.Key = true, "" },
		"Amount": func(r *bursar.RefundRequest) {},
	} {
		_, err := f.ask(p, edit)
		f.field(err, "RefundRequest."+name, bursar.CodeRequired)
	}
	_, err = f.ask(p, func(r *bursar.RefundRequest) { r.All, r.Excess = true, true })
	f.field(err, "RefundRequest.Amount", bursar.CodeRequired)
	_, err = f.ask(p, exactly("-1"))
	f.field(err, "RefundRequest.Amount", bursar.CodeOutOfRange)
	_, err = f.ask(p, exactly("0.0000001"))
	f.field(err, "RefundRequest.Amount", bursar.CodeInvalid)
	_, err = f.Gateway.Refund(f.ctx(), "pay_none", bursar.RefundRequest{To: good, All: true, Key: "k"})
	require.ErrorIs(t, err, bursar.ErrNotFound)

	require.Len(t, asked, 1, "of what was refused here nobody is asked")
	var screened *bursar.ScreenError
	_, err = f.ask(p, exactly("0.000001"))
	require.ErrorAs(t, err, &screened)
	require.Equal(t, good, string(screened.Address))
	_, err = f.ask(p, exactly("0.000002"))
	require.ErrorAs(t, err, &screened)
	require.ErrorContains(t, err, "the list is gone")
	require.Empty(t, f.payouts(bursar.PayoutRefund), "nothing was written")
	_, err = f.ask(p, exactly("1"))
	require.NoError(t, err)
	_, err = f.ask(p, exactly("2"))
	require.ErrorIs(t, err, bursar.ErrIdempotencyConflict)
	_, err = f.ask(p, func(r *bursar.RefundRequest) { exactly("1")(r); r.To = string(f.Chain.Payer("other")) })
	require.ErrorIs(t, err, bursar.ErrIdempotencyConflict)
	f.Step()
	f.noBrokenRules()
}

func TestRefundsWithinLimits(t *testing.T) {
	f := newRefunds(t, bursartest.Options{Edit: func(c *bursar.Config) {
		c.Chains[0].Limits = []bursar.PayoutLimit{{Asset: c.Chains[0].Assets[0].ID, Max: chain.NewAmount(7_000_000)}}
	}})
	p := f.settled("10")
	first, err := f.ask(p, exactly("5"))
	require.NoError(t, err)
	more := func(r *bursar.RefundRequest) { exactly("2.5")(r); r.Key = "k2" }
	_, err = f.ask(p, more)
	var limit *bursar.LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, [3]string{"7", "5", "2.5"}, [3]string{f.USDC.Format(limit.Max), f.USDC.Format(limit.Used), f.USDC.Format(limit.Wanted)})
	require.Len(t, f.payouts(bursar.PayoutRefund), 1)
	_, err = f.Gateway.CancelPayout(f.ctx(), first.ID)
	require.NoError(t, err)
	_, err = f.ask(p, more)
	require.NoError(t, err, "what was canceled does not count")
	f.AdvanceTime(25 * time.Hour)
	_, err = f.ask(p, func(r *bursar.RefundRequest) { exactly("7")(r); r.Key = "k3" })
	require.NoError(t, err, "the window has moved on")
	_, err = f.ask(p, func(r *bursar.RefundRequest) { exactly("0.1")(r); r.Key = "k4" })
	require.ErrorAs(t, err, &limit)

	for field, l := range map[string]bursar.PayoutLimit{
		"Asset": {Asset: "eip155:1/slip44:1", Max: chain.NewAmount(1)}, "Max": {Asset: f.USDC.ID},
		"Window": {Asset: f.USDC.ID, Max: chain.NewAmount(1), Window: time.Millisecond},
	} {
		cfg := f.cfg
		cfg.Chains = []bursar.Chain{cfg.Chains[0]}
		cfg.Chains[0].Limits = []bursar.PayoutLimit{l}
		_, err := bursar.New(cfg)
		require.ErrorContains(t, err, "Config.Chains[0].Limits[0]."+field)
	}
}

// Refunds of different payments at once count each other.
func TestRefundsAtOnceWithinLimits(t *testing.T) {
	f := newRefunds(t, bursartest.Options{Edit: func(c *bursar.Config) {
		c.Chains[0].Limits = []bursar.PayoutLimit{{Asset: c.Chains[0].Assets[0].ID, Max: chain.NewAmount(7_000_000)}}
	}})
	var paid []bursar.Payment
	for range 8 {
		p := f.Create("USDC", "10")
		f.Pay(p)
		paid = append(paid, p)
	}
	f.Settle()
	var wg sync.WaitGroup
	var done atomic.Int32
	for _, p := range paid {
		wg.Go(func() {
			_, err := f.ask(p, exactly("5"))
			var limit *bursar.LimitError
			if err == nil {
				done.Add(1)
			} else if !errors.As(err, &limit) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, done.Load())
	f.Step()
	f.noBrokenRules()
}

func TestThreat_F23_OnlyWhatWasApprovedIsPaid(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	r, err := f.ask(p, all)
	require.NoError(t, err)
	good := f.approval(r, -time.Hour)
	for field, edit := range map[string]func(*chain.Approval){
		"Payout":    func(a *chain.Approval) { a.Payout = "po_other" },
		"Asset":     func(a *chain.Approval) { a.Asset = f.ETH.ID },
		"To":        func(a *chain.Approval) { a.To = f.Treasury },
		"Amount":    func(a *chain.Approval) { a.Amount = chain.NewAmount(1) },
		"NotAfter":  func(a *chain.Approval) { a.NotAfter = f.Chain.Now().Add(-time.Hour) },
		"Signature": func(a *chain.Approval) { a.NotAfter = a.NotAfter.Add(time.Second) },
	} {
		bad := good
		edit(&bad)
		_, err := f.Gateway.ApprovePayout(f.ctx(), r.ID, bad)
		var wrong *bursar.FieldError
		require.ErrorAs(t, err, &wrong, field)
		require.Equal(t, "Approval."+field, wrong.Field)
	}
	require.Equal(t, bursar.PayoutAwaitingApproval, f.payout(r).Status)

	// One that ends before the signature is of no use; another one takes its place.
	f.refuse(chaintest.MethodPrepare)
	_, err = f.Gateway.ApprovePayout(f.ctx(), r.ID, good)
	require.NoError(t, err)
	again, err := f.Gateway.ApprovePayout(f.ctx(), r.ID, good)
	require.NoError(t, err)
	require.Equal(t, f.payout(r), again)
	f.AdvanceTime(time.Hour)
	f.Chain.Fail(nil)
	f.Mine(8)
	require.Equal(t, "SIGNER_REFUSED", f.payout(r).FailureCode)
	_, err = f.Gateway.ApprovePayout(f.ctx(), r.ID, f.approval(r, time.Hour))
	require.NoError(t, err)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))
	_, err = f.Gateway.ApprovePayout(f.ctx(), r.ID, f.approval(r, 2*time.Hour))
	require.ErrorIs(t, err, bursar.ErrPayoutClosed)
	f.noBrokenRules()

	cfg := f.cfg
	cfg.Approvers = []ed25519.PublicKey{make([]byte, 5)}
	_, err = bursar.New(cfg)
	f.field(err, "Config.Approvers[0]", bursar.CodeInvalid)
	f.reconfigure(func(c *bursar.Config) { c.Approvers = nil })
	_, err = f.ask(p, func(r *bursar.RefundRequest) { r.All, r.Key = true, "k2" })
	f.field(err, "Config.Approvers", bursar.CodeRequired)
}

// A float without the money, or without the coin for its gas, holds a refund up and
// nothing else.
func TestRefundWaitsForTheFloat(t *testing.T) {
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) {
		public, _ := approver()
		c.Approvers = []ed25519.PublicKey{public}
	}})
	p := f.settled("10")
	r := f.approve(p, all)
	f.Mine(8)
	require.Equal(t, bursar.PayoutPlanned, f.payout(r).Status)
	require.Equal(t, "INSUFFICIENT_FUNDS", f.payout(r).FailureCode)
	other := f.Create("ETH", "1")
	f.Pay(other)
	f.Settle()
	require.Equal(t, bursar.StatusSettled, f.Payment(other).Status)
	f.fund(f.float(), f.USDC, "10")
	f.AdvanceTime(time.Hour)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status, "the sponsor brought the gas")
	require.Len(t, f.payouts(bursar.PayoutTopUp), 2)
	f.noBrokenRules()
}

// A reorg of final blocks takes a refund back that was told as done; it is mined again,
// the same transaction, and counts once.
func TestThreat_A2_AFinalRefundIsTakenBack(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	r := f.approve(p, all)
	f.Settle()
	require.Equal(t, p.Amount, f.Payment(p).Refunded)
	depth := int(f.Chain.Head().Height - f.payout(r).Block + 1)
	f.Reorg(depth, chaintest.ReorgOptions{DropAll: true})
	require.Equal(t, bursar.PayoutBroadcast, f.payout(r).Status)
	require.True(t, f.Payment(p).Refunded.IsZero())
	require.Equal(t, p.Amount, f.Payment(p).Refunding, "it is still to be paid")
	f.Settle()
	require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
	require.Equal(t, p.Amount, f.Payment(p).Refunded)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))
	require.Equal(t, 2, f.count(bursar.PaymentRefunded, p.ID))
	f.noBrokenRules()
}

// S16: a deep reorg takes the deposit of a refund. What was promised stays promised,
// and somebody owes it to us until the deposit comes back.
func TestThreat_A2_ADepositThatWasGivenBackIsGone(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.PayAmount(p, "12")
	f.Settle()
	r, err := f.ask(p, exactly("11"))
	require.NoError(t, err)
	require.Equal(t, []string{"0", "-1000000", "0"}, []string{f.claims(p, "excess:"), f.claims(p, "paid:"), f.claims(p, "receivable:reorg:")})
	depth := int(f.Chain.Head().Height - f.Payment(p).Block + 1)
	old := f.Chain.Reorg(depth, chaintest.ReorgOptions{DropAll: true})
	f.Step()
	require.NotEmpty(t, f.state().Halted)
	require.Equal(t, []string{"0", "0", "11000000"}, []string{f.claims(p, "excess:"), f.claims(p, "paid:"), f.claims(p, "receivable:reorg:")})
	require.Equal(t, 1, f.count(bursar.AlertRefundUncovered, p.ID))
	_, err = f.ask(p, func(r *bursar.RefundRequest) { r.All, r.Key = true, "k2" })
	require.ErrorIs(t, err, bursar.ErrChainNotReady)

	f.Chain.Return(old)
	f.Step()
	f.Settle()
	require.Equal(t, "0", f.claims(p, "receivable:reorg:"))
	require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	// It waits for a person: what never came is not paid out unasked.
	require.Equal(t, bursar.PayoutHalted, f.payout(r).Status)
	require.Equal(t, "UNCOVERED", f.payout(r).FailureCode)
	_, err = f.Gateway.RetryPayout(f.ctx(), r.ID)
	require.NoError(t, err)
	_, err = f.Gateway.ApprovePayout(f.ctx(), r.ID, f.approval(r, time.Hour))
	require.NoError(t, err)
	f.Settle()
	require.Equal(t, r.Amount, f.Chain.BalanceOf(r.To, f.USDC))
	require.Equal(t, []string{"0", "-1000000", "0"}, []string{f.claims(p, "excess:"), f.claims(p, "paid:"), f.claims(p, "receivable:reorg:")})
	f.noBrokenRules()
}

// The refund's own block leaves the chain: it is mined again, once.
func TestRefundInABlockThatLeft(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	p := f.settled("10")
	r := f.approve(p, all)
	for range 20 {
		if f.payout(r).Status == bursar.PayoutConfirming {
			break
		}
		f.Mine(1)
	}
	require.Equal(t, bursar.PayoutConfirming, f.payout(r).Status, "%+v", f.payout(r))
	f.Reorg(2)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(r).Status)
	require.Equal(t, p.Amount, f.Chain.BalanceOf(r.To, f.USDC))
	require.Equal(t, p.Amount, f.Payment(p).Refunded)
	f.noBrokenRules()
}
