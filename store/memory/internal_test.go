package memory

import (
	"context"
	"fmt"
	"testing"

	"github.com/bursar-go/bursar"
	"github.com/stretchr/testify/require"
)

// set writes a payment with a status of its own for each version.
func set(t *testing.T, s *Store, id string, version int) {
	t.Helper()
	require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error {
		return tx.Apply(t.Context(), bursar.Batch{Payments: []bursar.Payment{{
			ID: id, Version: int64(version), Customer: fmt.Sprint(version), IdempotencyKey: fmt.Sprint(id, version),
		}}})
	}))
}

// versions counts what the store keeps of a payment: rows, and places in the
// indexes.
func versions(s *Store, id string) (rows, places int) {
	for v := s.payments.rows[id].newest; v != nil; v = v.prev {
		rows++
	}
	for _, x := range s.payments.indexes {
		places += x.tree.Len()
	}
	for _, u := range s.payments.uniques {
		places += len(u.rows)
	}
	return rows, places
}

func TestVersionsGoWhenNobodySeesThem(t *testing.T) {
	s := New()
	set(t, s, "p", 0)
	_, once := versions(s, "p")
	for i := range 10 {
		set(t, s, "p", i+1)
	}
	rows, places := versions(s, "p")
	require.Equal(t, 1, rows)
	require.Equal(t, once, places, "old keys lead nowhere")
	require.Empty(t, s.payments.stale)
}

func TestVersionsStayWhileASnapshotSeesThem(t *testing.T) {
	s := New()
	set(t, s, "p", 0)
	require.NoError(t, s.Read(t.Context(), func(old bursar.Reader) error {
		for i := range 10 {
			set(t, s, "p", i+1)
		}
		rows, _ := versions(s, "p")
		require.Equal(t, 11, rows)
		found, err := old.Payments(t.Context(), bursar.PaymentQuery{IdempotencyKeys: []string{"p0"}})
		require.Len(t, found, 1)
		return err
	}))
	rows, _ := versions(s, "p")
	require.Equal(t, 1, rows, "the last reader takes its versions with it")
	require.Empty(t, s.payments.stale)
}

// However snapshots overlap, the list of those in use ends empty.
func TestSnapshotsAreReleased(t *testing.T) {
	s := New()
	set(t, s, "p", 0)
	outer, inner := make(chan struct{}), make(chan error)
	require.NoError(t, s.Read(t.Context(), func(bursar.Reader) error {
		set(t, s, "p", 1)
		started := make(chan struct{})
		go func() {
			inner <- s.Read(context.Background(), func(bursar.Reader) error { close(started); <-outer; return nil })
		}()
		<-started
		set(t, s, "p", 2)
		return nil
	}))
	rows, _ := versions(s, "p")
	require.Equal(t, 2, rows, "the inner snapshot sees version 2 still")
	close(outer)
	require.NoError(t, <-inner)
	require.Nil(t, s.snaps.oldest)
	require.Nil(t, s.snaps.newest)
	rows, _ = versions(s, "p")
	require.Equal(t, 1, rows)
}

func TestAbortedCommitsLeaveNoPlaces(t *testing.T) {
	s := New()
	set(t, s, "p", 0)
	_, before := versions(s, "p")
	err := s.Write(t.Context(), func(tx bursar.Tx) error {
		return tx.Apply(t.Context(), bursar.Batch{
			Payments: []bursar.Payment{{ID: "p", Version: 1, Customer: "x"}, {ID: "q", Customer: "y"}, {ID: "q", Version: 1}},
			Events:   []bursar.Event{{ID: "e", Subject: "p", Seq: 2}},
		})
	})
	require.ErrorIs(t, err, bursar.ErrInvariant)
	_, after := versions(s, "p")
	require.Equal(t, before, after)
	require.NotContains(t, s.payments.rows, "q")
	require.EqualValues(t, 1, s.payments.rows["p"].newest.row.Version)
}

// Lists longer than one hold of the lock are complete, in order, and blind to
// what is written between two holds.
func TestLongScansGoOnWhereTheyStopped(t *testing.T) {
	const n = 2*slice + 7
	s := New()
	var b bursar.Batch
	for i := range n {
		id := fmt.Sprintf("%06d", i)
		b.Payments = append(b.Payments, bursar.Payment{ID: id})
		b.Events = append(b.Events, bursar.Event{ID: id, Subject: "s", Seq: int64(i + 1)})
		b.Entries = append(b.Entries, entryOne(id))
	}
	require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error { return tx.Apply(t.Context(), b) }))
	ctx := &busy{Context: t.Context(), between: func(call int) { set(t, s, fmt.Sprintf("%06d.5", call*17), 0) }}
	require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) error {
		payments, err := r.Payments(ctx, bursar.PaymentQuery{})
		require.NoError(t, err)
		require.Len(t, payments, n)
		require.Greater(t, ctx.calls, 2)
		for i, p := range payments {
			require.Equal(t, fmt.Sprintf("%06d", n-1-i), p.ID)
		}
		events, err := r.Events(ctx, bursar.EventQuery{Subject: "s", AfterSeq: 3})
		require.NoError(t, err)
		require.Len(t, events, n-3)
		entries, err := r.Entries(ctx, bursar.EntryQuery{})
		require.Len(t, entries, n)
		return err
	}))
}

func entryOne(id string) bursar.Entry {
	e := bursar.Entry{ID: id, Debit: "a", Credit: "b"}
	if err := e.Amount.UnmarshalText([]byte("1")); err != nil {
		panic(err)
	}
	return e
}

// busy writes each time the store looks at the context, which it does before
// it takes the lock.
type busy struct {
	context.Context
	calls   int
	between func(call int)
}

func (b *busy) Err() error {
	b.calls++
	b.between(b.calls)
	return b.Context.Err()
}
