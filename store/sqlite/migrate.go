package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

//go:embed migrations/*.sql
var files embed.FS

// Migration is one step of the schema.
type Migration = relational.Migration

// Migrations returns the steps that make the schema of this release, in order,
// for hosts that run their own migrations. Steps that were released never change.
// A host that runs them itself records each in bursar_migrations, whose statement
// Bootstrap returns; Migrate finds nothing to do then.
func Migrations() ([]Migration, error) { return relational.Load(files) }

// Bootstrap is the statement that makes the table of what was applied.
func Bootstrap() string {
	return `CREATE TABLE IF NOT EXISTS ` + prefix + `migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
)`
}

// Migrate brings the tables up to this release. It does nothing where they are,
// and can be run by several processes at once. Open and New call it. All steps
// happen or none.
func (s *Store) Migrate(ctx context.Context) error {
	known, err := Migrations()
	if err != nil {
		return err
	}
	return s.alone(ctx, func(ctx context.Context, c *conn) error {
		if err := c.run(ctx, Bootstrap()); err != nil {
			return explain(err)
		}
		have, err := applied(ctx, c)
		if code(err) == codeError {
			return &bursar.SchemaError{Want: len(known), Reason: "the table " + prefix + "migrations is not ours: " + err.Error()}
		}
		if err != nil {
			return err
		}
		todo, err := relational.Pending(known, have)
		if err != nil {
			return err
		}
		for _, m := range todo {
			if err := c.run(ctx, m.SQL); err != nil {
				return &bursar.SchemaError{Have: len(have), Want: len(known), Reason: fmt.Sprintf("migration %d, %s: %v", m.Version, m.Name, err)}
			}
			if _, err := c.Exec(ctx, `INSERT INTO `+prefix+`migrations (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)`,
				[]any{m.Version, m.Name, m.Checksum(), s.clock().UnixMicro()}); err != nil {
				return explain(err)
			}
		}
		// A database that cannot be written to is told of now.
		return explain(c.run(ctx, "DELETE FROM "+prefix+"facts WHERE name = ''"))
	})
}

func applied(ctx context.Context, c relational.Conn) (out []relational.Applied, err error) {
	rows, err := c.Query(ctx, `SELECT version, name, checksum FROM `+prefix+`migrations ORDER BY version`, nil)
	if err != nil {
		return nil, explain(err)
	}
	for rows.Next() {
		var a relational.Applied
		if err := rows.Scan(&a.Version, &a.Name, &a.Checksum); err != nil {
			return nil, errors.Join(explain(err), rows.Close())
		}
		out = append(out, a)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}
