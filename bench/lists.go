package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/store/postgres"
)

// listing is a query of the API, as a dashboard asks it.
type listing struct {
	name string
	ask  func(ctx context.Context, r bursar.Reader) (int, error)
}

// page is how many rows a list shows.
const page = 20

// ask wraps a query for payments or transactions.
func payments(name string, q bursar.PaymentQuery) listing {
	return listing{"payments " + name, func(ctx context.Context, r bursar.Reader) (int, error) {
		q.Limit = page
		rows, err := r.Payments(ctx, q)
		return len(rows), err
	}}
}

func transactions(name string, q bursar.TransactionQuery) listing {
	return listing{"transactions " + name, func(ctx context.Context, r bursar.Reader) (int, error) {
		q.Limit = page
		rows, err := r.Transactions(ctx, q)
		return len(rows), err
	}}
}

// listings are all filters that the API offers, at rows in the middle of the
// table: the i-th payment of n.
func listings(n int) []listing {
	mid := listBegin.Add(time.Duration(n/2) * time.Second)
	asset, chainID := chain.AssetID("eip155:1337/slip44:60"), chain.ID("eip155:1337")
	name := func(kind string, i int) string { return fmt.Sprintf("%s_%09d", kind, i) }
	return []listing{
		payments("newest", bursar.PaymentQuery{}),
		payments("after a cursor", bursar.PaymentQuery{After: bursar.Cursor{At: mid, ID: name("pay", n/2)}}),
		payments("by id", bursar.PaymentQuery{IDs: []string{name("pay", n/3)}}),
		payments("by key", bursar.PaymentQuery{IdempotencyKeys: []string{name("key", n/3)}}),
		payments("by address", bursar.PaymentQuery{Addresses: []chain.Address{chain.Address(name("0x", n/3))}}),
		payments("by status", bursar.PaymentQuery{Statuses: []bursar.Status{bursar.StatusPending}}),
		payments("by two statuses", bursar.PaymentQuery{Statuses: []bursar.Status{bursar.StatusPending, bursar.StatusUnderpaid}}),
		payments("by asset", bursar.PaymentQuery{Assets: []chain.AssetID{asset}}),
		payments("by customer", bursar.PaymentQuery{Customer: name("cus", 7)}),
		payments("by time", bursar.PaymentQuery{Since: mid, Until: mid.Add(time.Hour)}),
		payments("by metadata", bursar.PaymentQuery{Metadata: map[string]string{"order": name("order", n/3)}}),
		payments("by status, asset and time", bursar.PaymentQuery{Statuses: []bursar.Status{bursar.StatusSettled}, Assets: []chain.AssetID{asset}, Until: mid}),
		payments("due", bursar.PaymentQuery{DueBy: mid.Add(25 * time.Hour), DueChain: chainID}),
		transactions("newest", bursar.TransactionQuery{}),
		transactions("by payment", bursar.TransactionQuery{PaymentIDs: []string{name("pay", n/3)}}),
		transactions("by address row", bursar.TransactionQuery{AddressIDs: []string{name("addr", n/3)}}),
		transactions("by network", bursar.TransactionQuery{Chain: chainID}),
		transactions("by asset", bursar.TransactionQuery{Assets: []chain.AssetID{asset}}),
		transactions("by type and status", bursar.TransactionQuery{Types: []bursar.TransactionType{bursar.TypeIncoming}, Statuses: []bursar.TransactionStatus{bursar.TxConfirming}}),
		transactions("by receiver", bursar.TransactionQuery{To: chain.Address(name("0x", n/3))}),
		transactions("by sender", bursar.TransactionQuery{From: "0xpayer"}),
		transactions("by time", bursar.TransactionQuery{Since: mid, Until: mid.Add(time.Hour)}),
		transactions("to confirm", bursar.TransactionQuery{Chain: chainID, ConfirmBy: 1 << 40}),
		transactions("to sweep", bursar.TransactionQuery{Chain: chainID, Sweepable: true}),
	}
}

// listBegin is when the first payment of the table was made.
var listBegin = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// slowestList is the median time of the slowest list.
func slowestList(b *bench) (reading, error) {
	n := b.listed
	s, err := postgresServer()
	if err != nil {
		return reading{}, err
	}
	defer s.Close() //nolint:errcheck // it is thrown away
	store, end, err := s.open()
	if err != nil {
		return reading{}, err
	}
	pool := store.(*postgres.Store).Pool()
	if err := fillLists(pool, n); err != nil {
		return reading{}, errors.Join(err, end())
	}
	var worst time.Duration
	slowest := ""
	for _, l := range listings(n) {
		took, err := l.median(store, b.rounds)
		if err != nil {
			return reading{}, fmt.Errorf("%s: %w", l.name, errors.Join(err, end()))
		}
		if took > worst {
			worst, slowest = took, l.name
		}
	}
	how := fmt.Sprintf("%d payments, %d lists, the slowest is %q", n, len(listings(n)), slowest)
	return reading{float64(worst.Microseconds()) / 1000, how}, end()
}

