package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/config"
	"github.com/bursar-go/bursar/store/postgres"
	"github.com/bursar-go/bursar/store/sqlite"
)

func migrateCommand() *command {
	return &command{
		name: "migrate", short: "brings the tables up to this release, or prints the SQL",
		long: `Makes the tables of this release, or brings older ones up to it, all steps or
none. It does nothing where they are of this release, may run several times at
once, and refuses a schema that is newer. For SQLite the file is made where it is
missing.

With -print it connects to nothing and prints the whole SQL, that which records
the steps included, for those who run migrations themselves.`,
		prepare: func(fs *flag.FlagSet) func(context.Context, *call) error {
			show := fs.Bool("print", false, "print the SQL of all steps, and change nothing")
			dry := fs.Bool("dry-run", false, "tell which steps are pending, and change nothing")
			return func(ctx context.Context, c *call) error {
				if *show && *dry {
					return misuse("-print and -dry-run exclude each other")
				}
				return c.migrate(ctx, *show, *dry)
			}
		},
	}
}

// step is one migration.
type step struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
}

// schema is where a database stands.
type schema struct {
	Driver string `json:"driver"`
	// Have and Want are schema versions; Pending the steps between, Applied true
	// once they were done.
	Have    int    `json:"have"`
	Want    int    `json:"want"`
	Pending []step `json:"pending"`
	Applied bool   `json:"applied"`

	field string // of the configuration
}

func (s schema) String() string {
	var b strings.Builder
	switch {
	case len(s.Pending) == 0:
		fmt.Fprintf(&b, "%s is at schema %d, which is that of this release\n", s.Driver, s.Have)
	case s.Applied:
		fmt.Fprintf(&b, "%s was brought from schema %d to %d\n", s.Driver, s.Have, s.Want)
	default:
		fmt.Fprintf(&b, "%s is at schema %d, this release at %d; pending:\n", s.Driver, s.Have, s.Want)
	}
	for _, m := range s.Pending {
		fmt.Fprintf(&b, "  %d %s\n", m.Version, m.Name)
	}
	return b.String()
}

func (c *call) migrate(ctx context.Context, show, dry bool) error {
	f, err := c.load()
	if err != nil {
		return err
	}
	if show {
		return c.printSQL(f)
	}
	state, err := c.schemaOf(ctx, f)
	if err != nil {
		return err
	}
	if !dry && len(state.Pending) > 0 {
		_, closeAll, err := c.openAny(ctx, f, false)
		if err != nil {
			return err
		}
		if err := closeAll(); err != nil {
			return err
		}
		state.Applied = true
	}
	return c.print(state, state.String())
}

// schemaOf finds out where a database stands, without changing it.
func (c *call) schemaOf(ctx context.Context, f *config.File) (schema, error) {
	switch f.Store.Driver {
	case "sqlite":
		return c.schemaOfFile(ctx, f.Store.Path)
	case "postgres":
		return c.schemaOfServer(ctx, f)
	}
	return schema{}, c.forgetful()
}

func (c *call) schemaOfServer(ctx context.Context, f *config.File) (schema, error) {
	known, err := postgres.Migrations(schemaName(f))
	if err != nil {
		return schema{}, err
	}
	pool, err := c.openPool(ctx, f)
	if err != nil {
		return schema{}, err
	}
	defer pool.Close()
	state := schema{Driver: "postgres", Have: len(known), Want: len(known), Pending: []step{}, field: "store.dsn"}
	s, err := postgres.New(ctx, pool, postgres.Options{Schema: f.Store.Schema, KeepSchema: true})
	var differs *bursar.SchemaError
	switch {
	case errors.As(err, &differs) && differs.Have < differs.Want:
		state.Have = differs.Have
	case err != nil:
		return state, c.storeFault(state.field, err)
	default:
		return state, s.Close()
	}
	for _, m := range known[state.Have:] {
		state.Pending = append(state.Pending, step{m.Version, m.Name})
	}
	return state, nil
}

// schemaOfFile reads which steps a file has had. The store's package would do the
// missing ones while it opens it.
func (c *call) schemaOfFile(ctx context.Context, path string) (state schema, err error) {
	state = schema{Driver: "sqlite", Pending: []step{}, field: "store.path"}
	known, err := sqlite.Migrations()
	if err != nil {
		return state, err
	}
	state.Want = len(known)
	there, err := exists(path)
	if err != nil {
		return state, c.storeFault(state.field, err)
	}
	if there {
		if state.Have, err = readVersion(ctx, path); err != nil {
			return state, c.storeFault(state.field, err)
		}
	}
	if state.Have > state.Want {
		return state, c.storeFault(state.field, &bursar.SchemaError{Have: state.Have, Want: state.Want, Reason: "it is of a newer release"})
	}
	for _, m := range known[state.Have:] {
		state.Pending = append(state.Pending, step{m.Version, m.Name})
	}
	return state, nil
}

func readVersion(ctx context.Context, path string) (version int, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'bursar_migrations'").Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM bursar_migrations").Scan(&version)
	return version, err
}

func schemaName(f *config.File) string {
	if f.Store.Schema == "" {
		return postgres.DefaultSchema
	}
	return f.Store.Schema
}

// printSQL prints all steps, each with what records it.
func (c *call) printSQL(f *config.File) error {
	var b strings.Builder
	add := func(comment, text string) {
		fmt.Fprintf(&b, "-- %s\n%s;\n\n", comment, strings.TrimRight(text, "; \n"))
	}
	switch f.Store.Driver {
	case "sqlite":
		known, err := sqlite.Migrations()
		if err != nil {
			return err
		}
		add("what was applied", sqlite.Bootstrap())
		for _, m := range known {
			add(fmt.Sprintf("%d: %s", m.Version, m.Name), m.SQL)
			add(fmt.Sprintf("%d is done", m.Version), fmt.Sprintf(
				"INSERT INTO bursar_migrations (version, name, checksum, applied_at) VALUES (%d, '%s', '%s', CAST(strftime('%%s', 'now') AS INTEGER) * 1000000)",
				m.Version, m.Name, m.Checksum()))
		}
	case "postgres":
		known, err := postgres.Migrations(schemaName(f))
		if err != nil {
			return err
		}
		add("what was applied", postgres.Bootstrap(schemaName(f)))
		for _, m := range known { // a step's own text records it
			add(fmt.Sprintf("%d: %s", m.Version, m.Name), m.SQL)
		}
	default:
		return c.forgetful()
	}
	return c.print(map[string]string{"sql": b.String()}, b.String())
}
