package main

import (
	"context"
	"database/sql"
	"errors"

	driver "modernc.org/sqlite"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/sqlite"
)

// liteDB is one SQLite file for the shop and for bursar. A host that opens its
// database by itself gives it to sqlite.New instead.
type liteDB struct{ lite *sqlite.Store }

func openSQLite(ctx context.Context, path string) (database, error) {
	lite, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return liteDB{lite}, nil
}

func (d liteDB) about() string       { return "SQLite" }
func (d liteDB) store() bursar.Store { return d.lite }
func (d liteDB) db() *sql.DB         { return d.lite.DB() }
func (d liteDB) close() error        { return d.lite.Close() }

// within is short, because SQLite has one writer: from the first write of fn to
// the commit nobody else writes, the gateway neither. So there is no call of
// another service in it, and no waiting for a customer.
//
// fn begins with a write. Then it waits for its turn (busy_timeout, 5 s here) and
// has no conflict after it. One that reads first has a snapshot that may be old by
// the time it writes: SQLite refuses that at once, however long it could wait.
func (d liteDB) within(ctx context.Context, fn func(hostTx) error) error {
	t, err := d.db().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback() //nolint:errcheck // Nothing is left to undo after a commit.
	if err := fn(viaSQL(t, d.lite.Tx(t))); err != nil {
		return err
	}
	return t.Commit()
}

// joined finds the SQL transaction of a handler. It is the writer from its first
// statement on: the handler can read before it writes.
func (d liteDB) joined(b bursar.Tx) (hostTx, error) {
	t, ok := sqlite.From(b)
	if !ok {
		return hostTx{}, errors.New("not a transaction of this store")
	}
	return viaSQL(t, b), nil
}

// lostRace: SQLITE_BUSY, of which SQLITE_BUSY_SNAPSHOT is a kind.
func (d liteDB) lostRace(err error) bool {
	const busy = 5
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == busy
}
