package memory

import (
	"cmp"
	"context"
	"strings"

	"github.com/bursar-go/bursar"
)

// addresses is the table of addresses.
type addresses struct {
	*table[bursar.Address]
	address, idempotency  *unique[bursar.Address]
	place, role, customer *index[bursar.Address]
}

func newAddresses() *addresses {
	type row = bursar.Address
	t := newTable("address", func(a *row) string { return a.ID }, func(a *row) *int64 { return &a.Version })
	place := func(part string, a *row) key { return key{part: part, hi: int64(a.Index)} }
	return &addresses{
		table:       t,
		address:     t.alone("address", func(a *row) string { return string(a.Address) }),
		idempotency: t.alone("idempotency key", func(a *row) string { return a.IdempotencyKey }),
		place:       t.ordered(func(a *row, to []key) []key { return append(to, place(a.Pool, a)) }),
		role:        t.ordered(func(a *row, to []key) []key { return append(to, place(rolePart(a.Pool, a.Role), a)) }),
		customer: t.ordered(func(a *row, to []key) []key {
			if a.Customer == "" {
				return to
			}
			return append(to, place(a.Customer, a))
		}),
	}
}

// rolePart is the part of the index by role. No pool's name has a line's end in it.
func rolePart(pool string, role bursar.Role) string { return pool + "\n" + string(role) }

// Addresses implements bursar.Reader.
func (r *reader) Addresses(ctx context.Context, q bursar.AddressQuery) ([]bursar.Address, error) {
	match := func(a *bursar.Address) bool { return wantsAddress(&q, a) }
	t := r.s.addresses
	var found []*bursar.Address
	var err error
	switch {
	case len(q.IDs) > 0:
		found, err = byID(ctx, r, t.table, q.IDs, match)
	case len(q.Addresses) > 0:
		found, err = byKey(ctx, r, t.address, q.Addresses, match)
	case len(q.IdempotencyKeys) > 0:
		found, err = byKey(ctx, r, t.idempotency, q.IdempotencyKeys, match)
	case q.Customer != "":
		found, err = scan(ctx, r, t.customer, span{parts: parts(q.Customer)}, match)
	case q.Pool != "" && len(q.Roles) > 0:
		var of []string
		for _, role := range q.Roles {
			of = append(of, rolePart(q.Pool, role))
		}
		found, err = scan(ctx, r, t.role, span{parts: of, from: &edge{hi: int64(q.FromIndex)}, limit: q.Limit}, match)
	case q.Pool != "":
		sp := span{parts: parts(q.Pool), from: &edge{hi: int64(q.FromIndex)}, limit: q.Limit}
		found, err = scan(ctx, r, t.place, sp, match)
	default:
		found, err = scan(ctx, r, t.place, span{limit: q.Limit}, match)
	}
	if err != nil {
		return nil, err
	}
	order := func(a, b *bursar.Address) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), cmp.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID))
	}
	return copies(finish(found, order, q.Limit), copyAddress), nil
}

func wantsAddress(q *bursar.AddressQuery, a *bursar.Address) bool {
	return in(q.IDs, a.ID) && in(q.Addresses, a.Address) && is(q.Pool, a.Pool) && in(q.Roles, a.Role) &&
		is(q.Customer, a.Customer) && in(q.IdempotencyKeys, a.IdempotencyKey) && a.Index >= q.FromIndex
}

// maxIndex is the last non-hardened index of a derivation path.
const maxIndex = 1<<31 - 1

// pools is the table of index pools.
type pools = table[bursar.Pool]

func newPools() *pools {
	t := newTable("pool", func(p *bursar.Pool) string { return p.Name }, nil)
	t.ordered(func(p *bursar.Pool, to []key) []key { return append(to, key{part: p.Name}) })
	return t
}

// Pools implements bursar.Reader.
func (r *reader) Pools(ctx context.Context) ([]bursar.Pool, error) {
	found, err := scan(ctx, r, r.s.pools.indexes[0], span{}, always)
	return copies(found, func(p *bursar.Pool) bursar.Pool { return *p }), err
}

// Reserve implements bursar.Store.
func (s *Store) Reserve(ctx context.Context, pool string, n uint32) (uint32, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if n == 0 {
		// Its answer would be an index that the next caller gets too.
		return 0, broken("pool %q: a reservation of no index", pool)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last, closed := s.snaps.state()
	if closed {
		return 0, bursar.ErrStoreClosed
	}
	rec := s.pools.rows[pool]
	first := uint32(0)
	if rec != nil {
		first = rec.newest.row.Next
	}
	if uint64(first)+uint64(n) > maxIndex+1 {
		return 0, broken("pool %q: %d indexes from %d on pass 2^31-1", pool, n, first)
	}
	if rec == nil {
		rec = &record[bursar.Pool]{id: pool, tie: pool}
		s.pools.rows[pool] = rec
	}
	s.pools.push(last+1, rec, &version[bursar.Pool]{row: bursar.Pool{Name: pool, Next: first + n}})
	s.committed()
	return first, nil
}
