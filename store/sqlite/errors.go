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
	codeBusy       = 5
	codeLocked     = 6
	codeReadOnly   = 8
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCantOpen   = 14
	codeConstraint = 19
	codeNotADB     = 26

	codeCheck   = codeConstraint | 1<<8
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

// explain gives an error of the database the name by which the gateway knows it,
// or says what an operator can do about it.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrConnDone) {
		return fmt.Errorf("%w: %w", bursar.ErrStoreClosed, err)
	}
	c := code(err)
	switch c {
	case codePrimary, codeUnique:
		return fmt.Errorf("%w: %w", bursar.ErrConflict, err)
	}
	switch c & 0xff {
	case codeBusy, codeLocked:
		return fmt.Errorf("sqlite: somebody else holds the database, another process or a transaction of the host's: %w", err)
	case codeConstraint:
		return fmt.Errorf("%w: %w", bursar.ErrInvariant, err)
	case codeFull:
		return fmt.Errorf("sqlite: the disk is full: %w", err)
	case codeReadOnly:
		return fmt.Errorf("sqlite: the database is read-only: %w", err)
	case codeIO:
		return fmt.Errorf("sqlite: the disk failed: %w", err)
	case codeCorrupt:
		return fmt.Errorf("sqlite: the file is damaged; restore a backup: %w", err)
	case codeNotADB:
		return fmt.Errorf("sqlite: the file is no database: %w", err)
	case codeCantOpen:
		return fmt.Errorf("sqlite: the file cannot be opened: %w", err)
	}
	return fmt.Errorf("sqlite: %w", err)
}

// isBusy reports whether somebody else holds the database, so that the same may
// succeed in a moment.
func isBusy(err error) bool {
	c := code(err) & 0xff
	return c == codeBusy || c == codeLocked
}
