package bursar

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// CreatePaymentTx is CreatePayment inside a transaction of the host's: the
// payment, its address row, its event and the deliveries exist if and only if
// that transaction commits, together with the host's own rows. tx is the store's
// Tx of it: the store's package makes one of an SQL transaction, the memory store
// gives one to the closure of Write, and NotifyTx to its handler. ctx bounds the
// call.
//
// The address was reserved and is watched before the call returns, so that
// money is seen from the first moment. Do not show it to anybody before the
// commit: after a rollback it belongs to no payment, money for it is booked
// under alert.unissued_address, and it is not issued in this process again,
// unless the index was reserved by the transaction itself (see TxReserver) and
// went back with it. A store whose Tx is no TxReserver may reserve on a
// connection of its own now and then, which the host's pool must be able to
// spare.
//
// Nothing is retried inside. A *RetryTxError says that another writer was
// faster: roll back and run the whole transaction again. A store that notices
// conflicts at the commit reports ErrConflict there, to the same effect. After
// any other error roll back too. With an idempotency key the outcome can be
// looked up, or the call repeated, at any time: in a later transaction it returns
// the payment that exists, or ErrIdempotencyConflict where the request differs.
// Inside one transaction it does so where the store's reads see what the
// transaction wrote, as SQL stores' do; with the memory store, a key that is used
// twice in one transaction makes its commit fail with ErrConflict.
//
// The payment is returned as it will be after the commit. The gateway cannot
// know when that is: it finds the deliveries within 5 s, or at once after Wake.
//
// The errors are otherwise those of CreatePayment.
func (g *Gateway) CreatePaymentTx(ctx context.Context, tx Tx, req PaymentRequest) (Payment, error) {
	if err := g.usable("CreatePaymentTx.Tx", tx); err != nil {
		return Payment{}, err
	}
	if err := g.meet(ctx, req.Asset); err != nil {
		return Payment{}, err
	}
	d, err := g.checkRequest("PaymentRequest.", req)
	if err != nil {
		return Payment{}, err
	}
	return g.createTx(ctx, tx, req, d, "")
}

// RenewPaymentTx is RenewPayment inside a transaction of the host's. What
// CreatePaymentTx says of transactions holds for it too.
func (g *Gateway) RenewPaymentTx(ctx context.Context, tx Tx, id string) (Payment, error) {
	if err := g.usable("RenewPaymentTx.Tx", tx); err != nil {
		return Payment{}, err
	}
	c := creation{renews: id}
	old, found, err := c.renewed(ctx, tx)
	switch {
	case err != nil:
		return Payment{}, retryTx(err)
	case found:
		return c.payment[0], nil
	}
	req, d, err := g.renewal(*old)
	if err != nil {
		return Payment{}, err
	}
	return g.createTx(ctx, tx, req, d, id)
}

// usable reports why a Tx twin cannot be served, if so.
func (g *Gateway) usable(field string, tx Tx) error {
	if err := g.running(); err != nil {
		return err
	}
	if tx == nil {
		return fieldErr(field, CodeRequired, "the store's transaction")
	}
	return nil
}

// createTx applies a payment to the transaction, or finds the one that is there.
func (g *Gateway) createTx(ctx context.Context, tx Tx, req PaymentRequest, d draft, renews string) (Payment, error) {
	c, err := g.begin(req, d, renews)
	if err != nil {
		return Payment{}, err
	}
	defer c.end()
	previous, found, err := c.find(ctx, tx)
	switch {
	case err != nil:
		return Payment{}, retryTx(err)
	case found:
		return c.payment[0], nil
	}
	own := false
	if c.it, own, err = d.net.book.takeTx(ctx, tx); err != nil {
		return Payment{}, retryTx(err)
	}
	if err := c.link(); err != nil {
		if !own {
			d.net.book.giveBack(c.it) // nothing was applied with it
		}
		return Payment{}, err
	}
	if err := c.put(ctx, tx, previous); err != nil {
		return Payment{}, retryTx(err)
	}
	if h := inside(ctx); h != nil {
		h.told.Store(true)
	}
	c.payment[0].Version = 1
	return c.payment[0], nil
}

// retryTx tells a conflict from what a repetition does not mend.
func retryTx(err error) error {
	if errors.Is(err, ErrConflict) {
		return &RetryTxError{Err: err}
	}
	return err
}

// handling marks the context of a NotifyTx handler.
type handling struct {
	told atomic.Bool // events were applied inside
}

type handlingKey struct{}

// inside returns the handler's mark, nil outside of handlers.
func inside(ctx context.Context) *handling {
	h, _ := ctx.Value(handlingKey{}).(*handling)
	return h
}

// writable reports why a verb that opens a transaction cannot be served, if so.
// Inside a handler's transaction it would wait for a lock that its own caller
// holds, or be committed where the handler is rolled back; it does not matter
// whose gateway's handler it is, because both may use one database.
func (g *Gateway) writable(ctx context.Context) error {
	if err := g.running(); err != nil {
		return err
	}
	if inside(ctx) != nil {
		return fmt.Errorf("%w: use the twin of this call whose name ends in Tx", ErrInTransaction)
	}
	return nil
}
