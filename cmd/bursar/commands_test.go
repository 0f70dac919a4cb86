package main

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/store/sqlite"
)

// edit changes the database by hand.
func (w *world) edit(text string, args ...any) {
	w.t.Helper()
	db, err := sql.Open("sqlite", w.path)
	require.NoError(w.t, err)
	_, err = db.ExecContext(w.t.Context(), text, args...)
	require.NoError(w.t, err)
	require.NoError(w.t, db.Close())
}

func TestVerify(t *testing.T) {
	w := live(t)
	p := w.kit.Create("USDC", "10")
	w.kit.Pay(p)
	w.kit.Confirm()
	require.Contains(t, w.ok("verify"), "compared with eip155:1337 at height ")
	require.Contains(t, w.ok("verify", "-no-chain"), "skipped balances on eip155:1337")
	clean := decode[auditReport](t, w.ok("verify", "-json"))
	require.True(t, clean.Clean)
	require.NotZero(t, clean.Checked["payments"])

	w.edit("UPDATE bursar_payments SET status = 'expired' WHERE id = ?", p.ID)
	text := w.fails(exitFailed, "verify", "-no-chain")
	require.Contains(t, text, "payments "+p.ID)
	found := decode[auditReport](t, w.fails(exitFailed, "verify", "-json"))
	require.False(t, found.Clean)
	require.Equal(t, "payments", found.Findings[0].Table)
	require.Equal(t, p.ID, found.Findings[0].ID)
}

func TestExplain(t *testing.T) {
	w := live(t)
	p := w.kit.Request(bursar.PaymentRequest{Asset: "local/USDC", Amount: decimal.NewFromInt(10), IdempotencyKey: "order 7"})
	require.Contains(t, w.ok("explain", p.ID), "pending: 10 USDC was asked for")
	hash := w.kit.Pay(p)
	require.Contains(t, w.fails(exitFailed, "explain", string(hash)), "in the mempool")
	w.kit.Mine(1)
	require.Contains(t, w.ok("explain", string(p.Address)), "[below_depth]")
	w.kit.Confirm()
	require.Contains(t, w.ok("explain", "order 7"), "confirmed on ")
	w.kit.Settle()
	require.Contains(t, w.ok("explain", string(hash)), "payment "+p.ID+" is settled")
	x := decode[bursar.Explanation](t, w.ok("explain", "-json", p.ID))
	require.Equal(t, bursar.ExplainedPayment, x.Kind)
	require.Equal(t, bursar.StatusSettled, x.Payment.Status)
	require.Contains(t, w.ok("explain", "-no-chain", p.ID), "left out by -no-chain")
	require.Contains(t, w.fails(exitFailed, "explain", "order 8"), "nothing here has the name")
	require.Equal(t, bursar.ExplainedNothing, decode[bursar.Explanation](t, w.fails(exitFailed, "explain", "-json", "order 8")).Kind)
	require.Contains(t, w.fails(exitFailed, "explain", " "), "Explain.What")
}

func TestSweeps(t *testing.T) {
	// The gateway that works on the store does not sweep, so that something waits.
	w := live(t, func(c *bursar.Config) { c.Chains[0].Sweep = bursar.SweepOff })
	require.Contains(t, w.ok("sweeps"), "nothing waits to be swept")
	w.kit.Pay(w.kit.Create("USDC", "10"))
	w.kit.Settle()
	text := w.ok("sweeps", "-chain", "local")
	require.Contains(t, text, "local (eip155:1337), ")
	require.Contains(t, text, "a unit of gas costs 0.0000000011 ETH now")
	require.Regexp(t, `10 USDC +1 +1 +topup +no batches are set up +2 +55120 +0.000060632 `, text)
	all := decode[[]bursar.SweepCosts](t, w.ok("sweeps", "-json"))
	require.Len(t, all, 1)
	require.Equal(t, chain.WayTopUp, all[0].Waiting[0].Way)
	require.Equal(t, uint64(55_120), all[0].Waiting[0].Ways[0].Now.GasEach)
	offline := w.ok("sweeps", "-no-chain")
	require.Contains(t, offline, "the price of gas is not known: ")
	require.Regexp(t, `topup +no batches are set up +2 +55120 +\? `, offline, "gas is told without a node")
	require.Contains(t, w.fails(exitFailed, "sweeps", "-chain", "mars"), `chain "mars" is not configured`)
}

