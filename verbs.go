package bursar

import (
	"context"
	"fmt"
	"slices"

	"github.com/shopspring/decimal"
)

// CancelPayment withdraws a payment that nobody has paid. It is sticky: money
// that comes later is held, and AcceptPayment books it. Repeating it is no
// error.
//
// Errors: ErrNotFound; ErrPaymentHasFunds where money is, or counts, in a
// block; ErrAlreadyClosed where the deadline's verdict was given.
func (g *Gateway) CancelPayment(ctx context.Context, id string) (Payment, error) {
	return g.act(ctx, id, factCancel, func(p Payment) bool { return p.Status == StatusCanceled })
}

// AcceptPayment books the confirmed money that a payment holds: an underpaid
// part, money that came too late or after a cancel. It binds exactly these
// transfers; money that comes later is not accepted by it. key makes it
// repeatable: a key that was used for this payment returns it as it is, also
// when other keys were used since.
//
// Errors: ErrNotFound; ErrNothingToAccept where nothing confirmed is held or
// the payment is still open; *FieldError for an empty or bad key.
func (g *Gateway) AcceptPayment(ctx context.Context, id, key string) (Payment, error) {
	if key == "" {
		return Payment{}, fieldErr("AcceptPayment.Key", CodeRequired, "an idempotency key")
	}
	if err := checkText("AcceptPayment.Key", key, MaxKey); err != nil {
		return Payment{}, err
	}
	return g.actKeyed(ctx, id, key)
}

func (g *Gateway) actKeyed(ctx context.Context, id, key string) (Payment, error) {
	return g.change(ctx, id, func(d *desk, f *file) error {
		if slices.Contains(f.kase.payment.AcceptKeys, key) {
			return nil
		}
		if err := d.decide(f, factAccept, "", nil); err != nil {
			return err
		}
		f.kase.payment.AcceptKeys = append(slices.Clone(f.kase.payment.AcceptKeys), key)
		return nil
	})
}

func (g *Gateway) act(ctx context.Context, id string, what fact, done func(Payment) bool) (Payment, error) {
	return g.change(ctx, id, func(d *desk, f *file) error {
		if done(f.kase.payment) {
			return nil
		}
		return d.decide(f, what, "", nil)
	})
}

// change loads a payment with its transactions, applies fn and writes the
// result in one transaction.
func (g *Gateway) change(ctx context.Context, id string, fn func(*desk, *file) error) (Payment, error) {
	if err := g.writable(ctx); err != nil {
		return Payment{}, err
	}
	var out Payment
	err := g.store.Write(ctx, func(tx Tx) error {
		rows, err := tx.Payments(ctx, PaymentQuery{IDs: []string{id}})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("%w: payment %q", ErrNotFound, id)
		}
		net, ok := g.nets[rows[0].Asset.Chain()]
		if !ok {
			return fieldErr("Payment.Asset", CodeUnknown, "chain %s is not configured any more", rows[0].Asset.Chain())
		}
		d, err := newDesk(ctx, g, net, tx)
		if err != nil {
			return err
		}
		d.moved = false // the cursor is the scanner's
		f, err := d.file(rows[0].Address)
		if err != nil {
			return err
		}
		if err := fn(d, f); err != nil {
			return err
		}
		b := d.batch()
		out = f.kase.payment
		if f.changed {
			out.Version++
		}
		if err := deepen(ctx, tx, &out); err != nil {
			return err
		}
		return tx.Apply(ctx, b)
	})
	if err != nil {
		return Payment{}, err
	}
	g.wakePump()
	return out, nil
}

// RenewPayment makes the next attempt at the same order: a new payment with a
// new address and a new time to live, of the same asset, amount, policy,
// customer and metadata. It has no idempotency key: renewing twice returns the
// same payment anyway.
//
// Errors: ErrNotFound; ErrNotRenewable where the payment has not ended unpaid;
// *FieldError with a path such as Payment.Asset where what was asked for then is
// not configured any more, or below today's minimum; ErrChainNotReady.
func (g *Gateway) RenewPayment(ctx context.Context, id string) (Payment, error) {
	if err := g.writable(ctx); err != nil {
		return Payment{}, err
	}
	old, err := g.Payment(ctx, id)
	if err != nil {
		return Payment{}, err
	}
	if old.Next != "" {
		return g.Payment(ctx, old.Next)
	}
	req, d, err := g.renewal(old)
	if err != nil {
		return Payment{}, err
	}
	return g.create(ctx, req, d, id)
}

// renewal is the request for the next attempt.
func (g *Gateway) renewal(old Payment) (PaymentRequest, draft, error) {
	if err := renewable(old); err != nil {
		return PaymentRequest{}, draft{}, err
	}
	policy := old.Policy
	req := PaymentRequest{
		Asset: string(old.Asset.ID), Amount: decimal.NewFromBigInt(old.Amount.Big(), -int32(old.Asset.Decimals)),
		TTL: old.TTL, Policy: &policy, Customer: old.Customer, Metadata: old.Metadata,
	}
	d, err := g.checkRequest("Payment.", req)
	return req, d, err
}

// renewable reports whether a payment has ended unpaid.
func renewable(p Payment) error {
	switch p.Status {
	case StatusExpired, StatusUnderpaid, StatusCanceled:
		return nil
	}
	return fmt.Errorf("%w: payment %s is %s", ErrNotRenewable, p.ID, p.Status)
}
