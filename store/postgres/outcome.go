package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/internal/relational"
)

// outcome finds out what became of a batch whose commit was not answered. It
// reports whether the closure should run again, which is right where the batch did
// not happen.
func (s *Store) outcome(ctx context.Context, ops []relational.Op, cause error) (again bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	unknown := func(err error) (bool, error) {
		return false, fmt.Errorf("%w: %w", bursar.ErrUnknownOutcome, errors.Join(cause, err))
	}
	for i := range ops {
		if ops[i].Probe == nil {
			continue
		}
		happened, err := s.happened(ctx, &ops[i])
		switch {
		case err != nil:
			return unknown(err)
		case happened:
			return false, nil
		}
		return true, fmt.Errorf("postgres: not committed: %w", cause)
	}
	return unknown(nil)
}

// happened reports whether a row was written as it was meant to be. It first
// tries to write the row too, and undoes that: where the lost transaction is still
// at work, the server makes this one wait for its end.
func (s *Store) happened(ctx context.Context, op *relational.Op) (yes bool, err error) {
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, op.SQL, op.Args...); err != nil && state(err) == "" {
			return err
		}
		return errUndo
	})
	if err != nil && !errors.Is(err, errUndo) {
		return false, err
	}
	text, args := op.Probe()
	err = s.pool.QueryRow(ctx, text, args...).Scan(new(int))
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// errUndo makes a transaction roll back.
var errUndo = errors.New("undo")
