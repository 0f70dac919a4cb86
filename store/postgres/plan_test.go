package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/internal/relational"
	"github.com/bursar-go/bursar/store/postgres"
)

const (
	// manyRows is how many rows each big table has.
	manyRows = 20_000
	// fewRows is how many of them a query with a page of rows may look at.
	fewRows = 1_000
)

// fillTables fills the tables as a year of work does: nearly everything is done.
const fillTables = `SET synchronous_commit = off;
INSERT INTO bursar.payments SELECT r.* FROM bursar.payments AS p, generate_series(1, $N) AS i, jsonb_populate_record(p, jsonb_build_object('id', 'pay_' || i, 'idempotency_key', 'key_' || i, 'address', '0x' || i,
  'customer', 'cus_' || i % 500, 'status', CASE WHEN i % 50 = 0 THEN 'pending' ELSE 'settled' END, 'asset_id', 'asset_' || i % 10, 'chain', 'chain_' || i % 3,
  'deadline', CASE WHEN i % 50 = 0 THEN '2024-01-01Z'::timestamptz + i * interval '1 minute' END, 'created_at', '2024-01-01Z'::timestamptz + i * interval '1 second',
  'metadata', jsonb_build_object('order', 'order_' || i, 'shop', 'shop_' || i % 3))) AS r;
INSERT INTO bursar.transactions SELECT r.* FROM bursar.transactions AS t, generate_series(1, $N) AS i, jsonb_populate_record(t, jsonb_build_object('id', 'tx_' || i, 'tx_hash', 'hash_' || i, 'payment_id', 'pay_' || i,
  'address_id', 'addr_' || i, 'payout_id', CASE WHEN i % 20 = 0 THEN 'out_' || i ELSE '' END, 'to_address', '0x' || i, 'from_address', 'from_' || i % 5000, 'chain', 'chain_' || i % 3,
  'asset', 'asset_' || i % 10, 'status', CASE WHEN i % 100 = 0 THEN 'confirming' ELSE 'confirmed' END, 'is_final', i % 100 <> 1, 'sweepable', i % 200 = 1,
  'confirm_at', i, 'block', i, 'block_hash', 'block_' || i / 10, 'created_at', '2024-01-01Z'::timestamptz + i * interval '1 second')) AS r;
INSERT INTO bursar.addresses SELECT r.* FROM bursar.addresses AS a, generate_series(1, $N) AS i, jsonb_populate_record(a, jsonb_build_object('id', 'addr_' || i, 'address', '0x' || i, 'address_index', i, 'pool', 'pool_' || i % 2,
  'customer', CASE WHEN i % 10 = 0 THEN 'cus_' || i % 500 ELSE '' END, 'idempotency_key', CASE WHEN i % 10 = 0 THEN 'key_' || i ELSE '' END,
  'role', CASE WHEN i % 1000 = 0 THEN 'unissued' ELSE 'payment' END)) AS r;
INSERT INTO bursar.payouts SELECT r.* FROM bursar.payouts AS o, generate_series(1, $N) AS i, jsonb_populate_record(o, jsonb_build_object('id', 'out_' || i, 'key', 'key_' || i, 'status', CASE WHEN i % 500 = 0 THEN 'planned' ELSE 'confirmed' END,
  'is_open', i % 500 = 0, 'chain', 'chain_' || i % 3, 'tx_id', 'hash_' || i, 'block_hash', 'block_' || i / 10, 'parent', CASE WHEN i % 5 = 0 THEN 'out_' || i - 1 ELSE '' END,
  'created_at', '2024-01-01Z'::timestamptz + i * interval '1 second')) AS r;
INSERT INTO bursar.attempts SELECT r.* FROM bursar.attempts AS a, generate_series(1, $N) AS i, jsonb_populate_record(a, jsonb_build_object('id', 'try_' || i, 'payout_id', 'out_' || i, 'chain', 'chain_' || i % 3, 'tx_id', 'hash_' || i,
  'is_open', i % 500 = 0, 'created_at', '2024-01-01Z'::timestamptz + i * interval '1 second')) AS r;
INSERT INTO bursar.attempt_locks SELECT 'try_' || i, 'chain_' || i % 3, 'lock_' || i FROM generate_series(1, $N) AS i;
INSERT INTO bursar.entries (id, rule, asset, debit_account, credit_account, amount, subject, transaction_id, chain, height, reverses, live_key)
  SELECT 'e_' || i, 'L1', 'asset_' || i % 10, 'U:' || i, 'pending:' || i, 1, 'pay_' || i / 4, 'tx_' || i / 4, 'chain_1', i, '', 'live_' || i FROM generate_series(1, $N) AS i;
INSERT INTO bursar.balances SELECT 'asset_' || i % 10, 'U:' || i, 1 FROM generate_series(1, $N) AS i;
INSERT INTO bursar.events (id, kind, subject, seq, livemode) SELECT 'evt_' || i, 'payment.detected', 'pay_' || i / 4, i % 4 + 1, true FROM generate_series(1, $N) AS i;
INSERT INTO bursar.deliveries SELECT r.* FROM bursar.deliveries AS d, generate_series(1, $N) AS i, jsonb_populate_record(d, jsonb_build_object('event_id', 'evt_' || i, 'endpoint', 'end_' || i % 2, 'subject', 'pay_' || i / 4, 'seq', i % 4 + 1,
  'status', CASE WHEN i % 100 = 0 THEN 'pending' WHEN i % 100 = 1 THEN 'parked' ELSE 'delivered' END, 'next_at', '2024-01-01Z'::timestamptz + i * interval '1 second', 'created_at', '2024-01-01Z'::timestamptz + i * interval '1 second', 'leased_until', NULL,
  'done_at', CASE WHEN i % 100 > 1 THEN '2024-01-01Z'::timestamptz + i * interval '1 second' END)) AS r;
ANALYZE`

