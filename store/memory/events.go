package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/bursar-go/bursar"
)

// told is an event and the commit that wrote it. Events never change, so that
// they need no versions.
type told struct {
	at  uint64
	pos int
	row bursar.Event
}

// eventLog holds the events in the order they were written.
type eventLog struct {
	all     []*told
	byID    map[string]*told
	subject map[string][]*told
	// begun is the length of all before the commit under way.
	begun int
}

func newEventLog() *eventLog {
	return &eventLog{byID: map[string]*told{}, subject: map[string][]*told{}}
}

// add appends an event that follows its subject's last.
func (l *eventLog) add(number uint64, e *told) error {
	if l.byID[e.row.ID] != nil {
		return conflict("event %q exists", e.row.ID)
	}
	of := l.subject[e.row.Subject]
	switch last := int64(len(of)); {
	case e.row.ID == "":
		return broken("an event has no id")
	case e.row.Seq >= 1 && e.row.Seq <= last:
		return conflict("event %d of %q exists", e.row.Seq, e.row.Subject)
	case e.row.Seq != last+1:
		return broken("event %d of %q does not follow %d", e.row.Seq, e.row.Subject, last)
	}
	e.at, e.pos = number, len(l.all)
	l.all = append(l.all, e)
	l.byID[e.row.ID] = e
	l.subject[e.row.Subject] = append(of, e)
	return nil
}

func (l *eventLog) revert() {
	for _, e := range slices.Backward(l.all[l.begun:]) {
		delete(l.byID, e.row.ID)
		of := l.subject[e.row.Subject]
		of[len(of)-1] = nil
		if l.subject[e.row.Subject] = of[:len(of)-1]; len(of) == 1 {
			delete(l.subject, e.row.Subject)
		}
	}
	clear(l.all[l.begun:])
	l.all = l.all[:l.begun]
}

func (l *eventLog) settle(uint64) { l.begun = len(l.all) }

func (l *eventLog) sweep(uint64) {}

// Events implements bursar.Reader.
func (r *reader) Events(ctx context.Context, q bursar.EventQuery) ([]bursar.Event, error) {
	found, err := r.findEvents(ctx, &q)
	if err != nil {
		return nil, err
	}
	out := make([]bursar.Event, len(found))
	for i, e := range found {
		out[i] = copyEvent(&e.row)
	}
	return out, nil
}

func (r *reader) findEvents(ctx context.Context, q *bursar.EventQuery) (found []*told, err error) {
	l := r.s.events
	switch {
	case len(q.IDs) > 0:
		err = r.locked(ctx, func() {
			for _, id := range q.IDs {
				if e := l.byID[id]; e != nil && e.at <= r.number && wantsEvent(q, &e.row) {
					found = append(found, e)
				}
			}
		})
		// Positions have the order of sequences too, within a subject.
		found = finish(found, func(a, b *told) int { return cmp.Compare(a.pos, b.pos) }, q.Limit)
	case q.Subject != "":
		found, err = r.readEvents(ctx, q, func() []*told { return l.subject[q.Subject] }, int(max(q.AfterSeq, 0)))
	default:
		found, err = r.readEvents(ctx, q, func() []*told { return l.all }, 0)
	}
	return found, err
}

// readEvents reads a log from a place on, a slice at a time.
func (r *reader) readEvents(ctx context.Context, q *bursar.EventQuery, log func() []*told, from int) (found []*told, err error) {
	for more := true; more && err == nil; from += slice {
		err = r.locked(ctx, func() {
			part := log()
			part = part[min(from, len(part)):]
			more = len(part) > slice
			for _, e := range part[:min(slice, len(part))] {
				if e.at > r.number || q.Limit > 0 && len(found) == q.Limit {
					more = false
					return
				}
				if wantsEvent(q, &e.row) {
					found = append(found, e)
				}
			}
		})
	}
	return found, err
}

func wantsEvent(q *bursar.EventQuery, e *bursar.Event) bool {
	return in(q.IDs, e.ID) && is(q.Subject, e.Subject) && in(q.Kinds, e.Kind) &&
		(q.Subject == "" || e.Seq > q.AfterSeq)
}
