package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/postgres"
)

// renew opens a store without ending the test where that fails.
func renew(t *testing.T, dsn string, o postgres.Options) error {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	defer pool.Close()
	_, err = postgres.New(t.Context(), pool, o)
	return err
}

// refused holds an error to a *bursar.SchemaError with these words.
func refused(t *testing.T, err error, have, want int, words string) {
	t.Helper()
	var e *bursar.SchemaError
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Reason, words)
	require.Equal(t, []int{have, want}, []int{e.Have, e.Want})
}

func TestThreat_D11_ManyMigrateAtOnce(t *testing.T) {
	for _, isolation := range []string{"read committed", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			dsn := as(t, servers.Database(t, ""), "", "default_transaction_isolation", isolation)
			errs := make([]error, 8)
			var all sync.WaitGroup
			start := make(chan struct{})
			for i := range errs {
				all.Go(func() {
					<-start
					errs[i] = renew(t, dsn, postgres.Options{})
				})
			}
			close(start)
			all.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
			require.Len(t, query(t, dsn, "SELECT version FROM bursar.migrations"), newest(t))
			require.NoError(t, bump(t.Context(), open(t, dsn), mainnet))
		})
	}
}

// newest is the newest migration of this release.
func newest(t *testing.T) int {
	t.Helper()
	known, err := postgres.Known()
	require.NoError(t, err)
	return len(known)
}

// TestThreat_D11_KilledAtEachStatement: whichever statement of the migration the
// session dies at, there is nothing of it, and the next run does all of it.
func TestThreat_D11_KilledAtEachStatement(t *testing.T) {
	dsn := servers.Database(t, "")
	query(t, dsn, `CREATE SEQUENCE public.step; CREATE TABLE public.kill (at bigint); INSERT INTO public.kill VALUES (0);
 CREATE FUNCTION public.kill() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  IF nextval('public.step') = (SELECT at FROM public.kill) THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END $$;
 CREATE EVENT TRIGGER kill ON ddl_command_start EXECUTE FUNCTION public.kill()`)
	run := func(at int) error {
		query(t, dsn, "SELECT setval('public.step', 1, false); UPDATE public.kill SET at = "+strconv.Itoa(at))
		return renew(t, dsn, postgres.Options{})
	}
	killed := 0
	for at := 1; ; at += 1 + at/8 {
		if err := run(at); err == nil {
			break
		}
		killed++
		rows := query(t, dsn, "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'bursar' AND relkind = 'r' ORDER BY 1")
		require.Subset(t, [][]string{{"migrating"}, {"migrations"}}, rows, "killed at statement %d", at)
		require.Less(t, killed, 100)
	}
	require.Greater(t, killed, 10)
	require.NoError(t, renew(t, dsn, postgres.Options{KeepSchema: true}))
	columnsFit(t, dsn)
}

// columnsFit compares the tables with what the store writes and reads.
func columnsFit(t *testing.T, dsn string) {
	t.Helper()
	s := open(t, dsn)
	got := map[string][]string{}
	for _, row := range query(t, dsn, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'bursar'") {
		got[row[0]] = append(got[row[0]], row[1])
	}
	own := map[string][]string{"entries": {"pos", "reversed_by"}, "events": {"pos"}}
	for table, want := range s.Columns() {
		want = append(want, own[table]...)
		slices.Sort(want)
		slices.Sort(got[table])
		require.Equal(t, want, got[table], table)
	}
	for _, row := range query(t, dsn, `SELECT table_name || '.' || column_name FROM information_schema.columns
 WHERE table_schema = 'bursar' AND data_type = 'numeric' AND (numeric_precision, numeric_scale) <> (78, 0) AND table_name <> 'balances'
 OR table_schema = 'bursar' AND data_type IN ('real', 'double precision', 'money', 'timestamp without time zone')`) {
		t.Errorf("%s cannot hold what belongs there", row[0])
	}
}

func TestTheColumnsAreThoseOfTheRows(t *testing.T) { columnsFit(t, prepared(t)) }

// TestThreat_D11_ASecondRunChangesNothing: it needs no right to change anything.
func TestThreat_D11_ASecondRunChangesNothing(t *testing.T) {
	dsn := prepared(t)
	reader := role(t, dsn, "GRANT USAGE ON SCHEMA bursar TO {role}", "GRANT SELECT ON bursar.migrations TO {role}")
	require.NoError(t, renew(t, as(t, dsn, reader), postgres.Options{}))
	require.NoError(t, renew(t, as(t, dsn, reader), postgres.Options{KeepSchema: true}))
	require.NoError(t, renew(t, as(t, dsn, "", "default_transaction_read_only", "on"), postgres.Options{}))
}

// TestThreat_D11_OtherSchemasAreRefused: nothing that this release does not know is
// touched.
func TestThreat_D11_OtherSchemasAreRefused(t *testing.T) {
	n := newest(t)
	for name, c := range map[string]struct {
		change     string
		have, want int
		words      string
	}{
		"newer":     {fmt.Sprintf("INSERT INTO bursar.migrations (version, name, checksum) VALUES (%d, 'future', 'x')", n+1), n + 1, n, "newer than this release"},
		"changed":   {"UPDATE bursar.migrations SET checksum = 'x' WHERE version = 1", n, n, "was another one"},
		"newer too": {"UPDATE bursar.migrations SET version = 7, name = 'future'", 7, n, "newer than this release: migration 7, future, is unknown"},
		"a gap":     {"UPDATE bursar.migrations SET version = 0", 0, n, "migration 1 is missing"},
		"not ours":  {"ALTER TABLE bursar.migrations RENAME checksum TO hash", 0, 0, "by name alone"},
		"not ours2": {"DROP TABLE bursar.migrations; CREATE TABLE bursar.migrations (id serial, version text, name text, checksum text); INSERT INTO bursar.migrations (version) VALUES ('v1')", 0, 0, "by name alone"},
	} {
		t.Run(name, func(t *testing.T) {
			template(t)
			dsn := servers.Database(t, "ready")
			query(t, dsn, c.change)
			refused(t, renew(t, dsn, postgres.Options{}), c.have, c.want, c.words)
			refused(t, renew(t, dsn, postgres.Options{KeepSchema: true}), c.have, c.want, c.words)
		})
	}
}

