package pgtest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/pgtest"
)

// TestThreat_D19_BouncerLosesSessions makes sure of the pooler itself:
// transactions of one client run on different connections.
func TestThreat_D19_BouncerLosesSessions(t *testing.T) {
	c := servers.Cluster(t)
	b := pgtest.StartBouncerForTest(t, c, pgtest.BouncerConfig{PoolSize: 2})
	name, _, err := c.NewDatabase(t.Context(), "")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		// Only clients at the same time have the pool open both its connections.
		hold := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := psql(t, b.DSN(name), "-c", "SELECT pg_sleep(0.2)")
				hold <- err
			}()
		}
		if errors.Join(<-hold, <-hold) != nil {
			return false
		}
		out, err := psql(t, b.DSN(name), "-c", "SELECT pg_backend_pid()", "-c", "SELECT pg_backend_pid()")
		first, second, both := strings.Cut(out, "\n")
		return err == nil && both && first != second
	}, waitFor, tick)
}

func TestBouncerTCP(t *testing.T) {
	c := pgtest.StartForTest(t, pgtest.Config{})
	b := pgtest.StartBouncerForTest(t, c, pgtest.BouncerConfig{TCP: true, ResetQuery: "DISCARD ALL", Settings: map[string]string{"query_timeout": "60"}})
	out, err := psql(t, b.TCPDSN("postgres"), "-c", "SELECT 'through'")
	require.NoError(t, err, out)
	require.Equal(t, "through", out)
	out, err = psql(t, strings.Replace(b.TCPDSN("postgres"), "postgres:", "postgres:x", 2), "-c", "SELECT 1")
	require.Error(t, err, out)

	out, err = psql(t, b.DSN("pgbouncer"), "-c", "SHOW CONFIG")
	require.NoError(t, err, out)
	for _, want := range []string{"\npool_mode|transaction|", "\ndefault_pool_size|4|", "\nserver_reset_query|DISCARD ALL|", "\nserver_reset_query_always|1|", "\nquery_timeout|60|"} {
		require.Contains(t, "\n"+out, want)
	}

	// A server that comes back is found by the same pooler.
	require.NoError(t, c.Kill())
	require.NoError(t, c.Restart(t.Context()))
	require.Eventually(t, func() bool {
		out, err := psql(t, b.DSN("postgres"), "-c", "SELECT 'again'")
		return err == nil && out == "again"
	}, waitFor, tick, b.Log())

	require.NoError(t, b.Stop())
	require.NoError(t, b.Stop())
	_, err = psql(t, b.DSN("postgres"), "-c", "SELECT 1")
	require.Error(t, err)
}

func TestBouncerPrepared(t *testing.T) {
	_, version, err := pgtest.FindBouncer(t.Context())
	pgtest.Missing(t, err)
	b, err := pgtest.StartBouncer(t.Context(), servers.Cluster(t), pgtest.BouncerConfig{MaxPreparedStatements: 10})
	if version.Before(pgtest.Version{Major: 1, Minor: 21}) {
		require.ErrorIs(t, err, pgtest.ErrMissing)
		require.ErrorContains(t, err, "MaxPreparedStatements")
		return
	}
	require.NoError(t, err)
	out, err := psql(t, b.DSN("pgbouncer"), "-c", "SHOW CONFIG")
	require.NoError(t, err, out)
	require.Contains(t, out, "max_prepared_statements|10|")
}

func TestBouncerEndsWithCluster(t *testing.T) {
	c, err := pgtest.Start(t.Context(), pgtest.Config{})
	pgtest.Missing(t, err)
	b, err := pgtest.StartBouncer(t.Context(), c, pgtest.BouncerConfig{})
	if err != nil {
		require.NoError(t, c.Close())
	}
	pgtest.Missing(t, err)
	require.NoError(t, c.Close())
	_, err = psql(t, b.DSN("postgres"), "-c", "SELECT 1")
	require.Error(t, err)
	_, err = pgtest.StartBouncer(t.Context(), c, pgtest.BouncerConfig{})
	require.Error(t, err)
}

func TestBouncerBadConfig(t *testing.T) {
	c := servers.Cluster(t)
	_, err := pgtest.StartBouncer(t.Context(), c, pgtest.BouncerConfig{PoolSize: -1})
	require.ErrorContains(t, err, "PoolSize")
	_, err = pgtest.StartBouncer(t.Context(), c, pgtest.BouncerConfig{Settings: map[string]string{"pool_mode": "nonsense"}})
	require.ErrorContains(t, err, "nonsense", "the log says why")
}
