package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// Read implements bursar.Store.
func (s *Store) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	snap := &snapshot{s: s}
	defer snap.end()
	// Now, and not at the first query: the snapshot is of the moment of the call.
	if err := snap.begin(ctx); err != nil {
		return err
	}
	tx := &relational.Tx{Reader: &relational.Reader{S: s.schema, C: snap}, Time: s.clock()}
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
	// broken is set where the connection must not be used again.
	broken bool
}

var errOver = errors.New("sqlite: the transaction is over")

func (n *snapshot) begin(ctx context.Context) error {
	switch {
	case n.over:
		return errOver
	case n.c != nil:
		return nil
	case n.s.closed.Load():
		return bursar.ErrStoreClosed
	}
	c, err := n.s.read.take(ctx)
	if err != nil {
		return err
	}
	n.c = c
	if err := c.run(ctx, "BEGIN"); err != nil {
		n.broken = true
		return explain(err)
	}
	// A transaction has its snapshot from its first look on.
	rows, err := c.Query(ctx, "SELECT 1 FROM "+prefix+"facts LIMIT 1", nil)
	if err != nil {
		return err
	}
	for rows.Next() { //nolint:revive // to the end
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
func (n *snapshot) end() {
	n.over = true
	if n.c == nil {
		return
	}
	if err := n.c.run(context.Background(), "ROLLBACK"); err != nil {
		n.broken = true
	}
	n.s.read.give(n.c, n.broken)
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
	before := s.commits.Load()
	tx, err := s.collect(fn)
	if err != nil {
		return errors.Is(err, bursar.ErrConflict) && s.commits.Load() != before, err
	}
	if err := ctx.Err(); err != nil || len(tx.Ops) == 0 {
		return false, err
	}
	return s.commit(ctx, before, tx.Ops)
}

// collect runs the closure on a snapshot. A panic, or a runtime.Goexit of a
// failing test, passes through with nothing written.
func (s *Store) collect(fn func(bursar.Tx) error) (*relational.Tx, error) {
	snap := &snapshot{s: s}
	defer snap.end()
	tx := &relational.Tx{Reader: &relational.Reader{S: s.schema, C: snap}, Time: s.clock()}
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

// commit is a write on its way.
type commit struct {
	ctx  context.Context //nolint:containedctx // it waits in a queue together with what it bounds
	run  func(c *conn) error
	done chan struct{}
	// err is this write's own failure.
	err error
}

// commit writes statements. It reports whether another run of the closure can end
// otherwise: after a conflict, where the database is not as it was when the
// closure began.
func (s *Store) commit(ctx context.Context, before uint64, ops []relational.Op) (again bool, err error) {
	foreign := false
	err = s.alone(ctx, func(c *conn) (err error) {
		if foreign, err = s.foreign(ctx, c); err != nil {
			return err
		}
		for i := range ops {
			if err := s.exec(ctx, c, &ops[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Is(err, bursar.ErrConflict) && (foreign || s.commits.Load() != before), err
}

// foreign reports whether others than this store have written since its writer
// last looked: the host, or another process.
func (s *Store) foreign(ctx context.Context, c *conn) (bool, error) {
	rows, err := c.Query(ctx, "PRAGMA data_version", nil)
	if err != nil {
		return false, err
	}
	defer rows.Close() //nolint:errcheck // Err below tells what there is to tell.
	var version int64
	for rows.Next() {
		if err := rows.Scan(&version); err != nil {
			return false, explain(err)
		}
	}
	changed := version != c.version
	c.version = version
	return changed, rows.Err()
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

// alone runs fn in a transaction of the only writer. Those who come while the
// writer is at work form a queue, and share the next transaction: a savepoint
// each, and one wait for the disk. Where that commit fails it has failed for all.
func (s *Store) alone(ctx context.Context, fn func(c *conn) error) error {
	mine := &commit{ctx: context.WithoutCancel(ctx), run: fn, done: make(chan struct{})}
	s.mu.Lock()
	s.queue = append(s.queue, mine)
	s.mu.Unlock()
	for {
		select {
		case <-mine.done:
			return mine.err
		case c := <-s.write.free:
			s.drain(c)
		case <-ctx.Done():
			if s.withdraw(mine) {
				return ctx.Err()
			}
			// It is being written, which takes no time.
			<-mine.done
			return mine.err
		}
	}
}

// withdraw takes a write out of the queue, unless it has begun.
func (s *Store) withdraw(w *commit) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.queue, w)
	if at < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, at, at+1)
	return true
}

// maxShare bounds how many share a transaction.
const maxShare = 64

// drain commits what waits, and gives the writer back.
func (s *Store) drain(c *conn) {
	s.mu.Lock()
	n := min(len(s.queue), maxShare)
	batch := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	s.mu.Unlock()
	if len(batch) == 0 {
		s.write.free <- c
		return
	}
	broken, err := false, error(nil)
	if c == nil {
		c, err = s.write.open(batch[0].ctx)
	}
	if err == nil {
		broken, err = s.share(c, batch)
	}
	if c == nil {
		s.write.free <- nil
	} else {
		s.write.give(c, broken)
	}
	for _, w := range batch {
		if w.err == nil {
			w.err = err
		}
		close(w.done)
	}
}

// share runs writes in one transaction. An error is that of all of them; the
// error of one alone is in the write. broken tells that the connection is of no
// use any more.
func (s *Store) share(c *conn, batch []*commit) (broken bool, err error) {
	ctx := batch[0].ctx
	if _, err := c.Exec(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return !isBusy(err), explain(err)
	}
	good := 0
	for _, w := range batch {
		if err := s.part(ctx, c, w, len(batch) > 1); err != nil {
			_, undo := c.Exec(ctx, "ROLLBACK", nil)
			return undo != nil, explain(err)
		}
		if w.err == nil {
			good++
		}
	}
	if good == 0 {
		_, err := c.Exec(ctx, "ROLLBACK", nil)
		return err != nil, nil
	}
	if _, err := c.Exec(ctx, "COMMIT", nil); err != nil {
		// A commit that failed is undone: SQLite says so of every error that it
		// can return here.
		_, undo := c.Exec(ctx, "ROLLBACK", nil)
		return undo != nil, explain(err)
	}
	s.commits.Add(uint64(good)) //nolint:gosec // At most maxShare.
	return false, nil
}

// part runs one of several writes in a savepoint, so that its failure is its own.
// Some failures, a full disk for one, make SQLite undo the whole transaction; then
// the savepoint is gone too, which is an error of all.
func (s *Store) part(ctx context.Context, c *conn, w *commit, several bool) error {
	if !several {
		w.err = s.guarded(c, w)
		return nil
	}
	if _, err := c.Exec(ctx, "SAVEPOINT w", nil); err != nil {
		return err
	}
	if w.err = s.guarded(c, w); w.err != nil {
		if _, err := c.Exec(ctx, "ROLLBACK TO w", nil); err != nil {
			return errors.Join(w.err, err)
		}
	}
	_, err := c.Exec(ctx, "RELEASE w", nil)
	return err
}

// guarded turns a panic of one write into its error: others wait for the writer.
func (s *Store) guarded(c *conn, w *commit) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", bursar.ErrInvariant, p)
		}
	}()
	return w.run(c)
}
