//go:build unix

package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/postgres"
	"github.com/bursar-go/bursar/store/sqlite"
)

// shopTables are a host's own, in the database of the store. Neither has a
// unique constraint that would hide a repetition: heard counts how often each
// event was handled, and an order's payment is never overwritten.
func shopTables(driver string) string {
	pos, watch := "pos INTEGER PRIMARY KEY AUTOINCREMENT", ""
	if driver == "postgres" {
		pos, watch = "pos bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", strayTriggers()
	}
	return `CREATE TABLE IF NOT EXISTS heard (` + pos + `, event text NOT NULL, subject text NOT NULL, seq bigint NOT NULL, instance text NOT NULL);
CREATE TABLE IF NOT EXISTS orders (name text PRIMARY KEY, payment text NOT NULL);
CREATE TABLE IF NOT EXISTS strays (writer text NOT NULL, wrote text NOT NULL, holder text NOT NULL);` + watch
}

// strayTriggers have the database note who commits what only the holder of the
// chain's lease may write: the cursor, and transactions to be sent. Hosts tell
// their names as the application's. The row lock makes a transaction whose snapshot
// is of before a take-over run again, as it would see itself as the holder.
func strayTriggers() string {
	return `
CREATE FUNCTION note_stray() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	PERFORM 1 FROM bursar.leases FOR SHARE;
	INSERT INTO public.strays SELECT current_setting('application_name'), TG_TABLE_NAME || ' ' || TG_OP, holder
		FROM bursar.leases WHERE holder <> current_setting('application_name');
	RETURN NULL;
END $$;
CREATE TRIGGER note_stray AFTER INSERT OR UPDATE ON bursar.attempts FOR EACH ROW EXECUTE FUNCTION note_stray();
CREATE TRIGGER note_stray AFTER UPDATE ON bursar.chains FOR EACH ROW EXECUTE FUNCTION note_stray();`
}

// books are a host's database: the store and its own tables beside it.
type books interface {
	store() bursar.Store
	// told is the store for a gateway whose writes the world hears of.
	told(tell) bursar.Store
	// note adds a row to heard, inside the store's transaction.
	note(ctx context.Context, tx bursar.Tx, e bursar.Event, instance string) error
	// order makes the order with a payment, in one transaction of the host's.
	// Where the order is there, before is its payment.
	order(ctx context.Context, name string, pay func(bursar.Tx) (string, error), before *string) error
	close() error
}

func openBooks(ctx context.Context, driver, dsn, instance string) (books, error) {
	if driver == "sqlite" {
		s, err := sqlite.Open(ctx, dsn)
		return liteBooks{s}, err
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 12
	config.ConnConfig.RuntimeParams["application_name"] = instance
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s, err := postgres.New(ctx, pool, postgres.Options{})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pgBooks{s, pool}, nil
}

type liteBooks struct{ s *sqlite.Store }

func (b liteBooks) store() bursar.Store      { return b.s }
func (b liteBooks) told(t tell) bursar.Store { return toldLite{b.s, t} }
func (b liteBooks) close() error             { return b.s.Close() }

func (b liteBooks) note(ctx context.Context, tx bursar.Tx, e bursar.Event, instance string) error {
	own, ok := sqlite.From(tx)
	if !ok {
		return errors.New("no transaction of SQLite")
	}
	_, err := own.ExecContext(ctx, "INSERT INTO heard (event, subject, seq, instance) VALUES (?, ?, ?, ?)", e.ID, e.Subject, e.Seq, instance)
	return err
}

func (b liteBooks) order(ctx context.Context, name string, pay func(bursar.Tx) (string, error), before *string) error {
	tx, err := b.s.DB().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit there is nothing left of it
	// A write first: SQLite has one writer.
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (name, payment) VALUES (?, '') ON CONFLICT (name) DO NOTHING", name); err != nil {
		return err
	}
	id, err := pay(b.s.Tx(tx))
	if err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "SELECT payment FROM orders WHERE name = ?", name).Scan(before); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE orders SET payment = ? WHERE name = ? AND payment = ''", id, name); err != nil {
		return err
	}
	return tx.Commit()
}

type pgBooks struct {
	s    *postgres.Store
	pool *pgxpool.Pool
}

func (b pgBooks) store() bursar.Store      { return b.s }
func (b pgBooks) told(t tell) bursar.Store { return toldPG{b.s, t} }

func (b pgBooks) close() error {
	defer b.pool.Close()
	return b.s.Close()
}

func (b pgBooks) note(ctx context.Context, tx bursar.Tx, e bursar.Event, instance string) error {
	own, ok := postgres.From(tx)
	if !ok {
		return errors.New("no transaction of PostgreSQL")
	}
	_, err := own.Exec(ctx, "INSERT INTO heard (event, subject, seq, instance) VALUES ($1, $2, $3, $4)", e.ID, e.Subject, e.Seq, instance)
	return err
}

func (b pgBooks) order(ctx context.Context, name string, pay func(bursar.Tx) (string, error), before *string) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO orders (name, payment) VALUES ($1, '') ON CONFLICT (name) DO NOTHING", name); err != nil {
			return err
		}
		id, err := pay(b.s.Tx(tx))
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT payment FROM orders WHERE name = $1", name).Scan(before); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE orders SET payment = $1 WHERE name = $2 AND payment = ''", id, name)
		return err
	})
}

// lines reads a table of the database as the world sees it, beside the store.
func lines(ctx context.Context, db *sql.DB, query string, args ...any) (out [][]string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return nil, err
		}
		line := make([]string, len(columns))
		for i, v := range values {
			line[i] = fmt.Sprint(*v.(*any))
		}
		out = append(out, line)
	}
	return out, rows.Err()
}
