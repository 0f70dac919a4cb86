package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"

	"github.com/bursar-go/bursar"
)

// Result codes of SQLite, https://sqlite.org/rescode.html. The low byte is the
// primary code.
const (
	codeError      = 1
	codeBusy       = 5
	codeLocked     = 6
	codeReadOnly   = 8
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCantOpen   = 14
	codeConstraint = 19
	codeNotADB     = 26

	codePrimary = codeConstraint | 6<<8
	codeUnique  = codeConstraint | 8<<8
)

// code returns the extended result code of an error; 0: none.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// databaseError is an error of the database and what an operator can do about it.
type databaseError struct {
	what string
	err  error
}

func (e *databaseError) Error() string { return "sqlite: " + e.what + e.err.Error() }
func (e *databaseError) Unwrap() error { return e.err }

// explain gives an error of the database the name by which the gateway knows it,
// or says what an operator can do about it. One that was explained stays as it is.
func explain(err error) error {
	var done *databaseError
	switch {
	case err == nil, errors.As(err, &done),
		errors.Is(err, bursar.ErrConflict), errors.Is(err, bursar.ErrInvariant), errors.Is(err, bursar.ErrStoreClosed):
		return err
	case errors.Is(err, sql.ErrConnDone):
		return fmt.Errorf("%w: %w", bursar.ErrStoreClosed, err)
	}
	c := code(err)
	switch c {
	case codePrimary, codeUnique:
		return fmt.Errorf("%w: %w", bursar.ErrConflict, err)
	}
	if c&0xff == codeConstraint {
		return fmt.Errorf("%w: %w", bursar.ErrInvariant, err)
	}
	return &databaseError{advice(c & 0xff), err}
}

// advice says what a primary result code means to an operator.
func advice(code int) string {
	switch code {
	case codeBusy, codeLocked:
		return "somebody else holds the database, another process or a transaction of the host's: "
	case codeFull:
		return "the disk is full: "
	case codeReadOnly:
		return "the database is read-only: "
	case codeIO:
		return "the disk failed: "
	case codeCorrupt:
		return "the file is damaged; restore a backup: "
	case codeNotADB:
		return "the file is no database: "
	case codeCantOpen:
		return "the file cannot be opened: "
	}
	return ""
}

// isBusy reports whether somebody else holds the database, so that the same may
// succeed in a moment.
func isBusy(err error) bool {
	c := code(err) & 0xff
	return c == codeBusy || c == codeLocked
}
