package memory_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
	"github.com/stretchr/testify/require"
)

func TestThreat_D18_Conformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) bursar.Store { return memory.New() })
}

// clock is a clock that a test sets.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time      { return time.Unix(0, c.at.Load()).In(time.FixedZone("", 7200)) }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d)) }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC).UnixNano())
	return c
}

func acquire(t *testing.T, s *memory.Store, holder string) (bursar.Fence, error) {
	t.Helper()
	return s.Acquire(t.Context(), "scanner", holder, 10*time.Second)
}

func write(ctx context.Context, s *memory.Store, f bursar.Fence) error {
	return s.Write(ctx, func(tx bursar.Tx) error {
		c, err := tx.Chain(ctx, "eip155:1")
		if err != nil {
			return err
		}
		return tx.Apply(ctx, bursar.Batch{Fences: []bursar.Fence{f}, Chains: []bursar.ChainState{c}})
	})
}

// A clock that jumps may hand a lease over too early or too late. It never
// lets two holders write.
func TestThreat_D8_EpochsAndNotTimeGuardALease(t *testing.T) {
	c := newClock()
	s := memory.NewWith(memory.Options{Now: c.now})
	mine, err := acquire(t, s, "me")
	require.NoError(t, err)
	c.add(24 * time.Hour)
	require.NoError(t, write(t.Context(), s, mine), "nobody took it over: the epoch is the present one")
	yours, err := acquire(t, s, "you")
	require.NoError(t, err)
	require.Equal(t, mine.Epoch+1, yours.Epoch)
	c.add(-24 * time.Hour)
	_, err = acquire(t, s, "me")
	require.ErrorIs(t, err, bursar.ErrLeaseHeld, "by the clock that jumped back the new lease runs on")
	require.ErrorIs(t, write(t.Context(), s, mine), bursar.ErrFenced)
	require.NoError(t, write(t.Context(), s, yours))
}

func TestLeaseEndsAtItsTimeAndNotBefore(t *testing.T) {
	c := newClock()
	s := memory.NewWith(memory.Options{Now: c.now})
	first, err := acquire(t, s, "me")
	require.NoError(t, err)
	require.Equal(t, first.Until, c.now().UTC().Truncate(time.Microsecond).Add(10*time.Second))
	c.add(10*time.Second - time.Microsecond)
	_, err = acquire(t, s, "you")
	require.ErrorIs(t, err, bursar.ErrLeaseHeld)
	c.add(time.Microsecond)
	again, err := acquire(t, s, "me")
	require.NoError(t, err)
	require.Equal(t, first.Epoch+1, again.Epoch, "a lease that ran out is a new one for its old holder too")
}

func TestLeaseIsGivenUpByNoTime(t *testing.T) {
	s := memory.New()
	first, err := s.Acquire(t.Context(), "scanner", "me", time.Hour)
	require.NoError(t, err)
	_, err = s.Acquire(t.Context(), "scanner", "me", 0)
	require.NoError(t, err)
	next, err := s.Acquire(t.Context(), "scanner", "you", time.Hour)
	require.NoError(t, err)
	require.Equal(t, first.Epoch+1, next.Epoch)
}

func TestNowFollowsTheClockInUTC(t *testing.T) {
	c := newClock()
	s := memory.NewWith(memory.Options{Now: c.now})
	for _, step := range []time.Duration{0, time.Hour, -48 * time.Hour} {
		c.add(step)
		require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) error {
			require.Equal(t, c.now().UTC().Truncate(time.Microsecond), r.Now())
			return nil
		}))
	}
}

// Virtual time stands still while a goroutine is blocked by a mutex. A closure
// that sleeps inside a transaction must not hold any: days pass at once, and
// others write meanwhile.
func TestVirtualTimePassesInsideAClosure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		begin := time.Now()
		done := make(chan error)
		go func() {
			done <- s.Write(t.Context(), func(tx bursar.Tx) error {
				time.Sleep(72 * time.Hour)
				return tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{{Chain: "eip155:2"}}})
			})
		}()
		for range 72 {
			time.Sleep(time.Hour - time.Minute)
			require.NoError(t, write(t.Context(), s, fence(t, s)))
		}
		require.NoError(t, <-done)
		require.Equal(t, 72*time.Hour, time.Since(begin))
	})
}

func fence(t *testing.T, s *memory.Store) bursar.Fence {
	t.Helper()
	f, err := s.Acquire(t.Context(), "scanner", "me", time.Hour)
	require.NoError(t, err)
	return f
}

// A conflict with nobody cannot end otherwise: the closure is not run again.
func TestConflictWithoutAnotherWriterIsFinal(t *testing.T) {
	s := memory.New()
	batch := bursar.Batch{Chains: []bursar.ChainState{{Chain: "eip155:1", Version: 3}}}
	runs := 0
	err := s.Write(t.Context(), func(tx bursar.Tx) error {
		runs++
		return tx.Apply(t.Context(), batch)
	})
	require.ErrorIs(t, err, bursar.ErrConflict)
	require.ErrorContains(t, err, `chain "eip155:1" has version 0, not 3`)
	require.Equal(t, 1, runs)
}

func TestContextEndsTheRetries(t *testing.T) {
	s := memory.New()
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := s.Write(ctx, func(tx bursar.Tx) error {
		if runs++; runs == 3 {
			cancel()
		}
		require.NoError(t, write(context.Background(), s, fence(t, s)))
		return bursar.ErrConflict
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, runs)
}

func TestReaderDoesNotOutliveItsClosure(t *testing.T) {
	s := memory.New()
	var kept bursar.Tx
	require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error { kept = tx; return nil }))
	_, err := kept.Payments(t.Context(), bursar.PaymentQuery{})
	require.Error(t, err)
	require.Error(t, kept.Apply(t.Context(), bursar.Batch{}))
}

func TestClosingStopsTransactionsUnderWay(t *testing.T) {
	s := memory.New()
	err := s.Write(t.Context(), func(tx bursar.Tx) error {
		require.NoError(t, tx.Apply(t.Context(), bursar.Batch{}))
		require.NoError(t, s.Close())
		_, err := tx.Pools(t.Context())
		require.ErrorIs(t, err, bursar.ErrStoreClosed)
		return nil
	})
	require.ErrorIs(t, err, bursar.ErrStoreClosed)
	require.NoError(t, s.Close())
}

func TestRefusals(t *testing.T) {
	s := memory.New()
	_, err := s.Reserve(t.Context(), "main/0", 0)
	require.ErrorIs(t, err, bursar.ErrInvariant, "an index that nobody reserved is nobody's")
	refused := func(want error, b bursar.Batch) {
		t.Helper()
		require.ErrorIs(t, s.Write(t.Context(), func(tx bursar.Tx) error { return tx.Apply(t.Context(), b) }), want)
	}
	refused(bursar.ErrInvariant, bursar.Batch{Payments: []bursar.Payment{{}}})
	refused(bursar.ErrInvariant, bursar.Batch{Entries: []bursar.Entry{{}}})
	refused(bursar.ErrInvariant, bursar.Batch{Events: []bursar.Event{{Seq: 1}}})
	err = s.Read(t.Context(), func(r bursar.Reader) error {
		_, err := r.Transactions(t.Context(), bursar.TransactionQuery{Sweepable: true})
		return err
	})
	var field *bursar.FieldError
	require.True(t, errors.As(err, &field), "%v", err)
	require.Equal(t, "TransactionQuery.Chain", field.Field)
}
