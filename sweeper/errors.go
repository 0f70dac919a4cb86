package sweeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Sentinels. Callers branch on them with errors.Is.
var (
	// ErrLost: the work went to another worker. A Journal and a Config.Holds wrap
	// it in what they refuse for that reason.
	ErrLost = errors.New("sweeper: the work went to another worker")
	// ErrBusy: Step was called while another Step was at work.
	ErrBusy = errors.New("sweeper: a step is at work already")
	// ErrNoSponsor: a job needs gas and no sponsor is configured.
	ErrNoSponsor = errors.New("sweeper: no sponsor to pay for gas")
	// ErrTopUpLimit: a job had as many top-ups as it may have for the present and
	// still needs gas: its node tells an odd balance, or fees rise faster than blocks
	// come. It gets the next one after Policy.TopUpPause.
	ErrTopUpLimit = errors.New("sweeper: too many gas top-ups")
	// ErrUnknownPast: the paying account has done something that the journal does not
	// know, or not yet. Wrapped by Config.Known.
	ErrUnknownPast = errors.New("sweeper: the account's last transaction is not known yet")
	// ErrTopUpObsolete: the job that a top-up serves no longer needs it. The
	// top-up can be given up.
	ErrTopUpObsolete = errors.New("sweeper: nothing waits for this gas top-up")
)

// ConfigError names the field of a Config that cannot be used.
type ConfigError struct {
	// Field is the field's name, Reason what is wrong with it.
	Field, Reason string
}

// Error tells what went wrong, without secrets.
func (e *ConfigError) Error() string { return "sweeper: config: " + e.Field + ": " + e.Reason }

// JobError tells which job failed at which call. Step returns those that the
// journal could not be told of.
type JobError struct {
	// Job is the id, Call the method: "Signed", "Sent", "Defer".
	Job, Call string
	// Err is what it returned.
	Err error
}

// Error tells what went wrong, without secrets.
func (e *JobError) Error() string {
	return fmt.Sprintf("sweeper: job %s: %s: %v", e.Job, e.Call, e.Err)
}

// Unwrap returns what the call returned.
func (e *JobError) Unwrap() error { return e.Err }

// RefusedError reports something that a Sweeper will not sign, record or send,
// because it is not what was decided: a job that pays elsewhere than the
// configured treasury, a draft or a signature that does not fit its job.
type RefusedError struct {
	// Field is the value that is wrong: "move.to", "draft.locks".
	Field string
	// Got is what it is, Reason why that is refused.
	Got, Reason string
}

// Error tells what went wrong, without secrets.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("sweeper: refused: %s %q: %s", e.Field, e.Got, e.Reason)
}

// FeeWaitError says that a sweep waits for a cheaper hour. It is no failure.
type FeeWaitError struct {
	// Price is what a unit of work costs now, Limit what is cheap by the policy, in
	// base units of the native coin.
	Price, Limit chain.Amount
	// Until is when it is made at any price.
	Until time.Time
}

// Error tells what went wrong, without secrets.
func (e *FeeWaitError) Error() string {
	return fmt.Sprintf("sweeper: fees of %s are above %s: waits for less until %s", e.Price, e.Limit, e.Until.UTC().Format(time.RFC3339))
}

// nextLook is when to compare again: at the same moments for all that wait, so
// that the node is asked once for all of them.
func (e *FeeWaitError) nextLook(now time.Time) time.Time {
	next := now.Truncate(feeLook).Add(feeLook)
	if e.Until.Before(next) {
		return e.Until
	}
	return next
}

// PanicError is a panic of a client, a journal or a signer.
type PanicError struct {
	// Call is the method that panicked.
	Call string
	// Value is what it panicked with, in words.
	Value string
	// Stack is where.
	Stack []byte
}

// Error tells what went wrong, without secrets.
func (e *PanicError) Error() string { return "sweeper: " + e.Call + " panicked: " + e.Value }

func refuse(field, got, reason string) error {
	return &RefusedError{Field: field, Got: got, Reason: reason}
}

func isRevert(err error) bool {
	var revert *chain.RevertError
	return errors.As(err, &revert)
}

func isRefusal(err error) bool {
	var refused *chain.PolicyError
	return errors.As(err, &refused)
}

func isTransient(err error) bool {
	return errors.Is(err, chain.ErrTransient) || errors.Is(err, chain.ErrReorg) || errors.Is(err, chain.ErrSignerUnavailable) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