// fullStore is a store with many rows in each table.
func fullStore(t *testing.T) *postgres.Store {
	t.Helper()
	servers.Template(t, "full", func(dsn string) error {
		return with(dsn, func(pool *pgxpool.Pool) error {
			s, err := postgres.New(context.Background(), pool, postgres.Options{})
			if err != nil {
				return err
			}
			rows := goldenRows()
			rows.Attempts[0].Locks = nil
			if err := write(context.Background(), s, rows); err != nil {
				return err
			}
			for statement := range strings.SplitSeq(strings.ReplaceAll(fillTables, "$N", fmt.Sprint(manyRows)), ";\n") {
				if _, err := pool.Exec(context.Background(), statement); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return open(t, servers.Database(t, "full"))
}

// planner runs what it is asked under EXPLAIN ANALYZE, and answers nothing.
type planner struct {
	c *pgx.Conn
	// text is the last statement, visited how many rows it looked at, plan the rest.
	text    string
	visited float64
	plan    string
	seq     []string // tables that were read from end to end
}

// Query implements relational.Conn.
func (p *planner) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	p.text, p.visited, p.plan, p.seq = text, 0, "", nil
	if _, err := p.c.Exec(ctx, "PREPARE asked AS "+text); err != nil {
		return nil, err
	}
	call := "EXECUTE asked"
	if len(args) > 0 {
		values := make([]string, len(args))
		for i := range args {
			values[i] = literal(args[i])
		}
		call += "(" + strings.Join(values, ", ") + ")"
	}
	// By now the server has made up its mind whether to plan for the values each time.
	for range 6 {
		if _, err := p.c.Exec(ctx, call, pgx.QueryExecModeSimpleProtocol); err != nil {
			return nil, err
		}
	}
	var out string
	err := p.c.QueryRow(ctx, "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "+call, pgx.QueryExecModeSimpleProtocol).Scan(&out)
	_, undo := p.c.Exec(ctx, "DEALLOCATE asked")
	if err = errors.Join(err, undo); err != nil {
		return nil, err
	}
	p.plan = out
	var plans []struct{ Plan node }
	if err := json.Unmarshal([]byte(out), &plans); err != nil {
		return nil, err
	}
	p.add(&plans[0].Plan)
	return nothing{}, nil
}

// Exec implements relational.Conn.
func (*planner) Exec(context.Context, string, []any) (int64, error) {
	return 0, errors.New("a planner writes nothing")
}

// literal writes an argument for EXECUTE.
func literal(v any) string {
	switch v := v.(type) {
	case time.Time:
		return "'" + v.UTC().Format(time.RFC3339Nano) + "'"
	case []string:
		b, _ := json.Marshal(v) //nolint:errchkjson // Strings can always be written.
		return "'{" + strings.Trim(string(b), "[]") + "}'"
	}
	return "'" + fmt.Sprint(v) + "'"
}

// node is a step of a plan.
type node struct {
	Type    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Recheck float64 `json:"Rows Removed by Index Recheck"`
	Plans   []node
}

// add counts the rows that a step and those below it looked at.
func (p *planner) add(n *node) {
	if strings.Contains(n.Type, "Scan") {
		p.visited += (n.Rows + n.Removed + n.Recheck) * n.Loops
	}
	if n.Type == "Seq Scan" {
		p.seq = append(p.seq, n.Table)
	}
	for i := range n.Plans {
		p.add(&n.Plans[i])
	}
}

type nothing struct{}

func (nothing) Next() bool        { return false }
func (nothing) Scan(...any) error { return errors.New("there is nothing") }
func (nothing) Err() error        { return nil }
func (nothing) Close() error      { return nil }

// question is a query by name.
type question struct {
	name string
	ask  func(ctx context.Context, r *relational.Reader) error
}

func askPayments(name string, q bursar.PaymentQuery) question {
	return question{"payments " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Payments(ctx, q); return err }}
}

func askTransactions(name string, q bursar.TransactionQuery) question {
	return question{"transactions " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Transactions(ctx, q); return err }}
}

func askAddresses(name string, q bursar.AddressQuery) question {
	return question{"addresses " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Addresses(ctx, q); return err }}
}

func askPayouts(name string, q bursar.PayoutQuery) question {
	return question{"payouts " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Payouts(ctx, q); return err }}
}

