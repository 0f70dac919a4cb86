package bursar

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// MaxResend is the most deliveries that one call of Resend looks at, and the most
// events that it can name.
const MaxResend = 1000

// ResendRequest selects what is to be told once more. At least one of Events,
// Notifier, Subject, Kinds, Statuses and Since must be set, and all that are set must
// hold: an empty request is refused, and never means everything.
type ResendRequest struct {
	// Events are ids of events, at most MaxResend.
	Events []string
	// Notifier is the name of the notifier that hears them again. Empty: each that
	// was to hear them the first time.
	Notifier string
	// Subject is the id of a payment, an address or a payout, or a chain.
	Subject string
	Kinds   []Kind // Kinds are what happened.
	// Statuses are how far the deliveries have come; DeliveryDead alone selects all
	// dead letters. Empty: any.
	Statuses []DeliveryStatus
	// Since and Until bound when the event was given to the outbox, by the store's
	// clock: Since <= CreatedAt < Until.
	Since, Until time.Time
	// DryRun has the call tell what it would do, and write nothing.
	DryRun bool
	// Limit is the most deliveries looked at, 1 to MaxResend; 0 means MaxResend.
	Limit int
	// After is ResendResult.Next of the call before; empty begins with the oldest.
	After string
}

// ResendResult is what a call of Resend did, or would do with DryRun.
type ResendResult struct {
	// Selected is how many deliveries the request selected: Resent and Waiting.
	Selected int
	// Resent is how many go out again.
	Resent int
	// Waiting is how many were left as they are, because they are on their way.
	Waiting int
	// Next is where the next call goes on; empty where nothing is left.
	Next string
}

// Resend has events told once more, from the outbox and with the same ids and bytes:
// a receiver that keeps ids drops what it has. What becomes of a delivery depends
// on how far it is:
//
//	delivered   it goes out again, with a new schedule
//	dead        the same
//	parked      the same, unless it is under way right now, or was resent and
//	            not tried since: then nothing
//	pending     nothing: it is on its way, and keeps its place
//
// What goes out again is parked: it is due at once, is tried by the whole schedule,
// and holds up no other event, nor does another hold it up. So the order of a
// subject holds for first attempts alone, and a receiver that is told of the past
// looks at Seq. Attempts begins at zero; DeliveryAttempts remembers the tries
// before.
//
// Events that are named together with a Notifier, and nothing else, are told also
// where there is no delivery: it was forgotten after Config.Retention, or the
// notifier was not configured then. A notifier that no gateway on this store has
// at present hears of them when one has it.
//
// What was for an endpoint that was removed is left out; one that is disabled hears of
// it once it is enabled.
//
// A call is one transaction and looks at Limit deliveries, oldest first; where Next
// is set, call again with it as After. Repeating a call, also by another instance at
// the same time, doubles nothing that waits, but what has been delivered meanwhile
// and is selected by the request goes out once more.
//
// It needs no lease, may be called on a gateway that is not started, and wakes the
// notifiers of this one; other instances look within 5 s.
//
// Errors: *FieldError for a bad or empty request, with CodeUnknown for a notifier that
// is neither configured nor in the outbox; ErrNotFound for an event that is not there;
// ErrInTransaction inside a handler of NotifyTx; ErrConflict where others were
// faster too often. Nothing is written then.
func (g *Gateway) Resend(ctx context.Context, r ResendRequest) (ResendResult, error) {
	if g == nil || g.store == nil {
		return ResendResult{}, ErrNotStarted
	}
	if inside(ctx) != nil {
		return ResendResult{}, fmt.Errorf("%w: Resend would open another", ErrInTransaction)
	}
	again, err := newResend(r)
	if err != nil {
		return ResendResult{}, err
	}
	again.known = slices.ContainsFunc(g.pumps, func(p *pump) bool { return p.name == r.Notifier })
	again.directory = g.directory
	if r.DryRun {
		err = g.store.Read(ctx, func(r Reader) error {
			_, err := again.plan(ctx, r)
			return err
		})
		return again.result, err
	}
	err = g.store.Write(ctx, func(tx Tx) error {
		rows, err := again.plan(ctx, tx)
		if err != nil || len(rows) == 0 {
			return err
		}
		return tx.Apply(ctx, Batch{Deliveries: rows})
	})
	if err != nil {
		return ResendResult{}, err
	}
	g.wakePump()
	return again.result, nil
}

