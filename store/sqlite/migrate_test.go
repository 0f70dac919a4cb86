package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/sqlite"
)

// openOnce opens the store and closes it again.
func openOnce(path string) error {
	fmt.Println("begin")
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		return err
	}
	fmt.Println("end")
	return s.Close()
}

// D11: processes that meet at an empty file all find the tables made, once.
func TestThreat_D11_TwoProcessesMigrate(t *testing.T) {
	for range 4 {
		path := fileIn(t)
		all := []*child{startChild(t, "open", path), startChild(t, "open", path), startChild(t, "open", path)}
		s := openAt(t, path)
		for _, c := range all {
			require.Equal(t, "begin", c.line(t))
			require.Equal(t, "end", c.line(t))
			require.NoError(t, c.Wait())
		}
		require.EqualValues(t, 1, number(t, s.DB(), "SELECT count(*) FROM bursar_migrations"))
		require.NoError(t, put(t.Context(), s, sale("a")))
	}
}

// D11: a process that is killed while it makes the tables leaves all or none.
func TestThreat_D11_KilledInTheMiddle(t *testing.T) {
	states := map[int64]int{}
	var whole int64
	require.NoError(t, openAt(t, fileIn(t)).DB().QueryRow("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'bursar_%'").Scan(&whole))
	for round := range 12 {
		path := fileIn(t)
		c := startChild(t, "open", path)
		require.Equal(t, "begin", c.line(t))
		timer := time.AfterFunc(time.Duration(round)*3*time.Millisecond, func() { _ = c.Process.Kill() })
		for c.out.Scan() { // to its end
		}
		_ = c.Wait() // killed or not
		timer.Stop()
		n := number(t, raw(t, path, ""), "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'bursar_%'")
		states[n]++
		require.Contains(t, []int64{0, whole}, n, "round %d", round)
		s := openAt(t, path)
		require.NoError(t, put(t.Context(), s, sale("a")))
	}
	t.Log(states)
}

// D11: to migrate what is migrated changes nothing.
func TestThreat_D11_AgainIsNothing(t *testing.T) {
	s := openAt(t, fileIn(t))
	schema := func() (n int64) { return number(t, s.DB(), "PRAGMA schema_version") }
	before := schema()
	require.NoError(t, s.Migrate(t.Context()))
	require.Equal(t, before, schema())
}

// refusedAt opens a database that must be refused, and left alone.
func refusedAt(t *testing.T, path string) *bursar.SchemaError {
	t.Helper()
	db := raw(t, path, "")
	before := number(t, db, "PRAGMA schema_version")
	_, err := sqlite.Open(t.Context(), path)
	var wrong *bursar.SchemaError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, before, number(t, db, "PRAGMA schema_version"), "nothing was changed")
	return wrong
}

// spoiled is a database with a statement done to it by hand.
func spoiled(t *testing.T, statements ...string) string {
	t.Helper()
	path := fileIn(t)
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	db := raw(t, path, "")
	for _, text := range statements {
		_, err := db.ExecContext(t.Context(), text)
		require.NoError(t, err)
	}
	return path
}

// D11: a binary that is older than the tables does not work on them.
func TestThreat_D11_NewerSchemaIsRefused(t *testing.T) {
	got := refusedAt(t, spoiled(t, "INSERT INTO bursar_migrations VALUES (2, 'future', 'x', 0)"))
	require.Equal(t, 2, got.Have)
	require.Equal(t, 1, got.Want)
	require.ErrorContains(t, got, "newer than this release")
	// And one that has left out what this release does not know either.
	got = refusedAt(t, spoiled(t, "UPDATE bursar_migrations SET version = 7, name = 'future'"))
	require.ErrorContains(t, got, "newer than this release: migration 7, future, is unknown")
}

// D11: tables that were made by another text than ours are not ours.
func TestThreat_D11_ChangedMigrationIsRefused(t *testing.T) {
	require.ErrorContains(t, refusedAt(t, spoiled(t, "UPDATE bursar_migrations SET checksum = 'x'")), "another one when it was applied")
	require.ErrorContains(t, refusedAt(t, spoiled(t, "UPDATE bursar_migrations SET version = 0")), "migration 1 is missing")
}

// D11: tables of somebody else's that are called as ours stay as they are.
func TestThreat_D11_ForeignTables(t *testing.T) {
	for _, text := range []string{
		"CREATE TABLE bursar_payments (mine INTEGER)",
		"CREATE VIEW bursar_entries AS SELECT 1",
		"CREATE TABLE bursar_migrations (mine INTEGER)",
	} {
		path := fileIn(t)
		db := raw(t, path, "?_pragma=journal_mode(WAL)")
		_, err := db.ExecContext(t.Context(), text)
		require.NoError(t, err)
		refusedAt(t, path)
		require.EqualValues(t, 1, number(t, db, "SELECT count(*) FROM sqlite_schema"), text)
	}
}

// A host that runs migrations itself writes what Migrate would.
func TestHostsMigrations(t *testing.T) {
	path := fileIn(t)
	db := raw(t, path, "?_pragma=journal_mode(WAL)")
	steps, err := sqlite.Migrations()
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), sqlite.Bootstrap())
	require.NoError(t, err)
	for _, m := range steps {
		_, err = db.ExecContext(t.Context(), m.SQL)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "INSERT INTO bursar_migrations VALUES (?, ?, ?, 0)", m.Version, m.Name, m.Checksum())
		require.NoError(t, err)
	}
	before := number(t, db, "PRAGMA schema_version")
	s := openAt(t, path)
	require.NoError(t, put(t.Context(), s, sale("a")))
	require.Equal(t, before, number(t, db, "PRAGMA schema_version"))
}

// The tables have the columns that rows need, and no others but those that are
// named here.
func TestEveryColumnIsThere(t *testing.T) {
	s := openAt(t, fileIn(t))
	own := map[string][]string{"entries": {"pos", "reversed_by"}, "events": {"pos"}}
	for table, want := range sqlite.Columns() {
		rows, err := s.DB().QueryContext(t.Context(), "SELECT name FROM pragma_table_info('bursar_"+table+"')")
		require.NoError(t, err)
		var got []string
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			got = append(got, name)
		}
		require.NoError(t, errors.Join(rows.Err(), rows.Close()))
		want = append(want, own[table]...)
		slices.Sort(want)
		slices.Sort(got)
		require.Equal(t, want, got, table)
	}
}

// Every table and index of ours is called so that it cannot be taken for the
// host's.
func TestNamesAreOurs(t *testing.T) {
	s := openAt(t, fileIn(t))
	rows, err := s.DB().QueryContext(t.Context(), "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
	require.NoError(t, err)
	n := 0
	for ; rows.Next(); n++ {
		var name string
		require.NoError(t, rows.Scan(&name))
		require.True(t, strings.HasPrefix(name, "bursar_"), name)
	}
	require.NoError(t, errors.Join(rows.Err(), rows.Close()))
	require.Greater(t, n, 60)
}
