package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// readers is how many snapshots are open at once. Further ones wait.
const readers = 16

// busyTimeout is how long a statement waits for another process.
const busyTimeout = 5 * time.Second

// Store is a bursar.Store in an SQLite file. Make it with Open or New. It is safe
// for concurrent use.
type Store struct {
	db     *sql.DB
	own    bool // opened here, and closed here
	path   string
	schema *relational.Schema
	read   *pool
	write  *pool // one connection: SQLite has one writer
	now    func() time.Time

	// queue has the writes that wait for the writer; whoever holds the writer
	// commits them all.
	mu    sync.Mutex
	queue []*commit

	// changes counts what was committed here, and what was noticed of others.
	changes atomic.Uint64
	closed  atomic.Bool
	origin  *originFile
	hosts   hostMarks
}

var (
	_ bursar.Store      = (*Store)(nil)
	_ bursar.HostWriter = (*Store)(nil)
	_ bursar.Original   = (*Store)(nil)
)

// Open opens or makes the database at path and brings its tables up to this
// release. It checks the file first and refuses one that is damaged, which takes
// about a second for each gigabyte. Close closes the database.
//
// Errors: *bursar.SchemaError where the tables are of a newer release or not
// ours; others say what the disk or the file has.
func Open(ctx context.Context, path string) (*Store, error) {
	if path == "" {
		return nil, &bursar.FieldError{Field: "sqlite.Open.path", Code: bursar.CodeRequired, Reason: "a file name"}
	}
	q := url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, explain(err)
	}
	s, err := open(ctx, db, true)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// New takes a host's own database, opened with the driver "sqlite" of
// modernc.org/sqlite, and brings the tables up to this release. The host goes on
// using the database, and closes it after the store. It must be a file in WAL
// mode, its connections must have synchronous FULL, which is SQLite's default,
// because payments are also created on them, and its pool of connections must be
// unlimited or hold at least 8. A busy_timeout spares the host's transactions
// most conflicts.
func New(ctx context.Context, db *sql.DB) (*Store, error) {
	if db == nil {
		return nil, &bursar.FieldError{Field: "sqlite.New.db", Code: bursar.CodeRequired, Reason: "a database"}
	}
	if n := db.Stats().MaxOpenConnections; n > 0 && n < 8 {
		return nil, &bursar.FieldError{Field: "sqlite.New.db", Code: bursar.CodeOutOfRange, Reason: fmt.Sprintf("its pool holds %d connections, which is below 8", n)}
	}
	var level int
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level); err != nil {
		return nil, explain(err)
	}
	if level < 2 {
		return nil, &bursar.FieldError{
			Field: "sqlite.New.db", Code: bursar.CodeInvalid,
			Reason: fmt.Sprintf("its connections have synchronous %d, below FULL: a payment that was confirmed could be lost with the power", level),
		}
	}
	return open(ctx, db, false)
}

func open(ctx context.Context, db *sql.DB, own bool) (*Store, error) {
	size := readers
	if n := db.Stats().MaxOpenConnections; n > 0 {
		size = min(size, n-4) // the writer, and three for the host
	}
	setup := []string{
		fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds()), "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON",
	}
	s := &Store{
		db: db, own: own, schema: relational.New(dialect()), now: time.Now,
		read: newPool(db, size, setup...), write: newPool(db, 1, setup...),
	}
	if err := s.check(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	if err := s.Migrate(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.origin = newOriginFile(s.path)
	return s, nil
}

// check looks whether the file is sound and the journal is the one that
// concurrent readers need.
func (s *Store) check(ctx context.Context) error {
	c, err := s.write.take(ctx)
	if err != nil {
		return err
	}
	defer s.write.give(c, false)
	var mode string
	if err := c.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return explain(err)
	}
	if mode != "wal" {
		return &bursar.FieldError{Field: "sqlite.New.db", Code: bursar.CodeInvalid, Reason: "its journal mode is " + mode + ", not wal"}
	}
	var sound string
	if err := c.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&sound); err != nil {
		return explain(err)
	}
	if sound != "ok" {
		kind, reason := advice(codeCorrupt)
		return &bursar.StoreError{Store: "sqlite", Code: kind, Reason: reason, Err: errors.New(sound)}
	}
	return explain(c.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&s.path))
}

// DB is the database behind the store, for a host that keeps its own tables in
// the same file.
func (s *Store) DB() *sql.DB { return s.db }

// clock is the time of a transaction.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// Close implements bursar.Store. It waits for the transactions under way.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.release()
}

func (s *Store) release() error {
	err := errors.Join(s.read.close(), s.write.close())
	if s.own {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// Reserve implements bursar.Store.
func (s *Store) Reserve(ctx context.Context, name string, n uint32) (first uint32, err error) {
	text, args, err := s.schema.Reserve(name, n)
	if err != nil {
		return 0, err
	}
	err = s.alone(ctx, func(ctx context.Context, c *conn) error {
		next, err := reserve(ctx, c, text, args)
		first = next - n
		return err
	})
	if err != nil {
		return 0, err
	}
	// After the commit, and before anybody learns of the addresses. Again as the
	// only writer: other processes write the file too.
	err = s.alone(ctx, func(context.Context, *conn) error { return s.origin.raise(name, first+n, first+n) })
	if err != nil {
		return 0, err
	}
	return first, nil
}

// reserve runs a reservation and returns the first index after it. The constraint
// on the column refuses to pass the last one.
func reserve(ctx context.Context, c relational.Conn, text string, args []any) (uint32, error) {
	rows, err := c.Query(ctx, text, args)
	if err != nil {
		return 0, explain(err)
	}
	defer rows.Close() //nolint:errcheck // Err below tells what there is to tell.
	var next int64
	for rows.Next() {
		if err := rows.Scan(&next); err != nil {
			return 0, explain(err)
		}
	}
	return uint32(next), rows.Err() // the constraint bounds it by 2^31
}

// Acquire implements bursar.Store.
func (s *Store) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	now := s.clock()
	text, args := s.schema.Acquire(name, holder, "?", "?", []any{now.UnixMicro()}, []any{now.Add(ttl).UnixMicro()})
	var f bursar.Fence
	err := s.alone(ctx, func(ctx context.Context, c *conn) error {
		rows, err := c.Query(ctx, text, args)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // Err below tells what there is to tell.
		err = bursar.ErrLeaseHeld
		for rows.Next() {
			var epoch, until int64
			if err = rows.Scan(&epoch, &until); err != nil {
				return explain(err)
			}
			f = relational.Fence(name, epoch, time.UnixMicro(until))
		}
		return errors.Join(rows.Err(), err)
	})
	return f, err
}

// random spreads retries; nothing is decided by it.
func random(n int64) int64 { return rand.Int64N(n) }
