package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/postgres"
)

// pgDB is one PostgreSQL database: the shop's tables in the schema public,
// bursar's in a schema of their own.
type pgDB struct {
	pool *pgxpool.Pool
	std  *sql.DB // the same pool for database/sql
	pg   *postgres.Store
}

func openPostgres(ctx context.Context, config *pgxpool.Config) (_ database, err error) {
	pool, err := pgxpool.NewWithConfig(ctx, config.Copy())
	if err != nil {
		return nil, err
	}
	pg, err := postgres.New(ctx, pool, postgres.Options{})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pgDB{pool, stdlib.OpenDBFromPool(pool), pg}, nil
}

func (d pgDB) about() string       { return "PostgreSQL" }
func (d pgDB) store() bursar.Store { return d.pg }
func (d pgDB) db() *sql.DB         { return d.std }

func (d pgDB) close() error {
	err := errors.Join(d.pg.Close(), d.std.Close())
	d.pool.Close()
	return err
}

// impatient bounds the wait for a row that somebody else has locked. LOCAL: it
// ends with the transaction, so that it also works behind a pooler.
const impatient = "SET LOCAL lock_timeout = '3s'"

// within locks the rows of the shop in the order in which its other transactions
// do, the order's first, and bursar's after them. bursar only inserts rows here,
// so that a shop which keeps its own order has no deadlocks.
//
// Every isolation level will do. A shop that decides by what it has read wants at
// least this one, and repeats what then fails with 40001.
func (d pgDB) within(ctx context.Context, fn func(hostTx) error) error {
	return pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(t pgx.Tx) error {
		if _, err := t.Exec(ctx, impatient); err != nil {
			return err
		}
		return fn(viaPGX(t, d.pg.Tx(t)))
	})
}

// joined finds the SQL transaction of a handler. bursar has locked its delivery
// and nothing else: what the handler locks comes after it.
func (d pgDB) joined(b bursar.Tx) (hostTx, error) {
	t, ok := postgres.From(b)
	if !ok {
		return hostTx{}, errors.New("not a transaction of this store")
	}
	return viaPGX(t, b), nil
}

// lostRace: a serialization failure, a deadlock, or a lock that was not free in
// time.
func (d pgDB) lostRace(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01" || e.Code == "55P03")
}

// throughSQL is the same database for a host on database/sql. The driver is
// pgx's.
type throughSQL struct{ pgDB }

func (d throughSQL) within(ctx context.Context, fn func(hostTx) error) error {
	t, err := d.std.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer t.Rollback() //nolint:errcheck // Nothing is left to undo after a commit.
	if _, err := t.ExecContext(ctx, impatient); err != nil {
		return err
	}
	if err := fn(viaSQL(t, d.pg.SQLTx(t))); err != nil {
		return err
	}
	return t.Commit()
}

// newPostgres makes a database of the demo's own on a server, so that nothing that
// is there is touched.
func newPostgres(ctx context.Context, dsn string) (config *pgxpool.Config, drop func() error, err error) {
	if config, err = pgxpool.ParseConfig(dsn); err != nil {
		return nil, nil, errors.New("-postgres: want a DSN such as postgres://user@localhost/postgres") // the cause may repeat a password
	}
	config.MaxConns = 8 // 4 are the least; each transaction holds one
	server := config.ConnConfig.Copy()
	suffix := make([]byte, 6)
	if _, err := rand.Read(suffix); err != nil {
		return nil, nil, err
	}
	name := "shop_sql_" + hex.EncodeToString(suffix)
	if err := onServer(ctx, server, "CREATE DATABASE "+name); err != nil {
		return nil, nil, err
	}
	config.ConnConfig.Database = name
	return config, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // also after Ctrl-C
		defer cancel()
		return onServer(ctx, server, "DROP DATABASE "+name+" WITH (FORCE)")
	}, nil
}

func onServer(ctx context.Context, config *pgx.ConnConfig, statement string) error {
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	_, err = c.Exec(ctx, statement)
	return errors.Join(err, c.Close(ctx))
}
