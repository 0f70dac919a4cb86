package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/store/sqlite"
)

// result is what a run left.
type result struct {
	status         int
	stdout, stderr string
}

func demo(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
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
	require.NotRegexp(t, `(?m)^ *[0-9.]+  log .*level=ERROR`, r.stdout)
}

// always are lines that every run has.
var always = []string{
	`webhook +usdc +payment\.confirmed +#\d+ +signature verified: v1,`,
	`event +underpaid +payment\.partial .*short of 40$`,
	`event +overpaid +payment\.overpaid .*excess 2\.5$`,
	`sweep +usdt +40\.25 USDT is in the treasury: \d+ gas, fee 0\.\d+ ETH, 0x`,
	`^eth +0\.5 ETH +settled +0\.5 +– +0\.49\d+ `,
	`^usdc +25 USDC +settled +25 +– +25 `,
	`^underpaid +100 USDC +underpaid +60 +– +60 `,
	`^overpaid +10 USDC +settled +12\.5 +– +12\.5 `,
	`^never-paid +0\.1 ETH +expired +0 +– +– `,
	`holds +ledger +ledger = chain balances at block \d+`,
	`holds +forgery `,
	`^── everything is exactly as it must be`,
}

// lateLine is the account's line of the late payment.
const lateLine = `^late +15 USDT +expired +0 +15 +15 `

func TestInProcess(t *testing.T) {
	r := demo(t, "-pace", "60ms")
	r.holds(t, append([]string{
		`event +reorg +transaction\.orphaned .* is gone$`,
		`event +reorg +payment\.reverted .*was detected$`,
		`event +late +payment\.late .*15 held: expired$`,
		lateLine,
		`^reorg +33 USDC +settled +33 +– +33 `,
	}, always...)...)
}

// TestKeptDatabase: the file stays, and a second run leaves it alone and says why.
func TestKeptDatabase(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	path := filepath.Join(t.TempDir(), "demo.db")
	demo(t, "-pace", "60ms", "-db", path).holds(t, append([]string{`kept +all of it is in `}, always...)...)
	count := func() (payments int) {
		s, err := sqlite.Open(t.Context(), path)
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM bursar_payments").Scan(&payments))
		return payments
	}
	require.Equal(t, 8, count())
	r := demo(t, "-db", path)
	require.Equal(t, exitWrong, r.status)
	require.Contains(t, r.stderr, "is there already. Each run has a wallet and a chain of its own")
	require.Equal(t, 8, count())
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Empty(t, left, "what is not to be kept is removed")
}

func TestNoPlaceForTheDatabase(t *testing.T) {
	r := demo(t, "-db", filepath.Join(t.TempDir(), "nowhere", "demo.db"))
	require.Equal(t, exitWrong, r.status)
	require.Contains(t, r.stderr, "cannot be opened")
}

func TestTwiceInOneProcess(t *testing.T) {
	for range 2 {
		t.Run("run", func(t *testing.T) {
			t.Parallel()
			demo(t, "-pace", "60ms").holds(t, always...)
		})
	}
}

func TestAnvil(t *testing.T) {
	url := startNode(t, "anvil", "BURSAR_ANVIL", `^Listening on (\S+)`, "--host", "127.0.0.1", "--port", "0")
	r := demo(t, "-rpc", url, "-pace", "60ms")
	r.holds(t, append([]string{`skipped +the reorg`, lateLine}, always...)...)
	// A chain with a past, and blocks of its own now and then.
	demo(t, "-rpc", url, "-pace", "60ms").holds(t, always...)
}

func TestAnvilThatMinesNothingByItself(t *testing.T) {
	url := startNode(t, "anvil", "BURSAR_ANVIL", `^Listening on (\S+)`, "--host", "127.0.0.1", "--port", "0", "--no-mining")
	demo(t, "-rpc", url, "-pace", "60ms").holds(t, append([]string{lateLine}, always...)...)
}

