package storetest

import (
	"fmt"
	"math/big"

	"github.com/bursar-go/bursar"
	"github.com/stretchr/testify/require"
)

// ledgerChecks hold the journal to its rules, and balances to the journal.
func ledgerChecks() []check {
	return []check{
		{"D15 balances are the sums of the entries", sums},
		{"sums of zero are left out", zeroSums},
		{"entries come in the order they were written", entryOrder},
		{"an entry is reversed at most once", reversedOnce},
		{"an entry is reversed at most once within a batch", reversedOnceInside},
		{"an entry can be reversed by a later one of its own batch", reversedInBatch},
		{"Unreversed leaves out the reversed and the reversal", unreversed},
		{"S3 a live key is free again after its reversal, as often as the block moves", liveAgain},
		{"a batch that fails gives back the live keys and reversals it took", liveUndone},
		{"a stale writer hears of the conflict, not of a broken rule", conflictFirst},
	}
}

// balances returns "account sum" lines of an asset.
func (k *kit) balances(q bursar.BalanceQuery) (lines []string) {
	k.Helper()
	k.read(func(v view) {
		for _, b := range v.balances(q) {
			lines = append(lines, fmt.Sprintf("%s %s %v", b.Asset, b.Account, b.Sum))
		}
	})
	return lines
}

func sums(k *kit) {
	top := entry("e1", func(e *bursar.Entry) { e.Amount = huge(0) })
	more := entry("e2", func(e *bursar.Entry) { e.Amount = huge(0) })
	other := entry("e3", func(e *bursar.Entry) { e.Asset = usdcID })
	k.write(bursar.Batch{Entries: []bursar.Entry{top, more, other}})
	twice := new(big.Int).Lsh(huge(0).Big(), 1).String()
	require.Equal(k, []string{
		string(usdcID) + " U:h 7", string(usdcID) + " pending:p -7",
		string(ether) + " U:h " + twice, string(ether) + " pending:p -" + twice,
	}, k.balances(bursar.BalanceQuery{}))
	require.NoError(k, k.s.Read(k.ctx, k.checkBooks))
}

func zeroSums(k *kit) {
	e := entry("e")
	k.write(bursar.Batch{Entries: []bursar.Entry{e}})
	k.write(bursar.Batch{Entries: []bursar.Entry{reversal("r", e)}})
	require.Empty(k, k.balances(bursar.BalanceQuery{}))
	require.Empty(k, k.balances(bursar.BalanceQuery{Asset: ether, Accounts: []bursar.Account{"U:h"}}))
}

func entryOrder(k *kit) {
	want := ""
	for i := range 30 {
		// Neither ids nor times have the order of writing.
		id := fmt.Sprintf("%02d", i*7%30)
		want += id + " "
		k.write(bursar.Batch{Entries: []bursar.Entry{entry(id, func(e *bursar.Entry) { e.At = later(-i) })}})
	}
	got := ""
	k.read(func(v view) {
		for _, e := range v.entries(bursar.EntryQuery{Subject: "p"}) {
			got += e.ID + " "
		}
	})
	require.Equal(k, want, got)
}

func reversedOnce(k *kit) {
	e := entry("e")
	k.write(bursar.Batch{Entries: []bursar.Entry{e}})
	k.write(bursar.Batch{Entries: []bursar.Entry{reversal("r", e)}})
	k.refuse(bursar.ErrInvariant, bursar.Batch{Entries: []bursar.Entry{reversal("s", e)}})
}

func reversedOnceInside(k *kit) {
	e := entry("e")
	k.refuse(bursar.ErrInvariant, bursar.Batch{Entries: []bursar.Entry{e, reversal("r", e), reversal("s", e)}})
	k.write(bursar.Batch{Entries: []bursar.Entry{e}})
	k.refuse(bursar.ErrInvariant, bursar.Batch{Entries: []bursar.Entry{reversal("r", e), reversal("s", e)}})
	k.write(bursar.Batch{Entries: []bursar.Entry{reversal("r", e)}})
}

func reversedInBatch(k *kit) {
	e := entry("e", live("t"))
	b := bursar.Batch{Entries: []bursar.Entry{e, reversal("r", e), entry("f", live("t"))}}
	k.write(b)
	require.Empty(k, differ(stored(b), k.state()))
}

func (k *kit) unreversed() (ids string) {
	k.Helper()
	k.read(func(v view) {
		for _, e := range v.entries(bursar.EntryQuery{Unreversed: true}) {
			ids += e.ID + " "
		}
	})
	return ids
}

