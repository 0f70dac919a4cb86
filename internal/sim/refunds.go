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
	if verb == "ask" {
		w.askRefund(p, luck)
		return
	}
	w.call("refund", func(ctx context.Context) func() {
		var rows []bursar.Payout
		err := w.db.store.Read(ctx, func(r bursar.Reader) (err error) {
			rows, err = r.Payouts(ctx, bursar.PayoutQuery{Kinds: []bursar.PayoutKind{bursar.PayoutRefund}, Statuses: waiting})
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
			w.note("%s %s refund %s: %s %v", p.name, verb, row.ID, got.Status, err)
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

// giveBack has the clerk ask for all of an order and look after it from then on.
func (w *world) giveBack(s *sale) {
	defer w.after(w.params.blockTime/3, func() { w.giveBack(s) })
	p := w.any()
	if p == nil {
		return
	}
	w.call("refund", func(ctx context.Context) func() {
		got, err := p.gw.Refund(ctx, s.payment.ID, bursar.RefundRequest{To: string(w.chain.Payer("refund of " + s.payment.ID)), Key: "all", All: true})
		if err == nil && slices.Contains(waiting, got.Status) && (got.Status != bursar.PayoutPlanned || got.Approval == nil) {
			got, err = w.clear(ctx, p, got)
		}
		return func() {
			w.note("%s gives %s back: %s %s %v", p.name, s.payment.ID, got.ID, got.Status, err)
			if err != nil && !errors.Is(err, bursar.ErrNothingToRefund) {
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
