package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/bursar-go/bursar"
)

// database is where the shop keeps its orders, and bursar its payments. A host
// has one of the two and needs no such interface; here it lets the shop be
// written once.
type database interface {
	// about says which one it is.
	about() string
	// store is bursar's, in the same database.
	store() bursar.Store
	// db is for what needs no transaction with bursar.
	db() *sql.DB
	// within runs fn in one transaction of the shop's own, and commits it where fn
	// returns nil. It repeats nothing.
	within(ctx context.Context, fn func(hostTx) error) error
	// joined is the transaction behind the one in which a handler runs.
	joined(bursar.Tx) (hostTx, error)
	// lostRace reports whether a statement of the shop's own failed because another
	// transaction was faster.
	lostRace(error) bool
	close() error
}

// hostTx is a transaction of the shop's database, in the words that the shop
// needs of it, so that its statements are the same for database/sql and pgx.
type hostTx struct {
	// exec runs a statement and returns how many rows it touched.
	exec func(ctx context.Context, query string, args ...any) (int64, error)
	// text reads one value; empty where there is no row.
	text func(ctx context.Context, query string, args ...any) (string, error)
	// bursar is the same transaction as the gateway wants it.
	bursar bursar.Tx
}

func viaSQL(t *sql.Tx, b bursar.Tx) hostTx {
	return hostTx{
		exec: func(ctx context.Context, query string, args ...any) (int64, error) {
			r, err := t.ExecContext(ctx, query, args...)
			if err != nil {
				return 0, err
			}
			return r.RowsAffected()
		},
		text: func(ctx context.Context, query string, args ...any) (value string, err error) {
			if err = t.QueryRowContext(ctx, query, args...).Scan(&value); errors.Is(err, sql.ErrNoRows) {
				err = nil
			}
			return value, err
		},
		bursar: b,
	}
}

func viaPGX(t pgx.Tx, b bursar.Tx) hostTx {
	return hostTx{
		exec: func(ctx context.Context, query string, args ...any) (int64, error) {
			tag, err := t.Exec(ctx, query, args...)
			return tag.RowsAffected(), err
		},
		text: func(ctx context.Context, query string, args ...any) (value string, err error) {
			if err = t.QueryRow(ctx, query, args...).Scan(&value); errors.Is(err, pgx.ErrNoRows) {
				err = nil
			}
			return value, err
		},
		bursar: b,
	}
}
