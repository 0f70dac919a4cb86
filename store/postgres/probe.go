package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

var _ bursar.Prober = (*Store)(nil)

// probeFact is the row that a probe writes. It stays, empty, because a role need
// not have the right to delete it.
const probeFact = "probe"

// missing names the first right that the role lacks, in the order of the tables.
// Those that a running gateway needs are named in the package's documentation;
// events alone are never changed by anybody.
const missing = `SELECT w.need || ' on ' || c.relname FROM pg_class AS c
 JOIN pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS w (need)
 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname = ANY ($2::text[])
 AND (w.need <> 'UPDATE' OR c.relname <> 'events')
 AND (w.need <> 'DELETE' OR c.relname IN ('deliveries', 'locks', 'attempt_locks'))
 AND NOT has_table_privilege(c.oid, w.need)
 ORDER BY c.relname, w.need LIMIT 1`

// tables are those that a running gateway works on.
func tables() []string {
	return []string{
		"addresses", "attempt_locks", "attempts", "balances", "chains", "deliveries", "endpoints", "entries", "events", "facts", "leases", "locks",
		"payments", "payouts", "pools", "transactions",
	}
}

// Probe implements bursar.Prober.
func (s *Store) Probe(ctx context.Context) error {
	return relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		if s.closed.Load() {
			return false, bursar.ErrStoreClosed
		}
		err := s.probe(ctx)
		return lostRace(err) || broke(err) && ctx.Err() == nil, explain(err)
	})
}

func (s *Store) probe(ctx context.Context) error {
	// Whatever the host's default is: others probe too, and one waits for the other.
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO "+s.facts()+" (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			probeFact, relational.Ballast()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE "+s.facts()+" SET value = '' WHERE name = $1", probeFact); err != nil {
			return err
		}
		return s.rights(ctx, tx)
	})
}

// rights looks whether the role has all that it needs on every table, and not
// just on the one that a probe writes.
func (s *Store) rights(ctx context.Context, tx pgx.Tx) error {
	if !s.numbers {
		return nil // no PostgreSQL: its catalogs may mean other things
	}
	rows, _ := tx.Query(ctx, missing, s.name, tables())
	// An error of Query comes out of the rows too.
	lacks, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(lacks) == 0 {
		return err
	}
	return &bursar.StoreError{Store: "postgres", Code: bursar.CodeDenied, Reason: fmt.Sprintf("the role lacks a right: %s in schema %s", lacks[0], s.name)}
}
