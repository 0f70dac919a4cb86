package bursar

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Notifier takes events. The gateway calls it from its outbox, after the
// business step has committed: at least once for each event, first attempts in
// order of Seq for each subject, one at a time per subject, and for up to 64
// subjects at once. It may call the Gateway. A panic counts as an error.
//
// A notifier is told of what happens while it is configured; one that is added
// later does not hear of earlier events. Gateways that share a store should have
// the same notifiers.
//
// NotifyFunc, NotifyTx and Webhooks make notifiers; the modules below notify/ make
// those for brokers. The one of NotifyTx is called inside a transaction and differs
// in that: see there. Package notifytest checks one of your own.
type Notifier interface {
	// Name identifies the notifier in the outbox for ever: what it has been
	// given is kept under this name. 1 to 64 of a-z, A-Z, 0-9, '.', '_', '-'.
	Name() string
	// Notify handles one event. nil means that it is done; an error that it is
	// tried again on the schedule (13 tries within 75 h 45 min to 84 h), or never
	// again where the error is a *PermanentError. An event that keeps failing lets
	// the later ones of its subject pass after 15 to 20 minutes.
	//
	// ctx ends after 30 s, or when the gateway stops. A call that goes on after it
	// keeps its subject waiting, and another instance may begin to tell the same
	// event a minute after this one did.
	Notify(ctx context.Context, e Event) error
}

// PermanentError tells the outbox not to try again: the receiver is gone for
// good. The delivery is dead and stays listed.
type PermanentError struct {
	// Err is the cause.
	Err error
}

// Error tells what went wrong, without secrets.
func (e *PermanentError) Error() string { return "bursar: permanent: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PermanentError) Unwrap() error { return e.Err }

// RetryError asks the outbox to wait at least After before the next try.
type RetryError struct {
	// After is the least pause, at most 24 h are heeded; Err says why.
	After time.Duration
	Err   error // Err is the cause.
	// Untried tells that nothing was sent, because a breaker is open, a rate is
	// used up or the receiver cannot be reached: it does not count as a try, and
	// holds its place in the order.
	// A notifier that answers so is left alone for After, up to a minute.
	Untried bool
}

// Error tells what went wrong, without secrets.
func (e *RetryError) Error() string {
	return fmt.Sprintf("bursar: retry after %s: %v", e.After, e.Err)
}

// Unwrap returns the cause.
func (e *RetryError) Unwrap() error { return e.Err }

// NotifyFunc makes a Notifier of a function in the host's process.
func NotifyFunc(name string, fn func(ctx context.Context, e Event) error) Notifier {
	return notifyFunc{name, fn}
}

type notifyFunc struct {
	name string
	fn   func(context.Context, Event) error
}

func (n notifyFunc) Name() string { return n.name }

func (n notifyFunc) Notify(ctx context.Context, e Event) error {
	if n.fn == nil {
		return &PermanentError{errors.New("nil function")}
	}
	return n.fn(ctx, e)
}
