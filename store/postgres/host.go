package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// Tx makes a bursar.Tx of a transaction of the host's on the same database, for
// Gateway.CreatePaymentTx: what it writes exists if and only if the host commits.
// Every isolation level will do. A conflict leaves the transaction usable.
func (s *Store) Tx(tx pgx.Tx) bursar.Tx {
	return s.host(&hostTx{native: tx, conn: nativeConn{tx}})
}

// SQLTx is Tx for hosts on database/sql. The driver must be pgx's, from
// github.com/jackc/pgx/v5/stdlib: others do not take lists as arguments.
func (s *Store) SQLTx(tx *sql.Tx) bursar.Tx {
	return s.host(&hostTx{std: tx, conn: stdConn{tx}})
}

// From returns the transaction behind a Tx of Store.Tx or Store.WriteHost: a
// handler of NotifyTx changes the host's tables with it. It is false for others.
func From(tx bursar.Tx) (pgx.Tx, bool) {
	h, ok := tx.(*hostTx)
	if !ok || h.native == nil {
		return nil, false
	}
	return h.native, true
}

// hostTx writes at once, where the host can see it.
type hostTx struct {
	*relational.Reader
	s      *Store
	conn   relational.Conn
	native pgx.Tx
	std    *sql.Tx
	at     time.Time
	// failed is why the time is not known.
	failed error
	// ops are what was applied.
	ops []relational.Op
}

func (s *Store) host(h *hostTx) *hostTx {
	h.s = s
	h.Reader = &relational.Reader{S: s.schema, C: h, Writes: true}
	return h
}

// Now implements bursar.Reader: the time of the host's transaction. Where it
// cannot be read, everything that follows fails with the reason.
func (h *hostTx) Now() time.Time {
	if !h.at.IsZero() {
		return h.at
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := h.conn.Query(ctx, "SELECT now()", nil)
	if err == nil {
		for rows.Next() {
			err = errors.Join(err, rows.Scan(&h.at))
		}
		err = errors.Join(err, rows.Err(), rows.Close())
	}
	if err != nil || h.at.IsZero() {
		h.at, h.failed = time.Now(), fmt.Errorf("postgres: the transaction's time: %w", errors.Join(err, h.failed))
	}
	h.at = h.at.UTC().Truncate(time.Microsecond)
	return h.at
}

// Query implements relational.Conn.
func (h *hostTx) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	if h.failed != nil {
		return nil, h.failed
	}
	return h.conn.Query(ctx, text, args)
}

// Exec implements relational.Conn.
func (h *hostTx) Exec(ctx context.Context, text string, args []any) (int64, error) {
	if h.failed != nil {
		return 0, h.failed
	}
	return h.conn.Exec(ctx, text, args)
}

// Apply implements bursar.Tx. Where it fails, nothing of the batch is left in the
// host's transaction, which goes on.
func (h *hostTx) Apply(ctx context.Context, b bursar.Batch) error {
	ops, err := h.s.schema.Ops(&b)
	if err != nil {
		return err
	}
	if _, err := h.Exec(ctx, "SAVEPOINT bursar", nil); err != nil {
		return explain(err)
	}
	for i := range ops {
		if err := h.exec(ctx, &ops[i]); err != nil {
			_, undo := h.Exec(ctx, "ROLLBACK TO SAVEPOINT bursar", nil)
			if undo == nil {
				_, undo = h.Exec(ctx, "RELEASE SAVEPOINT bursar", nil)
			}
			return errors.Join(err, explain(undo))
		}
	}
	if _, err = h.Exec(ctx, "RELEASE SAVEPOINT bursar", nil); err != nil {
		return explain(err)
	}
	h.ops = append(h.ops, ops...)
	return nil
}

// exec runs one statement and holds it to the rows that it must touch.
func (h *hostTx) exec(ctx context.Context, op *relational.Op) error {
	if op.Broken != nil {
		return op.Broken
	}
	touched, err := int64(0), error(nil)
	if op.Select {
		var rows relational.Rows
		if rows, err = h.Query(ctx, op.SQL, op.Args); err == nil {
			for rows.Next() {
				touched++
			}
			err = errors.Join(rows.Err(), rows.Close())
		}
	} else {
		touched, err = h.Exec(ctx, op.SQL, op.Args)
	}
	switch {
	case err != nil:
		return explain(blame(op, err))
	case op.Want >= 0 && touched != op.Want:
		return op.Err()
	}
	return nil
}

// nativeConn runs statements in a transaction of pgx.
type nativeConn struct{ tx pgx.Tx }

// Query implements relational.Conn.
func (c nativeConn) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	rows, err := c.tx.Query(ctx, text, args...)
	if err != nil {
		return nil, explain(err)
	}
	return result{rows}, nil
}

// Exec implements relational.Conn.
func (c nativeConn) Exec(ctx context.Context, text string, args []any) (int64, error) {
	tag, err := c.tx.Exec(ctx, text, args...)
	return tag.RowsAffected(), err
}

// stdConn runs statements in a transaction of database/sql.
type stdConn struct{ tx *sql.Tx }

// Query implements relational.Conn.
func (c stdConn) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	rows, err := c.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, explain(err)
	}
	return stdRows{rows}, nil
}

// Exec implements relational.Conn.
func (c stdConn) Exec(ctx context.Context, text string, args []any) (int64, error) {
	r, err := c.tx.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// stdRows are rows whose errors have our names.
type stdRows struct{ *sql.Rows }

// Err implements relational.Rows.
func (r stdRows) Err() error { return explain(r.Rows.Err()) }

// WriteHost implements bursar.HostWriter. A statement of fn that fails makes the
// transaction fail, as ever in PostgreSQL, also where fn returns nil; the error is
// pgx.ErrTxCommitRollback then. Only this method ends the transaction.
func (s *Store) WriteHost(ctx context.Context, fn func(bursar.Tx) error) error {
	return s.repeat(ctx, func() (bool, error) { return s.share(ctx, fn) })
}

// share runs the closure once in a transaction that the host takes part in.
func (s *Store) share(ctx context.Context, fn func(bursar.Tx) error) (again bool, err error) {
	if s.closed.Load() {
		return false, bursar.ErrStoreClosed
	}
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return broke(err), explain(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = tx.Rollback(ctx) // nothing is left of it in either case
	}()
	h, xid := s.host(&hostTx{native: tx, conn: nativeConn{tx}}), ""
	if err := tx.QueryRow(ctx, "SELECT now(), "+s.number()).Scan(&h.at, &xid); err != nil {
		return broke(err), explain(err)
	}
	h.at = h.at.UTC()
	if err := fn(h); err != nil {
		return lostRace(err) || tx.Conn().IsClosed(), err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	switch err := tx.Commit(ctx); {
	case err == nil:
		return false, nil
	case errors.Is(err, pgx.ErrTxClosed):
		return false, fmt.Errorf("postgres: WriteHost's closure has ended the transaction itself: %w", err)
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return false, errRolledBack
	case doubtful(err, false):
		return s.outcome(ctx, xid, h.ops, err)
	default:
		return lostRace(err), explain(err)
	}
}
