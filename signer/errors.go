package signer

import (
	"fmt"
	"strconv"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// ConfigError names the field of a configuration that cannot be used.
type ConfigError struct {
	// Field is the field's name, Reason what is wrong with it.
	Field, Reason string
}

// Error tells what went wrong, without secrets.
func (e *ConfigError) Error() string { return "signer: config: " + e.Field + ": " + e.Reason }

// SignatureError reports an answer that is no valid signature of what was asked. It is
// a chain.ErrInvalidSignature.
type SignatureError struct {
	// Request is the position of the request, counted from 0; -1 where the answer as a
	// whole is at fault.
	Request int
	// Reason is what is wrong.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *SignatureError) Error() string {
	if e.Request < 0 {
		return "signer: the answer is refused: " + e.Reason
	}
	return "signer: signature " + strconv.Itoa(e.Request) + " is refused: " + e.Reason
}

// Unwrap returns chain.ErrInvalidSignature.
func (e *SignatureError) Unwrap() error { return chain.ErrInvalidSignature }

// Code says why a remote signer gave no signatures. Refusals by policy are a
// *chain.PolicyError instead, and requests that cannot be understood a
// *chain.FormatError.
type Code string

// Why a remote signer gave no signatures.
const (
	// CodeUnreachable: no answer came: connection, TLS, time.
	CodeUnreachable Code = "unreachable"
	// CodeUnauthorized: the server does not accept the credentials, or the client's
	// clock.
	CodeUnauthorized Code = "unauthorized"
	// CodeReplayed: the server has seen the same nonce before, or does not know
	// whether it has.
	CodeReplayed Code = "replayed"
	// CodeTooLarge: more than the server takes in one call.
	CodeTooLarge Code = "too_large"
	// CodeBusy: too many calls; RetryDelay tells for how long.
	CodeBusy Code = "busy"
	// CodeInternal: the signer behind the server failed.
	CodeInternal Code = "internal"
	// CodeUntrusted: the answer is not authentic or cannot be understood.
	CodeUntrusted Code = "untrusted"
)

// RemoteError reports a remote signer that cannot be used now. It is a
// chain.ErrSignerUnavailable: nothing was refused, and the same may be asked again.
type RemoteError struct {
	// Code is the kind.
	Code Code
	// Reason is what is wrong, from this side of the connection.
	Reason string
	// RetryAfter is how long the server wants to be left alone; 0 where it does not say.
	RetryAfter time.Duration
	// Err is what ended the call, where no answer came.
	Err error
}

// Error tells what went wrong, without secrets.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("signer: %s: %s", e.Code, e.Reason)
}

// Unwrap returns chain.ErrSignerUnavailable and what ended the call.
func (e *RemoteError) Unwrap() []error {
	if e.Err == nil {
		return []error{chain.ErrSignerUnavailable}
	}
	return []error{chain.ErrSignerUnavailable, e.Err}
}

// RetryDelay returns RetryAfter.
func (e *RemoteError) RetryDelay() time.Duration { return e.RetryAfter }
