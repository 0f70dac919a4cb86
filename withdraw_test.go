package bursar_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
)

// saved gives a customer a permanent address with some money.
func (f *flow) saved(customer string, asset chain.Asset, amounts ...string) bursar.Address {
	f.t.Helper()
	at, err := f.Gateway.CreateAddress(f.ctx(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: customer})
	require.NoError(f.t, err)
	for _, n := range amounts {
		f.Chain.Pay("payer of "+customer, at.Address, asset, units(f.t, asset, n))
		f.Mine(1)
	}
	f.Settle()
	return at
}

// draw asks for a withdrawal of USDC to a new address.
func (f *flow) draw(customer string, edit func(*bursar.WithdrawRequest)) (bursar.Payout, error) {
	req := bursar.WithdrawRequest{Customer: customer, Asset: string(f.USDC.ID), To: string(f.Chain.Payer("withdrawn")), Key: "k1"}
	edit(&req)
	return f.Gateway.Withdraw(f.ctx(), req)
}

func some(amount string) func(*bursar.WithdrawRequest) {
	return func(r *bursar.WithdrawRequest) { r.Amount = decimal.RequireFromString(amount) }
}

// granted asks for a withdrawal and approves it.
func (f *flow) granted(customer string, edit func(*bursar.WithdrawRequest)) bursar.Payout {
	f.t.Helper()
	p, err := f.draw(customer, edit)
	require.NoError(f.t, err)
	p, err = f.Gateway.ApprovePayout(f.ctx(), p.ID, f.approval(p, time.Hour))
	require.NoError(f.t, err)
	return p
}

func TestWithdrawal(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	at := f.saved("ann", f.USDC, "10", "5")
	require.Equal(t, "-15000000", f.on("customer:ann", f.USDC))
	p, err := f.draw("ann", some("12"))
	require.NoError(t, err)
	require.Equal(t, bursar.PayoutAwaitingApproval, p.Status)
	require.Equal(t, bursar.PayoutWithdrawal, p.Kind)
	require.Equal(t, at.ID, p.Parent)
	require.Equal(t, "-3000000", f.on("customer:ann", f.USDC), "it is reserved at once")
	require.Equal(t, "-12000000", f.on(bursar.Account("refund_payable:"+p.ID), f.USDC))
	again, err := f.draw("ann", some("12"))
	require.NoError(t, err)
	require.Equal(t, p, again)
	_, err = f.draw("ann", some("11"))
	require.ErrorIs(t, err, bursar.ErrIdempotencyConflict)
	_, err = f.draw("ann", func(r *bursar.WithdrawRequest) { some("3.000001")(r); r.Key = "k2" })
	f.field(err, "WithdrawRequest.Amount", bursar.CodeOutOfRange)

	_, err = f.Gateway.ApprovePayout(f.ctx(), p.ID, f.approval(p, time.Hour))
	require.NoError(t, err)
	f.Settle()
	require.Equal(t, bursar.PayoutConfirmed, f.payout(p).Status)
	require.Equal(t, units(t, f.USDC, "12"), f.Chain.BalanceOf(p.To, f.USDC))
	require.Equal(t, "0", f.on(bursar.Account("refund_payable:"+p.ID), f.USDC))
	require.Equal(t, "-3000000", f.on("customer:ann", f.USDC))
	told := f.told(p.ID)
	require.Equal(t, bursar.PayoutConfirmedEvent, told[len(told)-1].Kind)
	require.Equal(t, at.ID, told[len(told)-1].Data.AddressID)

	rest := f.granted("ann", func(r *bursar.WithdrawRequest) { r.All, r.Key = true, "k2" })
	require.Equal(t, units(t, f.USDC, "3"), rest.Amount)
	_, err = f.draw("ann", func(r *bursar.WithdrawRequest) { r.All, r.Key = true, "k3" })
	require.ErrorIs(t, err, bursar.ErrNothingToWithdraw)
	f.Settle()
	require.Equal(t, units(t, f.USDC, "15"), f.Chain.BalanceOf(p.To, f.USDC))
	f.noBrokenRules()
}

// What is given up is free again.
func TestWithdrawalThatIsGivenUp(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	f.saved("ann", f.USDC, "10")
	p, err := f.draw("ann", some("10"))
	require.NoError(t, err)
	_, err = f.Gateway.CancelPayout(f.ctx(), p.ID)
	require.NoError(t, err)
	require.Equal(t, "-10000000", f.on("customer:ann", f.USDC))
	require.Equal(t, "0", f.on(bursar.Account("refund_payable:"+p.ID), f.USDC))
	_, err = f.draw("ann", func(r *bursar.WithdrawRequest) { some("10")(r); r.Key = "k2" })
	require.NoError(t, err)
	f.Mine(1)
	f.noBrokenRules()
}

