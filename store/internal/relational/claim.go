package relational

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
)

// inTurn is the order of deliveries.
const inTurn = " ORDER BY next_at, endpoint, subject, seq, event_id"

// inOrder adds the order of deliveries, and where the list begins.
func (q *Query) inOrder(order bursar.DeliveryOrder, after bursar.DeliveryCursor) {
	dir, edge, than := "", ">=", ">"
	switch order {
	case bursar.DeliveriesNewest:
		dir, edge, than = " DESC", "<=", "<"
	case bursar.DeliveriesOldest:
	default:
		q.tail = inTurn
		return
	}
	if after != (bursar.DeliveryCursor{}) {
		// The first by itself, because the index has nothing but the time: rows of
		// one time are few.
		q.And("created_at " + edge + " " + q.Arg(q.d.Time(after.At)))
		q.And("(created_at, endpoint, subject, seq, event_id) " + than + " (" + q.Arg(q.d.Time(after.At)) + ", " + q.Text("endpoint", after.Endpoint) + ", " +
			q.Text("subject", after.Subject) + ", " + q.Arg(after.Seq) + ", " + q.Text("event_id", after.EventID) + ")")
	}
	q.tail = " ORDER BY created_at" + dir + ", endpoint" + dir + ", subject" + dir + ", seq" + dir + ", event_id" + dir
}

// due adds the conditions for what may be tried. by makes the time.
func (s *Schema) due(q *Query, by func() string) {
	q.And("next_at <= " + by())
	q.And("(leased_until IS NULL OR leased_until <= " + by() + ")")
	own := s.d.Table("deliveries")
	q.And("status IN ('pending', 'parked')") // what its index has
	q.And("(status = 'parked' OR status = 'pending' AND NOT EXISTS (SELECT 1 FROM " + own + " AS o WHERE o.status = 'pending' AND o.endpoint = " +
		own + ".endpoint AND o.subject = " + own + ".subject AND (o.seq, o.event_id) < (" + own + ".seq, " + own + ".event_id)))")
}

// ClaimDue does what bursar.DeliveryClaimer asks for, on databases that have a clock,
// skip what is locked and return what they update.
func (r *Reader) ClaimDue(ctx context.Context, endpoint string, d time.Duration, most int, skip []string) ([]bursar.Delivery, []bursar.Event, error) {
	q := newQuery(r.S.d)
	at := q.Text("endpoint", endpoint)
	q.And("endpoint = " + at)
	if len(skip) > 0 {
		q.And("NOT " + r.S.d.OneOf("event_id", q.Arg(r.S.d.List(skip))))
	}
	now := r.S.d.Now
	r.S.due(q, func() string { return now })
	// The limit is a part of the text: with one that it does not know, a planner makes
	// another plan each time, which takes longer than many a batch.
	q.tail = inTurn + " LIMIT " + strconv.Itoa(most)
	own, events := r.S.d.Table("deliveries"), r.S.d.Table("events")
	// An array and no join: of a join a planner that knows little of the table may
	// think that it has to read all of it.
	text := "WITH taken AS (UPDATE " + own + " AS t SET version = t.version + 1, leased_until = " + r.S.d.After(q.Arg(d.Seconds())) +
		", last_at = " + now + ", first_at = COALESCE(t.first_at, " + now + ") WHERE t.endpoint = " + at +
		" AND t.event_id = ANY (ARRAY(SELECT event_id FROM " + own + q.String() + r.S.d.Skip + ")) RETURNING t.*) SELECT " +
		r.S.deliveries.reads("taken", false) + ", " + r.S.events.reads("e", true) + ", e.id IS NOT NULL FROM taken LEFT JOIN " + events + " AS e ON e.id = taken.event_id"
	rows, err := r.C.Query(ctx, text, q.args)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close() //nolint:errcheck // Err below tells what there is to tell.
	return r.S.taken(rows)
}

// taken reads deliveries with their events, as far as those are there.
func (s *Schema) taken(rows Rows) (taken []bursar.Delivery, events []bursar.Event, err error) {
	deliveries, told, there := newCells(s.d, s.deliveries.columns), newCells(s.d, s.events.columns), false
	dest := append(append(deliveries.dest, told.dest...), &there)
	var later []undecoded
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, nil, fmt.Errorf("deliveries: %w", err)
		}
		var row bursar.Delivery
		if err := deliveries.fill(reflect.ValueOf(&row).Elem(), 0, s.deliveries.columns, nil); err != nil {
			return nil, nil, fmt.Errorf("deliveries: %w", err)
		}
		if taken = append(taken, row); !there {
			continue
		}
		var e bursar.Event
		if err := told.fill(reflect.ValueOf(&e).Elem(), len(events), s.events.columns, &later); err != nil {
			return nil, nil, fmt.Errorf("events: %w", err)
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	return taken, events, s.events.decode(events, later)
}

// reads lists the columns of a table under another name. optional is true where there
// may be no row behind the name: what cannot be NULL in the table is not NULL then
// either.
func (t *table[T]) reads(as string, optional bool) string {
	empty := map[kind]string{text: "''", integer: "0", boolean: "FALSE"}
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		out[i] = t.d.Read(as+"."+quote(c.name), c.kind == amount || c.kind == object)
		if instead, ok := empty[c.kind]; ok && optional {
			out[i] = "COALESCE(" + out[i] + ", " + instead + ")"
		}
	}
	return strings.Join(out, ", ")
}
