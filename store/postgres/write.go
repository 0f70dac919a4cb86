package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

var errOver = errors.New("postgres: the transaction is over")

// patience bounds what is done after the caller's context has ended: to leave
// nothing open, and to find out what became of a commit.
const patience = 10 * time.Second

// session is a transaction on a connection of the pool. It begins with the first
// thing that is asked of it, in the same round trip.
type session struct {
	s    *Store
	mode string
	c    *pgxpool.Conn
	at   time.Time
	// failed is why it could not begin.
	failed error
	over   bool
	// done is true once the transaction has ended in the database.
	done bool
}

// begin opens the transaction and takes its snapshot. query, where there is one,
// goes along, and its rows are returned.
func (n *session) begin(ctx context.Context, query string, args []any) (relational.Rows, error) {
	switch {
	case n.over:
		return nil, errOver
	case n.failed != nil:
		return nil, n.failed
	case n.s.closed.Load():
		return nil, bursar.ErrStoreClosed
	}
	if n.c, n.failed = n.s.pool.Acquire(ctx); n.failed != nil {
		return nil, n.failed
	}
	var b pgx.Batch
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ" + n.mode)
	b.Queue("SELECT now()")
	if query != "" {
		b.Queue(query, args...)
	}
	r := n.c.SendBatch(ctx, &b)
	_, err := r.Exec()
	if err == nil {
		err = r.QueryRow().Scan(&n.at)
	}
	n.at = n.at.UTC()
	if err != nil || query == "" {
		n.failed = errors.Join(err, r.Close())
		return nil, n.failed
	}
	rows, err := r.Query()
	if err != nil {
		n.failed = errors.Join(err, r.Close())
		return nil, n.failed
	}
	return batched{result{rows}, r}, nil
}

// batched are rows that came in one go with what was before them.
type batched struct {
	result
	all pgx.BatchResults
}

// Close implements relational.Rows.
func (b batched) Close() error {
	b.Rows.Close()
	return explain(b.all.Close())
}

// now is the time of the transaction. Where it cannot be had, what follows fails
// with the reason.
func (n *session) now() time.Time {
	if n.c == nil && n.failed == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := n.begin(ctx, "", nil); err != nil {
			n.at = time.Now().UTC().Truncate(time.Microsecond)
		}
	}
	return n.at
}

// end rolls back what is still open and gives the connection back; one that
// cannot be cleaned is closed by the pool. It may be called twice.
func (n *session) end() {
	n.over = true
	if n.c == nil {
		return
	}
	if !n.done && !n.c.Conn().IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		// An error leaves a connection that the pool does not take back.
		_, _ = n.c.Exec(ctx, "ROLLBACK")
	}
	n.c.Release()
	n.c = nil
}

// Query implements relational.Conn.
func (n *session) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	if n.over {
		return nil, errOver
	}
	if n.c == nil {
		rows, err := n.begin(ctx, text, args)
		return rows, explain(err)
	}
	rows, err := n.c.Query(ctx, text, args...)
	if err != nil {
		return nil, explain(err)
	}
	return result{rows}, nil
}

// Exec implements relational.Conn.
func (n *session) Exec(ctx context.Context, text string, args []any) (int64, error) {
	if n.over {
		return 0, errOver
	}
	tag, err := n.c.Exec(ctx, text, args...)
	return tag.RowsAffected(), err
}

// result are rows whose errors have our names.
type result struct{ pgx.Rows }

// Scan implements relational.Rows.
func (r result) Scan(dest ...any) error { return explain(r.Rows.Scan(dest...)) }

// Err implements relational.Rows.
func (r result) Err() error { return explain(r.Rows.Err()) }

// Close implements relational.Rows.
func (r result) Close() error {
	r.Rows.Close()
	return r.Err()
}

// Read implements bursar.Store.
func (s *Store) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	n := &session{s: s, mode: " READ ONLY"}
	defer n.end()
	// Now, and not at the first query: the snapshot is of the moment of the call.
	if _, err := n.begin(ctx, "", nil); err != nil {
		return explain(err)
	}
	return fn(reader{&once{&relational.Tx{Reader: &relational.Reader{S: s.schema, C: n}}, n}})
}

// reader hides Apply.
type reader struct{ reading }

type reading interface {
	bursar.Reader
	bursar.IssuedReader
}

// Write implements bursar.Store.
func (s *Store) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	taken := 0
	return relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		again, err := s.try(ctx, fn)
		if state(err) == stateUnique {
			// By a row that the snapshot does not show, or by one that stays.
			taken++
			again = taken <= maxTaken
		}
		return again && ctx.Err() == nil, err
	})
}

// maxTaken is how often a closure runs again because a unique key was taken. A
// key that another transaction has taken meanwhile shows in the next snapshot.
const maxTaken = 4

// once is a Tx that ends with its closure.
type once struct {
	*relational.Tx
	n *session
}

// Now implements bursar.Reader.
func (o *once) Now() time.Time { return o.n.now() }

// Apply implements bursar.Tx.
func (o *once) Apply(ctx context.Context, b bursar.Batch) error {
	if o.n.over {
		return errOver
	}
	return o.Tx.Apply(ctx, b)
}

// try runs the closure once and commits what it applied. again tells that another
// run may succeed.
func (s *Store) try(ctx context.Context, fn func(bursar.Tx) error) (again bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if s.closed.Load() {
		return false, bursar.ErrStoreClosed
	}
	n := &session{s: s}
	defer n.end()
	tx := &relational.Tx{Reader: &relational.Reader{S: s.schema, C: n, Writes: true}}
	if err := fn(&once{tx, n}); err != nil {
		return lostRace(err) || unreachable(err), err
	}
	if n.failed != nil {
		return unreachable(n.failed), explain(n.failed)
	}
	if err := ctx.Err(); err != nil || len(tx.Ops) == 0 {
		return false, err
	}
	if err = n.commit(ctx, tx.Ops); err == nil {
		return false, nil
	}
	if state(err) == "" && !isOurs(err) {
		n.end()
		return s.outcome(ctx, tx.Ops, err)
	}
	return lostRace(err), explain(err)
}

// commit sends a batch and its COMMIT in one pipeline.
func (n *session) commit(ctx context.Context, ops []relational.Op) error {
	var b pgx.Batch
	if n.c == nil {
		if n.c, n.failed = n.s.pool.Acquire(ctx); n.failed != nil {
			return n.failed
		}
		b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ")
	}
	broken := error(nil)
	sent := ops
	for i := range ops {
		if broken = ops[i].Broken; broken != nil {
			sent = ops[:i]
			break
		}
		b.Queue(n.s.guards.text(&ops[i]), ops[i].Args...)
	}
	if broken == nil {
		b.Queue("COMMIT")
	}
	first := b.Len() - len(sent)
	if broken == nil {
		first--
	}
	r := n.c.SendBatch(ctx, &b)
	if first > 0 {
		if _, err := r.Exec(); err != nil {
			_ = r.Close() // it says the same
			return err
		}
	}
	for i := range sent {
		if _, err := r.Exec(); err != nil {
			_ = r.Close() // it says the same
			return blame(&sent[i], err)
		}
	}
	if broken != nil {
		return errors.Join(broken, r.Close())
	}
	_, err := r.Exec()
	n.done = err == nil
	if closed := r.Close(); err == nil {
		err = closed
	}
	return err
}

// blame says which row a statement failed on.
func blame(op *relational.Op, err error) error {
	if state(err) == stateDivisionByZero {
		return op.Err()
	}
	return fmt.Errorf("%s %v: %w", op.Table, op.Row, err)
}
