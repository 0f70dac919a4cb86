package memory

import (
	"context"

	"github.com/bursar-go/bursar"
)

// payouts is the table of payouts.
type payouts struct {
	*table[bursar.Payout]
	key *unique[bursar.Payout]

	created, open, tx, block, parent, status *index[bursar.Payout]
}

func newPayouts() *payouts {
	type row = bursar.Payout
	t := newTable("payout", func(p *row) string { return p.ID }, func(p *row) *int64 { return &p.Version })
	by := func(part func(*row) string) *index[row] {
		return t.ordered(func(p *row, to []key) []key {
			if part := part(p); part != "" {
				return append(to, at(part, p.CreatedAt))
			}
			return to
		})
	}
	return &payouts{
		table:   t,
		key:     t.alone("key", func(p *row) string { return p.Key }),
		created: t.ordered(func(p *row, to []key) []key { return append(to, at("", p.CreatedAt)) }),
		tx:      by(func(p *row) string { return string(p.TxID) }),
		block:   by(func(p *row) string { return string(p.BlockHash) }),
		parent:  by(func(p *row) string { return p.Parent }),
		status:  by(func(p *row) string { return string(p.Status) }),
		open: t.ordered(func(p *row, to []key) []key {
			if !p.Status.Open() {
				return to
			}
			return append(to, at("", p.CreatedAt))
		}),
	}
}

// Payouts implements bursar.Reader.
func (r *reader) Payouts(ctx context.Context, q bursar.PayoutQuery) ([]bursar.Payout, error) {
	match := func(p *bursar.Payout) bool { return wantsPayout(&q, p) }
	t := r.s.payouts
	var found []*bursar.Payout
	var err error
	list := func(x *index[bursar.Payout], parts []string) {
		found, err = scan(ctx, r, x, oldest(parts, q.After, q.Limit), match)
	}
	switch {
	case len(q.IDs) > 0:
		found, err = byID(ctx, r, t.table, q.IDs, match)
	case len(q.Keys) > 0:
		found, err = byKey(ctx, r, t.key, q.Keys, match)
	case len(q.TxIDs) > 0:
		list(t.tx, parts(q.TxIDs...))
	case len(q.Blocks) > 0:
		list(t.block, parts(q.Blocks...))
	case len(q.Parents) > 0:
		list(t.parent, q.Parents)
	case q.Open:
		list(t.open, whole())
	case len(q.Statuses) > 0:
		list(t.status, parts(q.Statuses...))
	default:
		list(t.created, whole())
	}
	if err != nil {
		return nil, err
	}
	order := func(a, b *bursar.Payout) int { return compareTime(a.CreatedAt, a.ID, b.CreatedAt, b.ID) }
	return copies(finish(found, order, q.Limit), copyPayout), nil
}

func wantsPayout(q *bursar.PayoutQuery, p *bursar.Payout) bool {
	return in(q.IDs, p.ID) && in(q.Keys, p.Key) && is(q.Chain, p.Chain) && in(q.Kinds, p.Kind) &&
		in(q.Statuses, p.Status) && (!q.Open || p.Status.Open()) && in(q.TxIDs, p.TxID) &&
		in(q.Blocks, p.BlockHash) && in(q.Parents, p.Parent) && after(q.After, p.CreatedAt, p.ID, false)
}

// attempts is the table of attempts.
type attempts struct {
	*table[bursar.Attempt]
	created, payout, tx, lock, open *index[bursar.Attempt]
}

func newAttempts() *attempts {
	type row = bursar.Attempt
	t := newTable("attempt", func(a *row) string { return a.ID }, func(a *row) *int64 { return &a.Version })
	x := &attempts{
		table:   t,
		created: t.ordered(func(a *row, to []key) []key { return append(to, at("", a.CreatedAt)) }),
		payout:  t.ordered(func(a *row, to []key) []key { return append(to, at(a.PayoutID, a.CreatedAt)) }),
		tx:      t.ordered(func(a *row, to []key) []key { return append(to, at(string(a.TxID), a.CreatedAt)) }),
		lock: t.ordered(func(a *row, to []key) []key {
			for _, l := range a.Locks {
				to = append(to, at(string(l), a.CreatedAt))
			}
			return to
		}),
		open: t.ordered(func(a *row, to []key) []key {
			if !a.Open {
				return to
			}
			return append(to, at(string(a.Chain), a.CreatedAt))
		}),
	}
	t.rule = x.locksFree
	return x
}

// locksFree reports a conflict where an open attempt of another payout group
// has one of the row's locks: two of them could otherwise both be mined.
func (t *attempts) locksFree(a *bursar.Attempt) (err error) {
	if !a.Open {
		return nil
	}
	for _, l := range a.Locks {
		place := start[bursar.Attempt](span{}, (*string)(&l))
		walk(t.lock, place, false, false, func(e entry[bursar.Attempt]) bool {
			o := &e.rec.newest.row
			switch {
			case e.part != string(l):
				return false
			case o.ID == a.ID, !o.Open, o.Chain != a.Chain, !has(o.Locks, l),
				o.PayoutID == a.PayoutID && o.Group == a.Group:
				return true
			}
			err = conflict("attempt %q: lock %q is held by attempt %q of payout %q", a.ID, l, o.ID, o.PayoutID)
			return false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Attempts implements bursar.Reader.
func (r *reader) Attempts(ctx context.Context, q bursar.AttemptQuery) ([]bursar.Attempt, error) {
	match := func(a *bursar.Attempt) bool { return wantsAttempt(&q, a) }
	t := r.s.attempts
	var found []*bursar.Attempt
	var err error
	list := func(x *index[bursar.Attempt], parts []string) {
		found, err = scan(ctx, r, x, span{parts: parts}, match)
	}
	switch {
	case len(q.PayoutIDs) > 0:
		list(t.payout, q.PayoutIDs)
	case len(q.TxIDs) > 0:
		list(t.tx, parts(q.TxIDs...))
	case len(q.Locks) > 0:
		list(t.lock, parts(q.Locks...))
	case q.Open && q.Chain != "":
		list(t.open, parts(q.Chain))
	case q.Open:
		list(t.open, nil)
	default:
		list(t.created, whole())
	}
	if err != nil {
		return nil, err
	}
	order := func(a, b *bursar.Attempt) int { return compareTime(a.CreatedAt, a.ID, b.CreatedAt, b.ID) }
	return copies(finish(found, order, 0), copyAttempt), nil
}

func wantsAttempt(q *bursar.AttemptQuery, a *bursar.Attempt) bool {
	return in(q.PayoutIDs, a.PayoutID) && is(q.Chain, a.Chain) && in(q.TxIDs, a.TxID) &&
		hasAny(q.Locks, a.Locks) && (!q.Open || a.Open)
}
