package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

//go:embed migrations/*.sql
var files embed.FS

// Migration is one step of the schema.
type Migration = relational.Migration

// Migrations returns the steps that make the tables of this release in a schema,
// in order, for hosts that run their own migrations. Steps that were released
// never change. A host that runs them itself records each in the table that
// Bootstrap makes; Migrate finds nothing to do then.
func Migrations(schema string) ([]Migration, error) {
	known, err := relational.Load(files)
	for i := range known {
		known[i].SQL = inSchema(known[i].SQL, schema)
	}
	return known, err
}

// inSchema fills the schema's name in. The checksum is that of the text without
// it.
func inSchema(text, schema string) string {
	return strings.ReplaceAll(text, "{schema}", pgx.Identifier{schema}.Sanitize())
}

// Bootstrap is the text that makes the schema and the table of what was applied,
// if they are not there.
func Bootstrap(schema string) string {
	return inSchema(`CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS {schema}.migrating (turn integer PRIMARY KEY);
INSERT INTO {schema}.migrating VALUES (1) ON CONFLICT DO NOTHING;`, schema)
}

// Migrate brings the tables up to this release. It does nothing where they are;
// several processes may run it at once, and one that is killed leaves what was
// there before. New calls it.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.checkSchema(ctx)
	var old *bursar.SchemaError
	if err == nil || errors.As(err, &old) && old.Have > old.Want {
		return err
	}
	return relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		err := s.migrate(ctx)
		switch state(err) {
		case stateUnique, stateDuplicateTable, stateDuplicateType, stateDuplicateSchem, stateSerialization, stateDeadlock:
			// Another process has just made the same.
			return true, explain(err)
		}
		return false, explain(err)
	})
}

func (s *Store) migrate(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, Bootstrap(s.name)); err != nil {
		return err
	}
	known, err := relational.Load(files)
	if err != nil {
		return err
	}
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// A row that one process at a time can have.
		if _, err := tx.Exec(ctx, inSchema("SELECT turn FROM {schema}.migrating FOR UPDATE", s.name)); err != nil {
			return err
		}
		have, err := s.applied(ctx, tx)
		if err != nil {
			return err
		}
		todo, err := relational.Pending(known, have)
		if err != nil {
			return err
		}
		for _, m := range todo {
			if _, err := tx.Exec(ctx, inSchema(m.SQL, s.name)); err != nil {
				return &bursar.SchemaError{Have: len(have), Want: len(known), Reason: fmt.Sprintf("migration %d, %s: %v", m.Version, m.Name, err)}
			}
			if _, err := tx.Exec(ctx, inSchema("INSERT INTO {schema}.migrations (version, name, checksum) VALUES ($1, $2, $3)", s.name), m.Version, m.Name, m.Checksum()); err != nil {
				return err
			}
		}
		return nil
	})
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (s *Store) applied(ctx context.Context, q querier) ([]relational.Applied, error) {
	rows, err := q.Query(ctx, inSchema("SELECT version, name, checksum FROM {schema}.migrations ORDER BY version", s.name))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[relational.Applied])
}

// checkSchema looks whether the tables are those of this release, without a right
// to change them.
func (s *Store) checkSchema(ctx context.Context) error {
	known, err := relational.Load(files)
	if err != nil {
		return err
	}
	have, err := s.applied(ctx, s.pool)
	if err != nil && state(err) != stateNoTable && state(err) != stateNoSchema {
		return explain(err)
	}
	todo, err := relational.Pending(known, have)
	if err == nil && len(todo) > 0 {
		err = &bursar.SchemaError{Have: len(have), Want: len(known), Reason: "the schema is older than this release; run Migrate"}
	}
	return err
}
