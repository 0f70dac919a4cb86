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
// transaction that reads before it writes can find that another writer was faster,
// which is bursar.ErrConflict from the Tx and SQLITE_BUSY_SNAPSHOT from statements of
// the host's own: roll back and run it again, or begin it with a write, or open the
// database with _txlock=immediate.
//
// After bursar.ErrConflict the transaction goes on as if the call had not been made.
// Where SQLite itself undoes a transaction, as it does when the disk is full, the
// host's is over, and its next statement fails with sql.ErrTxDone. Give statements of
// the host's own a context that does not end early: SQLite also undoes the
// transaction of a write that is interrupted.
func (s *Store) Tx(tx *sql.Tx) bursar.Tx {
	h := &hostTx{s: s, tx: tx}
	h.Reader = &relational.Reader{S: s.schema, C: h, Time: s.clock()}
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
}

var _ bursar.TxReserver = (*hostTx)(nil)

// Now implements bursar.Reader.
func (h *hostTx) Now() time.Time { return h.Time }

// Query implements relational.Conn.
func (h *hostTx) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	rows, err := h.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, explain(faster(err))
	}
	return hostRows{rows}, nil
}

// hostRows are rows of the host's transaction.
type hostRows struct{ *sql.Rows }

// Err implements relational.Rows.
func (r hostRows) Err() error { return explain(faster(r.Rows.Err())) }

// Exec implements relational.Conn.
func (h *hostTx) Exec(ctx context.Context, text string, args []any) (int64, error) {
	r, err := h.tx.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, faster(err)
	}
	return r.RowsAffected()
}

// faster makes a conflict of a database that is busy: SQLite's way to say that
// the host's transaction has read what another writer then changed, or that it
// has not become the writer in time.
func faster(err error) error {
	if isBusy(err) {
		return fmt.Errorf("%w: %w", bursar.ErrConflict, err)
	}
	return err
}

// Apply implements bursar.Tx. Where it fails, nothing of the batch is left in the
// host's transaction, which goes on.
func (h *hostTx) Apply(ctx context.Context, b bursar.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ops, err := h.s.schema.Ops(&b)
	if err != nil {
		return err
	}
	// A statement that is interrupted makes SQLite undo all that the host did.
	return h.whole(context.WithoutCancel(ctx), func(ctx context.Context) error {
		for i := range ops {
			if err := h.s.exec(ctx, h, &ops[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// whole runs statements of which all have their effect or none.
func (h *hostTx) whole(ctx context.Context, fn func(context.Context) error) error {
	if _, err := h.Exec(ctx, "SAVEPOINT bursar", nil); err != nil {
		return explain(err)
	}
	err := fn(ctx)
	if err != nil {
		if _, undo := h.Exec(ctx, "ROLLBACK TO bursar", nil); undo != nil {
			// SQLite has undone the transaction, as it does when the disk is full. Further
			// statements of the host's would be committed one by one, so that it must end
			// for database/sql too, whatever SQLite says to a second end.
			_ = h.tx.Rollback()
			return err
		}
	}
	_, end := h.Exec(ctx, "RELEASE bursar", nil)
	return errors.Join(err, explain(end))
}

// Reserve implements bursar.TxReserver: the host's transaction is the writer. The
// file beside the database knows before the host commits, and that it may not:
// after a rollback what it took may be issued again, and nothing that was issued is
// forgotten.
func (h *hostTx) Reserve(ctx context.Context, name string, n uint32) (first uint32, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	text, args, err := h.s.schema.Reserve(name, n)
	if err != nil {
		return 0, err
	}
	err = h.whole(context.WithoutCancel(ctx), func(ctx context.Context) error {
		next, err := reserve(ctx, h, text, args)
		if err != nil {
			return err
		}
		first = next - n
		return h.s.origin.raise(name, h.s.hosts.committed(h.tx, name, first), next)
	})
	if err != nil {
		return 0, err
	}
	return first, nil
}

// WriteHost implements bursar.HostWriter. The closure runs inside the writer's
// transaction, so that everybody else's commits wait for it.
func (s *Store) WriteHost(ctx context.Context, fn func(bursar.Tx) error) error {
	return relational.Retry(ctx, random, func() (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if s.closed.Load() {
			return false, bursar.ErrStoreClosed
		}
		before := s.changes.Load()
		err := s.host(ctx, fn)
		return errors.Is(err, bursar.ErrConflict) && s.changes.Load() != before, err
	})
}

// host runs fn in a transaction on the writer's connection: our own writers keep
// away meanwhile, instead of waiting in the database.
func (s *Store) host(ctx context.Context, fn func(bursar.Tx) error) (err error) {
	c, err := s.write.take(ctx)
	if err != nil {
		return err
	}
	c, tx, err := s.hostTx(context.WithoutCancel(ctx), c)
	if err != nil {
		s.write.free <- c
		return err
	}
	defer func() {
		undo := tx.Rollback()
		broken := undo != nil && !errors.Is(undo, sql.ErrTxDone)
		if broken {
			err = errors.Join(err, explain(undo))
		}
		s.write.give(c, broken)
	}()
	if err := fn(s.Tx(tx)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", lost(err))
	}
	s.changes.Add(1)
	return nil
}

// hostTx begins a transaction that is the writer, on the writer's connection or,
// where that one broke, on a new one. ctx has no end: database/sql would close the
// connection with it.
func (s *Store) hostTx(ctx context.Context, c *conn) (*conn, *sql.Tx, error) {
	tx, err := first(ctx, c)
	if err == nil || isBusy(err) {
		return c, tx, explain(err)
	}
	_ = c.discard()
	if c, err = s.write.open(ctx); err != nil {
		return nil, nil, err
	}
	if tx, err = first(ctx, c); err != nil {
		_ = c.discard()
		return nil, nil, explain(err)
	}
	return c, tx, nil
}

// first begins a transaction with a write: one that has read cannot always become a
// writer.
func first(ctx context.Context, c *conn) (*sql.Tx, error) {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+prefix+"facts WHERE name = ''"); err != nil {
		return nil, errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx, nil
}
