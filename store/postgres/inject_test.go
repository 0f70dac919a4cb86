package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/postgres"
)

// modes are the ways in which pgx can send arguments.
func modes() map[string]pgx.QueryExecMode {
	return map[string]pgx.QueryExecMode{
		"prepared": pgx.QueryExecModeCacheStatement, "described": pgx.QueryExecModeCacheDescribe,
		"exec": pgx.QueryExecModeExec, "simple": pgx.QueryExecModeSimpleProtocol,
	}
}

// inMode opens a store whose arguments are sent in a mode.
func inMode(t testing.TB, dsn string, mode pgx.QueryExecMode) *postgres.Store {
	t.Helper()
	return openWith(t, dsn, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
}

// hostile are texts that mean something to some part of a database.
func hostile() []string {
	return []string{
		`'; DROP TABLE bursar.payments; --`, `' OR '1'='1`, `"`, `''`, `\`, `\'`, `\\`, `%`, `_`, `%_%`, `$1`, `$$`, `$a$`, `?`, `:x`, `@x`,
		`{schema}`, `{"a": 1}`, `{"a": "b"}`, `$.order`, `$.* ? (@ == 1)`, `'||pg_sleep(9)||'`, `null`, `NULL`, `true`, `1`, ` `, "\t\n\r", "\x01\x7f",
		"é", "e\u0301", "ß", "€", "😀", "\u2028", "\u202e", "\ufeff", "\ufffd", "\U0010ffff", `/*`, `*/`, `--`, `E'\x27'`, `\u0000`, `\x00`, `a,b`, `{a,b}`, `(a)`,
	}
}

// TestThreat_G12_TextIsOnlyText: each is found by itself, and by nothing else.
func TestThreat_G12_TextIsOnlyText(t *testing.T) {
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			s := inMode(t, prepared(t), mode)
			var b bursar.Batch
			for i, text := range hostile() {
				p := payment(fmt.Sprint("p", i))
				p.Customer, p.IdempotencyKey, p.Metadata = text, text, map[string]string{text: text, "all": "the same"}
				b.Payments = append(b.Payments, p)
				b.Entries = append(b.Entries, entry("e"+text, ""))
				b.Entries[i].Debit = bursar.Account("U:" + text)
			}
			require.NoError(t, write(t.Context(), s, b))
			ctx := t.Context()
			for i, text := range hostile() {
				one := fmt.Sprint("p", i)
				for by, q := range map[string]bursar.PaymentQuery{
					"customer": {Customer: text}, "key": {IdempotencyKeys: []string{text}}, "keys": {IdempotencyKeys: []string{text, "none"}},
					"metadata": {Metadata: map[string]string{text: text}}, "both": {Metadata: map[string]string{text: text, "all": "the same"}, Customer: text},
				} {
					got := payments(t, s, q)
					require.Len(t, got, 1, "%q by %s", text, by)
					require.Equal(t, one, got[0].ID)
					require.Equal(t, text, got[0].Metadata[text])
				}
				for _, q := range []bursar.PaymentQuery{
					{Metadata: map[string]string{text: "the same"}}, {Metadata: map[string]string{"all": text}},
					{IDs: []string{text}}, {Statuses: []bursar.Status{bursar.Status(text)}}, {Addresses: []chain.Address{chain.Address(text)}},
					{Assets: []chain.AssetID{chain.AssetID(text)}}, {DueBy: t0, DueChain: chain.ID(text)},
				} {
					require.Empty(t, payments(t, s, q), "%q", text)
				}
				require.Len(t, payments(t, s, bursar.PaymentQuery{After: bursar.Cursor{At: t0.Add(time.Second), ID: text}}), len(hostile()))
				require.NoError(t, s.Read(ctx, func(r bursar.Reader) error {
					sums, err := r.Balances(ctx, bursar.BalanceQuery{Prefix: "U:" + text})
					for _, sum := range sums {
						require.True(t, strings.HasPrefix(string(sum.Account), "U:"+text), "%q is not below %q", sum.Account, text)
					}
					require.NotEmpty(t, sums, "%q", text)
					return err
				}))
				_, err := s.Reserve(ctx, text, 1)
				require.NoError(t, err)
				_, err = s.Acquire(ctx, text, text, time.Minute)
				require.NoError(t, err)
			}
			require.Len(t, payments(t, s, bursar.PaymentQuery{Metadata: map[string]string{"all": "the same"}}), len(hostile()))
		})
	}
}