// resend is a request that was checked.
type resend struct {
	ResendRequest
	query DeliveryQuery
	// known is true where the notifier is configured here.
	known     bool
	directory *directory
	// missing is true where events without a delivery are told too.
	missing bool
	result  ResendResult
}

func newResend(r ResendRequest) (*resend, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	limit := r.Limit
	if limit == 0 {
		limit = MaxResend
	}
	after, err := parsePlace("ResendRequest.After", r.After)
	if err != nil {
		return nil, err
	}
	return &resend{
		ResendRequest: r,
		query: DeliveryQuery{
			EventIDs: unrepeated(r.Events), Endpoint: r.Notifier, Subject: r.Subject, Kinds: r.Kinds, Statuses: unrepeated(r.Statuses),
			Since: r.Since, Until: r.Until, Order: DeliveriesOldest, After: after, Limit: limit + 1,
		},
		missing: len(r.Events) > 0 && r.Notifier != "" && r.Subject == "" && len(r.Kinds) == 0 && len(r.Statuses) == 0 && r.Since.IsZero() && r.Until.IsZero(),
	}, nil
}

// check refuses what cannot be, field by field.
func (r *ResendRequest) check() error {
	if len(r.Events) == 0 && r.Notifier == "" && r.Subject == "" && len(r.Kinds) == 0 && len(r.Statuses) == 0 && r.Since.IsZero() {
		return fieldErr("ResendRequest", CodeRequired, "one of Events, Notifier, Subject, Kinds, Statuses and Since")
	}
	switch {
	case len(r.Events) > MaxResend:
		return fieldErr("ResendRequest.Events", CodeOutOfRange, "%d events, at most %d", len(r.Events), MaxResend)
	case r.Notifier != "" && !validName(r.Notifier):
		return fieldErr("ResendRequest.Notifier", CodeInvalid, "%.80q is no name of a notifier", r.Notifier)
	case r.Limit < 0 || r.Limit > MaxResend:
		return fieldErr("ResendRequest.Limit", CodeOutOfRange, "%d is not between 1 and %d", r.Limit, MaxResend)
	}
	for i, id := range r.Events {
		at := fmt.Sprintf("ResendRequest.Events[%d]", i)
		if id == "" {
			return fieldErr(at, CodeRequired, "an event's id")
		}
		if err := checkText(at, id, maxSubject); err != nil {
			return err
		}
	}
	if err := checkText("ResendRequest.Subject", r.Subject, maxSubject); err != nil {
		return err
	}
	for i, k := range r.Kinds {
		if !slices.Contains(EventKinds(), k) {
			return fieldErr(fmt.Sprintf("ResendRequest.Kinds[%d]", i), CodeUnknown, "%.80q is no kind of event", k)
		}
	}
	for i, s := range r.Statuses {
		if !slices.Contains(deliveryStatuses(), s) {
			return fieldErr(fmt.Sprintf("ResendRequest.Statuses[%d]", i), CodeInvalid, "%.80q is none of %q", s, deliveryStatuses())
		}
	}
	return checkSpan("ResendRequest.Until", r.Since, r.Until)
}

