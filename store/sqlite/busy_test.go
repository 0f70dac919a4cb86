package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/sqlite"
)

// holdTheLock is another process in the middle of a transaction, until it is told
// to end it.
func holdTheLock(path string) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Println("held")
	bufio.NewScanner(os.Stdin).Scan()
	return tx.Rollback()
}

// countUp adds to the counter that other processes add to.
func countUp(path string) error {
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		return err
	}
	for range 40 {
		if err := increment(s); err != nil {
			return err
		}
	}
	fmt.Println("done")
	return s.Close()
}

// increment reads a number and writes one more.
func increment(s bursar.Store) error {
	ctx := context.Background()
	return s.Write(ctx, func(tx bursar.Tx) error { return addOne(ctx, tx) })
}

func addOne(ctx context.Context, tx bursar.Tx) error {
	row, err := tx.Chain(ctx, "eip155:1")
	if err != nil {
		return err
	}
	row.Seq++
	return tx.Apply(ctx, bursar.Batch{Chains: []bursar.ChainState{row}})
}

func counter(t testing.TB, s bursar.Store) int64 {
	t.Helper()
	var row bursar.ChainState
	require.NoError(t, s.Read(context.Background(), func(r bursar.Reader) (err error) {
		row, err = r.Chain(context.Background(), "eip155:1")
		return err
	}))
	return row.Seq
}

// D3: a database that another process holds makes a write wait. Who cannot wait
// leaves at once, and nothing of theirs is written later.
func TestThreat_D3_AnotherProcessHoldsTheLock(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	require.NoError(t, put(t.Context(), s, sale("before")))
	c := startChild(t, "hold", path)
	require.Equal(t, "held", c.line(t))

	require.Equal(t, []string{"before"}, sales(t, s), "readers go on")
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- put(ctx, s, sale("left")) }()
	until(t, "the write to queue up", func() bool { return s.Queued() == 1 })
	cancel()
	require.ErrorIs(t, <-left, context.Canceled)

	patient := make(chan error, 1)
	go func() { patient <- put(t.Context(), s, sale("patient")) }()
	until(t, "the write to queue up", func() bool { return s.Queued() == 1 })
	_, err := fmt.Fprintln(c.in, "go")
	require.NoError(t, err)
	require.NoError(t, <-patient)
	require.NoError(t, c.Wait())
	require.ElementsMatch(t, []string{"patient", "before"}, sales(t, s))
}

// D3: waiting has an end, and says why.
func TestThreat_D3_BusyIsSaidClearly(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	_, err := s.OnWriter(t.Context(), "PRAGMA busy_timeout = 20")
	require.NoError(t, err)
	c := startChild(t, "hold", path)
	require.Equal(t, "held", c.line(t))
	wrong := map[string]error{"Write": put(t.Context(), s, sale("a")), "Settle": s.Settle(t.Context())}
	_, wrong["Reserve"] = s.Reserve(t.Context(), "pool", 1)
	_, wrong["Acquire"] = s.Acquire(t.Context(), "lease", "me", time.Minute)
	wrong["WriteHost"] = s.WriteHost(t.Context(), func(bursar.Tx) error { return nil })
	for call, err := range wrong {
		require.ErrorContains(t, err, "somebody else holds the database", call)
		require.NotErrorIs(t, err, bursar.ErrConflict, call)
	}
	_, err = fmt.Fprintln(c.in, "go")
	require.NoError(t, err)
	require.NoError(t, c.Wait())
	require.NoError(t, put(t.Context(), s, sale("a")), "it goes on without reopening")
}

// D3: a conflict with a writer that this store does not know of is noticed, and
// the closure run again.
func TestThreat_D3_ForeignWriterIsNoticed(t *testing.T) {
	path := fileIn(t)
	a, b := openAt(t, path), openAt(t, path)
	require.NoError(t, increment(a))
	runs := 0
	require.NoError(t, a.Write(t.Context(), func(tx bursar.Tx) error {
		if runs++; runs == 1 {
			row, err := tx.Chain(t.Context(), "eip155:1")
			require.NoError(t, err)
			require.NoError(t, increment(b))
			row.Seq++
			return tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{row}})
		}
		return addOne(t.Context(), tx)
	}))
	require.Equal(t, 2, runs)
	require.EqualValues(t, 3, counter(t, a))
}

// D3: several writers that meet one foreign change all learn of it, also those
// that share a transaction.
func TestThreat_D3_ForeignWriterIsNoticedByAll(t *testing.T) {
	path := fileIn(t)
	a, b := openAt(t, path), openAt(t, path)
	states := []chain.ID{"eip155:1", "eip155:10", "eip155:137"}
	touch := func(ctx context.Context, tx bursar.Tx, id chain.ID) error {
		row, err := tx.Chain(ctx, id)
		row.Seq++
		return errors.Join(err, tx.Apply(ctx, bursar.Batch{Chains: []bursar.ChainState{row}}))
	}
	all := func(s bursar.Store) {
		for _, id := range states {
			require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error { return touch(t.Context(), tx, id) }))
		}
	}
	all(a)
	release := a.Hold()
	results := make(chan error, len(states))
	for _, id := range states {
		go func() {
			results <- a.Write(t.Context(), func(tx bursar.Tx) error { return touch(t.Context(), tx, id) })
		}()
	}
	until(t, "the writes to queue up", func() bool { return a.Queued() == len(states) })
	all(b)
	release()
	for range states {
		require.NoError(t, <-results)
	}
}

// D3: processes and goroutines on one file, and no increment is lost.
func TestThreat_D3_NoUpdateIsLost(t *testing.T) {
	path := fileIn(t)
	a, b := openAt(t, path), openAt(t, path)
	c := startChild(t, "count", path)
	var wg sync.WaitGroup
	for _, s := range []*sqlite.Store{a, b, a} {
		wg.Go(func() {
			for range 40 {
				if err := increment(s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, "done", c.line(t))
	require.NoError(t, c.Wait())
	require.EqualValues(t, 160, counter(t, a))
}
