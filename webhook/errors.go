package webhook

import (
	"errors"
	"fmt"
)

// Reasons why a request is not believed. Verifier returns them inside a
// *VerifyError; callers branch with errors.Is.
var (
	// ErrMissingHeader: a header is absent, or present more than once where
	// only one is allowed.
	ErrMissingHeader = errors.New("header missing or repeated")
	// ErrBadID: the id is empty, longer than MaxIDLength, or has characters
	// outside A–Z, a–z, 0–9, '_' and '-'.
	ErrBadID = errors.New("malformed id")
	// ErrBadTimestamp: the timestamp is not a plain number of seconds.
	ErrBadTimestamp = errors.New("malformed timestamp")
	// ErrTooOld and ErrTooNew: the signature is good, but its time lies further
	// from the verifier's clock than the tolerance: a replay, or a wrong clock.
	ErrTooOld = errors.New("timestamp too old")
	ErrTooNew = errors.New("timestamp too new")
	// ErrBadSignature: no signature matches any secret.
	ErrBadSignature = errors.New("no signature matches")
	// ErrNoSecret: there is no secret to sign or verify with.
	ErrNoSecret = errors.New("webhook: no secret")
)

// VerifyError says which header made a request unbelievable. It carries nothing
// of the header's value, which a stranger chose.
type VerifyError struct {
	// Header is the header's name as the specification writes it.
	Header string
	// Err is one of the sentinels above.
	Err error
}

// Error names the header and the reason.
func (e *VerifyError) Error() string { return "webhook: " + e.Header + ": " + e.Err.Error() }

// Unwrap returns the sentinel.
func (e *VerifyError) Unwrap() error { return e.Err }

// FieldError reports a value that this package refuses to sign, marshal, parse
// or be configured with. The value itself is left out: it may be a secret.
type FieldError struct {
	// Field names the value: "secret", "id", "timestamp", "data.metadata.size".
	Field string
	// Reason says what is wrong with it.
	Reason string
}

// Error names the field and the reason.
func (e *FieldError) Error() string { return fmt.Sprintf("webhook: %s: %s", e.Field, e.Reason) }
