package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/stretchr/testify/require"
)

// pagingChecks page through lists that grow meanwhile (G19): a row that was
// there at the start comes exactly once.
func pagingChecks() []check {
	const n = 23
	created := func(i int) time.Time { return later(i / 4) } // Several rows share a time.
	payments := func(k *kit, from, to int) {
		for i := from; i < to; i++ {
			k.write(bursar.Batch{Payments: []bursar.Payment{payment(fmt.Sprintf("p%03d", i*7%100), func(p *bursar.Payment) {
				p.CreatedAt, p.Deadline, p.Customer = created(i), created(i), "ann"
				p.Metadata = map[string]string{"x": "y"}
			})}})
		}
	}
	page := func(q bursar.PaymentQuery) func(v view, after bursar.Cursor, limit int) ([]string, bursar.Cursor) {
		return func(v view, after bursar.Cursor, limit int) ([]string, bursar.Cursor) {
			q := q
			q.After, q.Limit = after, limit
			rows := v.payments(q)
			for _, p := range rows {
				after = bursar.Cursor{At: p.CreatedAt, ID: p.ID}
				if !q.DueBy.IsZero() {
					after.At = p.Deadline
				}
			}
			return ids(rows, func(p bursar.Payment) string { return p.ID }), after
		}
	}
	checks := []check{
		{"G19 transactions", pageTransactions}, {"G19 payouts", pagePayouts}, {"G19 addresses by index", pageAddresses},
		{"G19 events by number", pageEvents}, {"G19 deliveries, oldest first", pageDeliveries(bursar.DeliveriesOldest)},
		{"G19 deliveries, newest first", pageDeliveries(bursar.DeliveriesNewest)},
	}
	for what, q := range map[string]bursar.PaymentQuery{
		"payments": {}, "payments of a customer": {Customer: "ann"}, "payments with metadata": {Metadata: map[string]string{"x": "y"}},
		"payments of two states": {Statuses: []bursar.Status{bursar.StatusPending, bursar.StatusDetected}},
		"payments since a time":  {Since: t0}, "payments due": {DueBy: later(99)}, "payments due on a chain": {DueBy: later(99), DueChain: mainnet},
	} {
		checks = append(checks, check{"G19 " + what, func(k *kit) { k.pageThrough(n, payments, page(q)) }})
	}
	slices.SortFunc(checks, func(a, b check) int { return strings.Compare(a.rule, b.rule) })
	return checks
}

// pageThrough writes n rows, pages through them while more are written, and
// wants each of the n once and no row twice.
func (k *kit) pageThrough(n int, write func(k *kit, from, to int), page func(v view, after bursar.Cursor, limit int) ([]string, bursar.Cursor)) {
	write(k, 0, n)
	var first []string
	k.read(func(v view) { first, _ = page(v, bursar.Cursor{}, 0) })
	require.Len(k, first, n)
	var seen []string
	var after bursar.Cursor
	for i := 0; ; i++ {
		var rows []string
		k.read(func(v view) { rows, after = page(v, after, 5) })
		if len(rows) == 0 || i > n {
			break
		}
		require.LessOrEqual(k, len(rows), 5)
		seen = append(seen, rows...)
		write(k, n+i, n+i+1)
	}
	require.Equal(k, first, slices.DeleteFunc(slices.Clone(seen), func(id string) bool { return !slices.Contains(first, id) }))
	slices.Sort(seen)
	require.Equal(k, seen, slices.Compact(slices.Clone(seen)), "a row came twice")
}

func pageTransactions(k *kit) {
	k.pageThrough(12, func(k *kit, from, to int) {
		for i := from; i < to; i++ {
			k.write(bursar.Batch{Transactions: []bursar.Transaction{transaction(fmt.Sprintf("t%03d", i), func(t *bursar.Transaction) {
				t.CreatedAt = later(i / 3)
			})}})
		}
	}, func(v view, after bursar.Cursor, limit int) ([]string, bursar.Cursor) {
		rows := v.transactions(bursar.TransactionQuery{After: after, Limit: limit})
		for _, t := range rows {
			after = bursar.Cursor{At: t.CreatedAt, ID: t.ID}
		}
		return ids(rows, func(t bursar.Transaction) string { return t.ID }), after
	})
}

