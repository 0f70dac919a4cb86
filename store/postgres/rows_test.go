package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/postgres"
)

// t0 is a time of rows, so that they are the same in each run.
var t0 = time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)

const (
	mainnet = chain.ID("eip155:1")
	ether   = chain.AssetID("eip155:1/slip44:60")
)

func payment(id string) bursar.Payment {
	return bursar.Payment{
		ID: id, Status: bursar.StatusPending, Asset: chain.Asset{ID: ether, Symbol: "ETH", Decimals: 18},
		Amount: chain.NewAmount(100), Required: chain.NewAmount(100), Address: chain.Address("0x" + id), AddressID: "addr_" + id,
		IdempotencyKey: "key_" + id, Attempt: 1, TTL: time.Hour, CreatedAt: t0, ExpiresAt: t0.Add(time.Hour), Seq: 1,
		Metadata: map[string]string{"order": id},
	}
}

func address(id string, index uint32) bursar.Address {
	return bursar.Address{ID: "addr_" + id, Address: chain.Address("0x" + id), Pool: "60/0", Index: index, Role: bursar.RolePayment, PaymentID: id, CreatedAt: t0}
}

func event(subject string, seq int64) bursar.Event {
	return bursar.Event{ID: fmt.Sprintf("evt_%s_%d", subject, seq), Kind: bursar.PaymentDetected, Subject: subject, Seq: seq, Time: t0}
}

func delivery(subject string, seq int64) bursar.Delivery {
	return bursar.Delivery{
		EventID: fmt.Sprintf("evt_%s_%d", subject, seq), Endpoint: "shop", Subject: subject, Seq: seq,
		Status: bursar.DeliveryPending, NextAt: t0,
	}
}

func transaction(id, payment string) bursar.Transaction {
	return bursar.Transaction{
		ID: id, Chain: mainnet, Transfer: chain.TransferID{Tx: chain.TxID("0x" + id), Ordinal: "n"}, Type: bursar.TypeIncoming,
		Status: bursar.TxConfirming, Asset: ether, Amount: chain.NewAmount(100), To: chain.Address("0x" + payment), PaymentID: payment, CreatedAt: t0,
	}
}

func entry(id, live string) bursar.Entry {
	return bursar.Entry{
		ID: id, Rule: "L1", Asset: ether, Debit: "U:h", Credit: "pending:p", Amount: chain.NewAmount(7),
		Subject: "p", Chain: mainnet, Live: live, At: t0,
	}
}

// write applies one batch.
func write(ctx context.Context, s bursar.Store, b bursar.Batch) error {
	return s.Write(ctx, func(tx bursar.Tx) error { return tx.Apply(ctx, b) })
}

// seqOf is the counter of a chain's row.
func seqOf(t testing.TB, s bursar.Store, id chain.ID) (n int64) {
	t.Helper()
	require.NoError(t, s.Read(context.Background(), func(r bursar.Reader) error {
		st, err := r.Chain(context.Background(), id)
		n = st.Seq
		return err
	}))
	return n
}

// bump adds one to counters. It writes nothing but rows that change, and is no
// business step that could be told to have happened: to run it twice shows.
func bump(ctx context.Context, s bursar.Store, ids ...chain.ID) error {
	return s.Write(ctx, func(tx bursar.Tx) error {
		var b bursar.Batch
		for _, id := range ids {
			st, err := tx.Chain(ctx, id)
			if err != nil {
				return err
			}
			st.Seq++
			b.Chains = append(b.Chains, st)
		}
		return tx.Apply(ctx, b)
	})
}

// content is all that a store holds.
type content struct {
	Payments     []bursar.Payment
	Transactions []bursar.Transaction
	Addresses    []bursar.Address
	Payouts      []bursar.Payout
	Attempts     []bursar.Attempt
	Entries      []bursar.Entry
	Balances     []string
	Events       []bursar.Event
	Deliveries   []bursar.Delivery
	Chain        bursar.ChainState
	Pools        []bursar.Pool
	Endpoints    []bursar.EndpointRow
}

// contentOf reads all there is.
func contentOf(t testing.TB, s bursar.Store) (c content) {
	t.Helper()
	ctx := context.Background()
	require.NoError(t, s.Read(ctx, func(r bursar.Reader) error {
		errs := make([]error, 12)
		c.Payments, errs[0] = r.Payments(ctx, bursar.PaymentQuery{})
		c.Transactions, errs[1] = r.Transactions(ctx, bursar.TransactionQuery{})
		c.Addresses, errs[2] = r.Addresses(ctx, bursar.AddressQuery{})
		c.Payouts, errs[3] = r.Payouts(ctx, bursar.PayoutQuery{})
		c.Attempts, errs[4] = r.Attempts(ctx, bursar.AttemptQuery{})
		c.Entries, errs[5] = r.Entries(ctx, bursar.EntryQuery{})
		c.Events, errs[6] = r.Events(ctx, bursar.EventQuery{})
		c.Deliveries, errs[7] = r.Deliveries(ctx, bursar.DeliveryQuery{})
		c.Chain, errs[8] = r.Chain(ctx, mainnet)
		c.Pools, errs[9] = r.Pools(ctx)
		c.Endpoints, errs[11] = r.Endpoints(ctx, bursar.EndpointQuery{})
		var sums []bursar.Balance
		sums, errs[10] = r.Balances(ctx, bursar.BalanceQuery{})
		for _, b := range sums {
			c.Balances = append(c.Balances, fmt.Sprint(b.Asset, " ", b.Account, " ", b.Sum))
		}
		return errors.Join(errs...)
	}))
	return c
}

// nameOf is the database of a connection string.
func nameOf(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	return u.Path[1:]
}

// openWith opens a store by a configuration of connections.
func openWith(t testing.TB, dsn string, edit func(*pgxpool.Config)) *postgres.Store {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	config.MaxConns = 12
	if edit != nil {
		edit(config)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s, err := postgres.New(context.Background(), pool, postgres.Options{})
	require.NoError(t, err)
	return s
}

// statements tells of everything that is sent.
type statements struct{ saw func(sql string) }

func (s statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	s.saw(d.SQL)
	return ctx
}

func (statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	for _, q := range d.Batch.QueuedQueries {
		s.saw(q.SQL)
	}
	return ctx
}

func (statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// untilWaiting returns once n sessions of a database wait for a lock.
func untilWaiting(t testing.TB, dsn string, n int) {
	t.Helper()
	db, err := pgx.Connect(context.Background(), dsn)
	require.NoError(t, err)
	defer db.Close(context.Background())
	require.Eventually(t, func() bool {
		var waiting int
		require.NoError(t, db.QueryRow(context.Background(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&waiting))
		return waiting >= n
	}, patience, 5*time.Millisecond)
}

// patience bounds waiting for something that happens.
const patience = time.Minute
