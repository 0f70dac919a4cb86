package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/internal/clocktest"
)

// TestThreat_D7_TheHostsClockMeansNothing: time is the server's, whatever the clock
// of the process shows. A lease neither ends with it nor grows, a delivery is due
// when it is, and a row is as old as it is.
func TestThreat_D7_TheHostsClockMeansNothing(t *testing.T) {
	dsn := prepared(t)
	here, there := open(t, dsn), open(t, dsn)
	truth := time.Now()
	isNow := func(what string, at time.Time) {
		t.Helper()
		// By the wall clock of before the jump: Round drops the monotonic reading.
		require.WithinDuration(t, truth.Round(0), at, 10*time.Minute, what)
	}
	row := delivery("p", 1)
	row.NextAt = truth.Add(time.Hour)
	require.NoError(t, write(t.Context(), here, bursar.Batch{Events: []bursar.Event{event("p", 1)}, Deliveries: []bursar.Delivery{row}}))
	due := func() (n int) {
		t.Helper()
		require.NoError(t, here.Read(t.Context(), func(r bursar.Reader) error {
			rows, err := r.Deliveries(t.Context(), bursar.DeliveryQuery{Endpoint: "shop", DueBy: r.Now()})
			n = len(rows)
			return err
		}))
		return n
	}
	for name, by := range map[string]time.Duration{"ahead": 24 * time.Hour, "back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			mine, err := here.Acquire(t.Context(), name, "a", time.Minute)
			require.NoError(t, err)
			clocktest.Jump(t, by)
			_, err = there.Acquire(t.Context(), name, "b", time.Minute)
			require.ErrorIs(t, err, bursar.ErrLeaseHeld)
			again, err := here.Acquire(t.Context(), name, "a", time.Minute)
			require.NoError(t, err)
			require.Equal(t, mine.Epoch, again.Epoch)
			isNow("the lease's end", again.Until)
			require.NoError(t, write(t.Context(), here, bursar.Batch{Fences: []bursar.Fence{mine}}))
			_, err = here.Acquire(t.Context(), name, "a", -time.Second)
			require.NoError(t, err)
			next, err := there.Acquire(t.Context(), name, "b", time.Minute)
			require.NoError(t, err)
			require.Equal(t, mine.Epoch+1, next.Epoch, "what was given up is free at once")

			require.Zero(t, due())
			look := func(what string) func(bursar.Reader) error {
				return func(r bursar.Reader) error { isNow(what, r.Now()); return nil }
			}
			require.NoError(t, here.Read(t.Context(), look("Read")))
			require.NoError(t, here.Write(t.Context(), func(tx bursar.Tx) error { return look("Write")(tx) }))
			require.NoError(t, here.WriteHost(t.Context(), func(tx bursar.Tx) error { return look("WriteHost")(tx) }))
			tx, err := here.Pool().Begin(t.Context())
			require.NoError(t, err)
			defer tx.Rollback(context.Background())
			isNow("a host's transaction", here.Tx(tx).Now())
		})
	}
}
