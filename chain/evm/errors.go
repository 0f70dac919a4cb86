package evm

import (
	"fmt"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// RPCError is an error object of JSON-RPC: the node understood the request and
// refused it. It wraps no sentinel of package chain, because its meaning
// depends on the call; methods of Client add it.
type RPCError struct {
	// Method is what was called.
	Method string
	// Code is the JSON-RPC error code: -32601 unknown method, 3 reverted, …
	Code int64
	// Message is the node's text, at most 1 KiB of it, without our secrets.
	Message string
	// Data is the raw JSON of the error's data, where there is any.
	Data []byte
}

// Error tells what went wrong, without secrets.
func (e *RPCError) Error() string {
	return fmt.Sprintf("evm: %s: node error %d: %s", e.Method, e.Code, e.Message)
}

// HTTPError is a response with another status than 200. Statuses 408, 425, 429
// and 5xx are chain.ErrTransient, 429 chain.ErrRateLimited as well.
type HTTPError struct {
	// Host is the node's host.
	Host string
	// Status is the HTTP status.
	Status int
	// RetryAfter is what the server asked to wait; zero where it did not.
	RetryAfter time.Duration
	// Body is the beginning of the body, without our secrets.
	Body string
}

// Error tells what went wrong, without secrets.
func (e *HTTPError) Error() string {
	return fmt.Sprintf("evm: %s: HTTP status %d: %s", e.Host, e.Status, e.Body)
}

// RetryDelay is RetryAfter, for those who know the port and not this package.
func (e *HTTPError) RetryDelay() time.Duration { return e.RetryAfter }

// Unwrap returns chain.ErrTransient where asking again later makes sense, and
// chain.ErrRateLimited where later is what the server asks for.
func (e *HTTPError) Unwrap() error {
	if e.Status == 429 {
		return chain.ErrRateLimited
	}
	if e.Status == 408 || e.Status == 425 || e.Status >= 500 {
		return chain.ErrTransient
	}
	return nil
}

// TransportError is a request that got no complete response. It is
// chain.ErrTransient unless the caller's own context ended, in which case it is
// that context's error.
type TransportError struct {
	// Host is the node's host, Cause what went wrong, without our secrets.
	Host  string
	Cause string // Cause is what went wrong.
	err   error
	// late is true where our own time limit ended it.
	late bool
}

// Error tells what went wrong, without secrets.
func (e *TransportError) Error() string { return "evm: " + e.Host + ": " + e.Cause }

// Unwrap returns chain.ErrTransient or the context's error.
func (e *TransportError) Unwrap() error { return e.err }

// TooLargeError is a response of more bytes than Config.MaxResponse, or a
// request the node calls too large. It is chain.ErrTransient.
type TooLargeError struct {
	// Host is the node's host, Limit the limit in bytes; 0 if it is the node's.
	Host  string
	Limit int64 // Limit is the most rows; 0: all.
}

// Error tells what went wrong, without secrets.
func (e *TooLargeError) Error() string {
	if e.Limit == 0 {
		return "evm: " + e.Host + ": the node calls the request or its answer too large"
	}
	return fmt.Sprintf("evm: %s: response over %d bytes", e.Host, e.Limit)
}

// Unwrap returns chain.ErrTransient.
func (e *TooLargeError) Unwrap() error { return chain.ErrTransient }

// DecodeError is a response that is no JSON, no JSON-RPC, or not the object
// that was asked for. It is chain.ErrIncoherent.
type DecodeError struct {
	// Offset is the byte of the response where it was noticed.
	Offset int
	// Reason is what is wrong. Nothing of the response is repeated in it.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("evm: response byte %d: %s", e.Offset, e.Reason)
}

// Unwrap returns chain.ErrIncoherent, which is a chain.ErrTransient.
func (e *DecodeError) Unwrap() error { return chain.ErrIncoherent }

// IncoherentError is an answer that contradicts another one of the same node.
// It is chain.ErrIncoherent: behind a balancer two nodes may have answered.
type IncoherentError struct {
	// Height is the block concerned; 0 where none is.
	Height uint64
	// Reason is the contradiction.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *IncoherentError) Error() string {
	return fmt.Sprintf("evm: incoherent answers about block %d: %s", e.Height, e.Reason)
}

// Unwrap returns chain.ErrIncoherent, which is a chain.ErrTransient.
func (e *IncoherentError) Unwrap() error { return chain.ErrIncoherent }

// ForgedError is a header that does not have its hash, or contents that a header
// does not have: no honest node says that, whichever branch it is on. It is
// chain.ErrForged.
type ForgedError struct {
	// Height is the block concerned, Reason what does not fit.
	Height uint64
	Reason string // Reason is what does not fit.
}

// Error tells what went wrong, without secrets.
func (e *ForgedError) Error() string {
	return fmt.Sprintf("evm: forged answer about block %d: %s", e.Height, e.Reason)
}

// Unwrap returns chain.ErrForged, which is a chain.ErrIncoherent.
func (e *ForgedError) Unwrap() error { return chain.ErrForged }

// ReorgError is a block that left the node's branch while it was read. It is
// chain.ErrReorg.
type ReorgError struct {
	// Height is the block concerned, Reason how it showed.
	Height uint64
	Reason string // Reason says why, where something failed.
}

// Error tells what went wrong, without secrets.
func (e *ReorgError) Error() string {
	return fmt.Sprintf("evm: block %d changed while reading: %s", e.Height, e.Reason)
}

// Unwrap returns chain.ErrReorg.
func (e *ReorgError) Unwrap() error { return chain.ErrReorg }

// WrongChainError is a node that serves another chain than the one configured.
// It is no transient error: somebody must look.
type WrongChainError struct {
	// Field is "chain id" or "genesis hash".
	Field string
	// Want is configured, Got is what the node says.
	Want, Got string
}

// Unwrap returns chain.ErrWrongChain.
func (e *WrongChainError) Unwrap() error { return chain.ErrWrongChain }

// Error tells what went wrong, without secrets.
func (e *WrongChainError) Error() string {
	return fmt.Sprintf("evm: wrong chain: %s is %s, want %s", e.Field, e.Got, e.Want)
}
