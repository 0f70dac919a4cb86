package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/hdwallet"
)

// tables are the shop's own.
var tables = []string{
	`CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INTEGER NOT NULL)`,
	`CREATE TABLE orders (
	    id TEXT PRIMARY KEY,
	    item TEXT NOT NULL,
	    state TEXT NOT NULL,
	    shipments INTEGER NOT NULL DEFAULT 0,
	    payment_id TEXT UNIQUE
	)`,
	// What the shop was told, one row each time: nothing here would stop a second
	// one.
	`CREATE TABLE order_log (order_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL)`,
}

// order is what a customer asks for.
type order struct{ id, item, price string }

// errSoldOut is a reason of the shop's own to undo everything.
var errSoldOut = errors.New("sold out")

// tries bounds how often a transaction is run.
const tries = 10

// shop is one life of the host's process: its database, and a gateway inside.
type shop struct {
	database database
	gateway  *bursar.Gateway
	out      *report
	// interrupt is how the demo makes the handler of an order fail after its work.
	interrupt func(order string) error
}

// newShop makes the gateway as a host would, but that the poll is faster and that
// nothing is swept: examples/quickstart shows that.
func newShop(db database, c *localChain, words string, out *report, interrupt func(string) error) (*shop, error) {
	wallet, err := hdwallet.FromMnemonic(words, "")
	if err != nil {
		return nil, err
	}
	client, err := evm.New(evm.Config{Preset: evm.Local(c.number()), URL: c.url})
	if err != nil {
		return nil, err
	}
	s := &shop{database: db, out: out, interrupt: interrupt}
	s.gateway, err = bursar.New(bursar.Config{
		Store:  db.store(),
		Wallet: wallet,
		Chains: []bursar.Chain{{Client: client, Sweep: bursar.SweepOff, Poll: 50 * time.Millisecond}},
		Notify: []bursar.Notifier{bursar.NotifyTx("orders", s.hear)},
		Logger: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	return s, err
}

func (s *shop) close(ctx context.Context) error {
	return errors.Join(s.gateway.Stop(ctx), s.database.close())
}

// place makes an order and its payment in one transaction. by is the way to the
// database. The same order again is the same payment.
func (s *shop) place(ctx context.Context, by database, o order) (p bursar.Payment, err error) {
	err = s.atomically(ctx, by, func(t hostTx) error {
		// A write comes first; see liteDB.within for why.
		fresh, err := t.exec(ctx, `INSERT INTO orders (id, item, state) VALUES ($1, $2, 'open') ON CONFLICT (id) DO NOTHING`, o.id, o.item)
		if err != nil {
			return err
		}
		// Inside the transaction only calls whose names end in Tx: CreatePayment would
		// commit by itself, and on SQLite wait for a writer that waits for it.
		if p, err = s.gateway.CreatePaymentTx(ctx, t.bursar, request(o)); err != nil {
			return err
		}
		if fresh == 0 {
			return nil
		}
		if _, err := t.exec(ctx, `UPDATE orders SET payment_id = $1 WHERE id = $2`, p.ID, o.id); err != nil {
			return err
		}
		return take(ctx, t, o.item)
	})
	return s.placed(p, err)
}

// placeAfterLook does the same by a transaction that looks before it writes, as
// it happens where prices or limits depend on what is there. What it has seen may
// be old when it writes, and then all of it has to be run again. meanwhile is what
// happens between.
func (s *shop) placeAfterLook(ctx context.Context, o order, meanwhile func() error) (p bursar.Payment, err error) {
	err = s.atomically(ctx, s.database, func(t hostTx) error {
		there, err := t.text(ctx, `SELECT item FROM stock WHERE item = $1 AND pieces > 0`, o.item)
		switch {
		case err != nil:
			return err
		case there == "":
			return errSoldOut
		}
		if err := meanwhile(); err != nil {
			return err
		}
		if p, err = s.gateway.CreatePaymentTx(ctx, t.bursar, request(o)); err != nil {
			return err
		}
		fresh, err := t.exec(ctx, `INSERT INTO orders (id, item, state, payment_id) VALUES ($1, $2, 'open', $3) ON CONFLICT (id) DO NOTHING`, o.id, o.item, p.ID)
		if err != nil || fresh == 0 {
			return err
		}
		return take(ctx, t, o.item)
	})
	return s.placed(p, err)
}

// request is the payment of an order. The key makes it the order's only one.
func request(o order) bursar.PaymentRequest {
	return bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString(o.price), IdempotencyKey: o.id}
}

// take takes a piece out of the stock.
func take(ctx context.Context, t hostTx, item string) error {
	taken, err := t.exec(ctx, `UPDATE stock SET pieces = pieces - 1 WHERE item = $1 AND pieces > 0`, item)
	if err == nil && taken == 0 {
		return errSoldOut
	}
	return err
}

// placed is what is known after the transaction. Only now may anybody see the
// address: what was rolled back has no payment.
func (s *shop) placed(p bursar.Payment, err error) (bursar.Payment, error) {
	if err != nil {
		return bursar.Payment{}, err
	}
	s.gateway.Wake() // a hint: the outbox finds the event by itself within 5 s
	return p, nil
}

// atomically runs a transaction of the shop's, and runs it again from its beginning
// where another writer was faster. Inside it nothing is repeated, neither by the
// gateway, which does not know what else was done in it, nor by a database. So fn
// keeps to the transaction: what it sets outside, it sets anew each time.
func (s *shop) atomically(ctx context.Context, by database, fn func(hostTx) error) error {
	for try := 1; ; try++ {
		err := by.within(ctx, fn)
		var retry *bursar.RetryTxError
		if err == nil || try == tries || !errors.As(err, &retry) && !by.lostRace(err) {
			return err
		}
		s.out.line("again", "%s: another transaction was faster than this one", reason(err))
		select {
		// The pause is a random one, or two that met would meet again.
		case <-time.After(rand.N(time.Duration(try) * 10 * time.Millisecond)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reason names what asks for a repetition: the gateway inside the transaction, or a
// statement of the shop's own.
func reason(err error) string {
	var retry *bursar.RetryTxError
	if errors.As(err, &retry) {
		return fmt.Sprintf("%T", retry)
	}
	return err.Error()
}

// hear is the handler of events. It runs in the transaction that marks the event as
// told: what it does with t is done exactly once, even though it may be called
// several times, and by several processes. It is short, and what cannot be rolled
// back, such as a mail, is left to a notifier made by bursar.NotifyFunc.
func (s *shop) hear(ctx context.Context, b bursar.Tx, e bursar.Event) error {
	t, err := s.database.joined(b)
	if err != nil {
		return err
	}
	id, err := t.text(ctx, `SELECT id FROM orders WHERE payment_id = $1`, e.Subject)
	if err != nil || id == "" {
		return err // without an order it is about something else: a chain, or an alert
	}
	if _, err := t.exec(ctx, `INSERT INTO order_log (order_id, seq, kind) VALUES ($1, $2, $3)`, id, e.Seq, string(e.Kind)); err != nil {
		return err
	}
	if e.Kind != bursar.PaymentConfirmed {
		return nil
	}
	// After a reorg a payment is confirmed again: the state says that it was
	// shipped.
	if _, err := t.exec(ctx, `UPDATE orders SET state = 'paid', shipments = shipments + 1 WHERE id = $1 AND state = 'open'`, id); err != nil {
		return err
	}
	if err := s.interrupt(id); err != nil {
		return fmt.Errorf("order %s: %w", id, err)
	}
	s.out.line("handler", "order %s is paid, says %s #%d", id, e.Kind, e.Seq)
	return nil
}
