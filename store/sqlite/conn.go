package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// maxStatements bounds the prepared statements of a connection. Their texts
// differ by the conditions of queries only, of which there are fewer.
const maxStatements = 400

// conn is a connection with its prepared statements. One goroutine uses it at a
// time.
type conn struct {
	*sql.Conn
	statements map[string]*sql.Stmt
	// version is the database's when the writer last looked.
	version int64
}

// prepare returns the statement of that text.
func (c *conn) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if s := c.statements[text]; s != nil {
		return s, nil
	}
	if len(c.statements) >= maxStatements {
		c.forget()
	}
	s, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	c.statements[text] = s
	return s, nil
}

// forget closes the statements. Those of a connection that is closed are gone, and
// the driver does not survive their closing.
func (c *conn) forget() {
	if c.Raw(func(any) error { return nil }) == nil {
		for _, s := range c.statements {
			_ = s.Close() // the connection stays as it is
		}
	}
	clear(c.statements)
}

// Query implements relational.Conn.
func (c *conn) Query(ctx context.Context, text string, args []any) (relational.Rows, error) {
	s, err := c.prepare(ctx, text)
	if err != nil {
		return nil, explain(err)
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return nil, explain(err)
	}
	return result{rows}, nil
}

// Exec implements relational.Conn.
func (c *conn) Exec(ctx context.Context, text string, args []any) (int64, error) {
	s, err := c.prepare(ctx, text)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// run executes text that is not worth keeping.
func (c *conn) run(ctx context.Context, text string) error {
	_, err := c.ExecContext(ctx, text)
	return err
}

// result are rows whose errors have our names.
type result struct{ *sql.Rows }

// Err implements relational.Rows.
func (r result) Err() error { return explain(r.Rows.Err()) }

// pool lends connections, at most as many as it has places for.
type pool struct {
	db *sql.DB
	// free has the places: nil where no connection was opened yet.
	free chan *conn
	// setup is run on every new connection.
	setup []string
	// gone is closed once there are no places any more.
	gone chan struct{}
}

func newPool(db *sql.DB, size int, setup ...string) *pool {
	p := &pool{db: db, free: make(chan *conn, size), setup: setup, gone: make(chan struct{})}
	for range size {
		p.free <- nil
	}
	return p
}

// take waits for a connection. It must be given back.
func (p *pool) take(ctx context.Context) (*conn, error) {
	select {
	case c := <-p.free:
		if c != nil {
			return c, nil
		}
		c, err := p.open(ctx)
		if err != nil {
			p.free <- nil
			return nil, err
		}
		return c, nil
	case <-p.gone:
		return nil, bursar.ErrStoreClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pool) open(ctx context.Context) (*conn, error) {
	raw, err := p.db.Conn(ctx)
	if err != nil {
		return nil, explain(err)
	}
	c := &conn{Conn: raw, statements: map[string]*sql.Stmt{}}
	for _, text := range p.setup {
		if err := c.run(ctx, text); err != nil {
			return nil, errors.Join(explain(err), c.discard())
		}
	}
	return c, nil
}

// give returns a connection that has no transaction open. A broken one is closed
// and its place stays.
func (p *pool) give(c *conn, broken bool) {
	if broken {
		_ = c.discard() // there is nothing to lose any more
		c = nil
	}
	p.free <- c
}

// discard closes the connection for good instead of leaving it to database/sql.
func (c *conn) discard() error {
	c.forget()
	err := c.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		err = nil
	}
	return errors.Join(err, ignoreDone(c.Conn.Close()))
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// close takes every place, so that nobody is working any more, and closes the
// connections. It is called once.
func (p *pool) close() error {
	var errs []error
	for range cap(p.free) {
		if c := <-p.free; c != nil {
			errs = append(errs, c.discard())
		}
	}
	close(p.gone)
	return errors.Join(errs...)
}