func askAttempts(name string, q bursar.AttemptQuery) question {
	return question{"attempts " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Attempts(ctx, q); return err }}
}

func askEntries(name string, q bursar.EntryQuery) question {
	return question{"entries " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Entries(ctx, q); return err }}
}

func askBalances(name string, q bursar.BalanceQuery) question {
	return question{"balances " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Balances(ctx, q); return err }}
}

func askEvents(name string, q bursar.EventQuery) question {
	return question{"events " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Events(ctx, q); return err }}
}

func askDeliveries(name string, q bursar.DeliveryQuery) question {
	return question{"deliveries " + name, func(ctx context.Context, r *relational.Reader) error { _, err := r.Deliveries(ctx, q); return err }}
}

// questions are the queries of the gateway and of its API, each with the most rows
// that the API lets a page have.
func questions() []question {
	mid := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(manyRows / 2 * time.Second)
	after := func(id string) bursar.Cursor { return bursar.Cursor{At: mid, ID: id} }
	const page = 100
	return []question{
		askPayments("newest", bursar.PaymentQuery{Limit: page}),
		askPayments("after", bursar.PaymentQuery{After: after("pay_10000"), Limit: page}),
		askPayments("by id", bursar.PaymentQuery{IDs: []string{"pay_7"}}),
		askPayments("by ids", bursar.PaymentQuery{IDs: []string{"pay_7", "pay_8", "pay_9"}}),
		askPayments("by key", bursar.PaymentQuery{IdempotencyKeys: []string{"key_7"}}),
		askPayments("by address", bursar.PaymentQuery{Addresses: []chain.Address{"0x7"}}),
		askPayments("by addresses", bursar.PaymentQuery{Addresses: []chain.Address{"0x7", "0x8"}}),
		askPayments("by status", bursar.PaymentQuery{Statuses: []bursar.Status{"pending"}, Limit: page}),
		askPayments("by status after", bursar.PaymentQuery{Statuses: []bursar.Status{"pending"}, After: after("pay_10000"), Limit: page}),
		askPayments("by asset", bursar.PaymentQuery{Assets: []chain.AssetID{"asset_3"}, Limit: page}),
		askPayments("by customer", bursar.PaymentQuery{Customer: "cus_3", Limit: page}),
		askPayments("by customer and time", bursar.PaymentQuery{Customer: "cus_3", Since: mid, Limit: page}),
		askPayments("by metadata", bursar.PaymentQuery{Metadata: map[string]string{"order": "order_77"}, Limit: page}),
		askPayments("by time", bursar.PaymentQuery{Since: mid, Until: mid.Add(time.Minute), Limit: page}),
		askPayments("due", bursar.PaymentQuery{DueBy: mid, DueChain: "chain_1", Limit: 500}),
		askPayments("first due", bursar.PaymentQuery{DueBy: mid, DueChain: "chain_1", Limit: 1}),
		askTransactions("newest", bursar.TransactionQuery{Limit: page}),
		askTransactions("by id", bursar.TransactionQuery{IDs: []string{"tx_7"}}),
		askTransactions("by payment", bursar.TransactionQuery{PaymentIDs: []string{"pay_7"}, Limit: page}),
		askTransactions("by payout", bursar.TransactionQuery{PayoutIDs: []string{"out_40"}, Limit: page}),
		askTransactions("by address row", bursar.TransactionQuery{AddressIDs: []string{"addr_7", "addr_8"}, Types: []bursar.TransactionType{"internal"}}),
		askTransactions("by hash", bursar.TransactionQuery{Chain: "chain_1", Hashes: []chain.TxID{"hash_7", "hash_8"}}),
		askTransactions("by chain", bursar.TransactionQuery{Chain: "chain_1", Limit: page}),
		askTransactions("by asset", bursar.TransactionQuery{Assets: []chain.AssetID{"asset_3"}, Limit: page}),
		askTransactions("by status", bursar.TransactionQuery{Statuses: []bursar.TransactionStatus{"confirming"}, Limit: page}),
		askTransactions("by sender", bursar.TransactionQuery{From: "from_7", Limit: page}),
		askTransactions("by receiver", bursar.TransactionQuery{To: "0x7", Limit: page}),
		askTransactions("by time", bursar.TransactionQuery{Since: mid, Until: mid.Add(time.Minute), Limit: page}),
		askTransactions("of a block", bursar.TransactionQuery{Chain: "chain_1", Blocks: []chain.BlockHash{"block_7"}}),
		askTransactions("to confirm", bursar.TransactionQuery{Chain: "chain_1", ConfirmBy: 9_000}),
		askTransactions("to be final", bursar.TransactionQuery{Chain: "chain_1", FinalBy: 9_000}),
		askTransactions("to sweep", bursar.TransactionQuery{Chain: "chain_1", Sweepable: true}),
		askAddresses("by id", bursar.AddressQuery{IDs: []string{"addr_7"}}),
		askAddresses("by address", bursar.AddressQuery{Addresses: []chain.Address{"0x7", "0x8"}}),
		askAddresses("by key", bursar.AddressQuery{IdempotencyKeys: []string{"key_10"}}),
		askAddresses("of a pool", bursar.AddressQuery{Pool: "pool_1", FromIndex: 10_000, Limit: page}),
		askAddresses("first of a pool", bursar.AddressQuery{Pool: "pool_1", Limit: 1}),
		askAddresses("by customer", bursar.AddressQuery{Customer: "cus_10", Limit: page}),
		askAddresses("by role", bursar.AddressQuery{Roles: []bursar.Role{"unissued"}, Pool: "pool_0", FromIndex: 9}),
		askPayouts("by key", bursar.PayoutQuery{Keys: []string{"key_7"}}),
		askPayouts("page", bursar.PayoutQuery{After: after("out_10000"), Limit: page}),
		askPayouts("open", bursar.PayoutQuery{Chain: "chain_1", Open: true}),
		askPayouts("planned", bursar.PayoutQuery{Chain: "chain_1", Statuses: []bursar.PayoutStatus{"planned"}}),
		askPayouts("by transaction", bursar.PayoutQuery{TxIDs: []chain.TxID{"hash_7"}}),
		askPayouts("of a block", bursar.PayoutQuery{Chain: "chain_1", Blocks: []chain.BlockHash{"block_7"}}),
		askPayouts("top-ups", bursar.PayoutQuery{Parents: []string{"out_4", "out_9"}}),
		askAttempts("of a payout", bursar.AttemptQuery{PayoutIDs: []string{"out_7", "out_8"}}),
		askAttempts("by transaction", bursar.AttemptQuery{Chain: "chain_1", TxIDs: []chain.TxID{"hash_7"}}),
		askAttempts("open", bursar.AttemptQuery{Chain: "chain_1", Open: true}),
		askAttempts("by lock", bursar.AttemptQuery{Chain: "chain_1", Locks: []chain.Lock{"lock_7"}, Open: true}),
		askAttempts("by locks", bursar.AttemptQuery{Chain: "chain_1", Locks: []chain.Lock{"lock_7", "lock_8"}}),
		askEntries("of a subject", bursar.EntryQuery{Subject: "pay_7"}),
		askEntries("of a transaction", bursar.EntryQuery{Transactions: []string{"tx_7"}, Unreversed: true}),
		askBalances("of accounts", bursar.BalanceQuery{Accounts: []bursar.Account{"U:7", "U:8"}}),
		askBalances("of an asset's account", bursar.BalanceQuery{Asset: "asset_7", Accounts: []bursar.Account{"U:7"}}),
		askBalances("by prefix", bursar.BalanceQuery{Prefix: "U:777"}),
		askEvents("by id", bursar.EventQuery{IDs: []string{"evt_7", "evt_8"}}),
		askEvents("of a subject", bursar.EventQuery{Subject: "pay_7", AfterSeq: 1, Limit: page}),
		askEvents("page", bursar.EventQuery{Limit: page}),
		askDeliveries("due", bursar.DeliveryQuery{Endpoint: "end_1", DueBy: mid, Claim: true, Limit: 50}),
		askDeliveries("due, none waits", bursar.DeliveryQuery{Endpoint: "none", DueBy: mid, Claim: true, Limit: 50}),
		askDeliveries("of an event", bursar.DeliveryQuery{EventIDs: []string{"evt_7"}, Endpoint: "end_1"}),
		askDeliveries("dead", bursar.DeliveryQuery{Statuses: []bursar.DeliveryStatus{"dead"}, Order: bursar.DeliveriesNewest, Limit: page}),
		askDeliveries("undone", bursar.DeliveryQuery{Statuses: []bursar.DeliveryStatus{"pending"}, Order: bursar.DeliveriesOldest, Limit: page}),
		askDeliveries("done, page", bursar.DeliveryQuery{
			Statuses: []bursar.DeliveryStatus{"delivered"}, Order: bursar.DeliveriesNewest, Limit: page,
			After: bursar.DeliveryCursor{At: mid, Endpoint: "end_1", Subject: "pay_7", Seq: 1, EventID: "evt_7"},
		}),
		askDeliveries("of a subject", bursar.DeliveryQuery{Statuses: []bursar.DeliveryStatus{"delivered"}, Subject: "pay_7", Order: bursar.DeliveriesNewest, Limit: page}),
		{"a chain", func(ctx context.Context, r *relational.Reader) error { _, err := r.Chain(ctx, "chain_1"); return err }},
	}
}

