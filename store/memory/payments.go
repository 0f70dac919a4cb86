package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bursar-go/bursar"
)

// payments is the table of payments.
type payments struct {
	*table[bursar.Payment]
	idempotency, address                          *unique[bursar.Payment]
	created, status, deadline, customer, metadata *index[bursar.Payment]
}

func newPayments() *payments {
	type row = bursar.Payment
	t := newTable("payment", func(p *row) string { return p.ID }, func(p *row) *int64 { return &p.Version })
	return &payments{
		table:       t,
		idempotency: t.alone("idempotency key", func(p *row) string { return p.IdempotencyKey }),
		address:     t.alone("address", func(p *row) string { return string(p.Address) }),
		created:     t.ordered(func(p *row, to []key) []key { return append(to, at("", p.CreatedAt)) }),
		status:      t.ordered(func(p *row, to []key) []key { return append(to, at(string(p.Status), p.CreatedAt)) }),
		deadline: t.ordered(func(p *row, to []key) []key {
			if p.Deadline.IsZero() {
				return to
			}
			return append(to, at(string(p.Asset.ID.Chain()), p.Deadline))
		}),
		customer: t.ordered(func(p *row, to []key) []key {
			if p.Customer == "" {
				return to
			}
			return append(to, at(p.Customer, p.CreatedAt))
		}),
		metadata: t.ordered(func(p *row, to []key) []key {
			for k, v := range p.Metadata {
				to = append(to, at(pair(k, v), p.CreatedAt))
			}
			return to
		}),
	}
}

// pair joins a metadata key and value; keys hold no NUL.
func pair(k, v string) string { return k + "\x00" + v }

// Payments implements bursar.Reader.
func (r *reader) Payments(ctx context.Context, q bursar.PaymentQuery) ([]bursar.Payment, error) {
	match := func(p *bursar.Payment) bool { return wantsPayment(&q, p) }
	order := func(a, b *bursar.Payment) int { return -compareTime(a.CreatedAt, a.ID, b.CreatedAt, b.ID) }
	t := r.s.payments
	var found []*bursar.Payment
	var err error
	list := func(x *index[bursar.Payment], parts ...string) {
		found, err = scan(ctx, r, x, newest(parts, q.After, q.Since, q.Until, q.Limit), match)
	}
	switch {
	case len(q.IDs) > 0:
		found, err = byID(ctx, r, t.table, q.IDs, match)
	case len(q.IdempotencyKeys) > 0:
		found, err = byKey(ctx, r, t.idempotency, q.IdempotencyKeys, match)
	case len(q.Addresses) > 0:
		found, err = byKey(ctx, r, t.address, q.Addresses, match)
	case !q.DueBy.IsZero():
		found, err = r.duePayments(ctx, q, match)
	case q.Customer != "":
		list(t.customer, q.Customer)
	case len(q.Metadata) > 0:
		first := slices.Min(slices.Collect(maps.Keys(q.Metadata)))
		list(t.metadata, pair(first, q.Metadata[first]))
	case len(q.Statuses) > 0:
		list(t.status, parts(q.Statuses...)...)
	default:
		list(t.created, whole()...)
	}
	if err != nil {
		return nil, err
	}
	if !q.DueBy.IsZero() {
		order = func(a, b *bursar.Payment) int { return compareTime(a.Deadline, a.ID, b.Deadline, b.ID) }
	}
	return copies(finish(found, order, q.Limit), copyPayment), nil
}

// duePayments returns the payments whose deadline has come, of one chain or of
// all.
func (r *reader) duePayments(ctx context.Context, q bursar.PaymentQuery, match func(*bursar.Payment) bool) ([]*bursar.Payment, error) {
	sp := span{}
	if q.DueChain != "" {
		sp = oldest(parts(q.DueChain), q.After, q.Limit)
		sp.done = later(q.DueBy)
	}
	return scan(ctx, r, r.s.payments.deadline, sp, match)
}

// later reports positions behind a time.
func later(t time.Time) func(key) bool {
	high := at("", t)
	return func(k key) bool { k.part = ""; return k.compare(high) > 0 }
}

func wantsPayment(q *bursar.PaymentQuery, p *bursar.Payment) bool {
	for k, v := range q.Metadata {
		if have, ok := p.Metadata[k]; !ok || have != v {
			return false
		}
	}
	if q.DueBy.IsZero() {
		if !after(q.After, p.CreatedAt, p.ID, true) {
			return false
		}
	} else if p.Deadline.IsZero() || p.Deadline.After(q.DueBy) || !after(q.After, p.Deadline, p.ID, false) ||
		!is(q.DueChain, p.Asset.ID.Chain()) {
		return false
	}
	return in(q.IDs, p.ID) && in(q.IdempotencyKeys, p.IdempotencyKey) && in(q.Addresses, p.Address) &&
		in(q.Statuses, p.Status) && in(q.Assets, p.Asset.ID) && is(q.Customer, p.Customer) &&
		within(p.CreatedAt, q.Since, q.Until)
}