// TestBatchesWithoutTheNode: what is configured of batches needs no node to be right.
func TestBatchesWithoutTheNode(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile(w.config)
	require.NoError(t, err)
	w.write("bursar.yaml", strings.Replace(string(text), "    describe:", "    sweeper: {owner: \""+coldOwner+"\", max_batch: 100, gather: 1h}\n    describe:", 1))
	w.ok("migrate")
	w.ok("verify", "-no-chain")
	require.Contains(t, w.ok("sweeps", "-no-chain"), "nothing waits to be swept")
}

func TestMigrate(t *testing.T) {
	w := newWorld(t)
	require.Contains(t, w.ok("migrate", "-dry-run"), "sqlite is at schema 0")
	require.NoFileExists(t, w.path, "a dry run changes nothing")
	require.Contains(t, w.fails(exitFailed, "verify"), w.config+": store.path: the database is at schema 0, this release at ")
	require.NoFileExists(t, w.path)
	pending := decode[schema](t, w.ok("migrate", "-dry-run", "-json"))
	require.Len(t, pending.Pending, pending.Want)
	require.False(t, pending.Applied)

	require.Contains(t, w.ok("migrate"), "was brought from schema 0 to ")
	require.Contains(t, w.ok("migrate"), "which is that of this release")
	require.Contains(t, w.ok("verify"), "clean at ")

	w.edit("INSERT INTO bursar_migrations (version, name, checksum, applied_at) VALUES (?, 'later', 'x', 0)", pending.Want+1)
	for _, cmd := range []string{"migrate", "verify"} {
		text := w.fails(exitFailed, cmd)
		require.Contains(t, text, "newer")
		require.Contains(t, text, "use the bursar of the release")
	}
}

// TestMigratePrint: what is printed makes a database that needs nothing more.
func TestMigratePrint(t *testing.T) {
	w := newWorld(t)
	text := w.ok("migrate", "-print")
	require.NoFileExists(t, w.path)
	w.edit("PRAGMA journal_mode = WAL")
	w.edit(text)
	require.Contains(t, w.ok("migrate", "-dry-run"), "which is that of this release")
	s, err := sqlite.Open(t.Context(), w.path)
	require.NoError(t, err, "the store agrees")
	require.NoError(t, s.Close())
	require.Equal(t, text, decode[map[string]string](t, w.ok("migrate", "-print", "-json"))["sql"])
}

func TestDamagedFile(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, os.WriteFile(w.path, []byte(strings.Repeat("no database ", 1000)), 0o600))
	for _, cmd := range []string{"migrate", "verify"} {
		require.Contains(t, w.fails(exitFailed, cmd), w.config+": store.path: ")
	}
}

func TestBackup(t *testing.T) {
	w := live(t)
	p := w.kit.Create("USDC", "10")
	to := filepath.Join(t.TempDir(), "copy.db")
	require.Contains(t, w.ok("backup", to), "was copied to "+to)
	require.Contains(t, w.fails(exitFailed, "backup", to), "is there already")
	w.env = []string{"BURSAR_STORE_PATH=" + to}
	require.Contains(t, w.ok("explain", p.ID), "pending")
}

