package postgres_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/internal/pgtest"
	"github.com/bursar-go/bursar/store/postgres"
	"github.com/bursar-go/bursar/storetest"
)

// servers is the cluster of this test binary. It is started by the first test
// that needs it, and gone with the binary.
var servers pgtest.Pool

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// template makes the database "ready" that has the tables.
func template(t *testing.T) {
	t.Helper()
	servers.Template(t, "ready", func(dsn string) error {
		return with(dsn, func(pool *pgxpool.Pool) error {
			_, err := postgres.New(context.Background(), pool, postgres.Options{})
			return err
		})
	})
}

// prepared returns a database of its own with the tables in it, empty. It is one
// that an earlier test has left, if there is one: to empty tables is faster than
// to make a database.
func prepared(t *testing.T) (dsn string) {
	t.Helper()
	template(t)
	select {
	case dsn = <-used:
		require.NoError(t, with(dsn, empty))
	default:
		dsn = servers.Database(t, "ready")
	}
	t.Cleanup(func() {
		select {
		case used <- dsn:
		default:
		}
	})
	return dsn
}

// used has the databases of tests that ended.
var used = make(chan string, 16)

func with(dsn string, fn func(*pgxpool.Pool) error) error {
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	return fn(pool)
}

// empty empties every table but those of the migrator. Rows that are never deleted
// are deleted here: without triggers. A test whose connections were cut may have left
// a transaction to the server that nobody hears of any more: it ends first.
func empty(pool *pgxpool.Pool) error {
	_, err := pool.Exec(context.Background(), `SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	if err != nil {
		return err
	}
	_, err = pool.Exec(context.Background(), `DO $$ DECLARE name text; BEGIN
 SET LOCAL session_replication_role = replica;
 FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'bursar' AND tablename NOT LIKE 'migrat%' LOOP
  EXECUTE 'DELETE FROM bursar.' || quote_ident(name);
 END LOOP; END $$`)
	return err
}

// connect opens a pool of connections.
func connect(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	config.MaxConns = 12
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func open(t *testing.T, dsn string) *postgres.Store {
	t.Helper()
	s, err := postgres.New(t.Context(), connect(t, dsn), postgres.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// D18: one contract for every store.
func TestThreat_D18_Conformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) bursar.Store { return open(t, prepared(t)) })
}

// What an earlier test left under way on the server does not show up in the database of
// the next one.
func TestAUsedDatabaseIsQuiet(t *testing.T) {
	t.Parallel()
	dsn := prepared(t)
	conn, err := connect(t, dsn).Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), "BEGIN; INSERT INTO bursar.pools VALUES ('left', 7)")
	require.NoError(t, err)
	require.NoError(t, with(dsn, empty))
	_, err = conn.Exec(t.Context(), "COMMIT")
	require.Error(t, err)
	require.NoError(t, with(dsn, func(pool *pgxpool.Pool) error {
		var n int
		err := pool.QueryRow(t.Context(), "SELECT count(*) FROM bursar.pools").Scan(&n)
		require.Zero(t, n)
		return err
	}))
}
