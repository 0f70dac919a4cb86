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
	// read is true where nothing will be committed.
	read bool
	c    *pgxpool.Conn
	at   time.Time
	// xid is the server's number of the transaction; empty where it commits
	// nothing, where it was not asked for anything before its commit, and on servers
	// that number nothing.
	xid string
	// wrote is true where a statement has changed rows before the commit.
	wrote bool
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
	number := noNumber
	if !n.read {
		number = n.s.number()
	}
	var b pgx.Batch
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ" + n.mode)
	b.Queue("SELECT now(), " + number)
	if query != "" {
		b.Queue(query, args...)
	}
	r := n.c.SendBatch(ctx, &b)
	_, err := r.Exec()
	if err == nil {
		err = r.QueryRow().Scan(&n.at, &n.xid)
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

// noNumber stands for the number of a transaction that has none.
const noNumber = "''"

// number is the expression for the number of a transaction.
func (s *Store) number() string {
	if s.numbers {
		return "pg_current_xact_id()::text"
	}
	return noNumber
}

// Read implements bursar.Store.
func (s *Store) Read(ctx context.Context, fn func(bursar.Reader) error) error {
	var n *session
	err := relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		n = &session{s: s, mode: " READ ONLY", read: true}
		// Now, and not at the first query: the snapshot is of the moment of the call.
		_, err := n.begin(ctx, "", nil)
		if err != nil {
			n.end()
		}
		return broke(err) && ctx.Err() == nil, err
	})
	if err != nil {
		return explain(err)
	}
	defer n.end()
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
	return s.repeat(ctx, func() (bool, error) { return s.try(ctx, fn) })
}

// repeat runs a transaction until it succeeds or another run cannot help.
func (s *Store) repeat(ctx context.Context, try func() (again bool, err error)) error {
	taken := 0
	var doubt error
	err := relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		again, err := try()
		if state(err) == stateUnique {
			// By a row that the snapshot does not show, or by one that stays.
			taken++
			again = taken <= maxTaken
		}
		if u := (*undone)(nil); errors.As(err, &u) && !u.sure {
			doubt = err
		}
		return again && ctx.Err() == nil, err
	})
	if err != nil && doubt != nil && !errors.Is(err, bursar.ErrUnknownOutcome) {
		return fmt.Errorf("%w: %w", bursar.ErrUnknownOutcome, errors.Join(doubt, err))
	}
	return err
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

// ClaimDeliveries implements bursar.DeliveryClaimer.
func (o *once) ClaimDeliveries(ctx context.Context, endpoint string, d time.Duration, most int, skip []string) ([]bursar.Delivery, []bursar.Event, error) {
	if o.n.over {
		return nil, nil, errOver
	}
	rows, events, err := o.ClaimDue(ctx, endpoint, d, most, skip)
	o.n.wrote = o.n.wrote || len(rows) > 0
	return rows, events, err
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
		return lostRace(err) || n.lost(), err
	}
	if n.failed != nil {
		return broke(n.failed), explain(n.failed)
	}
	if err := ctx.Err(); err != nil || len(tx.Ops) == 0 && !n.wrote {
		return false, err
	}
	sent, err := n.commit(ctx, tx.Ops)
	switch {
	case err == nil:
		return false, nil
	case sent && doubtful(err, n.live()):
		n.end()
		return s.outcome(ctx, n.xid, tx.Ops, err)
	case !sent:
		return broke(err), explain(err)
	}
	return lostRace(err), explain(err)
}

// lost reports whether the connection broke, so that the closure's error is
// perhaps none of its own.
func (n *session) lost() bool {
	return broke(n.failed) || n.c != nil && n.c.Conn().IsClosed()
}

// live reports whether the transaction is still open.
func (n *session) live() bool {
	return n.c != nil && !n.c.Conn().IsClosed() && n.c.Conn().PgConn().TxStatus() != 'I'
}

// commit sends a batch and its COMMIT in one pipeline. sent tells whether the
// COMMIT may have reached the server.
func (n *session) commit(ctx context.Context, ops []relational.Op) (sent bool, err error) {
	var b pgx.Batch
	if n.c == nil {
		if n.c, n.failed = n.s.pool.Acquire(ctx); n.failed != nil {
			return false, n.failed
		}
		b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ")
	}
	first := b.Len()
	broken := error(nil)
	for i := range ops {
		if broken = ops[i].Broken; broken != nil {
			ops = ops[:i]
			break
		}
		text, args := n.s.guards.guard(&ops[i])
		b.Queue(text, args...)
	}
	if broken == nil {
		b.Queue("COMMIT")
	}
	r := n.c.SendBatch(ctx, &b)
	if err = results(r, first, ops); err == nil && broken == nil {
		err = n.committed(r)
	}
	closed := r.Close() // after an error it says the same
	if n.done {
		// What follows the answer to a COMMIT changes nothing any more.
		return true, nil
	}
	if err == nil {
		err = errors.Join(broken, closed)
	}
	return broken == nil, err
}

// results reads the answers to a batch's statements, before which there are
// others that say nothing.
func results(r pgx.BatchResults, first int, ops []relational.Op) error {
	for range first {
		if _, err := r.Exec(); err != nil {
			return err
		}
	}
	for i := range ops {
		if _, err := r.Exec(); err != nil {
			return blame(&ops[i], err)
		}
	}
	return nil
}

// committed reads the answer to a COMMIT.
func (n *session) committed(r pgx.BatchResults) error {
	tag, err := r.Exec()
	if err != nil {
		return err
	}
	if tag.String() != "COMMIT" {
		return errRolledBack
	}
	n.done = true
	return nil
}

// errRolledBack is the answer to the COMMIT of a transaction in which a statement
// failed.
var errRolledBack = fmt.Errorf("%w: a statement of the transaction failed before", pgx.ErrTxCommitRollback)

// blame says which row a statement failed on.
func blame(op *relational.Op, err error) error {
	if state(err) == stateDivisionByZero {
		return op.Err()
	}
	return fmt.Errorf("%s %v: %w", op.Table, op.Row, err)
}
