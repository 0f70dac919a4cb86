package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
)

// ErrGoexit: a lane ended by runtime.Goexit, as a failed test helper does.
var ErrGoexit = errors.New("lifecycle: the lane ended by Goexit")

// PanicError is a panic that was recovered.
type PanicError struct {
	// Lane is the full name of the lane that panicked.
	Lane string
	// Value is what it panicked with, Stack where.
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("lifecycle: panic in %s: %v", e.Lane, e.Value)
}

// Unwrap returns the value where it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// nameKey is the context key of a lane's name.
type nameKey struct{}

// Name returns the full name of the lane that ctx belongs to, such as
// "gateway/ethereum/scanner"; empty outside of any lane.
func Name(ctx context.Context) string {
	name, _ := ctx.Value(nameKey{}).(string)
	return name
}

// WithName returns a context whose lanes are named below name, which itself
// comes below the name that ctx has already.
func WithName(ctx context.Context, name string) context.Context {
	if parent := Name(ctx); parent != "" {
		name = parent + "/" + name
	}
	return context.WithValue(ctx, nameKey{}, name)
}

// Go runs fn in a goroutine of that name. When it ended, done gets what it
// returned, a *PanicError or ErrGoexit, in the same goroutine; done may be nil
// where nobody asks, and must not panic.
//
// Go does not stop anything: fn ends when it is finished or when it notices
// the end of its context.
func Go(ctx context.Context, name string, fn func(context.Context) error, done func(error)) {
	ctx = WithName(ctx, name)
	go pprof.Do(ctx, pprof.Labels("lane", Name(ctx)), func(ctx context.Context) {
		// Goexit runs deferred calls alone, so that the report is one of them.
		err := ErrGoexit
		defer func() {
			if done != nil {
				done(err)
			}
		}()
		err = Guard(ctx, fn)
	})
}

// Guard calls fn and returns a panic of it as a *PanicError.
func Guard(ctx context.Context, fn func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Lane: Name(ctx), Value: v, Stack: debug.Stack()}
		}
	}()
	return fn(ctx)
}
