package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar"
)

// commit is a write on its way.
type commit struct {
	ctx  context.Context //nolint:containedctx // it waits in a queue together with what it bounds
	run  func(ctx context.Context, c *conn) error
	done chan struct{}
	// err is this write's own failure.
	err error
}

// alone runs fn in a transaction of the only writer, once or, where somebody
// else's failure has undone it, several times. Those who come while the writer is
// at work form a queue, and share the next transaction: a savepoint each, and one
// wait for the disk. Where that commit fails it has failed for all.
//
// fn's context has no end. A statement that is interrupted makes SQLite undo the
// whole transaction, and with it the writes of everybody who shares it.
func (s *Store) alone(ctx context.Context, fn func(ctx context.Context, c *conn) error) error {
	if s.closed.Load() {
		return bursar.ErrStoreClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	mine := &commit{ctx: context.WithoutCancel(ctx), run: fn, done: make(chan struct{})}
	s.mu.Lock()
	s.queue = append(s.queue, mine)
	s.mu.Unlock()
	for {
		var reason error
		select {
		case <-mine.done:
			return mine.err
		case c := <-s.write.free:
			// Beside this caller, who can leave while another process holds the
			// database. Close waits for it, since it takes the writer.
			go s.drain(c)
			continue
		case <-ctx.Done():
			reason = ctx.Err()
		case <-s.write.gone:
			reason = bursar.ErrStoreClosed
		}
		if s.withdraw(mine) {
			return reason
		}
		<-mine.done // it is being written, and waits for the disk alone
		return mine.err
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

// drain commits what waits, and gives the writer back. Writes leave the queue only
// when the database is ours: until then they can be withdrawn.
func (s *Store) drain(c *conn) {
	waiting := s.waiting()
	if len(waiting) == 0 {
		s.write.free <- c
		return
	}
	c, err := s.begin(waiting[0].ctx, c)
	var batch []*commit
	if err != nil {
		// Those who came meanwhile have not waited as long as they may.
		waiting = slices.DeleteFunc(waiting, func(w *commit) bool { return !s.withdraw(w) })
		for _, w := range waiting {
			w.err = err
		}
		batch = waiting
	} else if batch = s.pop(); s.share(c, batch) {
		_ = c.discard() // there is nothing to lose any more
		c = nil
	}
	s.write.free <- c
	for _, w := range batch {
		close(w.done)
	}
}

func (s *Store) waiting() []*commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queue)
}

func (s *Store) pop() []*commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.queue), maxShare)
	batch := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	return batch
}

// begin starts a transaction that writes, on the writer's connection or, where
// there is none or it broke, on a new one. The connection is nil where it is of no
// use any more.
func (s *Store) begin(ctx context.Context, c *conn) (*conn, error) {
	if c != nil {
		err := s.immediate(ctx, c)
		if err == nil || isBusy(err) {
			return c, explain(err)
		}
		_ = c.discard() // what was begun ends with it
	}
	c, err := s.write.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.immediate(ctx, c); err != nil {
		_ = c.discard()
		return nil, explain(err)
	}
	return c, nil
}

// immediate begins a transaction and notices what others did before it.
func (s *Store) immediate(ctx context.Context, c *conn) error {
	if _, err := c.Exec(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	return s.foreign(ctx, c)
}

// foreign notices what others than this store's writer have written since it last
// looked: the host, or another process. All whose closures began before that have
// a reason then to run them again.
func (s *Store) foreign(ctx context.Context, c *conn) error {
	rows, err := c.Query(ctx, "PRAGMA data_version", nil)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err below tells what there is to tell.
	var version int64
	for rows.Next() {
		if err := rows.Scan(&version); err != nil {
			return err
		}
	}
	if version != c.version {
		s.changes.Add(1)
	}
	c.version = version
	return rows.Err()
}

// share commits writes, and leaves in each how it ended. broken tells that the
// connection is of no use any more.
//
// Some failures of one, a full disk for instance, make SQLite undo the whole
// transaction. That one is out then, and the others begin anew.
func (s *Store) share(c *conn, batch []*commit) (broken bool) {
	ctx, left := batch[0].ctx, slices.Clone(batch)
	for {
		culprit, err := s.together(ctx, c, left)
		if culprit < 0 {
			for _, w := range left {
				if w.err == nil {
					w.err = err
				}
			}
			return err != nil && !idle(ctx, c)
		}
		left[culprit].err = err
		left = slices.Delete(left, culprit, culprit+1)
		if !idle(ctx, c) {
			err = fmt.Errorf("sqlite: a transaction cannot be ended: %w", err)
		} else if len(left) == 0 {
			return false
		} else if _, err = c.Exec(ctx, "BEGIN IMMEDIATE", nil); err == nil {
			continue
		}
		for _, w := range left {
			w.err = explain(err)
		}
		return true
	}
}

// idle ends the transaction of a connection, and reports whether it has none any
// more.
func idle(ctx context.Context, c *conn) bool {
	// The answer to this one is of no use: SQLite may have ended it by itself.
	_, _ = c.Exec(ctx, "ROLLBACK", nil)
	// Only outside of a transaction another one can begin.
	if _, err := c.Exec(ctx, "BEGIN", nil); err != nil {
		return false
	}
	_, err := c.Exec(ctx, "ROLLBACK", nil)
	return err == nil
}

// together runs writes in the transaction that was begun, and commits it. An error
// is that of all of them, unless it names a culprit; the error of one that reaches
// nobody else is in the write.
func (s *Store) together(ctx context.Context, c *conn, batch []*commit) (culprit int, err error) {
	good := 0
	for i, w := range batch {
		if err := s.part(ctx, c, w, len(batch) > 1); err != nil {
			return i, err
		}
		if w.err == nil {
			good++
		}
	}
	if good == 0 {
		_, err := c.Exec(ctx, "ROLLBACK", nil)
		return -1, explain(err)
	}
	if _, err := c.Exec(ctx, "COMMIT", nil); err != nil {
		return -1, lost(err)
	}
	s.changes.Add(uint64(good))
	return -1, nil
}

// part runs one of several writes in a savepoint, so that its failure is its own.
// An error is one that has taken the savepoint away, and the transaction with it.
func (s *Store) part(ctx context.Context, c *conn, w *commit, several bool) error {
	if !several {
		w.err = guarded(c, w)
		return nil
	}
	if _, err := c.Exec(ctx, "SAVEPOINT w", nil); err != nil {
		return explain(err)
	}
	if w.err = guarded(c, w); w.err != nil {
		if _, err := c.Exec(ctx, "ROLLBACK TO w", nil); err != nil {
			return w.err
		}
	}
	_, err := c.Exec(ctx, "RELEASE w", nil)
	return explain(err)
}

// guarded turns a panic of one write into its error: others wait for the writer.
func guarded(c *conn, w *commit) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", bursar.ErrInvariant, p)
		}
	}()
	return w.run(w.ctx, c)
}

// lost is the error of a COMMIT. SQLite undoes one that fails, with an exception:
// a disk that fails while it is told to keep what was written may have kept it,
// and then a restart finds it.
func lost(err error) error {
	if code(err)&0xff == codeIO {
		return errors.Join(bursar.ErrUnknownOutcome, explain(err))
	}
	return explain(err)
}
