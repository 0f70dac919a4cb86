package memory

import (
	"context"
	"encoding/binary"

	"github.com/bursar-go/bursar"
)

// job is a delivery with what the store derives of it.
type job struct {
	bursar.Delivery
	// lane is endpoint and subject; tie continues it with sequence and event:
	// the order of deliveries that are due at the same time.
	lane, tie string
	// head is true for the first pending delivery of its lane. It is part of
	// the versioned row, so that a snapshot sees the heads of its own time.
	head bool
}

func newJob(d *bursar.Delivery) job {
	tie := make([]byte, 0, len(d.Endpoint)+len(d.Subject)+len(d.EventID)+10)
	tie = append(append(append(tie, d.Endpoint...), 0), d.Subject...)
	tie = append(tie, 0)
	lane := len(tie)
	tie = append(binary.BigEndian.AppendUint64(tie, uint64(d.Seq)), d.EventID...)
	j := job{Delivery: *d, tie: string(tie)}
	j.lane = j.tie[:lane]
	return j
}

// due reports whether the delivery may be tried once its time has come.
func (j *job) due() bool { return j.head || j.Status == bursar.DeliveryParked }

// deliveries is the table of deliveries.
type deliveries struct {
	*table[job]
	event *unique[job]
	// dues has what may be tried, lanes what is pending.
	status, dues, lanes *index[job]
}

func newDeliveries() *deliveries {
	t := newTable("delivery",
		func(j *job) string { return j.EventID + "\x00" + j.Endpoint },
		func(j *job) *int64 { return &j.Version })
	t.tie = func(j *job) string { return j.tie }
	return &deliveries{
		table:  t,
		event:  t.shared(func(j *job) string { return j.EventID }),
		status: t.ordered(func(j *job, to []key) []key { return append(to, at(string(j.Status), j.CreatedAt)) }),
		dues: t.ordered(func(j *job, to []key) []key {
			if !j.due() {
				return to
			}
			return append(to, at("", j.NextAt))
		}),
		lanes: t.ordered(func(j *job, to []key) []key {
			if j.Status != bursar.DeliveryPending {
				return to
			}
			return append(to, key{part: j.lane, hi: j.Seq})
		}),
	}
}

// put writes a delivery and keeps exactly one head in its lane.
func (t *deliveries) put(number uint64, v *version[job]) error {
	j := &v.row
	id := t.id(j)
	left := ""
	if rec := t.rows[id]; rec != nil && rec.newest.row.lane != j.lane {
		left = rec.newest.row.lane
	}
	first := t.first(j.lane, id)
	j.head = j.Status == bursar.DeliveryPending && (first == nil || j.tie < first.tie)
	if err := t.table.put(number, v); err != nil {
		return err
	}
	t.setHead(number, first, !j.head)
	if left != "" {
		t.setHead(number, t.first(left, id), true)
	}
	return nil
}

// first returns the first pending delivery of a lane, that one left out.
func (t *deliveries) first(lane, except string) (found *record[job]) {
	walk(t.lanes, start[job](span{}, &lane), false, false, func(e entry[job]) bool {
		if e.part != lane {
			return false
		}
		j := &e.rec.newest.row
		if e.rec.id == except || j.Status != bursar.DeliveryPending || j.lane != lane || j.Seq != e.hi {
			return true
		}
		found = e.rec
		return false
	})
	return found
}

func (t *deliveries) setHead(number uint64, rec *record[job], head bool) {
	if rec == nil || rec.newest.row.head == head {
		return
	}
	v := &version[job]{row: rec.newest.row}
	v.row.head = head
	t.push(number, rec, v)
}

// Deliveries implements bursar.Reader.
func (r *reader) Deliveries(ctx context.Context, q bursar.DeliveryQuery) ([]bursar.Delivery, error) {
	if q.Due {
		q.DueBy = r.Now()
	}
	found, err := r.findDeliveries(ctx, &q)
	if err != nil {
		return nil, err
	}
	order := byTurn
	switch q.Order {
	case bursar.DeliveriesOldest:
		order = byAge
	case bursar.DeliveriesNewest:
		order = func(a, b *job) int { return byAge(b, a) }
	}
	return copies(finish(found, order, q.Limit), func(j *job) bursar.Delivery { return j.Delivery }), nil
}

