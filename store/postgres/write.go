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

// session is a transaction on a connection of the pool.
type session struct {
	s    *Store
	c    *pgxpool.Conn
	at   time.Time
	over bool
	// done is true once the transaction has ended in the database.
	done bool
}

// begin opens a transaction and takes its snapshot, in one round trip.
func (s *Store) begin(ctx context.Context, mode string) (*session, error) {
	if s.closed.Load() {
		return nil, bursar.ErrStoreClosed
	}
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	n := &session{s: s, c: c}
	var b pgx.Batch
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ" + mode)
	b.Queue("SELECT now()").QueryRow(func(row pgx.Row) error { return row.Scan(&n.at) })
	if err := c.SendBatch(ctx, &b).Close(); err != nil {
		n.end()
		return nil, err
	}
	n.at = n.at.UTC()
	return n, nil
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
	n, err := s.begin(ctx, " READ ONLY")
	if err != nil {
		return explain(err)
	}
	defer n.end()
	return fn(reader{&relational.Tx{Reader: &relational.Reader{S: s.schema, C: n}, Time: n.at}})
}

// reader hides Apply.
type reader struct{ bursar.Reader }

// Write implements bursar.Store.
func (s *Store) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		again, err := s.try(ctx, fn)
		return again && ctx.Err() == nil, err
	})
}

// once is a Tx that ends with its closure.
type once struct {
	*relational.Tx
	n *session
}

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
	n, err := s.begin(ctx, "")
	if err != nil {
		return unreachable(err), explain(err)
	}
	defer n.end()
	tx := &relational.Tx{Reader: &relational.Reader{S: s.schema, C: n, Writes: true}, Time: n.at}
	if err := fn(&once{tx, n}); err != nil {
		return lostRace(err) || unreachable(err) && n.c.Conn().IsClosed(), err
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
	r := n.c.SendBatch(ctx, &b)
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