// TestThreat_D16_QueriesLookAtFewRows: no query of the API looks at more rows than it
// is about, the first time and when the server knows the statement.
func TestThreat_D16_QueriesLookAtFewRows(t *testing.T) {
	s := fullStore(t)
	c, err := s.Pool().Acquire(t.Context())
	require.NoError(t, err)
	defer c.Release()
	for _, mode := range []string{"force_custom_plan", "auto"} {
		_, err := c.Exec(t.Context(), "SET plan_cache_mode = "+mode)
		require.NoError(t, err)
		p := &planner{c: c.Conn()}
		for _, q := range questions() {
			require.NoError(t, q.ask(t.Context(), s.ReaderOn(p)), q.name)
			if len(p.seq) > 0 && p.seq[0] != "chains" || p.visited > fewRows {
				t.Errorf("%s, %s: %.0f rows were looked at, from end to end of %v\n%s\n%s", mode, q.name, p.visited, p.seq, p.text, p.plan)
			}
		}
	}
}

// TestThreat_D16_AllAreDueAtOnce: the first batch of a long queue costs what the
// batch costs, also where the whole queue became due at the same moment.
func TestThreat_D16_AllAreDueAtOnce(t *testing.T) {
	s := fullStore(t)
	c, err := s.Pool().Acquire(t.Context())
	require.NoError(t, err)
	defer c.Release()
	_, err = c.Exec(t.Context(), `INSERT INTO bursar.deliveries SELECT r.* FROM bursar.deliveries AS d, generate_series(1, 10000) AS i, jsonb_populate_record(d, jsonb_build_object('event_id', 'storm_' || i, 'endpoint', 'storm', 'subject', 'storm_' || i, 'seq', 1,
  'status', 'pending', 'next_at', '2024-01-01Z'::timestamptz, 'leased_until', NULL, 'done_at', NULL)) AS r WHERE d.event_id = 'evt_1'`)
	require.NoError(t, err)
	_, err = c.Exec(t.Context(), "ANALYZE bursar.deliveries")
	require.NoError(t, err)
	p := &planner{c: c.Conn()}
	q := askDeliveries("", bursar.DeliveryQuery{Endpoint: "storm", DueBy: time.Now(), Claim: true, Limit: 50})
	require.NoError(t, q.ask(t.Context(), s.ReaderOn(p)))
	require.LessOrEqual(t, p.visited, 200.0, p.plan)
}

// TestThreat_D16_PruneUsesItsIndex: retention of a big table reads what it deletes.
func TestThreat_D16_PruneUsesItsIndex(t *testing.T) {
	s := fullStore(t)
	c, err := s.Pool().Acquire(t.Context())
	require.NoError(t, err)
	defer c.Release()
	p := &planner{c: c.Conn()}
	_, err = p.Query(t.Context(), "SELECT event_id, endpoint FROM bursar.deliveries WHERE done_at < $1 AND status IN ('delivered', 'dead') ORDER BY done_at LIMIT $2 FOR UPDATE SKIP LOCKED",
		[]any{time.Date(2024, 1, 1, 0, 10, 0, 0, time.UTC), 5000})
	require.NoError(t, err)
	require.Empty(t, p.seq, p.plan)
	require.Less(t, p.visited, 2000.0, p.plan)
}
