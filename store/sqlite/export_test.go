package sqlite

import (
	"context"
	"database/sql/driver"
	"time"

	"github.com/bursar-go/bursar/store/internal/relational"
)

// Tests of this package see a little more than hosts do.

// SetClock replaces the store's clock, before its first use.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// Hold takes the writer's place, so that writes queue up until it is released.
func (s *Store) Hold() (release func()) {
	c := <-s.write.free
	return func() { s.write.free <- c }
}

// Queued counts the writes that wait.
func (s *Store) Queued() int { return len(s.waiting()) }

// Alone runs fn in a transaction of the only writer.
func (s *Store) Alone(ctx context.Context, fn func(ctx context.Context) error) error {
	return s.alone(ctx, func(ctx context.Context, _ *conn) error { return fn(ctx) })
}

// OnWriter runs a statement on the writer's connection, outside of transactions,
// and returns the first column of its answer.
func (s *Store) OnWriter(ctx context.Context, text string) (answer string, err error) {
	return on(ctx, s.write, text)
}

// OnReaders asks every connection for reading.
func (s *Store) OnReaders(ctx context.Context, text string) (answers []string, err error) {
	var all []*conn
	defer func() {
		for _, c := range all {
			s.read.give(c, false)
		}
	}()
	for range cap(s.read.free) {
		c, err := s.read.take(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
		var answer string
		if err := c.QueryRowContext(ctx, text).Scan(&answer); err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

func on(ctx context.Context, p *pool, text string) (answer string, err error) {
	c, err := p.take(ctx)
	if err != nil {
		return "", err
	}
	defer p.give(c, false)
	rows, err := c.QueryContext(ctx, text)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	all := make([]any, len(columns))
	for i := range all {
		all[i] = new(any)
	}
	if len(all) > 0 {
		all[0] = &answer
	}
	for rows.Next() {
		if err := rows.Scan(all...); err != nil {
			return "", err
		}
	}
	return answer, rows.Err()
}

// Break makes the writer's connection one that answers no more.
func (s *Store) Break() {
	c := <-s.write.free
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	s.write.free <- c
}

// SettleHalf is Settle that crashes between the file and the database.
func (s *Store) SettleHalf(mark string) error {
	return s.origin.store(originState{Mark: mark, Reserved: map[string]uint32{}})
}

// Columns lists the columns of the tables as rows need them.
func Columns() map[string][]string { return relational.New(dialect()).Columns() }

// Remembered is what the file beside the database says, without waiting for the
// database.
func (s *Store) Remembered() (map[string]uint32, error) {
	have, err := s.origin.load()
	return highest(have.Reserved, have.Open), err
}