func TestAddresses(t *testing.T) {
	w := live(t)
	p := w.kit.Create("ETH", "1")
	q := w.kit.Create("ETH", "1")
	lines := strings.Split(strings.TrimSpace(w.ok("addresses", "-from", "0", "-to", "1")), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "0 "+string(p.Address)+" m/44'/60'/0'/0/0 ")
	require.Contains(t, lines[1], "1 "+string(q.Address)+" m/44'/60'/0'/0/1 ")
	list := decode[[]bursar.DerivedAddress](t, w.ok("addresses", "-json", "-chain", "eip155:1337"))
	require.Equal(t, p.Address, list[0].Address)
	require.Contains(t, w.fails(exitFailed, "addresses", "-chain", "mars"), `chain "mars" is not configured`)
	require.Contains(t, w.fails(exitFailed, "addresses", "-wallet", "mars"), "Derive.Account")

	more, err := os.ReadFile(w.config)
	require.NoError(t, err)
	w.write("bursar.yaml", strings.Replace(string(more), "chains:\n", "chains:\n  sepolia: {url: http://127.0.0.1:1, sweep: \"off\", preset: local, describe: {chain_id: 11155111, symbol: SEP}}\n", 1))
	require.Contains(t, w.fails(exitUsage, "addresses"), "-chain is required where several are configured")
}

func TestPreflight(t *testing.T) {
	w := live(t)
	r := w.run("preflight")
	require.Contains(t, r.out, "store.")
	require.Contains(t, r.out, "chain.")
	lines := decode[[]preflightLine](t, w.run("preflight", "-json").out)
	failed := false
	for _, l := range lines {
		require.NotEmpty(t, l.Name)
		failed = failed || l.Level == bursar.PreflightFailure
	}
	require.Equal(t, failed, r.code == exitFailed, r.out)

	// A node that cannot be reached is a failure.
	w.kit = nil
	require.Contains(t, w.fails(exitFailed, "preflight"), string(bursar.PreflightFailure))
}

// TestRecover loses a database and goes on with the mnemonic alone.
func TestRecover(t *testing.T) {
	w := live(t)
	old := []bursar.Payment{w.kit.Create("USDC", "10"), w.kit.Create("USDC", "20"), w.kit.Create("ETH", "1")}
	w.kit.Pay(old[0])
	w.kit.Confirm()
	args := []string{"recover", "-chain", "local", "-to-index", "2", "-from-block", "1"}
	require.Contains(t, w.fails(exitFailed, args...), "recover fills an empty database only")
	require.NoError(t, w.kit.Gateway.Stop(t.Context()))

	fresh := filepath.Join(t.TempDir(), "fresh.db")
	w.env = []string{"BURSAR_STORE_PATH=" + fresh}
	require.Contains(t, w.fails(exitFailed, args...), "run bursar migrate")
	w.ok("migrate")
	plan := w.ok(args...)
	require.Contains(t, plan, "3 indexes would be reserved, the next one to be issued is 3")
	require.Contains(t, plan, string(old[0].Address)+" to "+string(old[2].Address))
	require.Contains(t, plan, "give -yes to do it")
	require.False(t, decode[bursar.Recovery](t, w.ok(append(args, "-json")...)).Written)
	done := w.ok(append(args, "-yes")...)
	require.Contains(t, done, "3 indexes were reserved")
	require.Contains(t, done, "the next start scans eip155:1337 from block 1")
	require.Contains(t, w.ok("verify"), "checked 3 addresses")

	s, err := sqlite.Open(t.Context(), fresh)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	f, err := config.Load(w.config, nil)
	require.NoError(t, err)
	cfg, err := w.program().build(f, s)
	require.NoError(t, err)
	cfg.Manual, cfg.Notify, cfg.Logger = true, nil, slog.New(slog.DiscardHandler)
	gw, err := bursar.New(cfg)
	require.NoError(t, err)
	require.NoError(t, gw.Start(t.Context()))
	defer func() { require.NoError(t, gw.Stop(context.Background())) }()
	w.kit.Chain.Pay("bob", old[2].Address, w.kit.ETH, chain.NewAmount(5))
	w.kit.Chain.Mine(1)
	for range 30 {
		require.NoError(t, gw.Step(t.Context()))
	}
	for _, p := range []bursar.Payment{old[0], old[2]} {
		text := w.ok("explain", string(p.Address))
		require.Contains(t, text, "[unissued]")
		require.Contains(t, text, string(bursar.AlertUnknownRecipient))
	}
	for range 5 {
		p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
		require.NoError(t, err)
		for _, was := range old {
			require.NotEqual(t, was.Address, p.Address)
		}
	}
	require.Contains(t, w.ok("verify"), "clean at ")
}
