package storetest

import (
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/stretchr/testify/require"
)

// badBatch is a batch that would be fine but for one row.
type badBatch struct {
	what  string
	want  error
	spoil func(b *bursar.Batch)
}

// leavesNothing writes fullBatch(1), then a spoiled fullBatch(2).
func leavesNothing(k *kit, bad badBatch) {
	k.write(fullBatch(1))
	b := fullBatch(2)
	b.Chains[0].Chain = base
	bad.spoil(&b)
	k.refuse(bad.want, b)
	// The same batch without the bad row goes through: what failed has left no
	// key behind that nobody sees.
	good := fullBatch(2)
	good.Chains[0].Chain = base
	k.write(good)
	require.Empty(k, differ(stored(fullBatch(1), good), k.state()))
}

// badBatches spoils each table once with each way a row can be bad.
func badBatches() []badBatch {
	return slices.Concat(
		stale("payment", func(b *bursar.Batch) *[]bursar.Payment { return &b.Payments },
			func(p *bursar.Payment, v int64) { p.Version = v }),
		stale("transaction", func(b *bursar.Batch) *[]bursar.Transaction { return &b.Transactions },
			func(t *bursar.Transaction, v int64) { t.Version = v }),
		stale("address", func(b *bursar.Batch) *[]bursar.Address { return &b.Addresses },
			func(a *bursar.Address, v int64) { a.Version = v }),
		stale("payout", func(b *bursar.Batch) *[]bursar.Payout { return &b.Payouts },
			func(p *bursar.Payout, v int64) { p.Version = v }),
		stale("attempt", func(b *bursar.Batch) *[]bursar.Attempt { return &b.Attempts },
			func(a *bursar.Attempt, v int64) { a.Version = v }),
		stale("delivery", func(b *bursar.Batch) *[]bursar.Delivery { return &b.Deliveries },
			func(d *bursar.Delivery, v int64) { d.Version = v }),
		stale("chain state", func(b *bursar.Batch) *[]bursar.ChainState { return &b.Chains },
			func(c *bursar.ChainState, v int64) { c.Version, c.Chain = v, mainnet })[:2],
		stale("endpoint", func(b *bursar.Batch) *[]bursar.EndpointRow { return &b.Endpoints },
			func(e *bursar.EndpointRow, v int64) { e.Version = v }),
		badAppends(),
	)
}

// stale are the three ways a version can be wrong.
func stale[T any](table string, rows func(*bursar.Batch) *[]T, at func(*T, int64)) []badBatch {
	bad := func(what string, seed int, version int64) badBatch {
		return badBatch{table + " " + what, bursar.ErrConflict, func(b *bursar.Batch) {
			list := rows(b)
			*list = append(*list, full(seed, func(row *T) { at(row, version) }))
		}}
	}
	return []badBatch{
		bad("that exists", 1, 0),
		bad("of a version that is not the stored one", 1, 2),
		bad("that does not exist but has a version", 3, 1),
	}
}

func badAppends() []badBatch {
	entryWith := func(edit func(*bursar.Entry)) func(*bursar.Batch) {
		return func(b *bursar.Batch) { b.Entries = append(b.Entries, entry("bad", edit)) }
	}
	eventWith := func(edit func(*bursar.Event)) func(*bursar.Batch) {
		return func(b *bursar.Batch) {
			last := b.Events[len(b.Events)-1]
			b.Events = append(b.Events, event("bad", last.Subject, last.Seq+1, edit))
		}
	}
	conflict, invariant := bursar.ErrConflict, bursar.ErrInvariant
	return []badBatch{
		{"a fence of a lease that nobody ever had", bursar.ErrFenced, func(b *bursar.Batch) {
			b.Fences = []bursar.Fence{{Name: "nobody", Epoch: 1}}
		}},
		{"an entry whose id exists", conflict, entryWith(func(e *bursar.Entry) { e.ID = fullBatch(1).Entries[0].ID })},
		{"an entry whose live key is held", conflict, entryWith(func(e *bursar.Entry) { e.Live = fullBatch(1).Entries[0].Live })},
		{"an entry without amount", invariant, entryWith(func(e *bursar.Entry) { e.Amount = chain.Amount{} })},
		{"an entry with equal accounts", invariant, entryWith(func(e *bursar.Entry) { e.Credit = e.Debit })},
		{"an entry that reverses an unknown one", invariant, entryWith(func(e *bursar.Entry) { e.Reverses = "unknown" })},
		{"an event whose id exists", conflict, eventWith(func(e *bursar.Event) { e.ID = fullBatch(1).Events[0].ID })},
		{"an event whose sequence number exists", conflict, eventWith(func(e *bursar.Event) { e.Seq = 1 })},
		{"an event that leaves a gap", invariant, eventWith(func(e *bursar.Event) { e.Seq++ })},
		{"a first event that is not number 1", invariant, eventWith(func(e *bursar.Event) { e.Subject, e.Seq = "new", 2 })},
		{"an event numbered 0", invariant, eventWith(func(e *bursar.Event) { e.Seq = 0 })},
	}
}
