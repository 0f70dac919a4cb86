package main

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/pgtest"
)

// servers is the cluster of this test binary.
var servers pgtest.Pool

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// onServer has the world's configuration name a database of its own.
func onServer(t *testing.T) (w *world, dsn string) {
	dsn = servers.Database(t, "")
	w = newWorld(t)
	w.write("dsn", dsn)
	text, err := os.ReadFile(w.config)
	require.NoError(t, err)
	w.write("bursar.yaml", strings.Replace(string(text), "{driver: sqlite, path: "+w.path+"}", "{driver: postgres, dsn: {file: dsn}, schema: shop}", 1))
	return w, dsn
}

func TestPostgres(t *testing.T) {
	w, _ := onServer(t)
	require.Contains(t, w.ok("migrate", "-dry-run"), "postgres is at schema 0")
	require.Contains(t, w.fails(exitFailed, "verify"), "run bursar migrate")
	require.Contains(t, w.ok("migrate"), "was brought from schema 0 to ")
	require.Contains(t, w.ok("migrate"), "which is that of this release")
	require.Contains(t, w.ok("verify"), "clean at ")
	require.Contains(t, w.fails(exitFailed, "explain", "order 1"), "[never_scanned]")
	require.Contains(t, w.fails(exitFailed, "backup", "x"), "pg_dump")
	require.Contains(t, w.ok("recover", "-chain", "local", "-to-index", "600", "-yes"), "601 indexes were reserved")
	require.Contains(t, w.ok("verify"), "checked 601 addresses")
}

// TestPostgresMigratePrint: what is printed makes a schema that needs nothing more.
func TestPostgresMigratePrint(t *testing.T) {
	w, dsn := onServer(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), w.ok("migrate", "-print"))
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.Contains(t, w.ok("migrate", "-dry-run"), "which is that of this release")
	require.Contains(t, w.ok("verify"), "clean at ")
}
