package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/sqlite"
)

// childEnv names what this binary does instead of testing: a process of its own
// that can be killed.
const childEnv = "BURSAR_SQLITE_CHILD"

func children() map[string]func(path string) error {
	return map[string]func(string) error{"write": writeForEver, "hold": holdTheLock, "open": openOnce, "count": countUp}
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := children()[name](os.Args[len(os.Args)-1]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a process that works on a database.
type child struct {
	*exec.Cmd
	out *bufio.Scanner
	in  io.WriteCloser
}

func startChild(t *testing.T, name, path string) *child {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], path)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &child{cmd, bufio.NewScanner(out), in}
}

// line waits for what the child says next.
func (c *child) line(t *testing.T) string {
	t.Helper()
	require.True(t, c.out.Scan(), "the child says nothing more")
	return c.out.Text()
}

// kill is kill -9. What the child had said before is returned.
func (c *child) kill(t *testing.T) (said []string) {
	t.Helper()
	require.NoError(t, c.Process.Kill())
	for c.out.Scan() {
		said = append(said, c.out.Text())
	}
	require.Error(t, c.Wait())
	return said
}

// fileIn returns a path for a new database.
func fileIn(t testing.TB) string { return filepath.Join(t.TempDir(), "bursar.db") }

// openAt opens a store that is closed with the test.
func openAt(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// raw opens the file behind the store's back.
func raw(t testing.TB, path, options string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// number asks a database for one number.
func number(t testing.TB, db *sql.DB, query string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(context.Background(), query, args...).Scan(&n), query)
	return n
}

const ether = chain.AssetID("eip155:1/slip44:60")

var day = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

// sale is what belongs together: a payment with its address, event, delivery,
// ledger entry and transaction.
func sale(id string) bursar.Batch {
	p := "pay_" + id
	return bursar.Batch{
		Payments: []bursar.Payment{{
			ID: p, Status: bursar.StatusPending, Asset: chain.Asset{ID: ether, Symbol: "ETH", Decimals: 18}, Amount: chain.NewAmount(7),
			Address: chain.Address("0x" + id), AddressID: "addr_" + id, IdempotencyKey: "key_" + id,
			Metadata: map[string]string{"order": id}, CreatedAt: day,
		}},
		Transactions: []bursar.Transaction{{
			ID: "tx_" + id, Chain: ether.Chain(), Transfer: chain.TransferID{Tx: chain.TxID("0x" + id), Ordinal: "n"}, Asset: ether,
			Type: bursar.TypeIncoming, Status: bursar.TxPending, Amount: chain.NewAmount(7), PaymentID: p, CreatedAt: day,
		}},
		Addresses: []bursar.Address{{
			ID: "addr_" + id, Address: chain.Address("0x" + id), Pool: "pool", Role: bursar.RolePayment, PaymentID: p, CreatedAt: day,
		}},
		Events: []bursar.Event{{ID: "evt_" + id, Kind: bursar.PaymentCreated, Subject: p, Seq: 1, Time: day}},
		Deliveries: []bursar.Delivery{{
			EventID: "evt_" + id, Endpoint: "n", Subject: p, Seq: 1, Status: bursar.DeliveryPending, NextAt: day,
		}},
		Entries: []bursar.Entry{{
			ID: "entry_" + id, Rule: "L1", Asset: ether, Debit: "U:h", Credit: bursar.Account("pending:" + p), Amount: chain.NewAmount(7),
			Subject: p, Transaction: "tx_" + id, Chain: ether.Chain(), Live: "live_" + id, At: day,
		}},
	}
}

// put writes batches in one transaction.
func put(ctx context.Context, s bursar.Store, batches ...bursar.Batch) error {
	return s.Write(ctx, func(tx bursar.Tx) error { return apply(ctx, tx, batches...) })
}

func apply(ctx context.Context, tx bursar.Tx, batches ...bursar.Batch) error {
	for _, b := range batches {
		if err := tx.Apply(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// sales lists the ids of what is there, and fails where one is not whole.
func sales(t testing.TB, s bursar.Store) (ids []string) {
	t.Helper()
	ctx := context.Background()
	require.NoError(t, s.Read(ctx, func(r bursar.Reader) error {
		payments, err := r.Payments(ctx, bursar.PaymentQuery{})
		require.NoError(t, err)
		count := map[string]int{}
		for _, p := range payments {
			ids = append(ids, strings.TrimPrefix(p.ID, "pay_"))
		}
		txs, err := r.Transactions(ctx, bursar.TransactionQuery{Chain: ether.Chain()})
		count["transactions"] = len(txs)
		addresses, err2 := r.Addresses(ctx, bursar.AddressQuery{Pool: "pool"})
		count["addresses"] = len(addresses)
		events, err3 := r.Events(ctx, bursar.EventQuery{})
		count["events"] = len(slices.DeleteFunc(events, func(e bursar.Event) bool { return !e.Time.Equal(day) })) // others are a gateway's
		deliveries, err4 := r.Deliveries(ctx, bursar.DeliveryQuery{Endpoint: "n"})
		count["deliveries"] = len(deliveries)
		entries, err5 := r.Entries(ctx, bursar.EntryQuery{Asset: ether})
		count["entries"] = len(entries)
		require.NoError(t, errors.Join(err, err2, err3, err4, err5))
		for table, n := range count {
			require.Len(t, payments, n, table)
		}
		sums, err := r.Balances(ctx, bursar.BalanceQuery{Accounts: []bursar.Account{"U:h"}})
		require.NoError(t, err)
		if len(ids) > 0 {
			require.Len(t, sums, 1)
			require.EqualValues(t, 7*len(ids), sums[0].Sum.Int64())
		}
		return nil
	}))
	return ids
}

// sound checks the file in full.
func sound(t testing.TB, path string) {
	t.Helper()
	var answer string
	require.NoError(t, raw(t, path, "").QueryRowContext(context.Background(), "PRAGMA integrity_check").Scan(&answer))
	require.Equal(t, "ok", answer)
}

// until waits for something that other goroutines bring about.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); runtime.Gosched() {
		require.True(t, time.Now().Before(end), "waiting for %s", what)
	}
}
