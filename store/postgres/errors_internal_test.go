package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

func said(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}) }

// D2: which errors at a commit say that it did not happen.
func TestThreat_D2_WhichErrorsLeaveDoubt(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		live   bool
		doubts bool
	}{
		{"the connection ended", io.ErrUnexpectedEOF, false, true},
		{"the caller gave up", context.Canceled, false, true},
		{"an argument that cannot be sent", errors.New("cannot encode"), true, false},
		{"a pooler that lost the server", said("08P01"), true, true},
		{"connection failure", said("08006"), false, true},
		{"the server was told to stop", said("57P01"), false, true},
		{"the server crashed", said("57P02"), false, true},
		{"the standard's word for it", said("40003"), true, true},
		{"a lost race", said("40001"), true, false},
		{"a deadlock", said("40P01"), true, false},
		{"a unique key", said("23505"), true, false},
		{"a deferred constraint", said("23503"), false, false},
		{"no room", said("53100"), true, false},
		{"a statement that timed out", said("57014"), true, false},
		{"a rule of ours", fmt.Errorf("x: %w", bursar.ErrConflict), false, false},
		{"a statement that failed before", errRolledBack, false, false},
		{"a transaction that was over", pgx.ErrTxClosed, false, false},
	} {
		require.Equal(t, c.doubts, doubtful(c.err, c.live), c.name)
	}
}

// D3: which errors another run may mend, and which name the gateway knows them by.
func TestThreat_D3_NamesOfErrors(t *testing.T) {
	for _, code := range []string{stateSerialization, stateDeadlock, stateUnique, stateLockTimeout} {
		require.True(t, lostRace(said(code)), code)
		require.ErrorIs(t, explain(said(code)), bursar.ErrConflict, code)
	}
	for _, code := range []string{stateCheck, "23502", "23001", stateDivisionByZero} {
		require.False(t, lostRace(said(code)), code)
		require.ErrorIs(t, explain(said(code)), bursar.ErrInvariant, code)
	}
	for _, code := range []string{stateDiskFull, statePrivilege, stateReadOnly, stateTooMany, stateNoTable, "XX000"} {
		require.False(t, lostRace(said(code)), code)
		require.NotErrorIs(t, explain(said(code)), bursar.ErrConflict, code)
		require.NotErrorIs(t, explain(said(code)), bursar.ErrInvariant, code)
		require.ErrorContains(t, explain(said(code)), code)
	}
	require.NoError(t, explain(nil))
	for _, err := range []error{bursar.ErrFenced, bursar.ErrStoreClosed, errOver} {
		require.Equal(t, err, explain(err), "it has its name")
	}
}

// D10: what is taken for a server that does not answer.
func TestThreat_D10_WhoDoesNotAnswer(t *testing.T) {
	for _, err := range []error{io.ErrUnexpectedEOF, said("08006"), said("57P01"), said("57P03")} {
		require.True(t, unreachable(err), err)
		require.True(t, broke(err), err)
	}
	for _, err := range []error{nil, context.Canceled, context.DeadlineExceeded, said("40001"), said("53300"), bursar.ErrConflict} {
		require.False(t, unreachable(err), err)
	}
}
