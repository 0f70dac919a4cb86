//go:build unix

package crash

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/cutproxy"
	"github.com/bursar-go/bursar/internal/pgtest"
)

// long leaves a test out of a short run: under the race detector hosts take
// several times the work, and few worlds are enough for it.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: one world of each store is enough")
	}
}

// kills is how many hosts the tests of single hosts kill in all.
func kills(t testing.TB) int {
	text := os.Getenv("BURSAR_CRASH_KILLS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// killing kills the only host again and again, each time at another moment, and
// starts it at once. Every third time it dies inside the first transaction of its
// own that has a payment.
func killing(t *testing.T, o options, times int) {
	o.hosts, o.rate = 1, 4
	w := newWorld(t, o)
	name := w.all()[0]
	for i := range times {
		next := w.moment(name, w.kill)
		if i%3 == 2 {
			next = &trap{at: point{pointOrder, false}, who: name, do: w.kill}
		}
		w.set(next, 3*time.Second)
		w.launch(name)
	}
	w.settle()
	require.Equal(t, times, w.kills)
}

func TestThreat_D1_KilledHostOnSQLite(t *testing.T) {
	t.Parallel()
	killing(t, options{driver: "sqlite", dsn: litePath(t)}, (kills(t)+1)/2)
}

func TestThreat_D1_KilledHostOnPostgres(t *testing.T) {
	long(t)
	t.Parallel()
	killing(t, options{driver: "postgres", dsn: servers.Database(t, "")}, kills(t)/2)
}

// TestThreat_D1_KilledServer kills the database of two hosts, which go on by
// themselves once it is back.
func TestThreat_D1_KilledServer(t *testing.T) {
	long(t)
	t.Parallel()
	cluster := pgtest.StartForTest(t, pgtest.Config{Durable: true})
	_, dsn, err := cluster.NewDatabase(t.Context(), "")
	require.NoError(t, err)
	w := newWorld(t, options{driver: "postgres", dsn: dsn, hosts: 2, rate: 3})
	const times = 4
	for range times {
		w.await("the hosts work again", w.alive())
		w.set(w.moment("", func(string) { w.tryTo(cluster.Kill()) }), 3*time.Second)
		require.NoError(t, cluster.Restart(t.Context()))
	}
	w.settle()
	t.Logf("the server was killed %d times", times)
}

// alive returns a condition: one more order is confirmed than now.
func (w *world) alive() func() bool {
	before := w.confirmed()
	return func() bool { return w.confirmed() > before }
}

func (w *world) confirmed() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.orders {
		if o.said.Payment != "" {
			n++
		}
	}
	return n
}

// tryTo notes a failure of a fault. It may be called by any goroutine.
func (w *world) tryTo(err error) {
	if err != nil {
		w.complain("a fault failed: %v", err)
	}
}

// TestThreat_D2_CutAfterCommit cuts connections at commits: some that are done
// and nobody says so, some that never reached the server.
func TestThreat_D2_CutAfterCommit(t *testing.T) {
	long(t)
	t.Parallel()
	cluster := pgtest.StartForTest(t, pgtest.Config{Durable: true, TCP: true})
	name, dsn, err := cluster.NewDatabase(t.Context(), "")
	require.NoError(t, err)
	proxy, err := cutproxy.New(cutproxy.Options{Server: cluster.Addr()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	w := newWorld(t, options{driver: "postgres", dsn: dsn, via: cluster.DSNVia(proxy.Addr(), name), hosts: 2, rate: 3})
	w.await("the hosts work", w.alive())
	const each = 25
	for i, plan := range []func(cutproxy.Pick) cutproxy.Plan{cutproxy.AfterCommit, cutproxy.OnAnswer, cutproxy.BeforeCommit} {
		before := proxy.Stats().Cut
		proxy.SetPlan(plan(cutproxy.OneIn(8, w.dice.Uint64())))
		w.await("connections are cut", func() bool { return proxy.Stats().Cut >= before+each })
		t.Logf("plan %d: %+v", i+1, proxy.Stats())
	}
	proxy.SetPlan(nil)
	w.settle()
}