// median asks some times, the first of them for nothing.
func (l listing) median(store bursar.Store, rounds int) (time.Duration, error) {
	ctx := context.Background()
	var took []time.Duration
	for range rounds + 1 {
		begin := time.Now()
		err := store.Read(ctx, func(r bursar.Reader) error {
			n, err := l.ask(ctx, r)
			if err == nil && n == 0 {
				err = errors.New("nothing was found")
			}
			return err
		})
		if err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	return median(took[1:]), nil
}

// fillLists makes n payments, a transaction for each, and a tenth of them open.
func fillLists(pool *pgxpool.Pool, n int) error {
	ctx := context.Background()
	fixed := map[string]string{
		"id": "'pay_' || x", "version": "1", "status": "CASE i % 10 WHEN 0 THEN 'pending' WHEN 1 THEN 'expired' WHEN 2 THEN 'underpaid' ELSE 'settled' END",
		"asset":    `'{"id":"eip155:1337/slip44:60","symbol":"ETH","decimals":18,"minimum":"0","sweep_minimum":"0","max_sweep_fee":"0"}'`,
		"asset_id": "'eip155:1337/slip44:60'", "chain": "'eip155:1337'", "address": "'0x_' || x", "address_id": "'addr_' || x",
		"idempotency_key": "'key_' || x", "customer": "'cus_' || lpad((i % 5000)::text, 9, '0')", "metadata": "jsonb_build_object('order', 'order_' || x)",
		"policy": `'{"tolerance":"0","overpaid_min":"0","tolerance_bps":0,"grace":0}'`,
		"amount": "100", "created_at": "t", "expires_at": "t + interval '1 day'", "deadline": "CASE i % 10 WHEN 0 THEN t + interval '1 day' END",
	}
	if err := fillTable(ctx, pool, "payments", n, fixed); err != nil {
		return err
	}
	fixed = map[string]string{
		"id": "'tx_' || x", "version": "1", "status": "CASE i % 1000 WHEN 0 THEN 'confirming' ELSE 'confirmed' END", "chain": "'eip155:1337'", "type": "'incoming'",
		"tx_hash": "'0xhash' || x", "tx_ordinal": "'n'", "asset": "'eip155:1337/slip44:60'", "amount": "100", "from_address": "'0xpayer'", "to_address": "'0x_' || x",
		"address_id": "'addr_' || x", "payment_id": "'pay_' || x", "customer": "'cus_' || lpad((i % 5000)::text, 9, '0')", "is_final": "i % 1000 > 1",
		"sweepable": "i % 100 = 5", "created_at": "t", "confirm_at": "i", "block": "i", "block_hash": "'0xblock' || i / 100",
	}
	if err := fillTable(ctx, pool, "transactions", n, fixed); err != nil {
		return err
	}
	_, err := pool.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// fillTable inserts rows made of expressions; the other columns are empty.
func fillTable(ctx context.Context, pool *pgxpool.Pool, name string, n int, fixed map[string]string) error {
	rows, err := pool.Query(ctx, "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'bursar' AND table_name = $1", name)
	if err != nil {
		return err
	}
	var columns, values []string
	for rows.Next() {
		var column, kind, nullable string
		if err := rows.Scan(&column, &kind, &nullable); err != nil {
			return err
		}
		value, ok := fixed[column]
		switch {
		case ok:
		case nullable == "YES":
			continue
		case kind == "text":
			value = "''"
		case kind == "boolean":
			value = "false"
		default:
			value = "0"
		}
		columns, values = append(columns, `"`+column+`"`), append(values, value)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for column := range fixed {
		if !slices.Contains(columns, `"`+column+`"`) {
			return fmt.Errorf("table %s has no column %s", name, column)
		}
	}
	_, err = pool.Exec(ctx, "INSERT INTO bursar."+name+" ("+strings.Join(columns, ", ")+") SELECT "+strings.Join(values, ", ")+
		" FROM (SELECT i, lpad(i::text, 9, '0') AS x, $1::timestamptz + i * interval '1 second' AS t FROM generate_series(0, $2::int - 1) AS i) AS g", listBegin, n)
	return err
}
