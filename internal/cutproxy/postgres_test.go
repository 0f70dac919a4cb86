package cutproxy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/cutproxy"
	"github.com/bursar-go/bursar/internal/pgtest"
)

// servers has the PostgreSQL that fakes are checked against.
var servers pgtest.Pool

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// psql runs statements, each in a message of its own, and returns the output.
func psql(t *testing.T, dsn string, statements ...string) (string, error) {
	t.Helper()
	dir, _, err := pgtest.FindServer(t.Context())
	pgtest.Missing(t, err)
	args := []string{"-XqAt", "-v", "ON_ERROR_STOP=1", dsn}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	path := filepath.Join(dir, "psql")
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestPostgres cuts a real server's clients. To the client all cuts look alike;
// what the server made of it is what the plan says.
func TestPostgres(t *testing.T) {
	cluster := servers.Cluster(t)
	database, _, err := cluster.NewDatabase(t.Context(), "")
	require.NoError(t, err)
	_, err = cluster.Query(t.Context(), database, "CREATE TABLE kept (n text)")
	require.NoError(t, err)
	p, err := cutproxy.New(cutproxy.Options{Server: cluster.Socket()})
	require.NoError(t, err)
	defer p.Close()
	count := func(n string) string {
		rows, err := cluster.Query(t.Context(), database, "SELECT count(*) FROM kept WHERE n = '"+n+"'")
		require.NoError(t, err)
		return rows[0][0]
	}
	// Prefer asks to encrypt first, which the server does not do.
	dsn := strings.Replace(cluster.DSNVia(p.Addr(), database), "sslmode=disable", "sslmode=prefer", 1)

	for _, c := range []struct {
		name string
		plan cutproxy.Plan
		ok   bool
		kept string
	}{
		{"none", nil, true, "1"},
		{"before", cutproxy.BeforeCommit(cutproxy.Always), false, "0"},
		{"after", cutproxy.AfterCommit(cutproxy.Always), false, "1"},
		{"answer", cutproxy.OnAnswer(cutproxy.Always), false, "1"},
		{"messages", cutproxy.AfterMessages(2), false, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.SetPlan(c.plan)
			out, err := psql(t, dsn, "BEGIN", "INSERT INTO kept VALUES ('"+c.name+"')", "COMMIT")
			require.Equal(t, c.ok, err == nil, out)
			// A cut ends once the server has ended the session, and so has decided.
			require.Eventually(t, func() bool { return p.Stats().Open == 0 }, waitFor, tick)
			require.Equal(t, c.kept, count(c.name))
		})
	}
	for _, mode := range []string{"simple", "extended", "prepared"} {
		t.Run("pgbench/"+mode, func(t *testing.T) {
			dir, _, err := pgtest.FindServer(t.Context())
			require.NoError(t, err)
			script := filepath.Join(t.TempDir(), "script")
			require.NoError(t, os.WriteFile(script, []byte("BEGIN;\nINSERT INTO kept VALUES ('"+mode+"');\nCOMMIT;\n"), 0o600))
			p.SetPlan(cutproxy.OnAnswer(cutproxy.Nth(3)))
			before := p.Stats()
			out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "pgbench"), "-n", "-M", mode, "-t", "5", "-f", script, dsn).CombinedOutput()
			require.Error(t, err, string(out))
			require.Eventually(t, func() bool { return p.Stats().Open == 0 }, waitFor, tick)
			require.EqualValues(t, 3, p.Stats().Commits-before.Commits, "every COMMIT is recognised")
			require.Equal(t, "3", count(mode))
		})
	}
	require.EqualValues(t, 7, p.Stats().Cut)
	require.Zero(t, p.Stats().Broken)
}
