package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

func deliveryQueries(k *kit) {
	type D = bursar.Delivery
	told, late := bursar.PaymentDetected, bursar.PaymentExpired
	due := func(seconds, leased, made int, s bursar.DeliveryStatus, kind bursar.Kind) func(*D) {
		return func(d *D) {
			d.NextAt, d.LeasedUntil, d.CreatedAt, d.Status, d.Kind = later(seconds), later(leased), later(made), s, kind
		}
	}
	pending, parked, done, dead := bursar.DeliveryPending, bursar.DeliveryParked, bursar.DeliveryDone, bursar.DeliveryDead
	k.write(bursar.Batch{Events: []bursar.Event{event("e1", "p", 1), event("e2", "p", 2), event("e3", "q", 1)}, Deliveries: []D{
		delivery("e2", "x", "p", 2, due(1, 0, 2, pending, told)), delivery("e1", "x", "p", 1, due(5, 0, 1, pending, told)),
		delivery("e3", "x", "q", 1, due(5, 9, 1, parked, told)), delivery("e1", "y", "p", 1, due(5, 0, 1, done, told)),
		delivery("e2", "y", "p", 2, due(3, 8, 2, pending, late)), delivery("e4", "x", "q", 10, due(5, 0, 2, pending, late)),
		delivery("e5", "x", "q", 9, due(5, 0, 3, dead, late)),
	}})
	place := func(id, endpoint, subject string, seq int64, made int) bursar.DeliveryCursor {
		return bursar.DeliveryCursor{At: later(made), Endpoint: endpoint, Subject: subject, Seq: seq, EventID: id}
	}
	type Q = bursar.DeliveryQuery
	const oldest, newest = bursar.DeliveriesOldest, bursar.DeliveriesNewest
	ask(k, []query[Q]{
		{"all, by time, endpoint, subject and number", Q{}, "x2 y2 x1 x3 x5 x4 y1"},
		{"limit", Q{Limit: 3}, "x2 y2 x1"},
		{"events", Q{EventIDs: []string{"e1", "e3"}}, "x1 x3 y1"},
		{"an endpoint", Q{Endpoint: "y"}, "y2 y1"},
		{"a subject", Q{Subject: "p"}, "x2 y2 x1 y1"},
		{"a subject and a status", Q{Subject: "p", Statuses: []bursar.DeliveryStatus{done}}, "y1"},
		{"a subject and its events", Q{Subject: "p", EventIDs: []string{"e1", "e3"}}, "x1 y1"},
		{"a subject and an event that is not there", Q{Subject: "q", EventIDs: []string{"e3", "e4"}}, "x3"},
		{"no such subject", Q{Subject: "r"}, ""},
		{"kinds", Q{Kinds: []bursar.Kind{late}}, "y2 x5 x4"},
		{"several kinds", Q{Kinds: []bursar.Kind{late, told, "none"}, Limit: 2}, "x2 y2"},
		{"statuses", Q{Statuses: []bursar.DeliveryStatus{parked, dead}}, "x3 x5"},
		{"statuses, limited across them", Q{Statuses: []bursar.DeliveryStatus{parked, pending}, Limit: 2}, "x2 y2"},
		{"made since", Q{Since: later(2)}, "x2 y2 x5 x4"},
		{"made until", Q{Until: later(2)}, "x1 x3 y1"},
		{"made between", Q{Since: later(2), Until: later(3), Order: oldest}, "x2 x4 y2"},
		{"oldest first", Q{Order: oldest}, "x1 x3 y1 x2 x4 y2 x5"},
		{"newest first", Q{Order: newest}, "x5 y2 x4 x2 y1 x3 x1"},
		{"newest first, limited", Q{Order: newest, Limit: 2}, "x5 y2"},
		{"newest first of a status", Q{Order: newest, Statuses: []bursar.DeliveryStatus{pending}, Limit: 3}, "y2 x4 x2"},
		{"oldest first of a status, since and until", Q{Order: oldest, Statuses: []bursar.DeliveryStatus{pending}, Since: later(2), Until: later(3), Limit: 2}, "x2 x4"},
		{"newest first of a status, since and until", Q{Order: newest, Statuses: []bursar.DeliveryStatus{pending}, Since: later(1), Until: later(2)}, "x1"},
		{"newest first of several statuses", Q{Order: newest, Statuses: []bursar.DeliveryStatus{pending, dead}, Limit: 2}, "x5 y2"},
		{"behind one", Q{Order: oldest, After: place("e3", "x", "q", 1, 1)}, "y1 x2 x4 y2 x5"},
		{"behind one, backwards", Q{Order: newest, After: place("e4", "x", "q", 10, 2)}, "x2 y1 x3 x1"},
		{"behind one of its status", Q{Order: oldest, Statuses: []bursar.DeliveryStatus{pending}, After: place("e2", "x", "p", 2, 2), Limit: 1}, "x4"},
		{"behind one of its status, backwards", Q{Order: newest, Statuses: []bursar.DeliveryStatus{pending}, After: place("e4", "x", "q", 10, 2), Limit: 2}, "x2 x1"},
		{"behind one that is gone", Q{Order: oldest, After: place("e35", "x", "q", 1, 1)}, "y1 x2 x4 y2 x5"},
		{"behind all", Q{Order: newest, After: place("e1", "x", "p", 1, 1)}, ""},
		{"due: not behind another, not leased", Q{DueBy: later(5)}, "x1 x4"},
		{"due with a lease that ends now", Q{DueBy: later(8)}, "y2 x1 x4"},
		{"due when all leases are over", Q{DueBy: later(99)}, "y2 x1 x3 x4"},
		{"due too early", Q{DueBy: later(4)}, ""},
		{"due, to be claimed", Q{DueBy: later(99), Claim: true}, "y2 x1 x3 x4"},
		{"due, newest first", Q{DueBy: later(99), Order: newest, Limit: 2}, "y2 x4"},
		{"due at the transaction's time, all of them long ago", Q{Due: true}, "y2 x1 x3 x4"},
		{"due, limited", Q{DueBy: later(99), Limit: 2}, "y2 x1"},
		{"due of an endpoint", Q{DueBy: later(99), Endpoint: "y"}, "y2"},
		{"due and parked", Q{DueBy: later(99), Statuses: []bursar.DeliveryStatus{parked}}, "x3"},
		{"due of an event that is behind another", Q{DueBy: later(99), EventIDs: []string{"e2"}}, "y2"},
	}, func(v view, q Q) []string {
		return ids(v.deliveries(q), func(d D) string { return d.Endpoint + d.EventID[1:] })
	})
}

