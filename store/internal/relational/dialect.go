package relational

import (
	"context"
	"errors"
	"time"
)

// Dialect is what differs between databases. Everything else is standard SQL
// that both understand.
type Dialect struct {
	// Table qualifies a table's name.
	Table func(name string) string
	// Placeholder is the n-th parameter, counted from 1.
	Placeholder func(n int) string
	// Number, Moments and JSON follow the placeholder of an argument that is text and meant
	// as that type, in a column of that name.
	Number, Moments string
	JSON            func(column string) string
	// Alike is a condition that a column of JSON holds what was written; nil where
	// the outcome of a commit is never in doubt, so that nobody has to ask.
	Alike func(column, quoted, placeholder string) string
	// Arrays has the types of lists of values, by the names "text", "integer",
	// "boolean", "moment" and "amount", where many rows can be changed by one
	// statement that takes a list for each column. nil: row by row.
	Arrays map[string]string
	// Time is what is written of a time that is not zero, and Moment a place to
	// read one into: NULL is the zero time.
	Time   func(time.Time) any
	Moment func() (dest any, read func() time.Time)
	// Now is the time of the transaction as SQL has it; empty where only Tx.Now does.
	Now string
	// After is Now and as many seconds as an argument says, where Now is something.
	After func(placeholder string) string
	// OneOf is a condition that a column is among the values of List.
	OneOf func(column, placeholder string) string
	List  func(values []string) any
	// Read wraps a column that is selected, so that it can be scanned into text.
	Read func(column string, numeric bool) string
	// Pairs is a condition that the row's metadata hold the pairs, each of which
	// may need an argument.
	Pairs func(q *Query, pairs map[string]string) error
	// Skip ends a SELECT whose rows are locked for a change, those aside that
	// another transaction has locked; empty where nothing of the kind is known.
	Skip string
	// Lock ends a SELECT whose rows must not change before the transaction ends.
	Lock string
}

func (d *Dialect) time(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return d.Time(t.UTC().Truncate(time.Microsecond))
}

func (d *Dialect) moment() (any, func() time.Time) { return d.Moment() }

// Conn runs statements in one transaction.
type Conn interface {
	// Query runs a SELECT. The rows must be closed.
	Query(ctx context.Context, sql string, args []any) (Rows, error)
	// Exec runs a statement and tells how many rows it touched.
	Exec(ctx context.Context, sql string, args []any) (int64, error)
}

// Rows is a result being read.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// errRange is a number that the field behind its column cannot hold.
var errRange = errors.New("out of range")
