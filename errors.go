package bursar

import (
	"errors"
	"fmt"
)

// Code is a stable, machine-readable name of a failure, as REST answers and
// payout records show it.
type Code string

// The codes of field errors.
const (
	// CodeRequired: the field has no default and was left empty.
	CodeRequired Code = "REQUIRED"
	// CodeInvalid: the value is not of the field's form.
	CodeInvalid Code = "INVALID"
	// CodeOutOfRange: the value is of the right form and too small or too large.
	CodeOutOfRange Code = "OUT_OF_RANGE"
	// CodeUnknown: the value names something that is not configured.
	CodeUnknown Code = "UNKNOWN"
	// CodeMismatch: two things that must agree do not; both are in the reason.
	CodeMismatch Code = "MISMATCH"
	// CodeDuplicate: the value stands twice where it must be unique.
	CodeDuplicate Code = "DUPLICATE"
)

// The codes of store errors: why a database does not do its work.
const (
	// CodeUnreachable: the server does not answer.
	CodeUnreachable Code = "UNREACHABLE"
	// CodeDenied: a right is missing, or the role or its password is wrong.
	CodeDenied Code = "DENIED"
	// CodeMissing: there is no such database, its file cannot be opened, or it
	// lacks the tables.
	CodeMissing Code = "MISSING"
	// CodeReadOnly: the database takes no writes, as a replica does not.
	CodeReadOnly Code = "READ_ONLY"
	// CodeDiskFull: there is no room on its disk.
	CodeDiskFull Code = "DISK_FULL"
	// CodeDiskFailed: its disk does not work.
	CodeDiskFailed Code = "DISK_FAILED"
	// CodeTooMany: the server has no connection left.
	CodeTooMany Code = "TOO_MANY_CONNECTIONS"
	// CodeBusy: somebody else holds the database.
	CodeBusy Code = "BUSY"
	// CodeDamaged: the file is no database, or one no longer.
	CodeDamaged Code = "DAMAGED"
	// CodeFailed: anything else; Err has what the database said.
	CodeFailed Code = "FAILED"
)

// StoreError reports that a database does not do its work, for a reason that an
// operator sees to. What was to be written was not, unless ErrUnknownOutcome is
// beside it. The same Store goes on when the reason is gone.
type StoreError struct {
	// Store is the kind of store: "postgres", "sqlite".
	Store string
	// Code is the kind of reason.
	Code Code
	// Reason says it in words, without secrets; empty for CodeFailed.
	Reason string
	// Err is what the database or its driver said.
	Err error
}

// Error tells what went wrong, without secrets.
func (e *StoreError) Error() string {
	text := e.Store + ": "
	if e.Reason != "" {
		text += e.Reason
		if e.Err != nil {
			text += ": "
		}
	}
	if e.Err != nil {
		text += e.Err.Error()
	}
	return text
}

// Unwrap returns what the database said.
func (e *StoreError) Unwrap() error { return e.Err }

// FieldError reports one bad input before anything was written.
type FieldError struct {
	// Field is the path of the field as the host wrote it:
	// "PaymentRequest.Amount", "Config.Chains[0].Treasury".
	Field string
	// Code is what kind of problem it is.
	Code Code
	// Reason says what is wrong with the value; it never holds a secret.
	Reason string
	// Err is the cause where there is one.
	Err error
}

// Error tells what went wrong, without secrets.
func (e *FieldError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("bursar: %s: %s: %v", e.Field, e.Reason, e.Err)
	}
	return fmt.Sprintf("bursar: %s: %s", e.Field, e.Reason)
}

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Err }

func fieldErr(field string, code Code, format string, args ...any) *FieldError {
	return &FieldError{Field: field, Code: code, Reason: fmt.Sprintf(format, args...)}
}

// RetryTxError reports that a transaction of the host's met another writer. The
// gateway retries nothing inside it, because only the host can repeat what it
// did there itself: roll back, and run the whole transaction again from its
// beginning. After a few times in vain give up, as with ErrConflict.
type RetryTxError struct {
	// Err is the cause; errors.Is finds ErrConflict in it.
	Err error
}

// Error tells what went wrong, without secrets.
func (e *RetryTxError) Error() string {
	return "bursar: roll back and run the whole transaction again: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *RetryTxError) Unwrap() error { return e.Err }

// Sentinels. Callers branch on them with errors.Is.
var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("bursar: not found")
	// ErrNotStarted: the gateway has not been started.
	ErrNotStarted = errors.New("bursar: gateway not started")
	// ErrStopped: the gateway was stopped.
	ErrStopped = errors.New("bursar: gateway stopped")
	// ErrStarted: Start was called twice.
	ErrStarted = errors.New("bursar: gateway already started")
	// ErrChainNotReady: the chain has never been reached, so that nobody would
	// see a payment on it yet.
	ErrChainNotReady = errors.New("bursar: chain not ready")
	// ErrIssuanceHalted: addresses of this wallet may have been issued by another
	// database, or by this one before it was set back. Existing payments go on.
	// It ends by itself once the pool has been moved ahead in the store: repeat
	// the call. Health says why.
	ErrIssuanceHalted = errors.New("bursar: issuing of addresses halted")
	// ErrIdempotencyConflict: the key was used before with another request.
	ErrIdempotencyConflict = errors.New("bursar: idempotency key was used with a different request")
	// ErrPaymentHasFunds: a payment with money in a block cannot be canceled.
	ErrPaymentHasFunds = errors.New("bursar: payment has funds")
	// ErrAlreadyClosed: the payment has reached its end.
	ErrAlreadyClosed = errors.New("bursar: payment already closed")
	// ErrNothingToAccept: the payment holds no confirmed money to accept.
	ErrNothingToAccept = errors.New("bursar: nothing to accept")
	// ErrNotRenewable: only an expired, underpaid or canceled payment, and only
	// its newest attempt, can be renewed.
	ErrNotRenewable = errors.New("bursar: payment cannot be renewed")
	// ErrPayoutUnderway: something that was signed for the payout can still be mined,
	// or taken out of its block again.
	ErrPayoutUnderway = errors.New("bursar: payout is under way")
	// ErrPayoutClosed: the payout has reached its end.
	ErrPayoutClosed = errors.New("bursar: payout is closed")
	// ErrNotBumpable: nothing that was signed for the payout waits to be mined.
	ErrNotBumpable = errors.New("bursar: payout has nothing to replace")
	// ErrConflict: another writer was faster. Store.Write retries on it; hosts
	// see it only where the retries were used up.
	ErrConflict = errors.New("bursar: conflict")
	// ErrInTransaction: the call would open a transaction of its own inside the
	// one that a NotifyTx handler runs in, and could wait for it for ever. Use the
	// twin of the call whose name ends in Tx, or a notifier made by NotifyFunc.
	ErrInTransaction = errors.New("bursar: not inside a handler's transaction")
	// ErrFenced: the lease was lost to another instance; nothing was written.
	ErrFenced = errors.New("bursar: lease lost")
	// ErrLeaseHeld: another instance holds the lease.
	ErrLeaseHeld = errors.New("bursar: lease held by another instance")
	// ErrUnknownOutcome: the store cannot tell whether a write happened, for
	// example because the connection was lost at the commit. Repeat the business
	// step: natural keys make that safe.
	ErrUnknownOutcome = errors.New("bursar: outcome of the write unknown")
	// ErrStoreClosed: the store was closed.
	ErrStoreClosed = errors.New("bursar: store closed")
	// ErrInvariant: one of the gateway's own rules does not hold. The chain's
	// worker stops; nothing was written.
	ErrInvariant = errors.New("bursar: invariant broken")
)
