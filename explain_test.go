package bursar_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
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

// explain asks, and checks that the answer survives JSON.
func (f *flow) explain(what string) bursar.Explanation {
	f.t.Helper()
	x, err := f.Gateway.Explain(f.ctx(), what)
	require.NoError(f.t, err)
	raw, err := json.Marshal(x)
	require.NoError(f.t, err)
	var again bursar.Explanation
	require.NoError(f.t, json.Unmarshal(raw, &again))
	require.Equal(f.t, x.String(), again.String())
	return x
}

func codes(x bursar.Explanation) (out []bursar.ReasonCode) {
	for _, r := range x.Reasons {
		out = append(out, r.Code)
	}
	return out
}

func verdicts(x bursar.Explanation) (out []string) {
	for _, t := range x.Transactions {
		if t.Type == bursar.TypeIncoming {
			out = append(out, t.Verdict)
		}
	}
	return out
}

func TestExplainPaymentInEachState(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	depth := f.Chain.Info().Confirmations

	p := f.Create("USDC", "10")
	f.Step()
	x := f.explain(p.ID)
	require.Equal(t, bursar.ExplainedPayment, x.Kind)
	require.Contains(t, x.Summary, "pending: 10 USDC was asked for")
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonNothingSeen}, codes(x))
	require.Contains(t, strings.Join(x.Missing, "\n"), "10 USDC must still arrive at "+string(p.Address))
	require.Contains(t, strings.Join(x.Missing, "\n"), "the deadline is ")
	require.Len(t, x.Events, 1)
	require.Equal(t, bursar.DeliveryDone, x.Events[0].Deliveries[0].Status)

	f.PayLess(p, "4")
	f.Mine(1)
	x = f.explain(p.ID)
	require.Contains(t, x.Summary, "detected: 6 USDC of 10 USDC is in blocks, 0 USDC is confirmed")
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonBelowDepth, bursar.ReasonTooLittle}, codes(x))
	require.Equal(t, []string{"counting"}, verdicts(x))
	require.Equal(t, uint64(1), x.Transactions[0].Depth)
	require.Equal(t, depth-1, x.Transactions[0].Left)
	require.Contains(t, strings.Join(x.Missing, "\n"), "4 USDC must still arrive")
	require.Contains(t, x.Reasons[0].Text, "1 of ")
	require.Equal(t, x.Transactions[0].ID, x.Reasons[0].Transaction)

	f.PayAmount(p, "5")
	f.Confirm()
	x = f.explain(p.ID)
	require.Contains(t, x.Summary, "confirmed on ")
	require.Empty(t, x.Reasons)
	require.Contains(t, strings.Join(x.Missing, "\n"), "1 USDC came on top")
	require.Contains(t, strings.Join(x.Missing, "\n"), "not final yet")

	f.Settle()
	x = f.explain(p.ID)
	require.Contains(t, x.Summary, "settled on ")
	require.Empty(t, x.Reasons)
	require.NotEmpty(t, x.Payouts)
	require.Contains(t, x.String(), "sweep of 6 USDC from "+string(p.Address))
	require.NotEmpty(t, x.Payouts[0].Attempts)
	require.NotEmpty(t, x.Entries)
	require.NotContains(t, x.String(), "not known")

	expired, short := f.Create("ETH", "1"), f.Create("ETH", "1")
	f.PayLess(short, "0.4")
	f.Confirm()
	f.AdvanceTime(bursar.DefaultTTL + time.Hour)
	require.Contains(t, f.explain(expired.ID).Summary, "expired: by the deadline")
	x = f.explain(short.ID)
	require.Contains(t, x.Summary, "underpaid: ")
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonTooLittle}, codes(x))

	f.Pay(expired)
	f.Confirm()
	x = f.explain(expired.ID)
	require.Equal(t, []string{"late"}, verdicts(x))
	require.Contains(t, codes(x), bursar.ReasonLate)
	require.Contains(t, strings.Join(x.Missing, "\n"), "1 ETH is held")
	_, err := f.Gateway.AcceptPayment(t.Context(), expired.ID, "yes")
	require.NoError(t, err)
	x = f.explain(expired.ID)
	require.Equal(t, []string{"accepted"}, verdicts(x))
	require.Empty(t, x.Reasons)

	gone := f.Create("ETH", "1")
	_, err = f.Gateway.CancelPayment(t.Context(), gone.ID)
	require.NoError(t, err)
	f.Pay(gone)
	f.Confirm()
	x = f.explain(gone.ID)
	require.Contains(t, x.Summary, "canceled by the host")
	require.Equal(t, []string{"after_cancel"}, verdicts(x))
	require.Contains(t, codes(x), bursar.ReasonAfterCancel)
}

