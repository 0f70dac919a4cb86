package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/postgres"
)

// claimed is how many deliveries are claimed at once, by the gateway and by hand.
const claimed = 64

// claimOnPostgres compares the outbox with a queue as it is usually written by
// hand: one statement claims a batch by SKIP LOCKED, one reads what is to be told,
// one marks the batch as done. One lane each.
func claimOnPostgres(b *bench) (reading, error) {
	s, err := postgresServer()
	if err != nil {
		return reading{}, err
	}
	defer s.Close() //nolint:errcheck // it is thrown away
	got, err := b.compare(byWall, s.claimRaw, s.claim)
	if err != nil {
		return reading{}, err
	}
	got = got.per(claimed, claimed)
	return reading{got.ratio, got.how("by hand", "outbox")}, nil
}

// outbox is a store with n batches of due deliveries, and the gateway that has told nobody
// of them yet.
func (s server) outbox(n int) (*host, *pgxpool.Pool, func() error, error) {
	store, end, err := s.open()
	if err != nil {
		return nil, nil, nil, err
	}
	h, err := hostOn(store, bursar.NotifyFunc("orders", func(context.Context, bursar.Event) error { return nil }))
	if err != nil {
		return nil, nil, nil, errors.Join(err, end())
	}
	err = share(storeCallers, n*claimed, func(i int) error {
		_, err := h.gateway.CreatePayment(context.Background(), order(fmt.Sprint("order-", i)))
		return err
	})
	pool := store.(*postgres.Store).Pool()
	if err == nil {
		// As the statistics of a table that has lived.
		_, err = pool.Exec(context.Background(), "ANALYZE bursar.deliveries, bursar.events")
	}
	return h, pool, func() error { return errors.Join(h.stop(), end()) }, err
}

// claim has the gateway deliver everything.
func (s server) claim(n int) (func() error, error) {
	h, _, end, err := s.outbox(n)
	if err != nil {
		return nil, err
	}
	return after(func() error { return h.gateway.Step(context.Background()) }, end), nil
}

// claimRaw does the same by hand.
func (s server) claimRaw(n int) (func() error, error) {
	_, pool, end, err := s.outbox(n)
	if err != nil {
		return nil, err
	}
	return after(func() error {
		for {
			left, err := claimBatch(context.Background(), pool)
			if err != nil || !left {
				return err
			}
		}
	}, end), nil
}

func claimBatch(ctx context.Context, pool *pgxpool.Pool) (left bool, err error) {
	rows, err := pool.Query(ctx, `UPDATE bursar.deliveries AS d SET version = d.version + 1, leased_until = now() + interval '1 minute', last_at = now()
 FROM (SELECT event_id, endpoint FROM bursar.deliveries WHERE status = 'pending' AND endpoint = 'orders' AND next_at <= now()
 AND (leased_until IS NULL OR leased_until <= now()) ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED) AS p
 WHERE d.event_id = p.event_id AND d.endpoint = p.endpoint RETURNING d.event_id`, claimed)
	if err != nil {
		return false, err
	}
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return false, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return false, err
	}
	rows, err = pool.Query(ctx, "SELECT id, kind, subject, seq, occurred_at, livemode, data::text FROM bursar.events WHERE id = ANY($1)", ids)
	if err != nil {
		return false, err
	}
	for rows.Next() {
		if _, err := rows.Values(); err != nil {
			return false, err
		}
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	_, err = pool.Exec(ctx, `UPDATE bursar.deliveries SET version = version + 1, status = 'delivered', attempts = attempts + 1, done_at = now(), leased_until = NULL
 WHERE event_id = ANY($1) AND endpoint = 'orders'`, ids)
	return true, err
}