// TestThreat_D11_TablesOfSomebodyElse: a schema that others have put tables of our
// names in is left as it is.
func TestThreat_D11_TablesOfSomebodyElse(t *testing.T) {
	n := newest(t)
	for name, c := range map[string]struct {
		there string
		want  int
		words string
	}{
		"payments":   {"CREATE TABLE bursar.payments (id int)", n, `"payments" already exists`},
		"a view":     {"CREATE VIEW bursar.events AS SELECT 1 AS id", n, `"events" already exists`},
		"migrations": {"CREATE TABLE bursar.migrations (id int)", 0, "by name alone"},
		"migrating":  {"CREATE TABLE bursar.migrating (since int)", 0, "by name alone"},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := servers.Database(t, "")
			query(t, dsn, "CREATE SCHEMA bursar; "+c.there)
			refused(t, renew(t, dsn, postgres.Options{}), 0, c.want, c.words)
			for _, row := range query(t, dsn, "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'bursar' AND relkind IN ('r', 'v')") {
				require.Contains(t, []string{"payments", "events", "migrations", "migrating"}, row[0])
			}
		})
	}
}

// TestThreat_D11_KeepSchema: without a right to create, tables that are missing
// are an error that says what to do, and those that are there are enough.
func TestThreat_D11_KeepSchema(t *testing.T) {
	empty := servers.Database(t, "")
	refused(t, renew(t, empty, postgres.Options{KeepSchema: true}), 0, newest(t), "run Migrate")
	require.Empty(t, query(t, empty, "SELECT 1 FROM pg_namespace WHERE nspname = 'bursar'"))

	template(t)
	dsn := servers.Database(t, "ready")
	worker := role(t, dsn, "GRANT USAGE ON SCHEMA bursar TO {role}", "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA bursar TO {role}",
		"GRANT DELETE ON bursar.deliveries, bursar.locks, bursar.attempt_locks TO {role}")
	pool := connect(t, as(t, dsn, worker))
	s, err := postgres.New(t.Context(), pool, postgres.Options{KeepSchema: true})
	require.NoError(t, err)
	for _, step := range scenario() {
		require.NoError(t, step.in(t.Context(), s), step.name)
	}
	_, err = s.Reserve(t.Context(), "60/0", 1)
	require.NoError(t, err)
	fence, err := s.Acquire(t.Context(), "scan", "a", 1)
	require.NoError(t, err)
	require.NoError(t, write(t.Context(), s, bursar.Batch{Fences: []bursar.Fence{fence}}))
	_, err = s.Prune(t.Context(), t0)
	require.NoError(t, err)
	require.NoError(t, s.Settle(t.Context()))
}

// TestThreat_D11_AnOwnerOfTheSchemaAlone: a role that may create nothing in the
// database but owns the schema can migrate.
func TestThreat_D11_AnOwnerOfTheSchemaAlone(t *testing.T) {
	dsn := servers.Database(t, "")
	owner := role(t, dsn, "CREATE SCHEMA bursar AUTHORIZATION {role}")
	require.NoError(t, renew(t, as(t, dsn, owner), postgres.Options{}))
}

// TestTheHostMigrates: the exported text makes the tables and records itself, in a
// schema of the host's choice.
func TestTheHostMigrates(t *testing.T) {
	dsn := servers.Database(t, "")
	steps, err := postgres.Migrations("shop")
	require.NoError(t, err)
	query(t, dsn, postgres.Bootstrap("shop"))
	for _, m := range steps {
		query(t, dsn, m.SQL)
	}
	known, err := postgres.Known()
	require.NoError(t, err)
	for i := range known {
		require.Equal(t, known[i].Checksum(), steps[i].Checksum())
	}
	pool := connect(t, dsn)
	s, err := postgres.New(t.Context(), pool, postgres.Options{Schema: "shop", KeepSchema: true})
	require.NoError(t, err)
	require.NoError(t, s.Migrate(t.Context()))
	for _, step := range scenario() {
		require.NoError(t, step.in(t.Context(), s), step.name)
	}
	require.Empty(t, query(t, dsn, "SELECT 1 FROM pg_namespace WHERE nspname = 'bursar'"))
}

func TestSchemaNamesAreChecked(t *testing.T) {
	pool := connect(t, prepared(t))
	for _, name := range []string{"Bursar", "a b", `x"; DROP SCHEMA bursar; --`, "1a", strings.Repeat("a", 64), "ä", "a.b"} {
		_, err := postgres.New(t.Context(), pool, postgres.Options{Schema: name})
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field, name)
		require.Equal(t, "postgres.Options.Schema", field.Field)
	}
	_, err := postgres.New(context.Background(), nil, postgres.Options{})
	require.ErrorContains(t, err, "postgres.New.pool")
}
