package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bursar-go/bursar"
)

// SQLSTATE codes, https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	stateDivisionByZero = "22012"
	stateUnique         = "23505"
	stateCheck          = "23514"
	stateSerialization  = "40001"
	stateDeadlock       = "40P01"
	statePrivilege      = "42501"
	stateNoSchema       = "3F000"
	stateNoTable        = "42P01"
	stateDuplicateTable = "42P07"
	stateDuplicateType  = "42710"
	stateDuplicateSchem = "42P06"
	stateReadOnly       = "25006"
	stateNoColumn       = "42703"
	stateDatatype       = "42804"
	stateNoFunction     = "42883"
	stateBadText        = "22P02"
	stateNoFeature      = "0A000"
	stateWrongObject    = "42809"
	stateBadConflict    = "42P10"
	stateLockTimeout    = "55P03"
	stateNoDatabase     = "3D000"
	stateDenied         = "28000"
	statePassword       = "28P01"
	stateNotNow         = "57P03"

	stateCompletionUnknown = "40003"
	stateDiskFull          = "53100"
	stateTooMany           = "53300"
)

// state returns the SQLSTATE of an error; empty where the server did not answer.
func state(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// lostRace reports whether the server undid a transaction because of another one,
// so that the same may succeed in a moment.
func lostRace(err error) bool {
	switch state(err) {
	case stateSerialization, stateDeadlock, stateUnique, stateLockTimeout:
		return true
	}
	return false
}

// unreachable reports whether the server did not answer, as opposed to having
// refused.
func unreachable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && state(err) == "" && !isConnect(err) {
		return false
	}
	switch s := state(err); {
	case s == "":
		return !isOurs(err)
	default:
		// Connection exceptions, and a server that is shutting down.
		return strings.HasPrefix(s, "08") || strings.HasPrefix(s, "57P")
	}
}

// broke reports whether a connection broke that there was, perhaps long before,
// so that a new one may serve. Where there is none to be had, trying again at once
// is no use.
func broke(err error) bool { return unreachable(err) && !isConnect(err) }

func isConnect(err error) bool {
	var e *pgconn.ConnectError
	return errors.As(err, &e)
}

// isOurs reports whether an error was made here and not by the connection.
func isOurs(err error) bool {
	for _, e := range []error{bursar.ErrConflict, bursar.ErrInvariant, bursar.ErrFenced, bursar.ErrStoreClosed, errOver, pgx.ErrTxClosed, pgx.ErrTxCommitRollback} {
		if errors.Is(err, e) {
			return true
		}
	}
	var parse *pgconn.ParseConfigError
	var field *bursar.FieldError
	var schema *bursar.SchemaError
	return errors.As(err, &parse) || errors.As(err, &field) || errors.As(err, &schema)
}

// explain gives an error of the server the name by which the gateway knows it, or
// says what an operator can do about it. Passwords do not show in it.
func explain(err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	var done *bursar.StoreError
	s := state(err)
	switch {
	case errors.As(err, &done):
		return err
	case lostRace(err):
		return fmt.Errorf("%w: %w", bursar.ErrConflict, err)
	case strings.HasPrefix(s, "23"), s == stateDivisionByZero:
		return fmt.Errorf("%w: %w", bursar.ErrInvariant, err)
	case s == "" && !unreachable(err):
		return fmt.Errorf("postgres: %w", err) // the caller's time is over
	}
	code, reason := advice(s)
	if code == bursar.CodeFailed && unreachable(err) {
		code, reason = bursar.CodeUnreachable, "the server does not answer"
	}
	return &bursar.StoreError{Store: "postgres", Code: code, Reason: reason, Err: err}
}

// advice says what a SQLSTATE means to an operator.
func advice(state string) (code bursar.Code, reason string) {
	switch state {
	case stateDiskFull:
		return bursar.CodeDiskFull, "the server's disk is full"
	case statePrivilege:
		return bursar.CodeDenied, "the role lacks a right"
	case stateReadOnly:
		return bursar.CodeReadOnly, "the server is read-only, perhaps a replica"
	case stateTooMany:
		return bursar.CodeTooMany, "the server has too many connections"
	case stateNoTable, stateNoSchema:
		return bursar.CodeMissing, "the tables are not there; run Migrate"
	case stateNoDatabase:
		return bursar.CodeMissing, "the server has no such database"
	case stateDenied, statePassword:
		return bursar.CodeDenied, "the server refuses the role or its password"
	case stateNotNow:
		return bursar.CodeUnreachable, "the server starts or stops"
	}
	return bursar.CodeFailed, ""
}