func unreversed(k *kit) {
	a, b, c := entry("a"), entry("b"), entry("c")
	k.write(bursar.Batch{Entries: []bursar.Entry{a, b, c}})
	k.read(func(old view) {
		k.write(bursar.Batch{Entries: []bursar.Entry{reversal("r", b)}})
		require.Len(k, old.entries(bursar.EntryQuery{Unreversed: true}), 3, "a snapshot does not see the later reversal")
	})
	require.Equal(k, "a c ", k.unreversed())
}

func liveAgain(k *kit) {
	for i := range 5 {
		credit := entry(fmt.Sprintf("e%d", i), live("t"))
		k.write(bursar.Batch{Entries: []bursar.Entry{credit}})
		k.refuse(bursar.ErrConflict, bursar.Batch{Entries: []bursar.Entry{entry("x", live("t"))}})
		k.write(bursar.Batch{Entries: []bursar.Entry{reversal(fmt.Sprintf("r%d", i), credit)}})
	}
	require.Empty(k, k.unreversed())
}

func liveUndone(k *kit) {
	held, bad := entry("e", live("t")), entry("bad", func(e *bursar.Entry) { e.Debit = e.Credit })
	k.write(bursar.Batch{Entries: []bursar.Entry{held}})
	k.refuse(bursar.ErrInvariant, bursar.Batch{Entries: []bursar.Entry{
		reversal("r", held), entry("f", live("t")), entry("g", live("u")), bad,
	}})
	require.Equal(k, "e ", k.unreversed())
	k.refuse(bursar.ErrConflict, bursar.Batch{Entries: []bursar.Entry{entry("f", live("t"))}})
	k.write(bursar.Batch{Entries: []bursar.Entry{reversal("r", held), entry("f", live("t")), entry("g", live("u"))}})
}

func conflictFirst(k *kit) {
	k.write(bursar.Batch{Payments: []bursar.Payment{payment("p")}})
	k.refuse(bursar.ErrConflict, bursar.Batch{
		Payments: []bursar.Payment{payment("p")},
		Entries:  []bursar.Entry{entry("e", func(e *bursar.Entry) { e.Reverses = "unknown" })},
		Events:   []bursar.Event{event("e", "p", 9)},
	})
}

// eventChecks hold the events of a subject to a sequence without a gap.
func eventChecks() []check {
	return []check{
		{"S7 events of a subject count from 1 without a gap", gapless},
		{"several events of a subject in one batch count on", severalEvents},
		{"events come in the order they were written", eventOrder},
		{"a batch that fails gives back its sequence numbers", numbersUndone},
	}
}

func gapless(k *kit) {
	for i := range 5 {
		seq := int64(i + 1)
		k.refuse(bursar.ErrInvariant, bursar.Batch{Events: []bursar.Event{event("x", "p", seq+1)}})
		k.write(bursar.Batch{Events: []bursar.Event{event(fmt.Sprint("e", i), "p", seq)}})
		k.refuse(bursar.ErrConflict, bursar.Batch{Events: []bursar.Event{event("x", "p", seq)}})
	}
}

func severalEvents(k *kit) {
	b := bursar.Batch{Events: []bursar.Event{event("a", "p", 1), event("b", "q", 1), event("c", "p", 2), event("d", "p", 3)}}
	k.write(b)
	require.Empty(k, differ(stored(b), k.state()))
	k.refuse(bursar.ErrInvariant, bursar.Batch{Events: []bursar.Event{event("x", "p", 4), event("y", "p", 6)}})
}

func eventOrder(k *kit) {
	var b bursar.Batch
	for i := range 30 {
		id := fmt.Sprintf("%02d", i*7%30)
		e := event(id, id, 1, func(e *bursar.Event) { e.Time = later(-i) })
		b.Events = append(b.Events, e)
		k.write(bursar.Batch{Events: []bursar.Event{e}})
	}
	require.Empty(k, differ(stored(b), k.state()))
}

func numbersUndone(k *kit) {
	bad := entry("bad", func(e *bursar.Entry) { e.Credit = e.Debit })
	k.refuse(bursar.ErrInvariant, bursar.Batch{Events: []bursar.Event{event("a", "p", 1)}, Entries: []bursar.Entry{bad}})
	k.refuse(bursar.ErrInvariant, bursar.Batch{Events: []bursar.Event{event("a", "p", 1), event("b", "q", 2)}})
	k.write(bursar.Batch{Events: []bursar.Event{event("a", "p", 1)}})
}
