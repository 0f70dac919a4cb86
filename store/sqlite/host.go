package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// Tx makes a bursar.Tx of a transaction of the host's on the same database, for
// Gateway.CreatePaymentTx: what it writes exists if and only if the host commits.
//
// SQLite has one writer: from its first write on the host's transaction keeps
// everybody else's waiting, the gateway's own too, so it should be short. A
// transaction that reads before it writes can fail with SQLITE_BUSY; begin it with
// a write, or open the database with _txlock=immediate.
func (s *Store) Tx(tx *sql.Tx) bursar.Tx {
	h := &hostTx{s: s, tx: tx, at: s.clock()}
	h.Reader = &relational.Reader{S: s.schema, C: h}
	return h
}

// From returns the SQL transaction behind a Tx of Store.Tx or Store.WriteHost: a
// handler of NotifyTx changes the host's tables with it. It is false for others.
func From(tx bursar.Tx) (*sql.Tx, bool) {
	h, ok := tx.(*hostTx)
	if !ok {
		return nil, false
	}
	return h.tx, true
}

// hostTx writes at once, where the host can see it.
type hostTx struct {
	*relational.Reader
	s  *Store
	tx *sql.Tx
	at time.Time
}

var _ bursar.TxReserver = (*hostTx)(nil)

// Now implements bursar.Reader.
func (h *hostTx) Now() time.Time { return h.at }

// Query implements relational.Conn.
func (h *hostTx) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	rows, err := h.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, explain(err)
	}
	return result{rows}, nil
}

// Exec implements relational.Conn.
func (h *hostTx) Exec(ctx context.Context, text string, args []any) (int64, error) {
	r, err := h.tx.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
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
		if err := h.s.exec(ctx, h, &ops[i]); err != nil {
			_, undo := h.Exec(ctx, "ROLLBACK TO bursar", nil)
			return errors.Join(err, explain(undo))
		}
	}
	_, err = h.Exec(ctx, "RELEASE bursar", nil)
	return explain(err)
}

// Reserve implements bursar.TxReserver: the host's transaction is the writer.
func (h *hostTx) Reserve(ctx context.Context, name string, n uint32) (uint32, error) {
	text, args, err := h.s.schema.Reserve(name, n)
	if err != nil {
		return 0, err
	}
	next, err := reserve(ctx, h, text, args)
	if err != nil {
		return 0, err
	}
	return next - n, h.s.origin.raise(name, uint64(next))
}

// WriteHost implements bursar.HostWriter. The closure runs inside the writer's
// transaction, so that everybody else's commits wait for it.
func (s *Store) WriteHost(ctx context.Context, fn func(bursar.Tx) error) error {
	return relational.Retry(ctx, random, func() (bool, error) {
		if s.closed.Load() {
			return false, bursar.ErrStoreClosed
		}
		before := s.commits.Load()
		err := s.host(ctx, fn)
		return errors.Is(err, bursar.ErrConflict) && s.commits.Load() != before || isBusy(err), err
	})
}

func (s *Store) host(ctx context.Context, fn func(bursar.Tx) error) (err error) {
	// Our own writers keep away meanwhile, instead of waiting in the database.
	var c *conn
	select {
	case c = <-s.write.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.write.free <- c }()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer func() {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, explain(undo))
		}
	}()
	// A write first: a transaction that has read cannot always become a writer.
	for _, text := range []string{"PRAGMA synchronous = FULL", "DELETE FROM " + prefix + "facts WHERE name = ''"} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return explain(err)
		}
	}
	if err := fn(s.Tx(tx)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", explain(err))
	}
	s.commits.Add(1)
	return nil
}
