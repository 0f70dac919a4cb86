// Package pgtest starts real PostgreSQL servers for tests, crash tests and
// figures, and PgBouncer before them: child processes on data of their own that
// is gone with them.
//
// A Pool has one cluster for all tests of a binary:
//
//	var servers pgtest.Pool
//
//	func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
//
//	func TestX(t *testing.T) { dsn := servers.Database(t, "") … }
//
// A test that kills its server starts one for itself:
//
//	cluster := pgtest.StartForTest(t, pgtest.Config{Durable: true})
//	…
//	err := cluster.Kill()     // as if the machine had stopped, but for its disk
//	err = cluster.Restart(ctx) // recovers from the log
//
// The programs are looked for in the folder BURSAR_PG_BIN, then in
// /usr/lib/postgresql/*/bin (the newest), then in PATH; PgBouncer is
// BURSAR_PGBOUNCER, or in PATH or /usr/sbin. Where one is missing, Missing skips
// the test, or fails it with BURSAR_REQUIRE_ALL=1.
//
// PostgreSQL refuses to run as root. Tests that run as root have it run as the
// user postgres.
//
// Clusters listen on a socket in a folder that only this user and root can
// enter. On TCP they want a password: whoever else is on the machine could
// otherwise run programs as their superuser.
//
// Killed or timed out, a test binary takes its servers with it (on Linux); their
// folder stays in the temporary folder then.
package pgtest
