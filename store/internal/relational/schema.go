package relational

import (
	"slices"

	"github.com/bursar-go/bursar"
)

// Schema is the layout of all tables in one dialect. It never changes and may be
// shared.
type Schema struct {
	d            *Dialect
	payments     *table[bursar.Payment]
	transactions *table[bursar.Transaction]
	addresses    *table[bursar.Address]
	payouts      *table[bursar.Payout]
	attempts     *table[bursar.Attempt]
	entries      *table[bursar.Entry]
	events       *table[bursar.Event]
	deliveries   *table[bursar.Delivery]
	chains       *table[bursar.ChainState]
	pools        *table[bursar.Pool]
	endpoints    *table[bursar.EndpointRow]
}

// New lays out the tables.
func New(d *Dialect) *Schema {
	id := []string{"id"}
	return &Schema{
		d: d,
		payments: newTable(d, "payments", id,
			derived[bursar.Payment]{"asset_id", func(p *bursar.Payment) any { return string(p.Asset.ID) }},
			derived[bursar.Payment]{"chain", func(p *bursar.Payment) any { return string(p.Asset.Chain()) }}),
		transactions: newTable(d, "transactions", id,
			derived[bursar.Transaction]{"sweepable", func(t *bursar.Transaction) any { return sweepable(t) }}),
		addresses: newTable[bursar.Address](d, "addresses", id),
		payouts: newTable(d, "payouts", id,
			derived[bursar.Payout]{"is_open", func(p *bursar.Payout) any { return p.Status.Open() }}),
		attempts:   newTable[bursar.Attempt](d, "attempts", id),
		entries:    newTable[bursar.Entry](d, "entries", id),
		events:     newTable[bursar.Event](d, "events", id),
		deliveries: newTable[bursar.Delivery](d, "deliveries", []string{"event_id", "endpoint"}),
		chains:     newTable[bursar.ChainState](d, "chains", []string{"chain"}),
		pools:      newTable[bursar.Pool](d, "pools", []string{"name"}),
		endpoints:  newTable[bursar.EndpointRow](d, "endpoints", id),
	}
}

// sweepable reports whether a transaction has final money that nobody has
// discharged or reserved. A sum that overflows is above every amount.
func sweepable(t *bursar.Transaction) bool {
	taken, err := t.Discharged.Add(t.Reserved)
	return t.Type == bursar.TypeIncoming && t.Final && err == nil && taken.Less(t.Amount)
}

// Columns lists the columns of every table, for tests of a schema's text.
func (s *Schema) Columns() map[string][]string {
	return map[string][]string{
		"payments": s.payments.all(), "transactions": s.transactions.all(), "addresses": s.addresses.all(),
		"payouts": s.payouts.all(), "attempts": s.attempts.all(), "entries": s.entries.all(), "events": s.events.all(),
		"deliveries": s.deliveries.all(), "chains": s.chains.all(), "pools": s.pools.all(),
		"endpoints": s.endpoints.all(),
	}
}

func (t *table[T]) all() (names []string) {
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	for _, d := range t.derived {
		names = append(names, d.name)
	}
	slices.Sort(names)
	return names
}