func TestGeth(t *testing.T) {
	url := startNode(t, "geth", "BURSAR_GETH", `HTTP server started\s+endpoint=(\S+)`,
		"--dev", "--http", "--http.addr", "127.0.0.1", "--http.port", "0", "--port", "0", "--authrpc.port", "0",
		"--ipcdisable", "--nodiscover", "--nat", "none")
	r := demo(t, "-rpc", url, "-pace", "60ms")
	r.holds(t, append([]string{`skipped +the reorg`, `skipped +the late payment`}, always...)...)
}

func TestBadCommandLines(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown flag":  {"-nosuch", "secret"},
		"no duration":   {"-pace", "secret"},
		"argument":      {"secret"},
		"no URL":        {"-rpc", "secret"},
		"other scheme":  {"-rpc", "ftp://secret/"},
		"broken URL":    {"-rpc", "http://secret:%zz"},
		"no time":       {"-timeout", "0s"},
		"negative pace": {"-pace", "-1s"},
	} {
		t.Run(name, func(t *testing.T) {
			r := demo(t, args...)
			require.Equal(t, exitUsage, r.status)
			require.NotEmpty(t, r.stderr)
			require.NotContains(t, r.stderr+r.stdout, "secret")
		})
	}
}

func TestHelp(t *testing.T) {
	r := demo(t, "-h")
	require.Equal(t, exitGood, r.status)
	require.Contains(t, r.stderr, "-rpc URL")
}

// fakeNode answers every call with a result, or with the status where that is
// not 200.
func fakeNode(t *testing.T, status int, results map[string]any) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		if json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&call) != nil || status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": call.ID, "result": results[call.Method]})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestNodesThatAreNone: the demo ends at once, with a reason, and with nothing
// of the URL that may be a key.
func TestNodesThatAreNone(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, it := range map[string]struct{ url, want string }{
		"nobody there": {gone.URL, "no node answers"},
		"no JSON-RPC":  {fakeNode(t, http.StatusForbidden, nil), "no node answers"},
		"another node": {fakeNode(t, http.StatusOK, map[string]any{"web3_clientVersion": "erigon/3"}), "want anvil or geth --dev"},
		"geth of the main network": {fakeNode(t, http.StatusOK, map[string]any{
			"web3_clientVersion": "Geth/v1.16.9", "eth_chainId": "0x1", "eth_accounts": []string{},
		}), "no unlocked account"},
	} {
		t.Run(name, func(t *testing.T) {
			r := demo(t, "-rpc", strings.Replace(it.url, "http://", "http://user:pass@", 1)+"/v3/secret?key=secret")
			require.Equal(t, exitWrong, r.status)
			require.Contains(t, r.stderr, it.want)
			for _, secret := range []string{"secret", "pass@", "user:"} {
				require.NotContains(t, r.stderr+r.stdout, secret)
			}
		})
	}
}

// TestStopsWhenTold: Ctrl-C in the middle leaves nothing behind.
func TestStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr bytes.Buffer
	out := &trigger{at: "payment.detected", do: cancel}
	status := run(ctx, []string{"-pace", "60ms"}, out, &stderr)
	require.Equal(t, exitWrong, status)
	require.Contains(t, stderr.String(), context.Canceled.Error())
}

// trigger does something once a text was written to it. The report writes one
// line at a time and never two at once.
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

// TestAWrongOutcomeIsSeen: the checks can fail.
func TestAWrongOutcomeIsSeen(t *testing.T) {
	orders, left := scenario(abilities{reorg: true, time: true})
	require.Len(t, orders, 8)
	require.Empty(t, left)
	s := &stage{out: newReport(io.Discard), shop: &shop{}, orders: orders}
	_, err := s.checkPayments(t.Context())
	for _, o := range orders {
		require.ErrorContains(t, err, o.name+": state is , want "+string(o.want.status))
	}
	_, err = s.checkEvents(t.Context())
	require.ErrorContains(t, err, "late: [] and [], want [payment.created payment.expired payment.late]")
}
