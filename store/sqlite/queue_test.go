package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/sqlite"
)

// big is a row that needs many pages. Its table has no trigger: SQLite undoes the
// whole transaction where there is no room for it.
func big(id string, size int) bursar.Batch {
	return bursar.Batch{Transactions: []bursar.Transaction{{
		ID: id, Chain: ether.Chain(), Transfer: chain.TransferID{Tx: chain.TxID(id)}, Asset: ether, FailureReason: strings.Repeat("x", size), CreatedAt: day,
	}}}
}

// together queues writes up and lets them share a transaction.
func together(t *testing.T, s *sqlite.Store, writes ...func() error) []error {
	t.Helper()
	release := s.Hold()
	out := make([]error, len(writes))
	var wg sync.WaitGroup
	for i, w := range writes {
		wg.Go(func() { out[i] = w() })
		until(t, "a write to queue up", func() bool { return s.Queued() == i+1 })
	}
	release()
	wg.Wait()
	return out
}

func selling(t *testing.T, s *sqlite.Store, id string) func() error {
	return func() error { return put(t.Context(), s, sale(id)) }
}

// What one writer does wrong is its own affair.
func TestAFailureReachesNobodyElse(t *testing.T) {
	s := openAt(t, fileIn(t))
	require.NoError(t, put(t.Context(), s, sale("taken")))
	errMine := errors.New("mine")
	fail := func(err error) func() error {
		return func() error {
			return s.Alone(t.Context(), func(context.Context) error { return err })
		}
	}
	got := together(t, s,
		selling(t, s, "a"), selling(t, s, "taken"), selling(t, s, "b"), fail(errMine),
		func() error {
			return s.Alone(t.Context(), func(context.Context) error { panic("mine") })
		},
		selling(t, s, "c"))
	require.NoError(t, errors.Join(got[0], got[2], got[5]))
	require.ErrorIs(t, got[1], bursar.ErrConflict)
	require.ErrorIs(t, got[3], errMine)
	require.ErrorIs(t, got[4], bursar.ErrInvariant)
	require.ErrorContains(t, got[4], "mine")
	require.ElementsMatch(t, []string{"taken", "a", "b", "c"}, sales(t, s))
}

// D10: SQLite undoes a whole transaction where one statement finds no room. Those
// who shared it are written all the same.
func TestThreat_D10_NoRoomForOne(t *testing.T) {
	s := openAt(t, fileIn(t))
	require.NoError(t, put(t.Context(), s, sale("before")))
	pages := number(t, s.DB(), "PRAGMA page_count")
	_, err := s.OnWriter(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages+60))
	require.NoError(t, err)
	heavy := func() error { return put(t.Context(), s, big("heavy", 4<<20)) }
	got := together(t, s, selling(t, s, "a"), heavy, selling(t, s, "b"), heavy, selling(t, s, "c"))
	require.ErrorContains(t, got[1], "the disk is full")
	require.ErrorContains(t, got[3], "the disk is full")
	require.NoError(t, errors.Join(got[0], got[2], got[4]))
	require.ErrorContains(t, heavy(), "the disk is full", "alone too")
	require.ElementsMatch(t, []string{"before", "a", "b", "c"}, sales(t, s), "and nothing is left of it")
	_, err = s.OnWriter(t.Context(), "PRAGMA max_page_count = 1073741823")
	require.NoError(t, err)
	require.NoError(t, heavy(), "once there is room")
}

