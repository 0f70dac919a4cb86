package pgtest_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar/internal/pgtest"
)

const (
	waitFor = time.Minute
	tick    = 5 * time.Millisecond
)

// servers is what most tests share.
var servers pgtest.Pool

func TestMain(m *testing.M) {
	if os.Getenv("BURSAR_PGTEST_OWNER") != "" {
		own()
	}
	os.Exit(servers.Main(m))
}

// own is the process that TestNothingOutlivesUs kills: it starts a cluster, says
// where, and waits.
func own() {
	c, err := pgtest.Start(context.Background(), pgtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.SocketDir())
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with whoever started us
	log.Fatal("nobody has killed it: ", c.Close())
}

// one runs a query for one value.
func one(t *testing.T, c *pgtest.Cluster, database, query string) string {
	t.Helper()
	rows, err := c.Query(t.Context(), database, query)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Len(t, rows[0], 1)
	return rows[0][0]
}

// named returns the database that a DSN leads to.
func named(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	return strings.TrimPrefix(u.Path, "/")
}

// psql runs the client that comes with the server, as proof that a DSN means to
// others what it means to us.
func psql(t *testing.T, dsn string, args ...string) (string, error) {
	t.Helper()
	dir, _, err := pgtest.FindServer(t.Context())
	pgtest.Missing(t, err)
	path := filepath.Join(dir, "psql")
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	out, err := exec.CommandContext(t.Context(), path, append([]string{"-XqAt", dsn}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestQuery(t *testing.T) {
	c := servers.Cluster(t)
	rows, err := c.Query(t.Context(), "postgres", "SELECT 1, NULL, ''; SELECT 'é'")
	require.NoError(t, err)
	require.Equal(t, [][]string{{"1", "", ""}, {"é"}}, rows)

	_, err = c.Query(t.Context(), "postgres", "SELECT 1/0")
	var refused *pgtest.ServerError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "22012", refused.Code)
	require.Equal(t, "SELECT 1/0", refused.Statement)
	require.ErrorContains(t, err, "division by zero")

	_, err = c.Query(t.Context(), "nowhere", "SELECT 1")
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "3D000", refused.Code)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Query(ctx, "postgres", "SELECT pg_sleep(60)")
	require.Error(t, err, "a query ends with its context")
}

func TestSettings(t *testing.T) {
	require.Equal(t, "off", one(t, servers.Cluster(t), "postgres", "SHOW fsync"))
	require.Equal(t, "on", one(t, servers.Cluster(t), "postgres", "SHOW synchronous_commit"))
	require.Equal(t, "200", one(t, servers.Cluster(t), "postgres", "SHOW max_connections"))
	require.Equal(t, "UTF8", one(t, servers.Cluster(t), "postgres", "SHOW server_encoding"))
	require.Equal(t, servers.Cluster(t).Version().String(), strings.Fields(one(t, servers.Cluster(t), "postgres", "SHOW server_version"))[0])

	c := pgtest.StartForTest(t, pgtest.Config{Durable: true, MaxConnections: 17, Settings: map[string]string{"work_mem": "5MB", "shared_buffers": "16MB"}})
	for name, want := range map[string]string{
		"fsync": "on", "full_page_writes": "on", "max_connections": "17", "work_mem": "5MB", "shared_buffers": "16MB", "listen_addresses": "",
	} {
		require.Equal(t, want, one(t, c, "postgres", "SHOW "+name), name)
	}
	require.Panics(t, func() { c.Addr() })
}

func TestBadConfig(t *testing.T) {
	_, err := pgtest.Start(t.Context(), pgtest.Config{MaxConnections: -1})
	require.ErrorContains(t, err, "Config.MaxConnections")

	servers.Cluster(t) // skips where there is no server to refuse the next one
	t.Setenv("TMPDIR", t.TempDir())
	_, err = pgtest.Start(t.Context(), pgtest.Config{Settings: map[string]string{"work_mem": "no size"}})
	require.ErrorContains(t, err, "work_mem", "the log says why")
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Empty(t, left, "nothing stays of a cluster that failed")
}

func TestDatabases(t *testing.T) {
	c := servers.Cluster(t)
	first, dsn, err := c.NewDatabase(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, c.DSN(first), dsn)
	_, err = c.Query(t.Context(), first, "CREATE TABLE things (id int); INSERT INTO things VALUES (7)")
	require.NoError(t, err)

	second, _, err := c.NewDatabase(t.Context(), first)
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	require.Equal(t, "7", one(t, c, second, "SELECT id FROM things"))
	_, err = c.Query(t.Context(), second, "DELETE FROM things")
	require.NoError(t, err)
	require.Equal(t, "1", one(t, c, first, "SELECT count(*) FROM things"), "a copy, not the same")

	require.NoError(t, c.DropDatabase(t.Context(), second))
	require.NoError(t, c.DropDatabase(t.Context(), second), "gone is gone")
	_, err = c.Query(t.Context(), second, "SELECT 1")
	require.Error(t, err)
	_, _, err = c.NewDatabase(t.Context(), `no "such" template`)
	require.ErrorContains(t, err, `no "such" template`)
}

func TestTemplate(t *testing.T) {
	filled := 0
	for range 3 {
		servers.Template(t, "filled once", func(dsn string) error {
			filled++
			_, err := servers.Cluster(t).Query(t.Context(), named(t, dsn), "CREATE TABLE migrated ()")
			return err
		})
		dsn := servers.Database(t, "filled once")
		require.Equal(t, "0", one(t, servers.Cluster(t), named(t, dsn), "SELECT count(*) FROM migrated"))
	}
	require.Equal(t, 1, filled)
}

func TestDSNs(t *testing.T) {
	name, dsn, err := servers.Cluster(t).NewDatabase(t.Context(), "")
	require.NoError(t, err)
	out, err := psql(t, dsn, "-c", "SELECT current_database(), current_user, inet_server_addr() IS NULL")
	require.NoError(t, err, out)
	require.Equal(t, name+"|postgres|t", out)
}

func TestTCP(t *testing.T) {
	c := pgtest.StartForTest(t, pgtest.Config{TCP: true})
	out, err := psql(t, c.TCPDSN("postgres"), "-c", "SELECT inet_server_addr() || ':' || inet_server_port()")
	require.NoError(t, err, out)
	require.Equal(t, c.Addr(), strings.Replace(out, "/32", "", 1))

	// Whoever is on this machine reaches the port, and must not get further.
	u, err := url.Parse(c.TCPDSN("postgres"))
	require.NoError(t, err)
	u.User = url.UserPassword("postgres", "guess")
	out, err = psql(t, u.String(), "-c", "SELECT 1")
	require.Error(t, err, out)
	require.Contains(t, out, "authentication failed")

	info, err := os.Stat(c.SocketDir())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// crash kills c while a client is in the middle of a transaction that has written and
// is far from its end, and returns once everything is dead.
func crash(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	busy := make(chan error, 1)
	go func() {
		// Computes, and so never waits for anything that would tell it of its
		// parent's death.
		_, err := c.Query(context.Background(), "postgres", `DO $$ BEGIN
			INSERT INTO kept VALUES (99);
			FOR i IN 1..2000000000 LOOP PERFORM 1; END LOOP; END $$`)
		busy <- err
	}()
	require.Eventually(t, func() bool {
		rows, err := c.Query(t.Context(), "postgres", "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'")
		return err == nil && len(rows) == 1
	}, waitFor, tick)
	pids, err := c.Query(t.Context(), "postgres", "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
	require.NoError(t, err)
	require.NotEmpty(t, pids)
	require.NoError(t, c.Kill())
	for _, row := range pids {
		pid, err := strconv.Atoi(row[0])
		require.NoError(t, err)
		require.False(t, runs(pid), "process %d outlives the kill", pid)
	}
	require.Error(t, <-busy)
}

// runs reports whether a process is there and no zombie.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(text), ") Z ")
}

func TestKillAndRestart(t *testing.T) {
	for _, durable := range []bool{true, false} {
		t.Run("durable="+strconv.FormatBool(durable), func(t *testing.T) {
			if !durable && testing.Short() {
				t.Skip("the same with the disk out of the way")
			}
			c := pgtest.StartForTest(t, pgtest.Config{Durable: durable, TCP: true})
			_, err := c.Query(t.Context(), "postgres", "CREATE TABLE kept (n int)")
			require.NoError(t, err)
			addr := c.Addr()
			for i := range 2 {
				_, err := c.Query(t.Context(), "postgres", "INSERT INTO kept VALUES ("+strconv.Itoa(i)+")")
				require.NoError(t, err)
				crash(t, c)
				_, err = c.Query(t.Context(), "postgres", "SELECT 1")
				require.Error(t, err)
				require.NoError(t, c.Kill(), "twice is once")

				require.NoError(t, c.Restart(t.Context()))
				require.NoError(t, c.Restart(t.Context()), "it runs already")
				require.Equal(t, strconv.Itoa(i+1), one(t, c, "postgres", "SELECT count(*) FROM kept"), "what was committed, and nothing else")
				require.Contains(t, c.Log(), "not properly shut down")
			}
			require.Equal(t, addr, c.Addr())
			require.NoError(t, c.Kill())
		})
	}
}

func TestStopAndRestart(t *testing.T) {
	c := pgtest.StartForTest(t, pgtest.Config{})
	require.NoError(t, c.Stop())
	require.NoError(t, c.Stop())
	_, err := c.Query(t.Context(), "postgres", "SELECT 1")
	require.ErrorIs(t, err, syscall.ENOENT, "the socket is gone: it left in order")
	require.NoError(t, c.Restart(t.Context()))
	require.Equal(t, "1", one(t, c, "postgres", "SELECT 1"))
	require.NotContains(t, c.Log(), "not properly shut down")
}

// sharedMemory returns the id of the segment that a server holds or held.
func sharedMemory(t *testing.T, c *pgtest.Cluster) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.SocketDir(), "data", "postmaster.pid"))
	require.NoError(t, err)
	return strings.Fields(strings.Split(string(text), "\n")[6])[1]
}

// segments returns the ids of all that there are.
func segments(t *testing.T) (ids []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/sysvipc/shm")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		ids = append(ids, strings.Fields(line)[1])
	}
	return ids
}

func TestClose(t *testing.T) {
	c, err := pgtest.Start(t.Context(), pgtest.Config{})
	pgtest.Missing(t, err)
	require.NoError(t, c.Kill())
	segment := sharedMemory(t, c)
	require.Contains(t, segments(t), segment)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.NotContains(t, segments(t), segment, "a killed server's memory is given back")
	require.NoDirExists(t, c.SocketDir())
	require.Error(t, c.Restart(t.Context()))
}

// A cluster that runs has no goroutine, so that tests of what uses it can look
// for leaks.
func TestNoGoroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c := pgtest.StartForTest(t, pgtest.Config{})
	require.Equal(t, "1", one(t, c, "postgres", "SELECT 1"))
	goleak.VerifyNone(t, before)
}

func TestStartEndsWithContext(t *testing.T) {
	servers.Cluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pgtest.Start(ctx, pgtest.Config{})
	require.Error(t, err)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, pgtest.ErrMissing)
}