// A deposit that is confirmed and not final is not paid out.
func TestWithdrawalOfFinalMoneyAlone(t *testing.T) {
	f := newRefunds(t, bursartest.Options{Chain: chaintest.Options{Finalized: true}})
	f.saved("ann", f.USDC, "10")
	at := f.saved("ann", f.USDC)
	f.Chain.Pay("payer", at.Address, f.USDC, units(t, f.USDC, "5"))
	for range 60 {
		if f.on("customer:ann", f.USDC) == "-15000000" {
			break
		}
		f.Mine(1)
	}
	require.Equal(t, "-15000000", f.on("customer:ann", f.USDC))
	_, err := f.draw("ann", some("15"))
	f.field(err, "WithdrawRequest.Amount", bursar.CodeOutOfRange)
	_, err = f.draw("ann", some("10"))
	require.NoError(t, err)
}

// TestThreat_F24_WithdrawalToAWrongPlace: what is wrong with a request is told by name,
// and nothing is written.
func TestThreat_F24_WithdrawalToAWrongPlace(t *testing.T) {
	refused := errors.New("on a list")
	var asked bursar.Screening
	f := newRefunds(t, bursartest.Options{Edit: func(c *bursar.Config) {
		c.Screen = func(_ context.Context, s bursar.Screening) error {
			if asked = s; s.Amount == units(t, s.Asset, "7") {
				return refused
			}
			return nil
		}
	}})
	at := f.saved("ann", f.USDC, "10")
	for _, c := range []struct {
		field string
		code  bursar.Code
		edit  func(*bursar.WithdrawRequest)
	}{
		{"Customer", bursar.CodeRequired, func(r *bursar.WithdrawRequest) { r.Customer = "" }},
		{"Customer", bursar.CodeOutOfRange, func(r *bursar.WithdrawRequest) { r.Customer = fmt.Sprintf("%0256d", 0) }},
		{"Key", bursar.CodeRequired, func(r *bursar.WithdrawRequest) { r.Key = "" }},
		{"Key", bursar.CodeOutOfRange, func(r *bursar.WithdrawRequest) { r.Key = fmt.Sprintf("%0256d", 0) }},
		{"To", bursar.CodeRequired, func(r *bursar.WithdrawRequest) { r.To = "" }},
		{"To", bursar.CodeInvalid, func(r *bursar.WithdrawRequest) { r.To = "0x12" }},
		{"To", bursar.CodeInvalid, func(r *bursar.WithdrawRequest) { r.To = string(at.Address) }},
		{"To", bursar.CodeInvalid, func(r *bursar.WithdrawRequest) { r.To = string(f.Treasury) }},
		{"To", bursar.CodeInvalid, func(r *bursar.WithdrawRequest) { r.To = string(f.USDC.Contract) }},
		{"Asset", bursar.CodeRequired, func(r *bursar.WithdrawRequest) { r.Asset = "" }},
		{"Asset", bursar.CodeUnknown, func(r *bursar.WithdrawRequest) { r.Asset = "ethereum/NONE" }},
		{"Amount", bursar.CodeRequired, func(r *bursar.WithdrawRequest) { r.Amount = decimal.Decimal{} }},
		{"Amount", bursar.CodeRequired, func(r *bursar.WithdrawRequest) { r.All = true }},
		{"Amount", bursar.CodeOutOfRange, func(r *bursar.WithdrawRequest) { r.Amount = decimal.RequireFromString("-1") }},
		{"Amount", bursar.CodeOutOfRange, func(r *bursar.WithdrawRequest) { r.Amount = decimal.RequireFromString("10.000001") }},
	} {
		_, err := f.draw("ann", func(r *bursar.WithdrawRequest) { some("1")(r); c.edit(r) })
		f.field(err, "WithdrawRequest."+c.field, c.code)
	}
	_, err := f.draw("bob", some("1"))
	require.ErrorIs(t, err, bursar.ErrNotFound)
	_, err = f.draw("ann", some("7"))
	var screened *bursar.ScreenError
	require.ErrorAs(t, err, &screened)
	require.ErrorIs(t, err, refused)
	require.Equal(t, "ann", asked.Customer)
	require.Empty(t, f.payouts(bursar.PayoutWithdrawal))
}

// overtaken is a store in which somebody else is faster: between what a closure read
// and what it writes, between happens, once.
type overtaken struct {
	bursar.Store
	between func()
}

func (s *overtaken) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return s.Store.Write(ctx, func(tx bursar.Tx) error { return fn(overtakenTx{tx, s}) })
}

type overtakenTx struct {
	bursar.Tx
	s *overtaken
}

func (t overtakenTx) Apply(ctx context.Context, b bursar.Batch) error {
	if do := t.s.between; do != nil {
		t.s.between = nil
		do()
	}
	return t.Tx.Apply(ctx, b)
}

