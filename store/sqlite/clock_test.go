package sqlite_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/internal/clocktest"
	"github.com/bursar-go/bursar/store/sqlite"
)

// fenced writes with a lease.
func fenced(t *testing.T, s *sqlite.Store, f bursar.Fence) error {
	t.Helper()
	return put(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{f}})
}

func lease(t *testing.T, s *sqlite.Store, holder string) (bursar.Fence, error) {
	t.Helper()
	return s.Acquire(t.Context(), "scan", holder, time.Minute)
}

// D7: this store's clock is the host's. One that jumps ahead ends a lease at once:
// another process may have it, and what the old holder writes then is refused. One
// that jumps back makes it seem to hold for long, until its holder shows up, which
// does so by its own monotonic clock; then it holds for a minute again.
func TestThreat_D7_LeasesWhereTheHostsClockJumps(t *testing.T) {
	const oneDay = 24 * time.Hour
	path := fileIn(t)
	here, there := openAt(t, path), openAt(t, path) // as two processes
	mine, err := lease(t, here, "a")
	require.NoError(t, err)
	_, err = lease(t, there, "b")
	require.ErrorIs(t, err, bursar.ErrLeaseHeld)

	clocktest.Jump(t, oneDay)
	require.NoError(t, fenced(t, here, mine), "nobody has taken it")
	yours, err := lease(t, there, "b")
	require.NoError(t, err)
	require.Equal(t, mine.Epoch+1, yours.Epoch)
	require.ErrorIs(t, fenced(t, here, mine), bursar.ErrFenced)
	require.NoError(t, fenced(t, there, yours))

	clocktest.Jump(t, -oneDay)
	_, err = lease(t, here, "a")
	require.ErrorIs(t, err, bursar.ErrLeaseHeld)
	require.NoError(t, fenced(t, there, yours))
	again, err := lease(t, there, "b")
	require.NoError(t, err)
	require.Equal(t, yours.Epoch, again.Epoch, "it is its own")
	require.WithinDuration(t, time.Now().Add(time.Minute), again.Until, 30*time.Second, "and set right")

	clocktest.Jump(t, 0)
	next, err := lease(t, here, "a")
	require.NoError(t, err)
	require.Equal(t, again.Epoch+1, next.Epoch)
	require.ErrorIs(t, fenced(t, there, again), bursar.ErrFenced)
}

// D7: waiting for another process is bounded by the monotonic clock.
func TestThreat_D7_WaitingHasItsEnd(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	_, err := s.OnWriter(t.Context(), "PRAGMA busy_timeout = 200")
	require.NoError(t, err)
	c := startChild(t, "hold", path)
	require.Equal(t, "held", c.line(t))
	begin := time.Now()
	failed := make(chan error, 1)
	go func() { failed <- put(t.Context(), s, sale("a")) }()
	until(t, "the write to queue up", func() bool { return s.Queued() == 1 || len(failed) == 1 })
	clocktest.Jump(t, -24*time.Hour)
	select {
	case err = <-failed:
	case <-time.After(20 * time.Second):
		err = errors.New("it waits for a day")
	}
	require.ErrorContains(t, err, "somebody else holds the database")
	require.Less(t, time.Since(begin), 20*time.Second)
}