func TestExplainByEveryName(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Request(bursar.PaymentRequest{Asset: f.Chain.Info().Name + "/USDC", Amount: decimal.NewFromInt(5), IdempotencyKey: "order 17"})
	hash := f.Pay(p)
	f.Settle()
	events := f.Events(p.ID)
	for _, name := range []string{p.ID, "  " + p.ID + "\n", string(p.Address), strings.ToLower(string(p.Address)), p.AddressID, "order 17", events[0].ID} {
		x := f.explain(name)
		require.Equal(t, bursar.ExplainedPayment, x.Kind, name)
		require.Equal(t, p.ID, x.Payment.ID, name)
		require.Len(t, verdicts(x), 1)
	}
	row := f.explain(p.ID).Transactions[0].ID
	for _, name := range []string{string(hash), strings.ToUpper(string(hash)), row} {
		x := f.explain(name)
		require.Equal(t, bursar.ExplainedTransaction, x.Kind, name)
		require.Equal(t, p.ID, x.Payment.ID)
		require.Equal(t, []string{p.ID}, x.Payments)
		require.Contains(t, x.Summary, "5 USDC, confirmed")
		require.Empty(t, x.Reasons)
	}
	sweep := f.payouts(bursar.PayoutSweep)[0]
	for _, name := range []string{sweep.ID, sweep.Key} {
		x := f.explain(name)
		require.Equal(t, bursar.ExplainedPayout, x.Kind)
		require.Contains(t, x.Summary, "sweep of 5 USDC to "+string(f.Treasury)+": confirmed")
	}
	require.Equal(t, "own", f.explain(string(sweep.TxID)).Transactions[0].Verdict)

	x := f.explain(string(f.Sponsor))
	require.Equal(t, bursar.ExplainedAddress, x.Kind)
	require.Contains(t, x.Summary, "pays for gas")
	require.Contains(t, verdicts(x), "capital")

	kept, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "ann"})
	require.NoError(t, err)
	require.Contains(t, f.explain(kept.ID).Summary, `permanent address of customer "ann": 0 transfers`)
	f.Chain.Pay("bob", kept.Address, f.ETH, chain.NewAmount(7))
	f.Confirm()
	x = f.explain(string(kept.Address))
	require.Equal(t, []string{"deposit"}, verdicts(x))
	require.Empty(t, x.Reasons)
}

func TestExplainWhyNotCredited(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")

	f.PayAsset(p, f.USDT, "10")
	f.Confirm()
	x := f.explain(p.ID)
	require.Equal(t, []string{"wrong_asset"}, verdicts(x))
	require.Contains(t, x.Reasons[0].Text, "asked for was USDC on ")

	hash := f.Pay(p)
	x = f.explain(string(hash))
	require.Equal(t, bursar.ExplainedNothing, x.Kind)
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonMempool}, codes(x))

	// In a block that the gateway has not looked at: by its hash, and at the address.
	f.Chain.Mine(1)
	x = f.explain(string(hash))
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonBehind}, codes(x))
	require.Contains(t, x.Reasons[0].Text, "10 USDC to "+string(p.Address))
	require.Contains(t, codes(f.explain(p.ID)), bursar.ReasonBehind)

	stranger := f.Chain.Payer("stranger")
	hash = f.Chain.Pay("bob", stranger, f.USDC, chain.NewAmount(5))
	f.Mine(1)
	x = f.explain(string(hash))
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonNotOurs}, codes(x))
	require.Contains(t, x.Reasons[0].Text, string(stranger))
	x = f.explain(string(stranger))
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonNotOurs}, codes(x))
	require.Equal(t, string(stranger)+" is no address of this gateway", x.Summary)

	hash = f.Chain.PayFailed("bob", p.Address, f.USDC, chain.NewAmount(5))
	f.Mine(1)
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonGone}, codes(f.explain(string(hash))))
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonNotFound}, codes(f.explain("0x"+strings.Repeat("ab", 32))))
	require.Equal(t, []bursar.ReasonCode{bursar.ReasonUnknown}, codes(f.explain("order 18")))

	// Coin that leaves no trace but the balance, which could not be asked for.
	f.Chain.Grant(p.Address, f.ETH, chain.NewAmount(9))
	f.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances {
			return errNode
		}
		return nil
	})
	f.Chain.Mine(1)
	require.NoError(t, f.Gateway.Step(t.Context()))
	f.Chain.Fail(nil)
	x = f.explain(p.ID)
	require.Contains(t, codes(x), bursar.ReasonUnbooked)
}

