package storetest

import (
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/stretchr/testify/require"
)

func lock(names ...chain.Lock) func(*bursar.Attempt) {
	return func(a *bursar.Attempt) { a.Locks = names }
}

func live(key string) func(*bursar.Entry) {
	return func(e *bursar.Entry) { e.Live = key }
}

// clash is a row that holds a key and another that wants it.
type clash struct {
	rule          string
	holder, wants bursar.Batch
	// free, where set, makes the holder give the key up.
	free bursar.Batch
}

func clashes() []clash {
	type (
		P = bursar.Payment
		T = bursar.Transaction
		A = bursar.Address
		O = bursar.Payout
		N = bursar.Attempt
		D = bursar.Delivery
		W = bursar.EndpointRow
		E = bursar.Entry
		V = bursar.Event
		B = bursar.Batch
	)
	credit := entry("e1", live("t"))
	return []clash{
		{"a payment's idempotency key",
			B{Payments: []P{payment("p")}},
			B{Payments: []P{payment("q", func(p *P) { p.IdempotencyKey = "key_p" })}},
			B{Payments: []P{payment("p", func(p *P) { p.Version, p.IdempotencyKey = 1, "other" })}}},
		{"S1 a payment's address",
			B{Payments: []P{payment("p")}},
			B{Payments: []P{payment("q", func(p *P) { p.Address = "0xp" })}},
			B{Payments: []P{payment("p", func(p *P) { p.Version, p.Address = 1, "other" })}}},
		{"S1 an address",
			B{Addresses: []A{address("a", 0)}},
			B{Addresses: []A{address("b", 1, func(a *A) { a.Address = "0xa" })}}, B{}},
		{"an address's idempotency key",
			B{Addresses: []A{address("a", 0, func(a *A) { a.IdempotencyKey = "key" })}},
			B{Addresses: []A{address("b", 1, func(a *A) { a.IdempotencyKey = "key" })}}, B{}},
		{"A15 a transaction's chain and transfer",
			B{Transactions: []T{transaction("t")}},
			B{Transactions: []T{transaction("u", func(x *T) { x.Transfer.Tx = "0xt" })}},
			B{Transactions: []T{transaction("t", func(x *T) { x.Version, x.Transfer.Ordinal = 1, "i:0" })}}},
		{"a payout's key",
			B{Payouts: []O{payout("p")}},
			B{Payouts: []O{payout("q", func(p *O) { p.Key = "key_p" })}}, B{}},
		{"an open attempt's lock among payouts",
			B{Attempts: []N{attempt("n", "po1", lock("a", "b"))}},
			B{Attempts: []N{attempt("m", "po2", lock("b", "c"))}},
			B{Attempts: []N{attempt("n", "po1", lock("a", "b"), func(a *N) { a.Version, a.Open = 1, false })}}},
		{"an open attempt's lock among groups of one payout",
			B{Attempts: []N{attempt("n", "po1", lock("a"))}},
			B{Attempts: []N{attempt("m", "po1", lock("a"), func(a *N) { a.Group = 2 })}},
			B{Attempts: []N{attempt("n", "po1", lock("a"), func(a *N) { a.Version, a.Open = 1, false })}}},
		{"an endpoint's revision",
			B{Endpoints: []W{endpointRow("w", 1)}},
			B{Endpoints: []W{endpointRow("x", 1)}},
			B{Endpoints: []W{endpointRow("w", 2, func(e *W) { e.Version = 1 })}}},
		{"a delivery's event and endpoint",
			B{Deliveries: []D{delivery("e", "hook", "p", 1)}},
			B{Deliveries: []D{delivery("e", "hook", "p", 1)}}, B{}},
		{"an entry's id",
			B{Entries: []E{entry("e")}},
			B{Entries: []E{entry("e", func(e *E) { e.Subject = "q" })}}, B{}},
		{"S3 an unreversed entry's live key",
			B{Entries: []E{credit}},
			B{Entries: []E{entry("e2", live("t"), func(e *E) { e.Subject = "q" })}},
			B{Entries: []E{reversal("e3", credit)}}},
		{"an event's id",
			B{Events: []V{event("e", "p", 1)}},
			B{Events: []V{event("e", "q", 1)}}, B{}},
		{"an event's subject and sequence number",
			B{Events: []V{event("e", "p", 1)}},
			B{Events: []V{event("f", "p", 1)}}, B{}},
	}
}