func payments(t testing.TB, s bursar.Store, q bursar.PaymentQuery) (out []bursar.Payment) {
	t.Helper()
	require.NoError(t, s.Read(context.Background(), func(r bursar.Reader) (err error) {
		out, err = r.Payments(context.Background(), q)
		return err
	}))
	return out
}

// TestThreat_G12_TextsThatNoDatabaseHolds: a NUL, or bytes that are not UTF-8, are
// refused by the name of what they are in, and leave a host's transaction usable.
func TestThreat_G12_TextsThatNoDatabaseHolds(t *testing.T) {
	s := open(t, prepared(t))
	ctx := t.Context()
	for _, text := range []string{"\x00", "a\x00b", "\xff", "a\xc3", "\xed\xa0\x80"} {
		asks := map[string]func(r bursar.Reader) error{
			"customer": func(r bursar.Reader) error {
				_, err := r.Payments(ctx, bursar.PaymentQuery{Customer: text})
				return err
			},
			"metadata": func(r bursar.Reader) error {
				_, err := r.Payments(ctx, bursar.PaymentQuery{Metadata: map[string]string{"k": text}})
				return err
			},
			"idempotency_key": func(r bursar.Reader) error {
				_, err := r.Payments(ctx, bursar.PaymentQuery{IdempotencyKeys: []string{text}})
				return err
			},
			"address": func(r bursar.Reader) error {
				_, err := r.Addresses(ctx, bursar.AddressQuery{Addresses: []chain.Address{"x", chain.Address(text)}})
				return err
			},
			"id": func(r bursar.Reader) error {
				_, err := r.Payouts(ctx, bursar.PayoutQuery{After: bursar.Cursor{At: t0, ID: text}})
				return err
			},
			"lock": func(r bursar.Reader) error {
				_, err := r.Attempts(ctx, bursar.AttemptQuery{Locks: []chain.Lock{chain.Lock(text)}})
				return err
			},
			"account": func(r bursar.Reader) error { _, err := r.Balances(ctx, bursar.BalanceQuery{Prefix: text}); return err },
			"subject": func(r bursar.Reader) error { _, err := r.Events(ctx, bursar.EventQuery{Subject: text}); return err },
			"from_address": func(r bursar.Reader) error {
				_, err := r.Transactions(ctx, bursar.TransactionQuery{From: chain.Address(text)})
				return err
			},
			"endpoint": func(r bursar.Reader) error {
				_, err := r.Deliveries(ctx, bursar.DeliveryQuery{Endpoint: text})
				return err
			},
			"transaction_id": func(r bursar.Reader) error {
				_, err := r.Entries(ctx, bursar.EntryQuery{Transactions: []string{text}})
				return err
			},
			"chain": func(r bursar.Reader) error { _, err := r.Chain(ctx, chain.ID(text)); return err },
		}
		for field, ask := range asks {
			require.NoError(t, s.WriteHost(ctx, func(tx bursar.Tx) error {
				named(t, ask(tx), field)
				_, err := tx.Payments(ctx, bursar.PaymentQuery{})
				return err
			}), field)
		}
		p := payment("p")
		p.Customer = text
		named(t, write(ctx, s, bursar.Batch{Payments: []bursar.Payment{p}}), "customer")
		p = payment("p")
		p.Metadata = map[string]string{text: "v"}
		named(t, write(ctx, s, bursar.Batch{Payments: []bursar.Payment{p}}), "metadata")
		_, err := s.Reserve(ctx, text, 1)
		named(t, err, "name")
		_, err = s.Acquire(ctx, text, "holder", time.Minute)
		named(t, err, "name")
		_, err = s.Acquire(ctx, "name", text, time.Minute)
		named(t, err, "holder")
	}
	require.Empty(t, payments(t, s, bursar.PaymentQuery{}))
}

