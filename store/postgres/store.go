package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// DefaultSchema is where the tables are unless Options says another place.
const DefaultSchema = "bursar"

// Options are what New has defaults for.
type Options struct {
	// Schema is the schema of the tables: a lower-case letter or '_', then up to
	// 62 of these and digits. Default: DefaultSchema.
	Schema string
	// KeepSchema leaves the tables as they are: New then refuses a schema that is
	// not of this release instead of migrating it. For roles that may not create
	// tables, and hosts that run migrations themselves.
	KeepSchema bool
}

// Store is a bursar.Store in PostgreSQL. Make it with New. It is safe for
// concurrent use, also by many processes.
type Store struct {
	pool   *pgxpool.Pool
	name   string // of the schema
	schema *relational.Schema
	guards *guards
	// numbers tells that the server numbers transactions and knows by the number
	// how one ended.
	numbers bool
	closed  atomic.Bool
}

var (
	_ bursar.Store      = (*Store)(nil)
	_ bursar.HostWriter = (*Store)(nil)
	_ bursar.Original   = (*Store)(nil)
)

// New uses the database that the pool connects to, and brings the tables up to
// this release. The pool is the host's: Close leaves it open. It should hold at
// least 4 connections.
//
// Errors: *bursar.FieldError for options, *bursar.SchemaError where the tables are
// of a newer release or not ours, *bursar.StoreError where the server does not
// answer or refuses. That it takes writes is proved by Gateway.Start.
func New(ctx context.Context, pool *pgxpool.Pool, o Options) (*Store, error) {
	if pool == nil {
		return nil, &bursar.FieldError{Field: "postgres.New.pool", Code: bursar.CodeRequired, Reason: "a pool of connections"}
	}
	if o.Schema == "" {
		o.Schema = DefaultSchema
	}
	if !regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`).MatchString(o.Schema) {
		return nil, &bursar.FieldError{Field: "postgres.Options.Schema", Code: bursar.CodeInvalid, Reason: fmt.Sprintf("%q: want a lower-case letter or '_', then letters, digits and '_'", o.Schema)}
	}
	s := &Store{pool: pool, name: o.Schema, schema: relational.New(dialect(o.Schema)), guards: newGuards()}
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	prepare := s.Migrate
	if o.KeepSchema {
		prepare = s.checkSchema
	}
	if err := prepare(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// look finds out what server it is. Databases that speak PostgreSQL's protocol
// have functions of its names that mean other things, or nothing.
func (s *Store) look(ctx context.Context) error {
	var version string
	if err := s.pool.QueryRow(ctx, "SELECT version()").Scan(&version); err != nil {
		return explain(err)
	}
	s.numbers = strings.HasPrefix(version, "PostgreSQL ") && !strings.Contains(version, "-YB-")
	return nil
}

// Pool is the pool of connections that the store works with.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Close implements bursar.Store. The pool stays open.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// Reserve implements bursar.Store. After a connection that broke at the commit
// the indexes may be lost: they stay reserved, and nobody has them.
func (s *Store) Reserve(ctx context.Context, name string, n uint32) (first uint32, err error) {
	text, args, err := s.schema.Reserve(name, n)
	if err != nil {
		return 0, err
	}
	err = relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		if s.closed.Load() {
			return false, bursar.ErrStoreClosed
		}
		var next int64
		err := s.pool.QueryRow(ctx, text, args...).Scan(&next)
		first = uint32(next - int64(n))
		return lostRace(err) || broke(err) && ctx.Err() == nil, explain(err)
	})
	return first, err
}

// Acquire implements bursar.Store. Time is the server's.
func (s *Store) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (f bursar.Fence, err error) {
	if err := errors.Join(relational.Storable("name", name), relational.Storable("holder", holder)); err != nil {
		return bursar.Fence{}, err
	}
	const now = "clock_timestamp()"
	text, args := s.schema.Acquire(name, holder, now, now+" + ?::bigint * interval '1 microsecond'", nil, []any{ttl.Microseconds()})
	err = relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		if s.closed.Load() {
			return false, bursar.ErrStoreClosed
		}
		var epoch int64
		var until time.Time
		err := s.pool.QueryRow(ctx, text, args...).Scan(&epoch, &until)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, bursar.ErrLeaseHeld
		}
		f = relational.Fence(name, epoch, until)
		return lostRace(err) || broke(err) && ctx.Err() == nil, explain(err)
	})
	return f, err
}