func pagePayouts(k *kit) {
	k.pageThrough(12, func(k *kit, from, to int) {
		for i := from; i < to; i++ {
			k.write(bursar.Batch{Payouts: []bursar.Payout{payout(fmt.Sprintf("o%03d", i), func(p *bursar.Payout) { p.CreatedAt = later(i / 3) })}})
		}
	}, func(v view, after bursar.Cursor, limit int) ([]string, bursar.Cursor) {
		rows := v.payouts(bursar.PayoutQuery{After: after, Limit: limit})
		for _, p := range rows {
			after = bursar.Cursor{At: p.CreatedAt, ID: p.ID}
		}
		return ids(rows, func(p bursar.Payout) string { return p.ID }), after
	})
}

// pageAddresses keeps the next index in the cursor's time.
func pageAddresses(k *kit) {
	k.pageThrough(12, func(k *kit, from, to int) {
		for i := from; i < to; i++ {
			k.write(bursar.Batch{Addresses: []bursar.Address{address(fmt.Sprintf("a%03d", i), uint32(i*3))}})
		}
	}, func(v view, after bursar.Cursor, limit int) ([]string, bursar.Cursor) {
		next := uint32(0)
		if !after.At.IsZero() {
			next = uint32(after.At.Unix())
		}
		rows := v.addresses(bursar.AddressQuery{Pool: "main/0", FromIndex: next, Limit: limit})
		for _, a := range rows {
			after = bursar.Cursor{At: time.Unix(int64(a.Index)+1, 0)}
		}
		return ids(rows, func(a bursar.Address) string { return a.ID }), after
	})
}

// pageEvents keeps the last number in the cursor's time.
func pageEvents(k *kit) {
	k.pageThrough(12, func(k *kit, from, to int) {
		for i := from; i < to; i++ {
			k.write(bursar.Batch{Events: []bursar.Event{event(fmt.Sprintf("e%03d", i), "p", int64(i+1))}})
		}
	}, func(v view, after bursar.Cursor, limit int) ([]string, bursar.Cursor) {
		seq := int64(0)
		if !after.At.IsZero() {
			seq = after.At.Unix()
		}
		rows := v.events(bursar.EventQuery{Subject: "p", AfterSeq: seq, Limit: limit})
		for _, e := range rows {
			after = bursar.Cursor{At: time.Unix(e.Seq, 0)}
		}
		return ids(rows, func(e bursar.Event) string { return e.ID }), after
	})
}

// pageDeliveries keeps the whole cursor beside the suite's, which counts pages.
func pageDeliveries(order bursar.DeliveryOrder) func(*kit) {
	return func(k *kit) {
		var place bursar.DeliveryCursor
		k.pageThrough(14, func(k *kit, from, to int) {
			for i := from; i < to; i++ {
				k.write(bursar.Batch{Deliveries: []bursar.Delivery{
					delivery(fmt.Sprintf("e%03d", i*5%100), fmt.Sprint("end", i%2), fmt.Sprint("p", i%3), int64(i), func(d *bursar.Delivery) { d.CreatedAt = later(i / 4) }),
				}})
			}
		}, func(v view, after bursar.Cursor, limit int) ([]string, bursar.Cursor) {
			if after == (bursar.Cursor{}) {
				place = bursar.DeliveryCursor{}
			}
			rows := v.deliveries(bursar.DeliveryQuery{Statuses: []bursar.DeliveryStatus{bursar.DeliveryPending}, Order: order, After: place, Limit: limit})
			for _, d := range rows {
				after.ID = d.EventID
				place = bursar.DeliveryCursor{At: d.CreatedAt, Endpoint: d.Endpoint, Subject: d.Subject, Seq: d.Seq, EventID: d.EventID}
			}
			return ids(rows, func(d bursar.Delivery) string { return d.EventID }), after
		})
	}
}