// deliveryChecks hold lanes to their order and apart from each other.
func deliveryChecks() []check {
	return []check{
		{"a lane lets through its lowest pending number alone", laneOrder},
		{"a parked delivery is tried on and holds up nobody", parkedLane},
		{"a lane that is stuck stops no other", lanesApart},
		{"a number that arrives late comes first", lateNumber},
		{"a delivery put back to pending leads its lane again", replayed},
		{"numbers order as numbers, not as text", numericOrder},
		{"due at the transaction's time is due by its Now", dueNow},
		{"a claim in one statement takes what is due, with its events", claimed},
		{"a claim ends with its transaction", claimUndone},
	}
}

// due lists what may be tried at a time.
func (k *kit) due(seconds int) (lines string) {
	k.Helper()
	k.read(func(v view) {
		for _, d := range v.deliveries(bursar.DeliveryQuery{DueBy: later(seconds)}) {
			lines += fmt.Sprintf("%s:%s:%d ", d.Endpoint, d.Subject, d.Seq)
		}
	})
	return lines
}

// mark writes a delivery of lane hook:p.
func (k *kit) mark(seq, version int64, s bursar.DeliveryStatus, next int) {
	k.Helper()
	k.write(bursar.Batch{Deliveries: []bursar.Delivery{delivery(fmt.Sprint("e", seq), "hook", "p", seq, func(d *bursar.Delivery) {
		d.Version, d.Status, d.NextAt = version, s, later(next)
	})}})
}

func (k *kit) wantDue(seconds int, want string) {
	k.Helper()
	if got := k.due(seconds); got != want {
		k.Fatalf("due at %d: want %q, got %q", seconds, want, got)
	}
}

func laneOrder(k *kit) {
	for seq := range int64(3) {
		k.mark(seq+1, 0, bursar.DeliveryPending, 0)
	}
	for seq := range int64(3) {
		k.wantDue(9, fmt.Sprintf("hook:p:%d ", seq+1))
		k.mark(seq+1, 1, bursar.DeliveryPending, 5) // Failed: tried again later.
		k.wantDue(4, "")
		k.wantDue(5, fmt.Sprintf("hook:p:%d ", seq+1))
		k.mark(seq+1, 2, bursar.DeliveryDone, 5)
	}
	k.wantDue(99, "")
}

