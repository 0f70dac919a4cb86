package postgres_test

import (
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// keeps matches statements whose effect outlives their transaction in a session,
// or needs a session that other servers of the family do not have.
var keeps = regexp.MustCompile(`(?i)advisory|^\s*(LISTEN|UNLISTEN|PREPARE|DEALLOCATE|DISCARD|DECLARE|LOCK)\b|\bNOTIFY\b|^\s*SET\s+(SESSION\b|[a-z_.]+\s*(=|TO\b))|\b(TEMP|TEMPORARY)\s+TABLE\b|set_config\([^)]*false`)

// TestThreat_D19_NothingIsKeptInASession: behind a pooler the next transaction may
// be on another session, and the session's next user another process.
func TestThreat_D19_NothingIsKeptInASession(t *testing.T) {
	for _, bad := range []string{"SELECT pg_advisory_lock(1)", "LISTEN a", "SET lock_timeout = 1", "SET SESSION x TO 1", "CREATE TEMP TABLE t ()", "SELECT set_config('a', 'b', false)"} {
		require.Regexp(t, keeps, bad)
	}
	for _, good := range []string{"SET LOCAL lock_timeout = 1", "SELECT set_config('a', 'b', true)", "UPDATE t SET a = 1", "INSERT INTO t (prepare) VALUES (1)"} {
		require.NotRegexp(t, keeps, good)
	}
	var mu sync.Mutex
	said := map[string]bool{}
	s := openWith(t, servers.Database(t, ""), func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = statements{func(sql string) {
			mu.Lock()
			defer mu.Unlock()
			said[sql] = true
		}}
	})
	for _, step := range scenario() {
		require.NoError(t, step.in(t.Context(), s), step.name)
	}
	rows := goldenRows()
	rows.Chains = nil
	require.NoError(t, write(t.Context(), s, rows))
	require.NoError(t, s.WriteHost(t.Context(), func(tx bursar.Tx) error {
		_, err := tx.Chain(t.Context(), mainnet)
		return err
	}))
	_, err := s.Reserve(t.Context(), "pool", 3)
	require.NoError(t, err)
	_, err = s.Acquire(t.Context(), "lease", "me", time.Minute)
	require.NoError(t, err)
	_, err = s.Origin(t.Context())
	require.NoError(t, err)
	_, err = s.Prune(t.Context(), time.Now())
	require.NoError(t, err)
	require.NoError(t, s.Probe(t.Context()))
	require.NoError(t, s.Migrate(t.Context()))
	require.Greater(t, len(said), 40)
	for sql := range said {
		require.NotRegexp(t, keeps, sql)
	}
}
