package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// fate is what the server says of a transaction.
type fate int

const (
	fateUnknown fate = iota
	fateCommitted
	fateAborted
)

// enough is how many rows are looked at where they only confirm the server's word.
const enough = 8

// doubtful reports whether an error at the commit leaves open what became of the
// transaction. A pooler that lost the server tells so with a code of class 08;
// 40003 is the standard's own word for it. live is false where the connection is
// gone, or has no open transaction any more.
func doubtful(err error, live bool) bool {
	s := state(err)
	switch {
	case s == "":
		return !live && !isOurs(err)
	case s == stateCompletionUnknown:
		return true
	}
	return strings.HasPrefix(s, "08") || strings.HasPrefix(s, "57P")
}

// outcome finds out what became of a transaction whose commit was not answered.
// It reports whether the closure should run again, which is right where the batch
// did not happen.
//
// The server is asked by the transaction's number, which also tells whether it is
// still at work, for example waiting for a lock with its COMMIT already received.
// Then the rows are looked for: after a failover the number may be another one's.
// Without a number the rows alone speak.
func (s *Store) outcome(ctx context.Context, xid string, ops []relational.Op, cause error) (again bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	said, err := s.fate(ctx, xid)
	if err == nil && said == fateUnknown {
		err = relational.Retry(ctx, rand.Int64N, func() (bool, error) {
			err := s.rehearse(ctx, ops)
			return broke(err) && ctx.Err() == nil, err
		})
	}
	rows := relational.Unclear
	if err == nil {
		rows, err = s.evidence(ctx, ops, said)
	}
	switch {
	case err != nil:
	case said == fateAborted, said == fateUnknown && rows == relational.Absent:
		return true, &undone{cause, said == fateAborted}
	case said == fateCommitted && rows != relational.Absent, said == fateUnknown && rows == relational.Present:
		return false, nil
	}
	return false, fmt.Errorf("%w: %w", bursar.ErrUnknownOutcome, errors.Join(cause, err))
}

// undone reports a transaction that did not happen because its connection broke.
type undone struct {
	cause error
	// sure is false where the server could not exclude that it is still at work.
	// A closure that runs again writes the same keys, so that one of the two fails;
	// where it does not get that far, nobody knows.
	sure bool
}

func (e *undone) Error() string { return "postgres: not committed: " + e.cause.Error() }

func (e *undone) Unwrap() error { return e.cause }

// fate waits for a transaction to end and returns how it ended.
func (s *Store) fate(ctx context.Context, xid string) (fate, error) {
	if xid == "" {
		return fateUnknown, nil
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var said pgtype.Text
		err := s.pool.QueryRow(ctx, "SELECT pg_xact_status($1::text::xid8)", xid).Scan(&said)
		switch {
		case err != nil && !unreachable(err):
			// A number that this server has never given, for one: another server has
			// taken over. Or the caller's patience is at its end.
			return fateUnknown, ctx.Err()
		case err == nil && said.String == "committed":
			return fateCommitted, nil
		case err == nil && said.String == "aborted":
			return fateAborted, nil
		case err == nil && !said.Valid:
			return fateUnknown, nil // too long ago
		}
		if err := wait(ctx, pause); err != nil {
			return fateUnknown, errors.Join(errors.New("postgres: the transaction is still at work, or the server away"), err)
		}
	}
}

// wait lets about that much time pass.
func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause/2 + time.Duration(rand.Int64N(int64(pause))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rehearse runs a batch and undoes it: where the lost transaction is still at
// work, the server has this one wait at the same rows for its end.
func (s *Store) rehearse(ctx context.Context, ops []relational.Op) error {
	n := &session{s: s, read: true} // it commits nothing
	defer n.end()
	if _, err := n.begin(ctx, "", nil); err != nil {
		return err
	}
	var b pgx.Batch
	for i := range ops {
		if ops[i].Broken != nil {
			break
		}
		text, args := s.guards.guard(&ops[i])
		b.Queue(text, args...)
	}
	err := n.c.SendBatch(ctx, &b).Close()
	if state(err) != "" && !unreachable(err) {
		err = nil // a refusal is an answer: it waited
	}
	return err
}

// evidence looks for the rows of a batch.
func (s *Store) evidence(ctx context.Context, ops []relational.Op, said fate) (e relational.Evidence, err error) {
	err = relational.Retry(ctx, rand.Int64N, func() (bool, error) {
		e, err = s.ask(ctx, ops, said)
		return broke(err) && ctx.Err() == nil, err
	})
	return e, err
}

func (s *Store) ask(ctx context.Context, ops []relational.Op, said fate) (relational.Evidence, error) {
	var b pgx.Batch
	var all []relational.Evidence
	for i := range ops {
		if ops[i].Probe == nil || said != fateUnknown && b.Len() == enough {
			continue
		}
		probe := ops[i].Probe()
		b.Queue(probe.SQL, probe.Args...).QueryRow(func(row pgx.Row) error {
			var version int64
			var same bool
			err := row.Scan(&version, &same)
			switch {
			case errors.Is(err, pgx.ErrNoRows):
				all = append(all, probe.Missing())
			case err != nil:
				return err
			default:
				all = append(all, probe.Found(version, same))
			}
			return nil
		})
	}
	if b.Len() == 0 {
		return relational.Unclear, nil
	}
	n := &session{s: s, mode: " READ ONLY", read: true}
	defer n.end()
	if _, err := n.begin(ctx, "", nil); err != nil {
		return relational.Unclear, err
	}
	err := n.c.SendBatch(ctx, &b).Close()
	return relational.Weigh(all), err
}