// named holds an error to a *bursar.FieldError about a field.
func named(t *testing.T, err error, field string) {
	t.Helper()
	var e *bursar.FieldError
	require.ErrorAs(t, err, &e, field)
	require.Equal(t, field, e.Field)
}

// FuzzPaymentQuery: whatever is asked for, what is found is what was asked for, and
// the answer is rows or a *bursar.FieldError.
func FuzzPaymentQuery(f *testing.F) {
	for i, text := range append(hostile(), "\x00", "\xff") {
		f.Add(text, "order", text, text, int64(i), i)
	}
	s := fuzzStore(f)
	f.Fuzz(func(t *testing.T, customer, key, value, id string, at int64, limit int) {
		q := bursar.PaymentQuery{
			Customer: customer, Metadata: map[string]string{key: value}, IDs: []string{id, "p1"}, Since: time.UnixMicro(at % 1e15),
			After: bursar.Cursor{At: time.UnixMicro(-at % 1e15), ID: id}, Limit: limit % 100,
		}
		for _, q := range []bursar.PaymentQuery{q, {Customer: customer}, {Metadata: q.Metadata}, {IDs: q.IDs}, {After: q.After, Limit: q.Limit}} {
			err := s.Read(t.Context(), func(r bursar.Reader) error {
				rows, err := r.Payments(t.Context(), q)
				for _, p := range rows {
					if q.Customer != "" && p.Customer != q.Customer {
						t.Errorf("customer %q was found for %q", p.Customer, q.Customer)
					}
					if got, ok := p.Metadata[key]; len(q.Metadata) > 0 && (!ok || got != value) {
						t.Errorf("metadata %q were found for %q", p.Metadata, q.Metadata)
					}
				}
				return err
			})
			var field *bursar.FieldError
			if err != nil && !errors.As(err, &field) {
				t.Errorf("%#v: %v", q, err)
			}
			// Each by itself: halves of a character join to a valid text.
			texts := []string{customer, key, value, id}
			if err != nil && !slices.ContainsFunc(texts, func(s string) bool { return !utf8.ValidString(s) || strings.Contains(s, "\x00") }) {
				t.Errorf("%#v was refused: %v", q, err)
			}
		}
	})
}

// fuzzStore is a store with payments of hostile customers.
func fuzzStore(f *testing.F) *postgres.Store {
	f.Helper()
	servers.Template(f, "fuzz", func(dsn string) error {
		return with(dsn, func(pool *pgxpool.Pool) error {
			s, err := postgres.New(context.Background(), pool, postgres.Options{})
			if err != nil {
				return err
			}
			var b bursar.Batch
			for i, text := range hostile() {
				p := payment(fmt.Sprint("p", i))
				p.Customer, p.Metadata = text, map[string]string{text: text, "order": text}
				b.Payments = append(b.Payments, p)
			}
			return write(context.Background(), s, b)
		})
	})
	return openWith(f, servers.Database(f, "fuzz"), nil)
}

