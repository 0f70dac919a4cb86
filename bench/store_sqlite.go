package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/sqlite"
)

// openSQLite makes a database in a folder of its own.
func openSQLite() (bursar.Store, func() error, error) {
	dir, remove, err := scratch()
	if err != nil {
		return nil, nil, err
	}
	s, err := sqlite.Open(context.Background(), filepath.Join(dir, "bursar.db"))
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return s, func() error { return errors.Join(s.Close(), remove()) }, nil
}

// createOnSQLite compares CreatePayment with what anybody would write by hand: a
// transaction with prepared statements for the same rows in the same tables.
func createOnSQLite(b *bench) (reading, error) {
	tables, err := sampleSQLite(256)
	if err != nil {
		return reading{}, err
	}
	got, err := b.compare(byWall, rawSQLite(tables), createOn(openSQLite))
	if err != nil {
		return reading{}, err
	}
	return reading{got.ratio, got.how("by hand", "CreatePayment")}, nil
}

// sampleSQLite makes payments and reads what they left in the tables.
func sampleSQLite(n int) (out []table, err error) {
	store, end, err := openSQLite()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	h, err := hostOn(store)
	if err != nil {
		return nil, err
	}
	for i := range n {
		if _, err := h.gateway.CreatePayment(context.Background(), order(fmt.Sprint("sample-", i))); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"payments", "addresses", "events"} {
		t, err := readSQLite(store.(*sqlite.Store).DB(), name)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, h.stop()
}

func readSQLite(db *sql.DB, name string) (t table, err error) {
	rows, err := db.QueryContext(context.Background(), "SELECT * FROM bursar_"+name)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return t, err
	}
	from := 0
	if columns[0] == "pos" {
		from = 1
	}
	for i, c := range columns[from:] {
		if unique(c) {
			t.names = append(t.names, i)
		}
		columns[from+i] = `"` + c + `"`
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)-from), ", ")
	t.insert = "INSERT INTO bursar_" + name + " (" + strings.Join(columns[from:], ", ") + ") VALUES (" + marks + ")"
	for rows.Next() {
		row, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return t, err
		}
		t.rows = append(t.rows, row[from:])
	}
	return t, nil
}

// rawSQLite inserts the rows with names of their own. SQLite has one writer: the
// callers take turns, as they would anyway.
func rawSQLite(tables []table) work {
	return func(n int) (func() error, error) {
		store, end, err := openSQLite() // for its tables and its settings
		if err != nil {
			return nil, err
		}
		c, err := store.(*sqlite.Store).DB().Conn(context.Background())
		if err != nil {
			return nil, err
		}
		var statements []*sql.Stmt
		for _, t := range tables {
			s, err := c.PrepareContext(context.Background(), t.insert)
			if err != nil {
				return nil, err
			}
			statements = append(statements, s)
		}
		var turn sync.Mutex
		insert := func(from, n int) error {
			return share(storeCallers, n, func(i int) error {
				turn.Lock()
				defer turn.Unlock()
				return insertSQLite(c, statements, tables, from+i)
			})
		}
		if err := insert(0, storeWarm); err != nil {
			return nil, err
		}
		return after(func() error { return insert(storeWarm, n) }, c.Close, end), nil
	}
}

func insertSQLite(c *sql.Conn, statements []*sql.Stmt, tables []table, i int) error {
	tx, err := c.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	for k := range tables {
		if _, err := tx.Stmt(statements[k]).Exec(tables[k].row(i)...); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}
