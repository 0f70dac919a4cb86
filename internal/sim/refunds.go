package sim

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// approver is the key of the one who approves refunds: everybody knows it.
func approver() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte("bursar simulation's approver key"))
}

func approves() ed25519.PublicKey { return ed25519.PublicKey(approver()[ed25519.SeedSize:]) }

// refunds has a clerk ask for refunds, approve them and think better of it. Once the
// world heals what waits is approved.
func (w *world) refunds() {
	w.asked++
	n := w.asked
	luck := chance(w.o.Seed, fmt.Sprint("refund ", n))
	defer w.after(time.Duration(1+luck%6)*w.params.blockTime, w.refunds)
	p := w.any()
	if p == nil {
		return
	}
	verb := [...]string{"ask", "go on", "ask", "go on", "cancel"}[luck/10%5]
	if w.healing {
		verb = "go on"
	}
	switch {
	case verb == "ask" && luck/1_000_000%3 == 0:
		w.askWithdrawal(p, luck)
		return
	case verb == "ask":
		w.askRefund(p, luck)
		return
	}
	w.call("refund", func(ctx context.Context) func() {
		var rows []bursar.Payout
		err := w.db.store.Read(ctx, func(r bursar.Reader) (err error) {
			rows, err = r.Payouts(ctx, bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutRefund, bursar.PayoutWithdrawal}, Statuses: waiting})
			return err
		})
		rows = slices.DeleteFunc(rows, func(p bursar.Payout) bool { return p.Status == bursar.PayoutPlanned && p.Approval != nil })
		if err != nil || len(rows) == 0 {
			return func() { w.judge(err) }
		}
		row := rows[luck/100%uint64(len(rows))]
		var got bursar.Payout
		if verb == "go on" {
			got, err = w.clear(ctx, p, row)
		} else {
			got, err = p.gw.CancelPayout(ctx, row.ID)
		}
		return func() {
			w.note("%s %s %s %s: %s %v", p.name, verb, row.Kind, row.ID, got.Status, err)
			if err != nil {
				w.mayFail(err)
			}
		}
	})
}

// waiting are the states in which a refund waits for a person.
var waiting = []bursar.PayoutStatus{bursar.PayoutAwaitingApproval, bursar.PayoutPlanned, bursar.PayoutHalted}

// clear does what a refund waits for. One that is in doubt, because its float did
// something that the store has forgotten, is given up where its receiver has money:
// nobody else pays there.
func (w *world) clear(ctx context.Context, p *process, row bursar.Payout) (bursar.Payout, error) {
	switch {
	case row.Status != bursar.PayoutHalted:
		return p.gw.ApprovePayout(ctx, row.ID, approved(row))
	case w.chain.BalanceOf(row.To, row.Asset).IsZero():
		return p.gw.RetryPayout(ctx, row.ID)
	}
	return p.gw.CancelPayout(ctx, row.ID)
}

// giveBack has the clerk ask for all of an order.
func (w *world) giveBack(s *sale) {
	w.pursue("refund of "+s.payment.ID, func(ctx context.Context, gw *bursar.Gateway) (bursar.Payout, error) {
		return gw.Refund(ctx, s.payment.ID, bursar.RefundRequest{To: string(w.chain.Payer("refund of " + s.payment.ID)), Key: "all", All: true})
	})
}

// payOut has the first customer ask for all that came to the permanent address, once
// for each key.
func (w *world) payOut(key string) {
	w.pursue("withdrawal", func(ctx context.Context, gw *bursar.Gateway) (bursar.Payout, error) {
		var who string
		err := w.db.store.Read(ctx, func(r bursar.Reader) error {
			rows, err := r.Addresses(ctx, bursar.AddressQuery{Addresses: w.deposits[:1]})
			if len(rows) > 0 {
				who = rows[0].Customer
			}
			return err
		})
		if who == "" || err != nil {
			return bursar.Payout{}, errors.Join(err, bursar.ErrNotFound)
		}
		return gw.Withdraw(ctx, bursar.WithdrawRequest{Customer: who, Asset: string(w.usdc.ID), To: string(w.chain.Payer("withdrawal of " + who + " " + key)), Key: key, All: true})
	})
}