// TestThreat_G19_NumbersAtTheirEnds: what a column cannot hold is refused, and
// bounds beyond it mean everything.
func TestThreat_G19_NumbersAtTheirEnds(t *testing.T) {
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			s := inMode(t, prepared(t), mode)
			row := transaction("t1", "p")
			row.Block, row.ConfirmAt = math.MaxInt64, math.MaxInt64
			most, err := chain.ParseUnits("115792089237316195423570985008687907853269984665640564039457584007913129639935")
			require.NoError(t, err)
			row.Amount = most
			done := transaction("t2", "p")
			done.Status, done.Block = bursar.TxConfirmed, math.MaxInt64
			require.NoError(t, write(t.Context(), s, bursar.Batch{Transactions: []bursar.Transaction{row, done}}))
			over := transaction("t3", "p")
			over.Block = math.MaxInt64 + 1
			require.ErrorIs(t, write(t.Context(), s, bursar.Batch{Transactions: []bursar.Transaction{over}}), bursar.ErrInvariant)
			require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) error {
				for _, height := range []uint64{math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
					rows, err := r.Transactions(t.Context(), bursar.TransactionQuery{Chain: mainnet, ConfirmBy: height})
					require.NoError(t, err)
					require.Len(t, rows, 1)
					require.Equal(t, row.Amount, rows[0].Amount)
					rows, err = r.Transactions(t.Context(), bursar.TransactionQuery{Chain: mainnet, FinalBy: height})
					require.NoError(t, err)
					require.Len(t, rows, 1)
				}
				rows, err := r.Transactions(t.Context(), bursar.TransactionQuery{Chain: mainnet, ConfirmBy: math.MaxInt64 - 1})
				require.NoError(t, err)
				require.Empty(t, rows)
				_, err = r.Events(t.Context(), bursar.EventQuery{Subject: "p", AfterSeq: math.MaxInt64})
				require.NoError(t, err)
				_, err = r.Addresses(t.Context(), bursar.AddressQuery{Pool: "p", FromIndex: math.MaxUint32})
				return err
			}))
		})
	}
}

// TestThreat_G19_PagesWhileRowsAreInserted: each row that was there from the start
// is seen once, whatever is put before, between and after.
func TestThreat_G19_PagesWhileRowsAreInserted(t *testing.T) {
	s := open(t, prepared(t))
	const rows = 40
	put := func(id string, at time.Time) {
		p := payment(id)
		p.CreatedAt = at
		require.NoError(t, write(t.Context(), s, bursar.Batch{Payments: []bursar.Payment{p}}))
	}
	var b bursar.Batch
	for i := range rows {
		p := payment(fmt.Sprintf("row %02d", i))
		p.CreatedAt = t0.Add(time.Duration(i/3) * time.Second) // some at the same time
		b.Payments = append(b.Payments, p)
	}
	require.NoError(t, write(t.Context(), s, b))
	seen := map[string]int{}
	var last bursar.Cursor
	for page := 0; ; page++ {
		got := payments(t, s, bursar.PaymentQuery{After: last, Limit: 7})
		if len(got) == 0 {
			break
		}
		for _, p := range got {
			seen[p.ID]++
			last = bursar.Cursor{At: p.CreatedAt, ID: p.ID}
		}
		put(fmt.Sprint("newer ", page), t0.Add(time.Hour+time.Duration(page)))
		put(fmt.Sprint("just seen ", page), last.At)
		put("row 99 "+fmt.Sprint(page), last.At)
	}
	for _, p := range b.Payments {
		require.Equal(t, 1, seen[p.ID], p.ID)
	}
	for id, n := range seen {
		require.Equal(t, 1, n, id)
	}
}

// TestThreat_G18_NowIsTheDatabases: with a server whose clock shows 2001 it is 2001.
func TestThreat_G18_NowIsTheDatabases(t *testing.T) {
	dsn := prepared(t)
	query(t, dsn, "CREATE SCHEMA IF NOT EXISTS clock; CREATE OR REPLACE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT '2001-02-03 04:05:06.789012Z'::timestamptz $$")
	s := open(t, as(t, dsn, "", "search_path", "clock,pg_catalog"))
	want := time.Date(2001, 2, 3, 4, 5, 6, 789012000, time.UTC)
	is := func(r bursar.Reader) {
		require.Equal(t, want, r.Now())
		require.Equal(t, want, r.Now())
	}
	require.NoError(t, s.Read(t.Context(), func(r bursar.Reader) error { is(r); return nil }))
	require.NoError(t, s.Write(t.Context(), func(tx bursar.Tx) error { is(tx); return nil }))
	require.NoError(t, s.WriteHost(t.Context(), func(tx bursar.Tx) error { is(tx); return nil }))
	tx, err := s.Pool().Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	is(s.Tx(tx))
}