func parkedLane(k *kit) {
	k.mark(1, 0, bursar.DeliveryPending, 0)
	k.mark(2, 0, bursar.DeliveryPending, 1)
	k.mark(3, 0, bursar.DeliveryPending, 2)
	k.mark(1, 1, bursar.DeliveryParked, 0)
	k.wantDue(9, "hook:p:1 hook:p:2 ")
	k.mark(2, 1, bursar.DeliveryDead, 0)
	k.wantDue(9, "hook:p:1 hook:p:3 ")
}

func lanesApart(k *kit) {
	var b bursar.Batch
	for _, endpoint := range []string{"one", "two"} {
		for _, subject := range []string{"p", "q"} {
			b.Deliveries = append(b.Deliveries, delivery("e1"+subject, endpoint, subject, 1), delivery("e2"+subject, endpoint, subject, 2))
		}
	}
	b.Deliveries[0].NextAt = later(50)
	k.write(b)
	k.wantDue(9, "one:q:1 two:p:1 two:q:1 ")
}

func lateNumber(k *kit) {
	k.mark(5, 0, bursar.DeliveryPending, 0)
	k.wantDue(9, "hook:p:5 ")
	k.mark(3, 0, bursar.DeliveryPending, 0)
	k.wantDue(9, "hook:p:3 ")
	k.mark(4, 0, bursar.DeliveryDead, 0)
	k.mark(3, 1, bursar.DeliveryDone, 0)
	k.wantDue(9, "hook:p:5 ")
}

func replayed(k *kit) {
	k.mark(1, 0, bursar.DeliveryPending, 0)
	k.mark(2, 0, bursar.DeliveryPending, 0)
	k.mark(1, 1, bursar.DeliveryDead, 0)
	k.wantDue(9, "hook:p:2 ")
	k.mark(1, 2, bursar.DeliveryPending, 0)
	k.wantDue(9, "hook:p:1 ")
}

func numericOrder(k *kit) {
	for _, seq := range []int64{10, 9, 1 << 40, 256, 255} {
		k.mark(seq, 0, bursar.DeliveryPending, 0)
	}
	for _, seq := range []int64{9, 10, 255, 256, 1 << 40} {
		k.wantDue(9, fmt.Sprintf("hook:p:%d ", seq))
		k.mark(seq, 1, bursar.DeliveryDone, 0)
	}
}

func dueNow(k *kit) {
	require.NoError(k, k.s.Write(k.ctx, func(tx bursar.Tx) error {
		at := func(id string, next, lease time.Duration) bursar.Delivery {
			return delivery(id, "now", id, 1, func(d *bursar.Delivery) { d.NextAt, d.LeasedUntil = tx.Now().Add(next), tx.Now().Add(lease) })
		}
		return tx.Apply(k.ctx, bursar.Batch{Deliveries: []bursar.Delivery{
			at("due", -time.Second, -time.Second), at("soon", time.Hour, -time.Hour), at("taken", -time.Hour, time.Hour),
		}})
	}))
	for _, q := range []bursar.DeliveryQuery{{Endpoint: "now", Due: true}, {Endpoint: "now", Due: true, Claim: true, DueBy: later(0)}} {
		look := func(r bursar.Reader) error {
			rows, err := r.Deliveries(k.ctx, q)
			if err == nil && (len(rows) != 1 || rows[0].EventID != "due") {
				err = fmt.Errorf("want the one that is due now, got %+v", rows)
			}
			return err
		}
		require.NoError(k, k.s.Read(k.ctx, look))
		require.NoError(k, k.s.Write(k.ctx, func(tx bursar.Tx) error { return look(tx) }))
	}
}

// claim is a claim in one statement; ok is false where the store has none.
func (k *kit) claim(tx bursar.Tx, most int, skip ...string) (rows []bursar.Delivery, events []bursar.Event, ok bool) {
	c, ok := tx.(bursar.DeliveryClaimer)
	if !ok {
		return nil, nil, false
	}
	rows, events, err := c.ClaimDeliveries(k.ctx, "claim", time.Minute, most, skip)
	require.NoError(k, err)
	slices.SortFunc(rows, func(a, b bursar.Delivery) int { return strings.Compare(a.EventID, b.EventID) })
	slices.SortFunc(events, func(a, b bursar.Event) int { return strings.Compare(a.ID, b.ID) })
	return rows, events, true
}

