package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/stretchr/testify/require"
)

func TestFaultyWithoutFaultsIsAStore(t *testing.T) {
	Run(t, func(*testing.T) bursar.Store { return Faulty(memory.New(), nil) })
}

// raise adds one to a counter that is easy to read back.
func raise(s bursar.Store) error { return bump(context.Background(), s) }

func height(t *testing.T, s bursar.Store) (h int) {
	t.Helper()
	require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) error {
		c, err := r.Chain(t.Context(), mainnet)
		h = int(c.Final)
		return err
	}))
	return h
}

func TestFaultsOfAWrite(t *testing.T) {
	for _, c := range []struct {
		fault   Fault
		want    error
		written int
		dead    bool
	}{
		{Pass, nil, 1, false},
		{FailBefore, ErrInjected, 0, false},
		{LoseBefore, bursar.ErrUnknownOutcome, 0, false},
		{LoseAfter, bursar.ErrUnknownOutcome, 1, false},
		{ConflictOnce, nil, 1, false},
		{CrashBefore, ErrCrashed, 0, true},
		{CrashAfter, ErrCrashed, 1, true},
	} {
		t.Run(fmt.Sprint(c.fault), func(t *testing.T) {
			inner := memory.New()
			s := Faulty(inner, At(2, c.fault))
			require.NoError(t, raise(s))
			require.ErrorIs(t, raise(s), c.want)
			require.Equal(t, 1+c.written, height(t, inner))
			require.Equal(t, c.dead, s.Crashed())
			err := raise(s)
			if c.dead {
				require.ErrorIs(t, err, ErrCrashed)
				require.NoError(t, s.Close())
				require.Equal(t, 1+c.written, height(t, inner), "the next process goes on with the same store")
				return
			}
			require.NoError(t, err)
			require.Equal(t, 3, s.Points())
		})
	}
}

func TestFaultyPanics(t *testing.T) {
	for fault, written := range map[Fault]int{PanicBefore: 0, PanicAfter: 1} {
		inner := memory.New()
		s := Faulty(inner, At(1, fault))
		func() {
			defer func() {
				p, ok := recover().(Point)
				require.True(t, ok && p.Op == OpWrite && p.N == 1, "%+v", p)
			}()
			_ = raise(s)
		}()
		require.Equal(t, written, height(t, inner))
		require.NoError(t, raise(s))
	}
}

func TestFaultyConflictRunsTheClosureAgain(t *testing.T) {
	s := Faulty(memory.New(), At(1, ConflictOnce))
	runs := 0
	require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error {
		runs++
		return tx.Apply(t.Context(), fullBatch(1))
	}))
	require.Equal(t, 2, runs)
	require.Equal(t, 1, s.Points(), "a repeated closure is one point")
}

func TestFaultyReservationsAndLeases(t *testing.T) {
	s := Faulty(memory.New(), func(p Point) Fault {
		if p.Name == "lost" && p.N <= 2 {
			return LoseAfter
		}
		return Pass
	})
	_, err := s.Reserve(t.Context(), "lost", 5)
	require.ErrorIs(t, err, bursar.ErrUnknownOutcome)
	fence, err := s.Acquire(t.Context(), "lost", "me", patience)
	require.ErrorIs(t, err, bursar.ErrUnknownOutcome)
	require.Zero(t, fence)
	first, err := s.Reserve(t.Context(), "lost", 1)
	require.NoError(t, err)
	require.EqualValues(t, 5, first, "an index whose fate is unknown is not handed out again")
	fence, err = s.Acquire(t.Context(), "lost", "me", patience)
	require.NoError(t, err)
	require.EqualValues(t, 1, fence.Epoch)
	require.Equal(t, 4, s.Points())
}

func TestFaultyReadsAreNoCommitPoints(t *testing.T) {
	failReads := func(p Point) Fault {
		if !p.Commits() && p.N == 2 {
			return FailBefore
		}
		return Pass
	}
	s := Faulty(memory.New(), failReads)
	none := func(bursar.Reader) error { return nil }
	require.NoError(t, s.Read(t.Context(), none))
	require.ErrorIs(t, s.Write(t.Context(), func(bursar.Tx) error { return nil }), ErrInjected)
	require.NoError(t, s.Read(t.Context(), none))
	require.Zero(t, s.Points())
}

// Every commit of a scenario is a crash point once. The scenario is a step that
// looks before it writes: repeated by the next process, it ends the same.
func TestThreat_D1_EveryCommitIsACrashPoint(t *testing.T) {
	const steps = 4
	scenario := func(s bursar.Store) error {
		for i := range steps {
			id := fmt.Sprint("p", i)
			err := s.Write(context.Background(), func(tx bursar.Tx) error {
				old, err := tx.Payments(context.Background(), bursar.PaymentQuery{IDs: []string{id}})
				if err != nil || len(old) > 0 {
					return err
				}
				return tx.Apply(context.Background(), bursar.Batch{
					Payments: []bursar.Payment{payment(id)}, Entries: []bursar.Entry{entry("e" + id)}, Events: []bursar.Event{event("v"+id, id, 1)},
				})
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	calm := memory.New()
	count := Faulty(calm, nil)
	require.NoError(t, scenario(count))
	require.Equal(t, steps, count.Points())
	want := newKit(t, func() bursar.Store { return calm }).state()
	for n := range count.Points() {
		for _, fault := range []Fault{FailBefore, LoseBefore, LoseAfter, CrashBefore, CrashAfter} {
			inner := memory.New()
			require.Error(t, scenario(Faulty(inner, At(n+1, fault))))
			require.NoError(t, scenario(inner), "the next process")
			require.Empty(t, differ(want, newKit(t, func() bursar.Store { return inner }).state()), "point %d, fault %d", n+1, fault)
		}
	}
}
