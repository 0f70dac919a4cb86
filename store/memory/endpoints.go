package memory

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/bursar-go/bursar"
)

// endpoints is the table of endpoints.
type endpoints struct {
	*table[bursar.EndpointRow]
	revisions *index[bursar.EndpointRow]
}

func newEndpoints() *endpoints {
	t := newTable("endpoint", func(e *bursar.EndpointRow) string { return e.ID }, func(e *bursar.EndpointRow) *int64 { return &e.Version })
	t.alone("revision", func(e *bursar.EndpointRow) string { return strconv.FormatInt(e.Revision, 10) })
	return &endpoints{t, t.ordered(func(e *bursar.EndpointRow, to []key) []key { return append(to, key{hi: e.Revision}) })}
}

func copyEndpoint(e *bursar.EndpointRow) bursar.EndpointRow {
	out := *e
	out.Sealed = slices.Clone(e.Sealed)
	return out
}

// Endpoints implements bursar.Reader.
func (r *reader) Endpoints(ctx context.Context, q bursar.EndpointQuery) ([]bursar.EndpointRow, error) {
	match := func(e *bursar.EndpointRow) bool { return in(q.IDs, e.ID) && e.Revision > q.After }
	t := r.s.endpoints
	var found []*bursar.EndpointRow
	var err error
	if len(q.IDs) > 0 {
		found, err = byID(ctx, r, t.table, q.IDs, match)
	} else {
		found, err = scan(ctx, r, t.revisions, span{from: &edge{hi: q.After}}, match)
	}
	if err != nil {
		return nil, err
	}
	order := func(a, b *bursar.EndpointRow) int { return cmp.Compare(a.Revision, b.Revision) }
	return copies(finish(found, order, 0), copyEndpoint), nil
}
