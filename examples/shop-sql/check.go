package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/bursar-go/bursar"
)

// report prints the account, a line at a time. It is safe for concurrent use.
type report struct {
	mu      sync.Mutex
	out     io.Writer
	began   time.Time
	retries int // lines that tell of a transaction run again
}

func newReport(out io.Writer) *report { return &report{out: out, began: time.Now()} }

// line prints one line: seconds since the start, what it is about, the rest.
func (r *report) line(what, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if what == "again" {
		r.retries++
	}
	fmt.Fprintf(r.out, "%6.2f  %-9s %s\n", time.Since(r.began).Seconds(), what, fmt.Sprintf(format, args...))
}

func (r *report) again() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retries
}

// scene announces what comes next.
func (r *report) scene(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "\n── %s\n", fmt.Sprintf(format, args...))
}

// Write prints the gateway's log.
func (r *report) Write(b []byte) (int, error) {
	r.line("log", "%s", strings.TrimSpace(string(b)))
	return len(b), nil
}

// row is what is known of an order in the end.
type row struct {
	id, item, state, payment string
	shipments, heard         int
	status                   bursar.Status
	events                   int
}

// verify prints the table and checks all that must hold. It looks at everything
// before it gives its verdict.
func (s *stage) verify(ctx context.Context) error {
	s.out.scene("the account of it")
	rows, err := s.rows(ctx)
	if err != nil {
		return err
	}
	if err := s.out.table(rows); err != nil {
		return err
	}
	s.out.scene("what must hold")
	var wrong []error
	for _, check := range []struct {
		what, holds string
		run         func(context.Context, []row) error
	}{
		{"orders", "each order has the one payment that was made with it, and its state", s.checkOrders},
		{"rollback", "the order that was rolled back has left no payment", s.checkRollback},
		{"once", "every event has changed its order exactly once, in order", s.checkOnce},
		{"stock", "each order has taken one piece", s.checkStock},
		{"mishaps", "a transaction was run again, and a handler failed", s.checkMishaps},
		{"audit", "the gateway's own audit finds nothing, and compared with the chain", s.checkAudit},
	} {
		if err := check.run(ctx, rows); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", check.what, err))
			s.out.line("WRONG", "%-9s %v", check.what, err)
			continue
		}
		s.out.line("holds", "%-9s %s", check.what, check.holds)
	}
	return errors.Join(wrong...)
}

// rows reads the orders, and what the gateway says of their payments.
func (s *stage) rows(ctx context.Context) (all []row, err error) {
	found, err := s.shop.database.db().QueryContext(ctx, `SELECT id, item, state, shipments, payment_id,
		(SELECT count(*) FROM order_log WHERE order_id = id) FROM orders ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer found.Close() //nolint:errcheck // Err below tells what there is to tell.
	for found.Next() {
		var r row
		if err := found.Scan(&r.id, &r.item, &r.state, &r.shipments, &r.payment, &r.heard); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if err := found.Err(); err != nil {
		return nil, err
	}
	for i := range all {
		p, err := s.shop.gateway.Payment(ctx, all[i].payment)
		if err != nil {
			return nil, fmt.Errorf("order %s: %w", all[i].id, err)
		}
		events, err := s.shop.gateway.Events(ctx, p.ID, 0, 0)
		if err != nil {
			return nil, err
		}
		all[i].status, all[i].events = p.Status, len(events)
	}
	return all, nil
}

func (r *report) table(rows []row) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "order\titem\tstate\tpayment\tstatus\tshipments\tevents")
	for _, it := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\n", it.id, it.item, it.state, it.payment, it.status, it.shipments, it.heard)
	}
	return t.Flush()
}

// checkOrders compares the orders with what customers did.
func (s *stage) checkOrders(_ context.Context, rows []row) error {
	want := map[string]row{}
	for id, p := range s.payments {
		want[id] = row{state: "open", payment: p.ID, status: bursar.StatusPending}
	}
	for _, id := range paid {
		want[id] = row{state: "paid", payment: s.payments[id].ID, status: bursar.StatusConfirmed, shipments: 1}
	}
	var wrong []error
	for _, r := range rows {
		w, ok := want[r.id]
		delete(want, r.id)
		if !ok || r.state != w.state || r.payment != w.payment || r.status != w.status || r.shipments != w.shipments {
			wrong = append(wrong, fmt.Errorf("order %s is %s, %d shipments, payment %s %s; want %s, %d, %s %s",
				r.id, r.state, r.shipments, r.payment, r.status, w.state, w.shipments, w.payment, w.status))
		}
	}
	if len(want) > 0 {
		wrong = append(wrong, fmt.Errorf("%d orders are missing", len(want)))
	}
	return errors.Join(wrong...)
}

func (s *stage) checkRollback(ctx context.Context, _ []row) error { return s.absent(ctx, "1004") }

// absent fails where there is an order of that id, or a payment.
func (s *stage) absent(ctx context.Context, id string) error {
	var orders int
	if err := s.shop.database.db().QueryRowContext(ctx, `SELECT count(*) FROM orders WHERE id = $1`, id).Scan(&orders); err != nil {
		return err
	}
	page, err := s.shop.gateway.Payments(ctx, bursar.PaymentFilter{IdempotencyKey: id}, 0, "")
	if err == nil && (orders > 0 || len(page.Items) > 0) {
		err = fmt.Errorf("order %s: %d orders and %d payments, want none", id, orders, len(page.Items))
	}
	return err
}

// checkOnce compares what the handler wrote with what the gateway had to tell.
func (s *stage) checkOnce(ctx context.Context, rows []row) error {
	var wrong []error
	for _, r := range rows {
		var distinct, highest int
		err := s.shop.database.db().QueryRowContext(ctx, `SELECT count(DISTINCT seq), coalesce(max(seq), 0) FROM order_log WHERE order_id = $1`, r.id).Scan(&distinct, &highest)
		if err != nil {
			return err
		}
		if r.heard == 0 || r.heard != r.events || distinct != r.heard || highest != r.heard {
			wrong = append(wrong, fmt.Errorf("order %s: %d events, %d rows of them, %d different, the last #%d", r.id, r.events, r.heard, distinct, highest))
		}
	}
	return errors.Join(wrong...)
}

func (s *stage) checkStock(ctx context.Context, rows []row) error {
	var pieces int
	err := s.shop.database.db().QueryRowContext(ctx, `SELECT pieces FROM stock WHERE item = 'book'`).Scan(&pieces)
	if err == nil && pieces != bookPieces-len(rows) {
		err = fmt.Errorf("%d orders, and %d of %d pieces are left", len(rows), pieces, bookPieces)
	}
	return err
}

// checkMishaps makes sure that the demo has shown what it is there for.
func (s *stage) checkMishaps(context.Context, []row) error {
	if n, f := s.out.again(), s.failures(); n == 0 || f != 1 {
		return fmt.Errorf("%d transactions were run again and %d handlers failed", n, f)
	}
	return nil
}

// checkAudit has the gateway compare everything with everything, and the ledger with
// the chain.
func (s *stage) checkAudit(ctx context.Context, _ []row) error {
	r, err := s.shop.gateway.Verify(ctx)
	if err == nil && (!r.Clean() || len(r.Skipped) > 0) {
		err = errors.New(r.String())
	}
	return err
}