func claimed(k *kit) {
	tried := later(3)
	told := []bursar.Event{
		full(1, func(e *bursar.Event) { e.ID, e.Subject, e.Seq = "a1", "a", 1 }), full(2, func(e *bursar.Event) { e.ID, e.Subject, e.Seq = "a2", "a", 2 }),
		event("a3", "a", 3), event("b1", "b", 1), event("c1", "c", 1), event("d1", "d", 1), event("e1", "e", 1),
	}
	at := func(endpoint, subject string, seq int64, edits ...func(*bursar.Delivery)) bursar.Delivery {
		return delivery(fmt.Sprint(subject, seq), endpoint, subject, seq, edits...)
	}
	far := time.Now().UTC().AddDate(1, 0, 0).Truncate(time.Microsecond)
	due := []bursar.Delivery{
		at("claim", "a", 2, func(d *bursar.Delivery) { d.FirstAt, d.LastAt, d.LeasedUntil, d.Attempts = tried, tried, later(60), 1 }),
		at("claim", "b", 1, func(d *bursar.Delivery) { d.Status, d.NextAt = bursar.DeliveryParked, later(9) }),
		at("claim", "gone", 1, func(d *bursar.Delivery) { d.NextAt = later(5) }),
	}
	k.write(bursar.Batch{Events: told, Deliveries: append([]bursar.Delivery{
		at("claim", "a", 1, func(d *bursar.Delivery) { d.Status = bursar.DeliveryDone }), at("claim", "a", 3),
		at("claim", "c", 1, func(d *bursar.Delivery) { d.LeasedUntil = far }), at("claim", "d", 1, func(d *bursar.Delivery) { d.NextAt = far }),
		at("claim", "e", 1), at("other", "a", 2),
	}, due...)})
	before := k.state()
	can := true
	require.NoError(k, k.s.Write(k.ctx, func(tx bursar.Tx) error {
		rows, events, ok := k.claim(tx, 10, "e1", "nobody")
		if can = ok; !can {
			return nil
		}
		want := slices.Clone(due)
		for i := range want {
			want[i].Version, want[i].LastAt, want[i].LeasedUntil = 2, tx.Now(), tx.Now().Add(time.Minute)
			if want[i].FirstAt.IsZero() {
				want[i].FirstAt = tx.Now()
			}
		}
		require.Equal(k, want, rows)
		require.Equal(k, []bursar.Event{told[1], told[3]}, events, "an event that is gone is missing")
		rows[2].Status = bursar.DeliveryDead
		return tx.Apply(k.ctx, bursar.Batch{Deliveries: rows[2:]})
	}))
	if !can {
		require.Empty(k, differ(before, k.state()))
		return
	}
	k.read(func(v view) {
		for _, d := range v.deliveries(bursar.DeliveryQuery{EventIDs: []string{"a2", "b1", "gone1"}, Endpoint: "claim"}) {
			require.Equal(k, d.EventID == "gone1", d.Status == bursar.DeliveryDead, "what the transaction wrote after its claim")
			require.Equal(k, d.EventID == "gone1", d.Version == 3)
		}
	})
	require.NoError(k, k.s.Write(k.ctx, func(tx bursar.Tx) error {
		rows, events, _ := k.claim(tx, 10)
		require.Equal(k, []string{"e1"}, ids(rows, func(d bursar.Delivery) string { return d.EventID }), "the others are taken, or behind one that is")
		require.Equal(k, told[6:], events)
		return nil
	}))
}

func claimUndone(k *kit) {
	k.write(bursar.Batch{Events: []bursar.Event{event("a1", "a", 1), event("b1", "b", 1)}, Deliveries: []bursar.Delivery{
		delivery("a1", "claim", "a", 1, func(d *bursar.Delivery) { d.NextAt = later(7) }), delivery("b1", "claim", "b", 1),
	}})
	before := k.state()
	refused := errors.New("the host says no")
	err := k.s.Write(k.ctx, func(tx bursar.Tx) error {
		rows, _, ok := k.claim(tx, 1)
		require.True(k, !ok || len(rows) == 1 && rows[0].EventID == "b1", "the first in turn alone")
		return refused
	})
	require.ErrorIs(k, err, refused)
	require.Empty(k, differ(before, k.state()))
}
