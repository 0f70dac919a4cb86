package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/internal/pgtest"
)

// result is what a run left.
type result struct {
	status         int
	stdout, stderr string
}

func demo(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, &stdout, &stderr)
	return result{status, stdout.String(), stderr.String()}
}

// holds fails with the whole account, which says what went wrong.
func (r result) holds(t *testing.T, lines ...string) {
	t.Helper()
	require.Equal(t, exitGood, r.status, "%s\n%s", r.stderr, r.stdout)
	require.Empty(t, r.stderr)
	for _, line := range lines {
		require.Regexp(t, regexp.MustCompile("(?m)"+line), r.stdout)
	}
	require.NotContains(t, r.stdout, "WRONG")
	require.NotContains(t, r.stdout, "level=ERROR")
}

// always are lines that every run has.
var always = []string{
	`again +\*bursar\.RetryTxError: `,
	`order +1004: sold out`,
	`order +1005: .*\(twice the same\)$`,
	`handler +order 1001: it has failed`,
	`handler +order 1001 is paid, says payment\.confirmed`,
	`^1001 +book +paid +pay_\S+ +confirmed +1 +5$`,
	`^1002 +book +paid +pay_\S+ +confirmed +1 +5$`,
	`^1003 +book +open +pay_\S+ +pending +0 +1$`,
	`^1005 +book +paid +pay_\S+ +confirmed +1 +5$`,
	`holds +once `,
	`holds +audit `,
	`^── everything is exactly as it must be`,
}

func TestSQLite(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	demo(t).holds(t, append([]string{`in one database, SQLite$`}, always...)...)
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	for _, f := range left {
		require.NotContains(t, f.Name(), "shop-sql", "the file is removed")
	}
}

func TestKept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := demo(t, "-keep")
	r.holds(t, always...)
	kept := regexp.MustCompile(`kept +(\S+)`).FindStringSubmatch(r.stdout)
	require.NotNil(t, kept)
	d, err := openSQLite(t.Context(), kept[1])
	require.NoError(t, err)
	defer func() { require.NoError(t, d.close()) }()
	var orders, payments int
	require.NoError(t, d.db().QueryRow(`SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM bursar_payments)`).Scan(&orders, &payments))
	require.Equal(t, 4, orders)
	require.Equal(t, 4, payments)
}

func TestPostgres(t *testing.T) {
	cluster := pgtest.StartForTest(t, pgtest.Config{})
	databases := func() [][]string {
		rows, err := cluster.Query(t.Context(), "postgres", "SELECT datname FROM pg_database ORDER BY 1")
		require.NoError(t, err)
		return rows
	}
	before := databases()
	// Twice on one server: runs do not meet.
	for range 2 {
		demo(t, "-postgres", cluster.DSN("postgres")).holds(t, append([]string{`in one database, PostgreSQL$`}, always...)...)
	}
	require.Equal(t, before, databases(), "its database is dropped")
}

func TestNoServer(t *testing.T) {
	r := demo(t, "-postgres", "postgres://shop:hunter2@127.0.0.1:1/postgres?connect_timeout=2&sslmode=disable")
	require.Equal(t, exitWrong, r.status)
	require.Contains(t, r.stderr, "PostgreSQL: failed to connect")
	require.NotContains(t, r.stderr+r.stdout, "hunter2")
}

func TestBadCommandLines(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown flag": {"-nosuch", "secret"},
		"no duration":  {"-timeout", "secret"},
		"no time":      {"-timeout", "0s"},
		"argument":     {"secret"},
	} {
		t.Run(name, func(t *testing.T) {
			r := demo(t, args...)
			require.Equal(t, exitUsage, r.status)
			require.NotEmpty(t, r.stderr)
			require.NotContains(t, r.stderr+r.stdout, "secret")
		})
	}
	r := demo(t, "-postgres", "postgres://shop:hunter2@%zz/")
	require.Equal(t, exitWrong, r.status)
	require.Contains(t, r.stderr, "-postgres: want a DSN")
	require.NotContains(t, r.stderr+r.stdout, "hunter2")
}