// uniqueChecks hold each key to one holder: the last line when two writers
// each decided right on what they saw (D4).
func uniqueChecks() []check {
	checks := []check{
		{"attempts of one group share their locks", groupShares},
		{"the same key of another kind or chain is another key", otherKeys},
		{"a closed attempt may be opened only while its locks are free", reopen},
	}
	for _, c := range clashes() {
		checks = append(checks,
			check{"D4 " + c.rule, func(k *kit) { k.clash(c) }},
			check{"D4 " + c.rule + ", within one batch", func(k *kit) { k.clashInside(c) }},
			check{"D4 " + c.rule + ", between two writers that saw it free", func(k *kit) { k.writeSkew(c) }})
	}
	return checks
}

func (k *kit) clash(c clash) {
	k.write(c.holder)
	k.refuse(bursar.ErrConflict, c.wants)
	if differ(c.free, bursar.Batch{}) == "" {
		return
	}
	k.write(c.free)
	k.write(c.wants)
	require.Empty(k, differ(stored(c.holder, c.free, c.wants), k.state()), "a key that was given up is free")
}

func (k *kit) clashInside(c clash) {
	k.refuse(bursar.ErrConflict, c.holder, c.wants)
	k.refuse(bursar.ErrConflict, merge(c.holder, c.wants))
	k.write(c.holder)
}

// merge returns one batch with the rows of both.
func merge(a, b bursar.Batch) bursar.Batch {
	return bursar.Batch{
		Payments:     slices.Concat(a.Payments, b.Payments),
		Transactions: slices.Concat(a.Transactions, b.Transactions),
		Addresses:    slices.Concat(a.Addresses, b.Addresses),
		Payouts:      slices.Concat(a.Payouts, b.Payouts),
		Attempts:     slices.Concat(a.Attempts, b.Attempts),
		Deliveries:   slices.Concat(a.Deliveries, b.Deliveries),
		Chains:       slices.Concat(a.Chains, b.Chains),
		Endpoints:    slices.Concat(a.Endpoints, b.Endpoints),
		Entries:      slices.Concat(a.Entries, b.Entries),
		Events:       slices.Concat(a.Events, b.Events),
	}
}

// writeSkew lets the second writer commit while the first one's closure, which
// has read already, is still under way.
func (k *kit) writeSkew(c clash) {
	runs := 0
	err := k.s.Write(k.ctx, func(tx bursar.Tx) error {
		view{k, k.ctx, tx}.state()
		if runs++; runs == 1 {
			k.write(c.holder)
		}
		return tx.Apply(k.ctx, c.wants)
	})
	require.ErrorIs(k, err, bursar.ErrConflict)
	require.Greater(k, runs, 1, "the loser must look again")
	require.Empty(k, differ(stored(c.holder), k.state()))
}

func groupShares(k *kit) {
	b := bursar.Batch{Attempts: []bursar.Attempt{attempt("n", "po1", lock("a", "b"))}}
	bumped := bursar.Batch{Attempts: []bursar.Attempt{attempt("m", "po1", lock("a"))}}
	shut := bursar.Batch{Attempts: []bursar.Attempt{attempt("x", "po2", lock("a"), func(a *bursar.Attempt) { a.Open = false })}}
	k.write(b)
	k.write(bumped)
	k.write(shut)
	require.Empty(k, differ(stored(b, bumped, shut), k.state()))
}

func otherKeys(k *kit) {
	b := bursar.Batch{
		Payments:  []bursar.Payment{payment("p")},
		Addresses: []bursar.Address{address("p", 0, func(a *bursar.Address) { a.IdempotencyKey = "key_p" })},
		Payouts:   []bursar.Payout{payout("p")},
		Transactions: []bursar.Transaction{
			transaction("t"),
			transaction("u", func(x *bursar.Transaction) { x.Chain, x.Transfer.Tx = base, "0xt" }),
			transaction("v", func(x *bursar.Transaction) { x.Transfer = chain.TransferID{Tx: "0xt", Ordinal: "i:0"} }),
		},
		Attempts: []bursar.Attempt{
			attempt("n", "po1", lock("a")),
			attempt("m", "po2", lock("a"), func(a *bursar.Attempt) { a.Chain = base }),
		},
		Deliveries: []bursar.Delivery{delivery("e", "one", "p", 1), delivery("e", "two", "p", 1)},
		Events:     []bursar.Event{event("e", "p", 1), event("f", "q", 1)},
	}
	k.write(b)
	require.Empty(k, differ(stored(b), k.state()))
}

func reopen(k *kit) {
	shut := attempt("n", "po1", lock("a"), func(a *bursar.Attempt) { a.Open = false })
	k.write(bursar.Batch{Attempts: []bursar.Attempt{shut, attempt("m", "po2", lock("a"))}})
	shut.Version, shut.Open = 1, true
	k.refuse(bursar.ErrConflict, bursar.Batch{Attempts: []bursar.Attempt{shut}})
}