// unrepeated leaves out repetitions.
func unrepeated[T comparable](list []T) (out []T) {
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// plan reads what the request selects and returns the rows that change. It may run
// several times, and begins anew each time.
func (a *resend) plan(ctx context.Context, r Reader) (out []Delivery, err error) {
	a.result = ResendResult{}
	if err := a.directory.learn(ctx, r); err != nil {
		return nil, err
	}
	if err := a.knowNotifier(ctx, r); err != nil {
		return nil, err
	}
	events, err := a.named(ctx, r)
	if err != nil {
		return nil, err
	}
	rows, err := listDeliveries(ctx, r, a.query)
	if err != nil {
		return nil, err
	}
	if len(rows) == a.query.Limit {
		rows = rows[:len(rows)-1]
		a.result.Next = placeOf(rows[len(rows)-1]).text()
	}
	for _, d := range rows {
		if e := a.directory.find(d.Endpoint); e != nil && e.row.Status == EndpointRemoved {
			continue
		}
		if again, ok := anew(d, r.Now()); ok {
			out = append(out, again)
		} else {
			a.result.Waiting++
		}
	}
	if a.missing && a.result.Next == "" {
		created, err := a.create(ctx, r, events)
		if err != nil {
			return nil, err
		}
		out = append(out, created...)
	}
	a.result.Resent = len(out)
	a.result.Selected = a.result.Resent + a.result.Waiting
	return out, nil
}

// anew is a delivery that goes out again; false where it is on its way. It is parked,
// so that it leads no lane: the events that wait for their first attempt do not wait
// for one that had it.
func anew(d Delivery, now time.Time) (Delivery, bool) {
	switch {
	case d.Status == DeliveryPending, d.LeasedUntil.After(now):
		return d, false
	case d.Status == DeliveryParked && d.Attempts == 0 && !d.NextAt.After(now):
		return d, false
	}
	d.Status, d.Attempts, d.NextAt = DeliveryParked, 0, now
	d.FirstAt, d.DoneAt, d.LeasedUntil = time.Time{}, time.Time{}, time.Time{}
	return d, true
}

// knowNotifier refuses a notifier that nobody has heard of. The configuration of the
// one who asks is not all there is: a tool has none of the host's own notifiers.
func (a *resend) knowNotifier(ctx context.Context, r Reader) error {
	e := a.directory.find(a.Notifier)
	switch {
	case e != nil && e.row.Status == EndpointRemoved:
		return fieldErr("ResendRequest.Notifier", CodeUnknown, "endpoint %q was removed", a.Notifier)
	case a.Notifier == "" || a.known || e != nil:
		return nil
	}
	rows, err := listDeliveries(ctx, r, DeliveryQuery{Endpoint: a.Notifier, Order: DeliveriesNewest, Limit: 1})
	if err == nil && len(rows) == 0 {
		err = fieldErr("ResendRequest.Notifier", CodeUnknown, "%q is neither configured nor in the outbox", a.Notifier)
	}
	return err
}

// named reads the events that the request names; all of them must be there.
func (a *resend) named(ctx context.Context, r Reader) ([]Event, error) {
	if len(a.query.EventIDs) == 0 {
		return nil, nil
	}
	events, err := r.Events(ctx, EventQuery{IDs: a.query.EventIDs})
	if err != nil || len(events) == len(a.query.EventIDs) {
		return events, err
	}
	for _, id := range a.query.EventIDs {
		if !slices.ContainsFunc(events, func(e Event) bool { return e.ID == id }) {
			return nil, fmt.Errorf("%w: event %q", ErrNotFound, id)
		}
	}
	return events, nil
}

// create makes deliveries of the events that have none to the notifier.
func (a *resend) create(ctx context.Context, r Reader, events []Event) (out []Delivery, err error) {
	rows, err := r.Deliveries(ctx, DeliveryQuery{EventIDs: a.query.EventIDs, Endpoint: a.Notifier})
	if err != nil {
		return nil, err
	}
	has := make(map[string]bool, len(rows))
	for _, d := range rows {
		has[d.EventID] = true
	}
	for _, e := range events {
		if !has[e.ID] {
			out = append(out, newDelivery(e, a.Notifier, DeliveryParked, r.Now()))
		}
	}
	return out, nil
}
