package postgres

import (
	"context"
	"embed"
	"fmt"
	"math/rand/v2"
	"strconv"
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
// in order, for hosts that run their own migrations: first Bootstrap, then each
// step in a transaction of its own. A step's SQL ends with the statement that
// records it, so that Migrate and Options.KeepSchema find it done. Steps that were
// released never change.
func Migrations(schema string) ([]Migration, error) {
	known, err := relational.Load(files)
	for i := range known {
		m := &known[i]
		done := strings.NewReplacer("$1", strconv.Itoa(m.Version), "$2", "'"+m.Name+"'", "$3", "'"+m.Checksum()+"'").Replace(record)
		m.SQL = inSchema(m.SQL+"\n"+done, schema)
	}
	return known, err
}

// inSchema fills the schema's name in. The checksum is that of the text without
// it.
func inSchema(text, schema string) string {
	return strings.ReplaceAll(text, "{schema}", pgx.Identifier{schema}.Sanitize())
}

// record notes that a migration was applied.
const record = "INSERT INTO {schema}.migrations (version, name, checksum) VALUES ($1, $2, $3);\n"

// Bootstrap is the text that makes the schema and the table of what was applied,
// if they are not there.
func Bootstrap(schema string) string {
	return inSchema(makeSchema+makeTables, schema)
}

const (
	makeSchema = "CREATE SCHEMA IF NOT EXISTS {schema};\n"
	makeTables = `CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS {schema}.migrating (turn integer PRIMARY KEY);
INSERT INTO {schema}.migrating (turn) VALUES (1) ON CONFLICT DO NOTHING;`
)

// Migrate brings the tables up to this release. It does nothing where they are;
// several processes may run it at once, and one that is killed leaves what was
// there before. New calls it.
//
// The role needs the right to create in the schema and, where the schema is not
// there, in the database. The tables belong to the role that made them.
//
// Errors: *bursar.SchemaError where the tables are of a newer release, were
// changed, or are somebody else's; nothing was changed then.
func (s *Store) Migrate(ctx context.Context) error {
	if todo, _, err := s.pending(ctx, s.pool); err != nil || len(todo) == 0 {
		return explain(err)
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
	// To create a schema that is there wants the right to create one all the same.
	var there bool
	if err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", s.name).Scan(&there); err != nil {
		return err
	}
	first := makeTables
	if !there {
		first = makeSchema + makeTables
	}
	if _, err := s.pool.Exec(ctx, inSchema(first, s.name)); err != nil {
		return foreign(err)
	}
	// Whatever the host's default is, each statement must see what was committed
	// before it.
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		// A row that one process at a time can have.
		if _, err := tx.Exec(ctx, inSchema("SELECT turn FROM {schema}.migrating FOR UPDATE", s.name)); err != nil {
			return err
		}
		todo, have, err := s.pending(ctx, tx)
		if err != nil {
			return err
		}
		for _, m := range todo {
			if _, err := tx.Exec(ctx, inSchema(m.SQL, s.name)); err != nil {
				return misfit(m, have, err)
			}
			if _, err := tx.Exec(ctx, inSchema(record, s.name), m.Version, m.Name, m.Checksum()); err != nil {
				return err
			}
		}
		return nil
	})
}

// misfit tells what stands in the way of a migration from what may pass.
func misfit(m relational.Migration, have int, err error) error {
	if code := state(err); !strings.HasPrefix(code, "42") || code == statePrivilege {
		return err
	}
	return &bursar.SchemaError{
		Have: have, Want: m.Version,
		Reason: fmt.Sprintf("migration %d, %s, does not fit what is there, tables of somebody else's for example: %v", m.Version, m.Name, err),
	}
}

// foreign tells that our tables' names are taken by others.
func foreign(err error) error {
	switch state(err) {
	case stateNoColumn, stateDatatype, stateWrongObject, stateBadConflict, stateBadText:
		return &bursar.SchemaError{Reason: fmt.Sprintf("the schema has tables of ours by name alone: %v", err)}
	}
	return err
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// pending returns the migrations that the database lacks, and how many it has.
func (s *Store) pending(ctx context.Context, q querier) (todo []relational.Migration, have int, err error) {
	known, err := relational.Load(files)
	if err != nil {
		return nil, 0, err
	}
	rows, _ := q.Query(ctx, inSchema("SELECT version::bigint, name::text, checksum::text FROM {schema}.migrations ORDER BY version", s.name))
	// An error of Query comes out of the rows too.
	applied, err := pgx.CollectRows(rows, pgx.RowToStructByPos[relational.Applied])
	if code := state(err); code == stateNoTable || code == stateNoSchema {
		return known, 0, nil
	}
	if err != nil {
		return nil, 0, foreign(err)
	}
	todo, err = relational.Pending(known, applied)
	return todo, len(applied), err
}

// checkSchema looks whether the tables are those of this release, without a right
// to change them.
func (s *Store) checkSchema(ctx context.Context) error {
	todo, have, err := s.pending(ctx, s.pool)
	if err == nil && len(todo) > 0 {
		err = &bursar.SchemaError{Have: have, Want: have + len(todo), Reason: "the schema is older than this release; run Migrate"}
	}
	return explain(err)
}
