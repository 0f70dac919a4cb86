package bursar

import (
	"context"
	"fmt"

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
// repeatable: the same key again returns the payment as it is.
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
		if f.kase.payment.AcceptKey == key {
			return nil
		}
		if err := d.decide(f, factAccept, "", nil); err != nil {
			return err
		}
		f.kase.payment.AcceptKey = key
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
	if err := g.running(); err != nil {
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
// customer and metadata. Renewing twice returns the same payment.
//
// Errors: ErrNotFound; ErrNotRenewable where the payment has not ended unpaid.
func (g *Gateway) RenewPayment(ctx context.Context, id string) (Payment, error) {
	old, err := g.Payment(ctx, id)
	if err != nil {
		return Payment{}, err
	}
	if old.Next != "" {
		return g.Payment(ctx, old.Next)
	}
	policy := old.Policy
	req := PaymentRequest{
		Asset: string(old.Asset.ID), Amount: decimal.NewFromBigInt(old.Amount.Big(), -int32(old.Asset.Decimals)),
		TTL: old.TTL, Policy: &policy, Customer: old.Customer, Metadata: old.Metadata,
	}
	d, err := g.checkRequest(req)
	if err != nil {
		return Payment{}, err
	}
	return g.create(ctx, req, d, func(fresh *Payment, previous Payment) error {
		switch previous.Status {
		case StatusExpired, StatusUnderpaid, StatusCanceled:
		default:
			return fmt.Errorf("%w: it is %s", ErrNotRenewable, previous.Status)
		}
		fresh.Attempt, fresh.Previous = previous.Attempt+1, previous.ID
		return nil
	}, id)
}
