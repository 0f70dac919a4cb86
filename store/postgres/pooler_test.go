package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/internal/pgtest"
	"github.com/bursar-go/bursar/store/postgres"
	"github.com/bursar-go/bursar/storetest"
)

// pooler is a PgBouncer that gives each transaction the next connection of the
// server, and forgets all of a session in between.
func pooler(t *testing.T, preparedStatements int) *pgtest.Bouncer {
	t.Helper()
	config := pgtest.BouncerConfig{
		PoolSize: 12, MaxPreparedStatements: preparedStatements,
		// Databases of tests that ended give their connections back.
		Settings: map[string]string{"server_idle_timeout": "1"},
	}
	if preparedStatements == 0 {
		config.ResetQuery = "DISCARD ALL"
	}
	return pgtest.StartBouncerForTest(t, servers.Cluster(t), config)
}

// through opens a store through a pooler.
func through(t *testing.T, b *pgtest.Bouncer, mode pgx.QueryExecMode) (s *postgres.Store, dsn string) {
	t.Helper()
	dsn = prepared(t)
	return inMode(t, b.DSN(nameOf(t, dsn)), mode), dsn
}

// TestThreat_D19_ConformanceThroughAPooler: the whole contract, with statements
// that nobody prepares, each transaction on another session.
func TestThreat_D19_ConformanceThroughAPooler(t *testing.T) {
	if testing.Short() {
		t.Skip("the contract a second time")
	}
	b := pooler(t, 0)
	storetest.Run(t, func(t *testing.T) bursar.Store {
		s, _ := through(t, b, pgx.QueryExecModeExec)
		return s
	})
}

// TestThreat_D19_EveryModeThroughAPooler: the scenario, claims in numbers, leases,
// reservations, the host's transaction and retention in each mode of the protocol.
func TestThreat_D19_EveryModeThroughAPooler(t *testing.T) {
	want := course(t)
	for name, c := range map[string]struct {
		prepared int
		mode     pgx.QueryExecMode
	}{
		"prepared": {200, pgx.QueryExecModeCacheStatement}, "described": {200, pgx.QueryExecModeCacheDescribe},
		"exec": {0, pgx.QueryExecModeExec}, "simple": {0, pgx.QueryExecModeSimpleProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			if _, version, err := pgtest.FindBouncer(t.Context()); err == nil && c.prepared > 0 && version.Before(pgtest.Version{Major: 1, Minor: 21}) {
				t.Skip("this PgBouncer follows no prepared statements")
			}
			b := pooler(t, c.prepared)
			s, dsn := through(t, b, c.mode)
			for i, step := range scenario() {
				require.NoError(t, step.in(t.Context(), s), step.name)
				require.Equal(t, want[i+1], contentOf(t, s), step.name)
			}
			rows := goldenRows()
			rows.Chains = nil
			require.NoError(t, write(t.Context(), s, rows), "every column")
			orders(t, dsn)
			require.NoError(t, s.WriteHost(t.Context(), func(tx bursar.Tx) error {
				native, _ := postgres.From(tx)
				_, err := native.Exec(t.Context(), "INSERT INTO public.orders (id) VALUES ('a')")
				return errors.Join(err, tx.Apply(t.Context(), bursar.Batch{Payments: []bursar.Payment{payment("host")}}))
			}))
			claimInNumbers(t, s)
			work(t, s)
		})
	}
}

// claimInNumbers changes many rows at once, some with times that are not set.
func claimInNumbers(t *testing.T, s bursar.Store) {
	t.Helper()
	var b bursar.Batch
	for i := range 20 {
		b.Deliveries = append(b.Deliveries, delivery(fmt.Sprint("many", i), 1))
	}
	require.NoError(t, write(t.Context(), s, b))
	for _, to := range []time.Time{t0.Add(time.Minute), {}} {
		require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error {
			ids := []string{}
			for _, d := range b.Deliveries {
				ids = append(ids, d.EventID)
			}
			rows, err := tx.Deliveries(t.Context(), bursar.DeliveryQuery{EventIDs: ids})
			for i := range rows {
				rows[i].LeasedUntil, rows[i].LastError = to, `it's "\`
			}
			return errors.Join(err, tx.Apply(t.Context(), bursar.Batch{Deliveries: rows}))
		}))
	}
	for _, d := range contentOf(t, s).Deliveries {
		if d.Version == 3 {
			require.True(t, d.LeasedUntil.IsZero())
			require.Equal(t, `it's "\`, d.LastError)
		}
	}
}

// work is what a gateway asks of a store beside reading and writing.
func work(t *testing.T, s *postgres.Store) {
	t.Helper()
	first, err := s.Reserve(t.Context(), "60/0", 10)
	require.NoError(t, err)
	require.Zero(t, first)
	fence, err := s.Acquire(t.Context(), "scan", "a", time.Minute)
	require.NoError(t, err)
	require.NoError(t, write(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{fence}}))
	fence.Epoch++
	require.ErrorIs(t, write(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{fence}}), bursar.ErrFenced)
	require.NoError(t, s.Settle(t.Context()))
	require.True(t, settled(t, s))
	_, err = s.Prune(t.Context(), t0)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
}

// TestThreat_D19_MigratesThroughAPooler: from an empty database.
func TestThreat_D19_MigratesThroughAPooler(t *testing.T) {
	b := pooler(t, 0)
	for name, mode := range map[string]pgx.QueryExecMode{"exec": pgx.QueryExecModeExec, "simple": pgx.QueryExecModeSimpleProtocol} {
		t.Run(name, func(t *testing.T) {
			s := inMode(t, b.DSN(nameOf(t, servers.Database(t, ""))), mode)
			require.NoError(t, bump(t.Context(), s, mainnet))
			rows := goldenRows()
			rows.Chains = nil
			require.NoError(t, write(t.Context(), s, rows))
		})
	}
}

// TestThreat_D19_APoolerThatDies: its clients are told the truth about commits that
// were on their way, and the store goes on through the next one.
func TestThreat_D19_APoolerThatDies(t *testing.T) {
	dsn := prepared(t)
	b := pooler(t, 0)
	direct := open(t, dsn)
	s := openWith(t, b.DSN(nameOf(t, dsn)), func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec })
	require.NoError(t, bump(t.Context(), s, mainnet))
	// The server ends the pooler's session in the middle of the transaction, and
	// the pooler says so with a code of its own.
	runs := 0
	err := s.Write(t.Context(), func(tx bursar.Tx) error {
		runs++
		st, err := tx.Chain(t.Context(), mainnet)
		if runs == 1 {
			query(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'")
		}
		st.Seq++
		return errors.Join(err, tx.Apply(t.Context(), bursar.Batch{Chains: []bursar.ChainState{st}}))
	})
	require.NoError(t, err)
	require.Equal(t, 2, runs)
	require.EqualValues(t, 2, seqOf(t, direct, mainnet))
	require.NoError(t, b.Stop())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorContains(t, bump(ctx, s, mainnet), "does not answer")
	require.EqualValues(t, 2, seqOf(t, direct, mainnet))
}
