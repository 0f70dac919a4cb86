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
	s := state(err)
	switch s {
	case stateUnique, stateSerialization, stateDeadlock, stateLockTimeout:
		return fmt.Errorf("%w: %w", bursar.ErrConflict, err)
	case stateDiskFull:
		return fmt.Errorf("postgres: the server's disk is full: %w", err)
	case statePrivilege:
		return fmt.Errorf("postgres: the role lacks a right: %w", err)
	case stateReadOnly:
		return fmt.Errorf("postgres: the server is read-only, perhaps a replica: %w", err)
	case stateTooMany:
		return fmt.Errorf("postgres: the server has too many connections: %w", err)
	case stateNoTable, stateNoSchema:
		return fmt.Errorf("postgres: the tables are not there; run Migrate: %w", err)
	case stateNoDatabase:
		return fmt.Errorf("postgres: the server has no such database: %w", err)
	case stateDenied, statePassword:
		return fmt.Errorf("postgres: the server refuses the role or its password: %w", err)
	case stateNotNow:
		return fmt.Errorf("postgres: the server starts or stops: %w", err)
	}
	if strings.HasPrefix(s, "23") || s == stateDivisionByZero {
		return fmt.Errorf("%w: %w", bursar.ErrInvariant, err)
	}
	if unreachable(err) {
		return fmt.Errorf("postgres: the server does not answer: %w", err)
	}
	return fmt.Errorf("postgres: %w", err)
}
