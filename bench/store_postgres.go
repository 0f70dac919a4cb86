package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/internal/pgtest"
	"github.com/bursar-go/bursar/store/postgres"
)

// server is a PostgreSQL of this run that waits for the disk, with a database
// that has the tables and nothing in them.
type server struct{ *pgtest.Cluster }

const ready = "ready"

// postgresServer starts the server.
func postgresServer() (server, error) {
	ctx := context.Background()
	c, err := pgtest.Start(ctx, pgtest.Config{Durable: true, Settings: map[string]string{"shared_buffers": "512MB", "max_wal_size": "4GB"}})
	if err != nil {
		return server{}, err
	}
	s := server{c}
	if _, err := c.Query(ctx, "postgres", "CREATE DATABASE "+ready); err != nil {
		return s, errors.Join(err, c.Close())
	}
	pool, err := pgxpool.New(ctx, c.DSN(ready))
	if err != nil {
		return s, errors.Join(err, c.Close())
	}
	defer pool.Close()
	if _, err = postgres.New(ctx, pool, postgres.Options{}); err != nil {
		return s, errors.Join(err, c.Close())
	}
	return s, nil
}

// pool connects to a fresh copy of the database.
func (s server) pool(conns int32) (*pgxpool.Pool, error) {
	_, dsn, err := s.NewDatabase(context.Background(), ready)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	return pool, warm(pool, conns)
}

// warm opens all connections of a pool, so that no side is measured with that.
func warm(pool *pgxpool.Pool, conns int32) error {
	var taken []*pgxpool.Conn
	defer func() {
		for _, c := range taken {
			c.Release()
		}
	}()
	for range conns {
		c, err := pool.Acquire(context.Background())
		if err != nil {
			return err
		}
		taken = append(taken, c)
	}
	return nil
}

// open makes a store on a fresh database.
func (s server) open() (bursar.Store, func() error, error) {
	pool, err := s.pool(storeCallers)
	if err != nil {
		return nil, nil, err
	}
	store, err := postgres.New(context.Background(), pool, postgres.Options{KeepSchema: true})
	return store, func() error { pool.Close(); return nil }, err
}

// createOnPostgres compares CreatePayment with what anybody would write by hand:
// one pipeline of BEGIN, the same rows into the same tables, COMMIT.
func createOnPostgres(b *bench) (reading, error) {
	s, err := postgresServer()
	if err != nil {
		return reading{}, err
	}
	defer s.Close() //nolint:errcheck // it is thrown away
	rows, err := s.sample(256)
	if err != nil {
		return reading{}, err
	}
	got, err := b.compare(byWall, s.raw(rows), createOn(s.open))
	if err != nil {
		return reading{}, err
	}
	return reading{got.ratio, got.how("by hand", "CreatePayment")}, nil
}

// table is a table with some rows of it, as another program would write them.
type table struct {
	insert string
	rows   [][]any
	// names are the places of columns that must be unique.
	names []int
}

// sample makes payments and reads what they left in the tables.
func (s server) sample(n int) ([]table, error) {
	store, end, err := s.open()
	if err != nil {
		return nil, err
	}
	h, err := hostOn(store)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	for i := range n {
		if _, err := h.gateway.CreatePayment(context.Background(), order(fmt.Sprint("sample-", i))); err != nil {
			return nil, err
		}
	}
	pool := store.(*postgres.Store).Pool()
	var out []table
	for _, name := range []string{"payments", "addresses", "events"} {
		t, err := readTable(pool, name)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, errors.Join(h.stop(), end())
}

// readTable reads a table with its columns.
func readTable(pool *pgxpool.Pool, name string) (t table, err error) {
	ctx := context.Background()
	rows, err := pool.Query(ctx, "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'bursar' AND table_name = $1 AND is_identity = 'NO'", name)
	if err != nil {
		return t, err
	}
	var columns, reads, marks []string
	var column, kind string
	_, err = pgx.ForEachRow(rows, []any{&column, &kind}, func() error {
		quoted := pgx.Identifier{column}.Sanitize()
		read, mark := quoted, fmt.Sprintf("$%d", len(columns)+1)
		switch kind {
		case "numeric", "json", "jsonb":
			read, mark = quoted+"::text", mark+"::"+kind
		}
		if unique(column) {
			t.names = append(t.names, len(columns))
		}
		columns, reads, marks = append(columns, quoted), append(reads, read), append(marks, mark)
		return nil
	})
	if err != nil {
		return t, err
	}
	t.insert = "INSERT INTO bursar." + name + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
	rows, err = pool.Query(ctx, "SELECT "+strings.Join(reads, ", ")+" FROM bursar."+name)
	if err != nil {
		return t, err
	}
	t.rows, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
	return t, err
}

// unique reports whether a column of the sampled tables admits a value once.
func unique(column string) bool {
	return slices.Contains([]string{"id", "address", "idempotency_key", "subject"}, column)
}

// raw inserts the rows with names of their own.
func (s server) raw(tables []table) work {
	return func(n int) (func() error, error) {
		pool, err := s.pool(storeCallers)
		if err != nil {
			return nil, err
		}
		insert := func(from, n int) error {
			return share(storeCallers, n, func(i int) error {
				i += from
				ctx := context.Background()
				var b pgx.Batch
				b.Queue("BEGIN")
				for _, t := range tables {
					b.Queue(t.insert, t.row(i)...)
				}
				b.Queue("COMMIT")
				return pool.SendBatch(ctx, &b).Close()
			})
		}
		if err := insert(0, storeWarm); err != nil {
			return nil, err
		}
		return after(func() error { return insert(storeWarm, n) }, func() error { pool.Close(); return nil }), nil
	}
}

// row is the i-th row: a sample with other names.
func (t *table) row(i int) []any {
	row := append([]any(nil), t.rows[i%len(t.rows)]...)
	for _, n := range t.names {
		if text, ok := row[n].(string); ok && text != "" {
			row[n] = fmt.Sprintf("%s%08x", text[:len(text)-8], i)
		}
	}
	return row
}
