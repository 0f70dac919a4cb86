package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// Read implements bursar.Store.
func (s *Store) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	snap := &snapshot{s: s}
	defer snap.end(context.WithoutCancel(ctx))
	// Now, and not at the first query: the snapshot is of the moment of the call.
	if err := snap.begin(ctx); err != nil {
		return err
	}
	tx := &relational.Tx{Reader: &relational.Reader{S: s.schema, C: snap, Time: s.clock()}}
	return fn(reader{tx})
}

// reader hides Apply.
type reader struct{ reading }

type reading interface {
	bursar.Reader
	bursar.IssuedReader
}

// snapshot is a reading transaction that begins with its first query.
type snapshot struct {
	s    *Store
	c    *conn
	over bool
	// failed is why it has not begun. It stays: what is read later would be of
	// another moment.
	failed error
}

var errOver = errors.New("sqlite: the transaction is over")

func (n *snapshot) begin(ctx context.Context) error {
	switch {
	case n.over:
		return errOver
	case n.c != nil || n.failed != nil:
		return n.failed
	case n.s.closed.Load():
		return bursar.ErrStoreClosed
	}
	c, err := n.s.read.take(ctx)
	if err != nil {
		return err
	}
	n.c = c
	n.failed = look(ctx, c)
	return n.failed
}

// look begins a reading transaction. It has its snapshot from its first look on.
func look(ctx context.Context, c *conn) error {
	if err := c.run(ctx, "BEGIN"); err != nil {
		return explain(err)
	}
	rows, err := c.Query(ctx, "SELECT 1 FROM "+prefix+"facts LIMIT 1", nil)
	if err != nil {
		return err
	}
	for rows.Next() { // to the end
	}
	return errors.Join(rows.Err(), rows.Close())
}

// Query implements relational.Conn.
func (n *snapshot) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	if err := n.begin(ctx); err != nil {
		return nil, err
	}
	return n.c.Query(ctx, text, args)
}

// Exec implements relational.Conn: a snapshot changes nothing.
func (n *snapshot) Exec(context.Context, string, []any) (int64, error) {
	return 0, fmt.Errorf("%w: a write to a snapshot", bursar.ErrInvariant)
}

// end gives the connection back. It may be called twice.
func (n *snapshot) end(ctx context.Context) {
	n.over = true
	if n.c == nil {
		return
	}
	err := n.c.run(ctx, "ROLLBACK")
	n.s.read.give(n.c, err != nil)
	n.c = nil
}

// Write implements bursar.Store.
func (s *Store) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return relational.Retry(ctx, random, func() (bool, error) { return s.try(ctx, fn) })
}

// try runs the closure once and commits what it applied.
func (s *Store) try(ctx context.Context, fn func(bursar.Tx) error) (again bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if s.closed.Load() {
		return false, bursar.ErrStoreClosed
	}
	before := s.changes.Load()
	tx, err := s.collect(ctx, fn)
	if err != nil {
		return errors.Is(err, bursar.ErrConflict) && s.changes.Load() != before, err
	}
	if err := ctx.Err(); err != nil || len(tx.Ops) == 0 {
		return false, err
	}
	return s.commit(ctx, before, tx.Ops)
}

// collect runs the closure on a snapshot. A panic, or a runtime.Goexit of a
// failing test, passes through with nothing written.
func (s *Store) collect(ctx context.Context, fn func(bursar.Tx) error) (*relational.Tx, error) {
	snap := &snapshot{s: s}
	defer snap.end(context.WithoutCancel(ctx))
	tx := &relational.Tx{Reader: &relational.Reader{S: s.schema, C: snap, Time: s.clock()}}
	return tx, fn(&once{tx, snap})
}

// once is a Tx that ends with its closure.
type once struct {
	*relational.Tx
	snap *snapshot
}

// Apply implements bursar.Tx.
func (o *once) Apply(ctx context.Context, b bursar.Batch) error {
	if o.snap.over {
		return errOver
	}
	return o.Tx.Apply(ctx, b)
}

// commit writes statements. It reports whether another run of the closure can end
// otherwise: after a conflict, where the database is not as it was when the
// closure began.
func (s *Store) commit(ctx context.Context, before uint64, ops []relational.Op) (again bool, err error) {
	err = s.alone(ctx, func(ctx context.Context, c *conn) error {
		for i := range ops {
			if err := s.exec(ctx, c, &ops[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Is(err, bursar.ErrConflict) && s.changes.Load() != before, err
}

// exec runs one statement and holds it to the rows that it must touch.
func (s *Store) exec(ctx context.Context, c relational.Conn, op *relational.Op) error {
	touched, err := int64(0), error(nil)
	switch {
	case op.Broken != nil:
		return op.Broken
	case op.Sum != nil:
		touched, err = 1, s.addUp(ctx, c, op.Sum)
	case op.Select:
		touched, err = count(ctx, c, op)
	default:
		touched, err = c.Exec(ctx, op.SQL, op.Args)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s %v: %w", op.Table, op.Row, explain(err))
	case op.Want >= 0 && touched != op.Want:
		return op.Err()
	}
	return nil
}

func count(ctx context.Context, c relational.Conn, op *relational.Op) (n int64, err error) {
	rows, err := c.Query(ctx, op.SQL, op.Args)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		n++
	}
	return n, errors.Join(rows.Err(), rows.Close())
}

// addUp adds to a balance. SQLite's numbers are too small for it.
func (s *Store) addUp(ctx context.Context, c relational.Conn, sum *relational.Sum) error {
	rows, err := c.Query(ctx, `SELECT "sum" FROM `+prefix+`balances WHERE asset = ? AND account = ?`, []any{string(sum.Asset), string(sum.Account)})
	if err != nil {
		return err
	}
	total := new(big.Int).Set(sum.By)
	for rows.Next() {
		var text string
		if err := errors.Join(rows.Scan(&text), rows.Err()); err != nil {
			return errors.Join(err, rows.Close())
		}
		old, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return errors.Join(fmt.Errorf("%w: balance of %s in %s is %q", bursar.ErrInvariant, sum.Account, sum.Asset, text), rows.Close())
		}
		total.Add(total, old)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	_, err = c.Exec(ctx, `INSERT INTO `+prefix+`balances (asset, account, "sum") VALUES (?, ?, ?)
 ON CONFLICT (asset, account) DO UPDATE SET "sum" = excluded."sum"`, []any{string(sum.Asset), string(sum.Account), total.String()})
	return err
}