// G8: a caller that goes away undoes nothing of others', and its own write happens
// as a whole or not at all.
func TestThreat_G8_CancelledCallers(t *testing.T) {
	s := openAt(t, fileIn(t))
	var wg sync.WaitGroup
	var mu sync.Mutex
	want, maybe := map[string]bool{}, map[string]bool{}
	for g := range 8 {
		wg.Go(func() {
			for n := range 25 {
				ids := make([]string, 4)
				batches := make([]bursar.Batch, len(ids))
				for i := range ids {
					ids[i] = fmt.Sprintf("%d_%d_%d", g, n, i)
					batches[i] = sale(ids[i])
				}
				ctx, cancel := context.WithCancel(t.Context())
				if g%2 == 0 {
					time.AfterFunc(time.Duration(rand.IntN(2000))*time.Microsecond, cancel)
				}
				err := put(ctx, s, batches...)
				cancel()
				if err != nil && (g%2 != 0 || !errors.Is(err, context.Canceled)) {
					t.Errorf("%d: %v", g, err)
				}
				mu.Lock()
				for _, id := range ids {
					maybe[id] = true
					want[id] = want[id] || err == nil
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	there := map[string]bool{}
	for _, id := range sales(t, s) {
		there[id] = true
	}
	for id, ok := range want {
		require.True(t, there[id] || !ok, "%s was confirmed", id)
		require.Equal(t, there[id], there[id[:len(id)-1]+"0"], "%s is a part of a write", id)
	}
	require.Zero(t, s.Queued())
}

// A statement under way when its caller leaves is not interrupted: SQLite would
// undo the transaction.
func TestThreat_G8_StatementsAreNotInterrupted(t *testing.T) {
	s := openAt(t, fileIn(t))
	ctx, cancel := context.WithCancel(t.Context())
	got := together(t, s, selling(t, s, "a"), func() error {
		return s.Alone(ctx, func(inner context.Context) error {
			cancel()
			return inner.Err()
		})
	})
	require.NoError(t, errors.Join(got...))
	require.ErrorIs(t, put(ctx, s, sale("late")), context.Canceled)
	require.Equal(t, []string{"a"}, sales(t, s))
}

// A connection that breaks is replaced, and nobody notices.
func TestABrokenWriterIsReplaced(t *testing.T) {
	s := openAt(t, fileIn(t))
	require.NoError(t, put(t.Context(), s, sale("a")))
	s.Break()
	require.NoError(t, put(t.Context(), s, sale("b")))
	require.Equal(t, []string{"b", "a"}, sales(t, s))
	s.Break()
	require.NoError(t, s.WriteHost(t.Context(), func(tx bursar.Tx) error { return tx.Apply(t.Context(), sale("c")) }))
	for _, pragma := range []string{"synchronous=2", "foreign_keys=1", "busy_timeout=5000"} {
		name, want, _ := strings.Cut(pragma, "=")
		got, err := s.OnWriter(t.Context(), "PRAGMA "+name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
}

// Many more writers than share a transaction: each is answered, and once.
func TestEveryWriterIsAnswered(t *testing.T) {
	s := openAt(t, fileIn(t))
	var writes []func() error
	for n := range 150 {
		writes = append(writes, selling(t, s, fmt.Sprint(n)))
	}
	require.NoError(t, errors.Join(together(t, s, writes...)...))
	require.Len(t, sales(t, s), 150)
}

// After Close every call says so, also one that was waiting, and none hangs.
func TestCallsAfterClose(t *testing.T) {
	s, err := sqlite.Open(t.Context(), fileIn(t))
	require.NoError(t, err)
	release := s.Hold()
	waiting := make(chan error, 1)
	go func() { waiting <- put(t.Context(), s, sale("a")) }()
	until(t, "the write to queue up", func() bool { return s.Queued() == 1 })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	until(t, "Close to begin", func() bool {
		return errors.Is(s.Read(t.Context(), func(bursar.Reader) error { return nil }), bursar.ErrStoreClosed)
	})
	release()
	if err := <-waiting; err != nil { // it may have been in time
		require.ErrorIs(t, err, bursar.ErrStoreClosed)
	}
	require.NoError(t, <-closed)
	require.NoError(t, s.Close(), "twice")

	calls := map[string]error{
		"Write": put(t.Context(), s, sale("b")), "Settle": s.Settle(t.Context()), "Migrate": s.Migrate(t.Context()),
		"Backup": s.Backup(t.Context(), fileIn(t)),
		"Host":   s.WriteHost(t.Context(), func(bursar.Tx) error { return nil }),
	}
	_, calls["Origin"] = s.Origin(t.Context())
	_, calls["Prune"] = s.Prune(t.Context(), day)
	_, calls["Reserve"] = s.Reserve(t.Context(), "pool", 1)
	_, calls["Acquire"] = s.Acquire(t.Context(), "lease", "me", time.Second)
	for call, err := range calls {
		require.ErrorIs(t, err, bursar.ErrStoreClosed, call)
	}
}

// Close comes between the transactions of many writers that wait: each of them is
// answered.
func TestCloseBetweenWriters(t *testing.T) {
	path := fileIn(t)
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	release := s.Hold()
	results := make(chan error, 200)
	for n := range cap(results) {
		go func() { results <- put(t.Context(), s, sale(fmt.Sprint(n))) }()
	}
	until(t, "the writes to queue up", func() bool { return s.Queued() == cap(results) })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	until(t, "Close to begin", func() bool {
		return errors.Is(s.Read(t.Context(), func(bursar.Reader) error { return nil }), bursar.ErrStoreClosed)
	})
	release()
	good := 0
	for range cap(results) {
		err := <-results
		if err != nil {
			require.ErrorIs(t, err, bursar.ErrStoreClosed)
			continue
		}
		good++
	}
	require.NoError(t, <-closed)
	require.Len(t, sales(t, openAt(t, path)), good)
}

// Close waits for readers and writers under way.
func TestCloseUnderLoad(t *testing.T) {
	for range 5 {
		s, err := sqlite.Open(t.Context(), fileIn(t))
		require.NoError(t, err)
		var wg sync.WaitGroup
		for g := range 20 {
			wg.Go(func() {
				for n := 0; ; n++ {
					err := put(t.Context(), s, sale(fmt.Sprintf("%d_%d", g, n)))
					if err == nil {
						_, err = s.Reserve(t.Context(), "pool", 1)
					}
					if err != nil {
						if !errors.Is(err, bursar.ErrStoreClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		until(t, "some writes", func() bool { return s.Queued() > 3 })
		require.NoError(t, s.Close())
		wg.Wait()
	}
}
