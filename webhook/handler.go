package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// DefaultMaxBody is the largest body in bytes that Handler reads by default.
const DefaultMaxBody = 1 << 20

// HandlerOptions are all optional.
type HandlerOptions struct {
	// MaxBody is the largest body in bytes; zero or less means DefaultMaxBody.
	MaxBody int64

	// Seen reports whether the event with that id has been handled. It only
	// asks. The id is recorded by the handler itself, in the transaction that
	// holds the event's effect: recorded earlier, a crash between the two would
	// lose the event, because its repetition would be taken for handled.
	Seen func(ctx context.Context, id string) (bool, error)

	// Stale reports whether a later event of the same subject has been handled,
	// so that this one has nothing to add: compare Event.Seq with the last one
	// recorded for the subject. Like Seen it only asks.
	Stale func(ctx context.Context, e Event) (bool, error)

	// OnError is told of every request that was not accepted, with the answer
	// that it got. Nil logs to slog.Default. Errors of this package carry
	// nothing that a stranger chose, so they are safe to log.
	OnError func(ctx context.Context, status int, err error)
}

// PanicError is a panic of the host's code, contained.
type PanicError struct {
	// Value is what it panicked with.
	Value any
	// Stack is where.
	Stack []byte
}

// Error says what it panicked with; the stack is left to Stack.
func (e *PanicError) Error() string { return fmt.Sprintf("webhook: panic: %v", e.Value) }

// Handler receives webhooks: it reads a bounded body, verifies the raw bytes,
// parses the envelope, asks Seen and Stale, and calls handle. handle is called
// concurrently and, as delivery is at least once, perhaps again for the same
// event; when it returns nil the event counts as delivered for good.
//
// The answers, all without a body:
//
//	204  handled, or Seen, or Stale: do not send it again
//	400  genuine, but no envelope, or its id is not the webhook-id
//	401  not believed: header, signature or time
//	405  not a POST
//	413  body over MaxBody
//	500  handle failed or panicked: send it again
//	503  Seen or Stale failed, or the request ended: send it again
//
// A sender repeats everything but 2xx; 4xx say that repeating alone will not
// help. Limits on how slowly a request may arrive are the http.Server's.
func Handler(v *Verifier, o HandlerOptions, handle func(ctx context.Context, e Event) error) http.Handler {
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.OnError == nil {
		o.OnError = logError
	}
	return &handler{verifier: v, o: o, handle: handle}
}

type handler struct {
	verifier *Verifier
	o        HandlerOptions
	handle   func(ctx context.Context, e Event) error
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, err := h.serve(w, r)
	if err != nil {
		h.o.OnError(r.Context(), status, err)
	}
	w.WriteHeader(status)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) (int, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, &FieldError{"method", "want POST"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.o.MaxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return http.StatusRequestEntityTooLarge, &FieldError{"body", fmt.Sprintf("over %d bytes", tooLarge.Limit)}
		}
		return http.StatusBadRequest, fmt.Errorf("webhook: reading the body: %w", err)
	}
	m, err := h.verifier.Verify(r.Header, body)
	if errors.Is(err, ErrNoSecret) {
		// Our fault, not the sender's.
		return http.StatusInternalServerError, err
	}
	if err != nil {
		return http.StatusUnauthorized, err
	}
	e, err := Parse(body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	if e.ID != m.ID {
		// De-duplication by either id must mean the same.
		return http.StatusBadRequest, &FieldError{"id", "is not the webhook-id"}
	}
	return h.dispatch(r.Context(), e)
}

// dispatch runs the host's code, whose panics become errors.
func (h *handler) dispatch(ctx context.Context, e Event) (status int, err error) {
	defer func() {
		if p := recover(); p != nil {
			status, err = http.StatusInternalServerError, &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	if h.o.Seen != nil {
		if seen, err := h.o.Seen(ctx, e.ID); err != nil || seen {
			return answered(err)
		}
	}
	if h.o.Stale != nil {
		if stale, err := h.o.Stale(ctx, e); err != nil || stale {
			return answered(err)
		}
	}
	if err := h.handle(ctx, e); err != nil {
		if ctx.Err() != nil {
			return http.StatusServiceUnavailable, err
		}
		return http.StatusInternalServerError, err
	}
	return http.StatusNoContent, nil
}

// answered is the outcome of Seen or Stale: they failed, or said yes.
func answered(err error) (int, error) {
	if err != nil {
		return http.StatusServiceUnavailable, err
	}
	return http.StatusNoContent, nil
}

func logError(ctx context.Context, status int, err error) {
	slog.Default().WarnContext(ctx, "webhook refused", "status", status, "error", err)
}