func TestExplainUnissuedAddress(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("ETH", "1")
	row, err := f.Gateway.Address(t.Context(), p.AddressID)
	require.NoError(t, err)
	derived, err := f.Gateway.Derive(f.Chain.Info().Name, "", 1, 3)
	require.NoError(t, err)
	require.Equal(t, row.Index, uint32(0))
	ahead := derived[1].Address

	// Before Start, of another gateway on the same store: nothing is known by heart.
	fresh, err := bursar.New(f.cfg)
	require.NoError(t, err)
	x, err := fresh.Explain(t.Context(), string(ahead))
	require.NoError(t, err)
	require.Equal(t, bursar.ExplainedAddress, x.Kind)
	require.Equal(t, bursar.RoleUnissued, x.Address.Role)
	require.Contains(t, x.Summary, "m/44'/60'/0'/0/2, and issued to nobody: 0 transfers")

	f.Chain.Pay("bob", ahead, f.ETH, chain.NewAmount(5))
	f.Mine(1)
	x = f.explain(string(ahead))
	require.Equal(t, []string{"unissued"}, verdicts(x))
	require.Contains(t, codes(x), bursar.ReasonUnissued)
	require.Contains(t, codes(x), bursar.ReasonBelowDepth)
}

func TestExplainReorgAndHalt(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Mine(1)
	f.Reorg(1, chaintest.ReorgOptions{DropAll: true})
	x := f.explain(p.ID)
	require.Equal(t, []string{"reorged"}, verdicts(x))
	require.Contains(t, codes(x), bursar.ReasonReorged)
	require.Contains(t, strings.Join(x.Missing, "\n"), "because a reorg took a transfer out")

	f, p, q := deeply(t, nil)
	x = f.explain(q.ID)
	require.Contains(t, codes(x), bursar.ReasonHalted)
	require.Equal(t, "deep_reorg", x.Chains[0].Halted)
	require.Contains(t, x.String(), "halted: deep_reorg")
	f.Settle()
	f.Settle()
	require.Empty(t, f.explain(p.ID).Reasons)
}

func TestExplainSuspense(t *testing.T) {
	kit, _ := oddToken(t, chaintest.TokenSpec{Kind: chaintest.TokenFee, Symbol: "FEE", Decimals: 6}, func(_ *chaintest.Chain, a *chain.Asset) { a.VerifyBalance = true })
	p := kit.Request(request("FEE", "100"))
	kit.Pay(p)
	kit.Settle()
	x, err := kit.Gateway.Explain(t.Context(), p.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"suspense"}, verdicts(x))
	require.Contains(t, codes(x), bursar.ReasonSuspense)
	require.Equal(t, "95 FEE", x.Transactions[0].Units)
}

func TestExplainTellsWhatANodeDoesNot(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Chain.Fail(func(chaintest.Call) error { return errNode })
	x := f.explain(p.ID)
	require.Len(t, x.Notes, 2)
	require.Contains(t, x.String(), "not known: ")
	require.Contains(t, x.String(), "the node is away")
	require.NotEmpty(t, f.explain("0x"+strings.Repeat("ab", 32)).Notes)

	cfg := f.cfg
	cfg.Store = readOnly{f.Store, t}
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	x, err = gw.Explain(t.Context(), p.ID)
	require.NoError(t, err, "it writes nothing, and needs no Start")
	require.Equal(t, p.ID, x.Payment.ID)
}

func TestExplainNeverScanned(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	cfg := f.cfg
	cfg.Store = memory.NewWith(memory.Options{Now: f.Chain.Now})
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	x, err := gw.Explain(t.Context(), "order 1")
	require.NoError(t, err)
	require.Contains(t, codes(x), bursar.ReasonNeverScanned)
	require.Contains(t, codes(x), bursar.ReasonUnknown)
}

func TestExplainRefuses(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	for _, what := range []string{"", " \t\n", strings.Repeat("x", 513)} {
		_, err := f.Gateway.Explain(t.Context(), what)
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field)
		require.Equal(t, "Explain.What", field.Field)
	}
	var none *bursar.Gateway
	_, err := none.Explain(t.Context(), "x")
	require.ErrorIs(t, err, bursar.ErrNotStarted)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Gateway.Explain(ended, "x")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, f.Store.Close())
	_, err = f.Gateway.Explain(t.Context(), "x")
	require.ErrorIs(t, err, bursar.ErrStoreClosed)
}

// TestExplainKeepsForeignTextInItsLine: a receiver's answer reaches an
// operator's terminal.
func TestExplainKeepsForeignTextInItsLine(t *testing.T) {
	f := newFlow(t, bursartest.Options{Notify: []bursar.Notifier{bursar.NotifyFunc("shop", func(context.Context, bursar.Event) error {
		return errors.New("no\npayment settled\x1b[2J\u202e")
	})}})
	p := f.Create("USDC", "10")
	f.Step()
	text := f.explain(p.ID).String()
	require.Contains(t, text, "last error: no?payment settled?[2J?")
	require.NotContains(t, text, "\x1b")
	require.NotContains(t, text, "\npayment settled")
}
