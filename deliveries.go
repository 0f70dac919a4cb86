package bursar

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"time"
)

// DeliveryFilter selects deliveries: what was told to a notifier, is on its way, or
// was given up. Empty fields are no condition; all others must hold.
type DeliveryFilter struct {
	// EventID selects one event, to whomever it was told.
	EventID string
	// Notifier is the name of a notifier, also of one that is not configured any more.
	Notifier string
	// Subject is the id of a payment, an address or a payout, or a chain.
	Subject string
	Kind    Kind           // Kind is what happened.
	Status  DeliveryStatus // Status is how far it has come.
	// Since and Until bound when the event was given to the outbox, by the store's
	// clock: Since <= CreatedAt < Until.
	Since, Until time.Time
	// OldestFirst turns the list round.
	OldestFirst bool
}

// Deliveries returns a page of deliveries, newest first or, with OldestFirst, oldest
// first: by creation, then by notifier, subject and sequence number. limit is 1 to
// 100; 0 means 20. cursor is Page.Next of the page before; empty begins. A row keeps
// its place, however often it is tried: rows that appear or move on meanwhile
// neither repeat nor shift others. Rows that are older than Config.Retention may be
// gone.
//
// A bad field, limit or cursor is a *FieldError. It only reads, also in a gateway
// that was not started, and holds nobody up.
func (g *Gateway) Deliveries(ctx context.Context, f DeliveryFilter, limit int, cursor string) (Page[Delivery], error) {
	q, err := g.deliveryQuery(f)
	if err != nil {
		return Page[Delivery]{}, err
	}
	n, err := pageSize(limit)
	if err != nil {
		return Page[Delivery]{}, err
	}
	if q.After, err = parsePlace("Cursor", cursor); err != nil {
		return Page[Delivery]{}, err
	}
	q.Limit = n + 1
	var rows []Delivery
	err = g.read(ctx, func(r Reader) (err error) {
		rows, err = listDeliveries(ctx, r, q)
		return err
	})
	if err != nil || len(rows) <= n {
		return Page[Delivery]{Items: rows}, err
	}
	return Page[Delivery]{Items: rows[:n], Next: placeOf(rows[n-1]).text()}, nil
}

// AllDeliveries iterates over all deliveries of a filter, a page at a time; see
// Deliveries. An error ends the iteration as its last pair.
func (g *Gateway) AllDeliveries(ctx context.Context, f DeliveryFilter) iter.Seq2[Delivery, error] {
	return all(func(cursor string) (Page[Delivery], error) { return g.Deliveries(ctx, f, MaxPage, cursor) })
}

func (g *Gateway) deliveryQuery(f DeliveryFilter) (q DeliveryQuery, err error) {
	if g == nil || g.store == nil {
		return q, ErrNotStarted
	}
	q = DeliveryQuery{EventIDs: only(f.EventID), Endpoint: f.Notifier, Subject: f.Subject, Since: f.Since, Until: f.Until, Order: DeliveriesNewest}
	if f.OldestFirst {
		q.Order = DeliveriesOldest
	}
	if f.Notifier != "" && !validName(f.Notifier) {
		return q, fieldErr("DeliveryFilter.Notifier", CodeInvalid, "%.80q is no name of a notifier", f.Notifier)
	}
	if err := checkText("DeliveryFilter.EventID", f.EventID, maxSubject); err != nil {
		return q, err
	}
	if err := checkText("DeliveryFilter.Subject", f.Subject, maxSubject); err != nil {
		return q, err
	}
	if q.Kinds, err = oneOf("DeliveryFilter.Kind", f.Kind, EventKinds()); err != nil {
		return q, err
	}
	if q.Statuses, err = oneOf("DeliveryFilter.Status", f.Status, deliveryStatuses()); err != nil {
		return q, err
	}
	return q, checkSpan("DeliveryFilter.Until", f.Since, f.Until)
}

// maxSubject bounds the ids that a caller asks for, in bytes; ours are far shorter.
const maxSubject = 256

func deliveryStatuses() []DeliveryStatus {
	return []DeliveryStatus{DeliveryPending, DeliveryParked, DeliveryDone, DeliveryDead}
}

// listDeliveries reads a page of deliveries in the order of their creation. It asks for
// one status at a time: stores have an index for that, and only for that, so that
// the outbox pays for no other.
func listDeliveries(ctx context.Context, r Reader, q DeliveryQuery) (out []Delivery, err error) {
	statuses := q.Statuses
	if len(statuses) == 0 {
		statuses = deliveryStatuses()
	}
	for _, s := range statuses {
		q.Statuses = []DeliveryStatus{s}
		rows, err := r.Deliveries(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	slices.SortFunc(out, func(a, b Delivery) int {
		if q.Order == DeliveriesNewest {
			a, b = b, a
		}
		return placeOf(a).compare(placeOf(b))
	})
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, nil
}

func placeOf(d Delivery) DeliveryCursor {
	return DeliveryCursor{At: d.CreatedAt, Endpoint: d.Endpoint, Subject: d.Subject, Seq: d.Seq, EventID: d.EventID}
}

func (c DeliveryCursor) compare(o DeliveryCursor) int {
	return cmp.Or(c.At.Compare(o.At), strings.Compare(c.Endpoint, o.Endpoint), strings.Compare(c.Subject, o.Subject),
		cmp.Compare(c.Seq, o.Seq), strings.Compare(c.EventID, o.EventID))
}

// place is a cursor among deliveries as it is written.
type place struct {
	At       int64  `json:"t"`
	Endpoint string `json:"n"`
	Subject  string `json:"s"`
	Seq      int64  `json:"q"`
	EventID  string `json:"e"`
}

// text writes a cursor as an opaque token: hosts hand it through URLs.
func (c DeliveryCursor) text() string {
	b, _ := json.Marshal(place{c.At.UnixMicro(), c.Endpoint, c.Subject, c.Seq, c.EventID}) // texts and numbers can always be written
	return base64.RawURLEncoding.EncodeToString(b)
}

func parsePlace(field, text string) (DeliveryCursor, error) {
	if text == "" {
		return DeliveryCursor{}, nil
	}
	bad := fieldErr(field, CodeInvalid, "not a cursor of this list")
	if len(text) > 2*maxSubject+500 {
		return DeliveryCursor{}, bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	var p place
	if err != nil || json.Unmarshal(raw, &p) != nil || !validName(p.Endpoint) || p.EventID == "" ||
		checkText(field, p.Subject, maxSubject) != nil || checkText(field, p.EventID, maxSubject) != nil {
		return DeliveryCursor{}, bad
	}
	return DeliveryCursor{At: time.UnixMicro(p.At).UTC(), Endpoint: p.Endpoint, Subject: p.Subject, Seq: p.Seq, EventID: p.EventID}, nil
}