// pursue asks for a payout and looks after it from then on.
func (w *world) pursue(what string, ask func(context.Context, *bursar.Gateway) (bursar.Payout, error)) {
	defer w.after(w.params.blockTime/3, func() { w.pursue(what, ask) })
	p := w.any()
	if p == nil {
		return
	}
	w.call("refund", func(ctx context.Context) func() {
		got, err := ask(ctx, p.gw)
		if err == nil && slices.Contains(waiting, got.Status) && (got.Status != bursar.PayoutPlanned || got.Approval == nil) {
			got, err = w.clear(ctx, p, got)
		}
		return func() {
			w.note("%s asks for a %s: %s %s %v", p.name, what, got.ID, got.Status, err)
			if err != nil && !errors.Is(err, bursar.ErrNothingToRefund) && !errors.Is(err, bursar.ErrNothingToWithdraw) {
				w.mayFail(err)
			}
		}
	})
}

func approved(p bursar.Payout) chain.Approval {
	a := chain.Approval{Payout: p.ID, Asset: p.Asset.ID, To: p.To, Amount: p.Amount, NotAfter: time.Now().Add(10000 * time.Hour)}
	a.Signature = ed25519.Sign(approver(), a.Message())
	return a
}

// askWithdrawal has a customer withdraw some of what came to the permanent address, all
// of it, or more than there is.
func (w *world) askWithdrawal(p *process, luck uint64) {
	who, key := fmt.Sprint("customer-", luck/100%4), fmt.Sprint("withdrawal-", luck/1000%3)
	asset := w.assets()[luck/10000%3]
	req := bursar.WithdrawRequest{Customer: who, Asset: string(asset.ID), To: string(w.chain.Payer("withdrawal of " + who + " " + key)), Key: key}
	if luck/100000%3 == 0 {
		req.All = true
	} else {
		req.Amount = decimal.New(int64(1+luck/100000%40), -int32(asset.Decimals)/3)
	}
	w.call("refund", func(ctx context.Context) func() {
		got, err := p.gw.Withdraw(ctx, req)
		return func() {
			w.note("%s %s of %s: %s %s %v", p.name, key, who, got.ID, got.Status, err)
			var field *bursar.FieldError
			if errors.As(err, &field) && field.Field == "WithdrawRequest.Amount" || errors.Is(err, bursar.ErrIdempotencyConflict) {
				return // more than there is, or nothing; another amount by the same key
			}
			if err != nil {
				w.mayFail(err)
			}
		}
	})
}

// askRefund asks for a part of an order, all of it or the excess, now and then once
// more with the same key, and sometimes for more than there is.
func (w *world) askRefund(p *process, luck uint64) {
	known := slices.DeleteFunc(slices.Clone(w.orders), func(s *sale) bool { return !s.known })
	if len(known) == 0 {
		return
	}
	s := known[luck/100%uint64(len(known))]
	key := fmt.Sprint("refund-", luck/1000%3)
	req := bursar.RefundRequest{To: string(w.chain.Payer("refund of " + s.payment.ID + " " + key)), Key: key}
	switch luck / 10000 % 4 {
	case 0:
		req.All = true
	case 1:
		req.Excess = true
	default:
		whole := decimal.NewFromBigInt(s.payment.Amount.Big(), -int32(s.asset.Decimals))
		req.Amount = whole.Div(decimal.NewFromInt(int64(1 + luck/100000%3))).Truncate(2)
	}
	w.call("refund", func(ctx context.Context) func() {
		got, err := p.gw.Refund(ctx, s.payment.ID, req)
		return func() {
			w.note("%s refund %s of %s: %s %s %v", p.name, key, s.payment.ID, got.ID, got.Status, err)
			var field *bursar.FieldError
			if errors.As(err, &field) && field.Field == "RefundRequest.Amount" || errors.Is(err, bursar.ErrIdempotencyConflict) {
				return // more than there is, or nothing; another amount by the same key
			}
			if err != nil {
				w.mayFail(err)
			}
		}
	})
}
