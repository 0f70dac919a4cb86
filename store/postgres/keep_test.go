package postgres_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// TestThreat_D15_HistoryIsNotRewritten: whoever may write to the tables still
// cannot change what was booked or told.
func TestThreat_D15_HistoryIsNotRewritten(t *testing.T) {
	dsn := prepared(t)
	s := open(t, dsn)
	back := entry("e2", "")
	back.Reverses, back.Debit, back.Credit = "e1", back.Credit, back.Debit
	require.NoError(t, write(t.Context(), s, bursar.Batch{
		Entries: []bursar.Entry{entry("e1", "live"), back, entry("e3", "")}, Events: []bursar.Event{event("p", 1)},
	}))
	before := contentOf(t, s)
	for _, statement := range []string{
		"UPDATE bursar.entries SET amount = amount + 1",
		"UPDATE bursar.entries SET debit_account = 'thief'",
		"UPDATE bursar.entries SET live_key = ''",
		"UPDATE bursar.entries SET reverses = '' WHERE id = 'e2'",
		"UPDATE bursar.entries SET reversed_by = '' WHERE id = 'e1'",
		"UPDATE bursar.entries SET reversed_by = 'e3' WHERE id = 'e1'",
		"UPDATE bursar.entries SET posted_at = now()",
		"UPDATE bursar.entries SET pos = DEFAULT",
		"DELETE FROM bursar.entries WHERE id = 'e3'",
		"TRUNCATE bursar.entries",
		"UPDATE bursar.events SET kind = 'x'",
		"UPDATE bursar.events SET data = NULL",
		"UPDATE bursar.events SET seq = 2",
		"DELETE FROM bursar.events",
		"TRUNCATE bursar.events CASCADE",
	} {
		_, err := s.Pool().Exec(t.Context(), statement)
		require.ErrorContains(t, err, "never changed", statement)
		require.Equal(t, before, contentOf(t, s), statement)
	}
	var columns int
	require.NoError(t, s.Pool().QueryRow(t.Context(), `SELECT count(*) FROM information_schema.columns c WHERE table_schema = 'bursar' AND table_name = 'entries'
 AND NOT EXISTS (SELECT FROM information_schema.triggered_update_columns t WHERE t.event_object_schema = 'bursar' AND t.event_object_table = 'entries' AND t.event_object_column = c.column_name)`).Scan(&columns))
	require.Zero(t, columns, "columns that no trigger watches")
}