// TestThreat_F23_WithdrawalsAtOnce: two of one customer never exceed the deposits, two
// of several customers never the limit of the chain, whichever comes first.
func TestThreat_F23_WithdrawalsAtOnce(t *testing.T) {
	var s *overtaken
	f := newRefunds(t, bursartest.Options{Store: func(now func() time.Time) bursar.Store {
		s = &overtaken{Store: memory.NewWith(memory.Options{Now: now})}
		return s
	}})
	f.saved("ann", f.USDC, "10")
	f.saved("bob", f.USDC, "10")
	race := func(first, second string, key string) error {
		s.between = func() {
			_, err := f.draw(first, func(r *bursar.WithdrawRequest) { some("6")(r); r.Key = "in between " + key })
			require.NoError(t, err)
		}
		_, err := f.draw(second, func(r *bursar.WithdrawRequest) { some("6")(r); r.Key = key })
		return err
	}
	f.field(race("ann", "ann", "a"), "WithdrawRequest.Amount", bursar.CodeOutOfRange)
	require.Equal(t, "-4000000", f.on("customer:ann", f.USDC))

	for _, p := range f.payouts(bursar.PayoutWithdrawal) {
		_, err := f.Gateway.CancelPayout(f.ctx(), p.ID)
		require.NoError(t, err)
	}
	f.reconfigure(func(c *bursar.Config) {
		c.Chains[0].Limits = []bursar.PayoutLimit{{Asset: f.USDC.ID, Max: units(t, f.USDC, "11")}}
	})
	var limit *bursar.LimitError
	require.ErrorAs(t, race("ann", "bob", "b"), &limit)
	f.Mine(1)
	f.noBrokenRules()
}

// TestThreat_A2_ADepositThatWasWithdrawnIsGone: a reorg of final blocks takes a deposit
// whose money is about to be paid out. The customer owes it until it is mined again.
func TestThreat_A2_ADepositThatWasWithdrawnIsGone(t *testing.T) {
	f := newRefunds(t, bursartest.Options{})
	at := f.saved("ann", f.USDC)
	before := f.Chain.Head().Height
	f.Chain.Pay("payer", at.Address, f.USDC, units(t, f.USDC, "10"))
	f.Settle()
	deposited := f.Chain.Head().Height
	p, err := f.draw("ann", some("8"))
	require.NoError(t, err)
	old := f.Chain.Reorg(int(deposited-before), chaintest.ReorgOptions{DropAll: true})
	f.Step()
	require.NotEmpty(t, f.state().Halted)
	require.Equal(t, "0", f.on("customer:ann", f.USDC))
	require.Equal(t, "8000000", f.on(bursar.Account("receivable:reorg:"+at.ID), f.USDC))
	require.Equal(t, 1, f.count(bursar.AlertRefundUncovered, at.ID))
	_, err = f.draw("ann", func(r *bursar.WithdrawRequest) { r.All, r.Key = true, "k2" })
	require.ErrorIs(t, err, bursar.ErrChainNotReady)

	f.Chain.Return(old)
	f.Step()
	f.Settle()
	require.Equal(t, "-2000000", f.on("customer:ann", f.USDC))
	require.Equal(t, "0", f.on(bursar.Account("receivable:reorg:"+at.ID), f.USDC))
	require.NoError(t, f.Gateway.ResumeChain(f.ctx(), f.Chain.Info().ID))
	// It waits for a person: what never came is not paid out unasked.
	require.Equal(t, bursar.PayoutHalted, f.payout(p).Status)
	require.Equal(t, "UNCOVERED", f.payout(p).FailureCode)
	_, err = f.Gateway.RetryPayout(f.ctx(), p.ID)
	require.NoError(t, err)
	_, err = f.Gateway.ApprovePayout(f.ctx(), p.ID, f.approval(p, time.Hour))
	require.NoError(t, err)
	f.Settle()
	require.Equal(t, p.Amount, f.Chain.BalanceOf(p.To, f.USDC))
	f.noBrokenRules()
}

// A token may move less than it was told to: the rest is still the customer's.
func TestWithdrawalThatMovedLess(t *testing.T) {
	f := newRefunds(t, bursartest.Options{SkipLedger: true})
	f.saved("ann", f.USDC, "12")
	p := f.granted("ann", some("5"))
	f.Chain.SetTransferRate(f.USDC, 1, 2)
	f.Settle()
	f.Chain.SetTransferRate(f.USDC, 1, 1)
	require.Equal(t, bursar.PayoutConfirmed, f.payout(p).Status)
	require.Equal(t, "-9500000", f.on("customer:ann", f.USDC))
	require.Equal(t, "0", f.on(bursar.Account("refund_payable:"+p.ID), f.USDC))
	f.noBrokenRules()
}