func TestHelp(t *testing.T) {
	r := demo(t, "-h")
	require.Equal(t, exitGood, r.status)
	require.Contains(t, r.stderr, "-postgres DSN")
}

// TestStopsWhenTold: Ctrl-C in the middle leaves nothing behind.
func TestStopsWhenTold(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr bytes.Buffer
	status := run(ctx, nil, &trigger{at: "it has failed", do: cancel}, &stderr)
	require.Equal(t, exitWrong, status)
	require.Contains(t, stderr.String(), context.Canceled.Error())
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	for _, f := range left {
		require.NotContains(t, f.Name(), "shop-sql")
	}
}

// trigger does something once a text was written to it. The report writes one line
// at a time and never two at once.
type trigger struct {
	at string
	do func()
}

func (w *trigger) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.at)) {
		w.do()
	}
	return len(p), nil
}

// TestAWrongOutcomeIsSeen: the checks can fail, each of them.
func TestAWrongOutcomeIsSeen(t *testing.T) {
	var account strings.Builder
	s := &stage{out: newReport(&account), failing: "none", payments: map[string]bursar.Payment{}, failure: make(chan struct{})}
	path := t.TempDir() + "/shop.db"
	s.words = "test test test test test test test test test test test junk"
	s.open = func(ctx context.Context) (database, error) { return openSQLite(ctx, path) }
	var err error
	s.chain, err = newLocalChain()
	require.NoError(t, err)
	defer func() { require.NoError(t, s.chain.close()) }()
	defer func() { require.NoError(t, s.stop(t.Context())) }()
	require.NoError(t, s.begin(t.Context()))
	require.NoError(t, s.orderAndPayment(t.Context()))
	require.NoError(t, s.allTold(t.Context()))
	rows, err := s.rows(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.checkOnce(t.Context(), rows))
	require.NoError(t, s.checkStock(t.Context(), rows))
	require.NoError(t, s.checkAudit(t.Context(), rows))
	require.NoError(t, s.absent(t.Context(), "1004"))

	for _, text := range []string{
		`INSERT INTO order_log SELECT order_id, seq, kind FROM order_log WHERE order_id = '1002'`,
		`UPDATE stock SET pieces = pieces - 1 WHERE item = 'book'`,
		`UPDATE orders SET state = 'paid' WHERE id = '1003'`,
		`INSERT INTO orders (id, item, state) VALUES ('1004', 'lamp', 'open')`,
		`DELETE FROM order_log WHERE order_id = '1001'`,
	} {
		_, err := s.shop.database.db().Exec(text)
		require.NoError(t, err)
	}
	require.ErrorContains(t, s.absent(t.Context(), "1004"), "1 orders and 0 payments")
	_, err = s.shop.database.db().Exec(`DELETE FROM orders WHERE id = '1004'`)
	require.NoError(t, err)
	rows, err = s.rows(t.Context())
	require.NoError(t, err)
	err = s.checkOnce(t.Context(), rows)
	require.ErrorContains(t, err, "order 1002: 1 events, 2 rows of them, 1 different")
	require.ErrorContains(t, err, "order 1001: 1 events, 0 rows")
	require.ErrorContains(t, s.checkStock(t.Context(), rows), "6 of 10 pieces")
	require.ErrorContains(t, s.checkOrders(t.Context(), rows), "order 1003 is paid")
	require.ErrorContains(t, s.checkMishaps(t.Context(), rows), "0 transactions")
	require.Error(t, s.verify(t.Context()))
	require.Contains(t, account.String(), "WRONG     once")
}

// TestHandlersWantTheStoresTransaction: a Tx of another kind is no transaction of
// the shop's database.
func TestHandlersWantTheStoresTransaction(t *testing.T) {
	for _, d := range []database{liteDB{}, pgDB{}} {
		_, err := d.joined(nil)
		require.ErrorContains(t, err, "not a transaction of this store")
	}
	require.False(t, liteDB{}.lostRace(io.EOF))
	require.False(t, pgDB{}.lostRace(io.EOF))
}