func byTurn(a, b *job) int { return compareTime(a.NextAt, a.tie, b.NextAt, b.tie) }

func byAge(a, b *job) int { return compareTime(a.CreatedAt, a.tie, b.CreatedAt, b.tie) }

func (r *reader) findDeliveries(ctx context.Context, q *bursar.DeliveryQuery) ([]*job, error) {
	t := r.s.deliveries
	place, listed := cursorOf(q)
	match := func(j *job) bool { return wantsDelivery(q, j) && (!listed || behind(place, j, q.Order)) }
	switch {
	case q.Subject != "":
		events, err := r.findEvents(ctx, &bursar.EventQuery{Subject: q.Subject})
		if err != nil {
			return nil, err
		}
		ids := make([]string, len(events))
		for i, e := range events {
			ids[i] = e.row.ID
		}
		return byKey(ctx, r, t.event, ids, match)
	case len(q.EventIDs) > 0:
		return byKey(ctx, r, t.event, q.EventIDs, match)
	case !q.DueBy.IsZero():
		sp := span{parts: whole(), done: later(q.DueBy), limit: q.Limit}
		if q.Order != bursar.DeliveriesByTurn {
			sp.limit = 0
		}
		return scan(ctx, r, t.dues, sp, match)
	case len(q.Statuses) > 0:
		return scan(ctx, r, t.status, ofStatuses(q, place, listed), match)
	}
	return scan(ctx, r, t.status, span{}, match)
}

// cursorOf returns the cursor as a row; false where there is none.
func cursorOf(q *bursar.DeliveryQuery) (job, bool) {
	if q.After == (bursar.DeliveryCursor{}) || q.Order == bursar.DeliveriesByTurn {
		return job{}, false
	}
	d := bursar.Delivery{EventID: q.After.EventID, Endpoint: q.After.Endpoint, Subject: q.After.Subject, Seq: q.After.Seq, CreatedAt: q.After.At}
	return newJob(&d), true
}

// behind reports whether a row comes behind the cursor.
func behind(place job, j *job, order bursar.DeliveryOrder) bool {
	n := byAge(j, &place)
	return order == bursar.DeliveriesNewest && n < 0 || order == bursar.DeliveriesOldest && n > 0
}

// ofStatuses is the part of the index of statuses that a query needs.
func ofStatuses(q *bursar.DeliveryQuery, place job, listed bool) span {
	var c bursar.Cursor
	if listed {
		c = bursar.Cursor{At: q.After.At, ID: place.tie}
	}
	switch q.Order {
	case bursar.DeliveriesNewest:
		return newest(parts(q.Statuses...), c, q.Since, q.Until, q.Limit)
	case bursar.DeliveriesOldest:
		if q.Since.After(c.At) {
			c = bursar.Cursor{At: q.Since}
		}
		sp := oldest(parts(q.Statuses...), c, q.Limit)
		if !q.Until.IsZero() {
			end := at("", q.Until)
			sp.done = func(k key) bool { k.part = ""; return k.compare(end) >= 0 }
		}
		return sp
	}
	return span{parts: parts(q.Statuses...)}
}

func wantsDelivery(q *bursar.DeliveryQuery, j *job) bool {
	if !q.DueBy.IsZero() && (!j.due() || j.NextAt.After(q.DueBy) || j.LeasedUntil.After(q.DueBy)) {
		return false
	}
	return in(q.EventIDs, j.EventID) && is(q.Endpoint, j.Endpoint) && is(q.Subject, j.Subject) && in(q.Kinds, j.Kind) && in(q.Statuses, j.Status) &&
		within(j.CreatedAt, q.Since, q.Until)
}
