package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

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

// explain gives an error of the database the name by which the gateway knows it,
// or says what an operator can do about it. One that was explained stays as it is.
func explain(err error) error {
	var done *bursar.StoreError
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
	kind, reason := advice(c & 0xff)
	return &bursar.StoreError{Store: "sqlite", Code: kind, Reason: reason, Err: err}
}

// advice says what a primary result code means to an operator.
func advice(code int) (kind bursar.Code, reason string) {
	switch code {
	case codeBusy, codeLocked:
		return bursar.CodeBusy, "somebody else holds the database, another process or a transaction of the host's"
	case codeFull:
		return bursar.CodeDiskFull, "the disk is full"
	case codeReadOnly:
		return bursar.CodeReadOnly, "the database is read-only"
	case codeIO:
		return bursar.CodeDiskFailed, "the disk failed"
	case codeCorrupt:
		return bursar.CodeDamaged, "the file is damaged; restore a backup"
	case codeNotADB:
		return bursar.CodeDamaged, "the file is no database"
	case codeCantOpen:
		return bursar.CodeMissing, "the file cannot be opened"
	}
	return bursar.CodeFailed, ""
}

// fileCode is the kind of reason of a file system's error.
func fileCode(err error) bursar.Code {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return bursar.CodeDiskFull
	case errors.Is(err, syscall.EROFS):
		return bursar.CodeReadOnly
	case errors.Is(err, fs.ErrPermission):
		return bursar.CodeDenied
	}
	return bursar.CodeDiskFailed
}

// isBusy reports whether somebody else holds the database, so that the same may
// succeed in a moment.
func isBusy(err error) bool {
	c := code(err) & 0xff
	return c == codeBusy || c == codeLocked
}