// TestThreat_D15_TheSchemaKeepsTheBooks: rows that break a rule are refused by the
// database itself.
func TestThreat_D15_TheSchemaKeepsTheBooks(t *testing.T) {
	dsn := prepared(t)
	s := open(t, dsn)
	for _, step := range scenario() {
		require.NoError(t, step.in(t.Context(), s))
	}
	before := contentOf(t, s)
	same := func(table, columns string) string {
		return "INSERT INTO bursar." + table + " SELECT (jsonb_populate_record(r, '" + columns + "')).* FROM bursar." + table + " AS r LIMIT 1"
	}
	for name, statement := range map[string]string{
		"a second address":                  same("addresses", `{"id": "x"}`),
		"a second payment of an address":    same("payments", `{"id": "x", "idempotency_key": ""}`),
		"a second payment of a key":         same("payments", `{"id": "x", "address": "y"}`),
		"a second row of a transfer":        same("transactions", `{"id": "x"}`),
		"a second payout of a key":          same("payouts", `{"id": "x"}`),
		"a negative amount":                 "UPDATE bursar.payments SET amount = -1",
		"a fraction":                        "INSERT INTO bursar.leases VALUES ('x', 'y', 0, now())",
		"more than 78 digits":               "UPDATE bursar.payments SET amount = 10::numeric ^ 78",
		"an index that is hardened":         "INSERT INTO bursar.pools VALUES ('x', 2147483649)",
		"a lock that is taken":              "INSERT INTO bursar.locks SELECT chain, \"lock\", 'other', 1 FROM bursar.locks LIMIT 1",
		"a delivery twice":                  same("deliveries", `{}`),
		"an entry from and to one account":  "INSERT INTO bursar.entries (id, rule, asset, debit_account, credit_account, amount, subject, transaction_id, chain, height, reverses, live_key) VALUES ('x', 'r', 'a', 'b', 'b', 1, '', '', '', 0, '', '')",
		"an entry of nothing":               "INSERT INTO bursar.entries (id, rule, asset, debit_account, credit_account, amount, subject, transaction_id, chain, height, reverses, live_key) VALUES ('x', 'r', 'a', 'b', 'c', 0, '', '', '', 0, '', '')",
		"an event with a number of another": "INSERT INTO bursar.events (id, kind, subject, seq, livemode) VALUES ('x', 'k', 'pay', 1, true)",
	} {
		_, err := s.Pool().Exec(t.Context(), statement)
		require.Error(t, err, name)
		require.Regexp(t, `SQLSTATE (23|22003)`, err.Error(), name)
	}
	require.Equal(t, before, contentOf(t, s))
	_, err := s.Pool().Exec(t.Context(), "INSERT INTO bursar.entries (id, rule, asset, debit_account, credit_account, amount, subject, transaction_id, chain, height, reverses, live_key) VALUES ('x', 'r', 'a', 'b', 'c', 1, '', '', '', 0, '', 'live'), ('y', 'r', 'a', 'b', 'c', 1, '', '', '', 0, '', 'live')")
	require.ErrorContains(t, err, "entries_live", "two credits of one transfer")
}

// TestThreat_D16_Prune: what ended before goes, in batches, past what is locked;
// the rest and all events stay.
func TestThreat_D16_Prune(t *testing.T) {
	dsn := prepared(t)
	var statementsRun atomic.Int64
	s := openWith(t, dsn, func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = statements{func(sql string) {
			if strings.Contains(sql, "DELETE FROM") {
				statementsRun.Add(1)
			}
		}}
	})
	old, young := delivery("open", 1), delivery("young", 1)
	old.NextAt, young.Status, young.DoneAt = t0.Add(-time.Hour), bursar.DeliveryDone, t0
	parked := delivery("parked", 1)
	parked.Status, parked.DoneAt = bursar.DeliveryParked, t0.Add(-time.Hour)
	require.NoError(t, write(t.Context(), s, bursar.Batch{Deliveries: []bursar.Delivery{old, young, parked}, Events: []bursar.Event{event("young", 1)}}))
	const many = 11_000
	_, err := s.Pool().Exec(t.Context(), `INSERT INTO bursar.deliveries (event_id, endpoint, version, subject, seq, status, attempts, next_at, done_at, last_error, kind, tries)
 SELECT 'evt_' || i, 'shop', 1, 's', i, CASE WHEN i % 10 = 0 THEN 'dead' ELSE 'delivered' END, 1, $1, $1::timestamptz - interval '1 microsecond', '', '', '' FROM generate_series(1, $2) AS i`, t0, many)
	require.NoError(t, err)
	holder, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer holder.Close(context.Background())
	_, err = holder.Exec(t.Context(), "BEGIN; SELECT 1 FROM bursar.deliveries WHERE event_id IN ('evt_1', 'evt_7000') FOR UPDATE")
	require.NoError(t, err)

	n, err := s.Prune(t.Context(), t0)
	require.NoError(t, err)
	require.EqualValues(t, many-2, n)
	require.EqualValues(t, 3, statementsRun.Load(), "not all in one transaction")
	_, err = holder.Exec(t.Context(), "COMMIT")
	require.NoError(t, err)
	n, err = s.Prune(t.Context(), t0)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	left := contentOf(t, s)
	require.Len(t, left.Deliveries, 3)
	require.Len(t, left.Events, 1)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Prune(canceled, t0)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Close())
	_, err = s.Prune(t.Context(), t0)
	require.ErrorIs(t, err, bursar.ErrStoreClosed)
}
