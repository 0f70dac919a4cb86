package bursar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bursar-go/bursar/webhook/send"
)

// Bounds of what is kept of the tries of a delivery.
const (
	// keptTries is how many tries are remembered, the newest: a whole schedule, and
	// some of the one before a Resend.
	keptTries = 16
	// maxResponse bounds what is kept of an answer, in bytes; of one that took the
	// event less is of use, and there are far more of them.
	maxResponse = 1 << 10
	maxThanks   = 128
)

// AttemptOutcome is what one try of a delivery came to.
type AttemptOutcome string

// The outcomes of a try.
const (
	// AttemptDelivered: the notifier took the event.
	AttemptDelivered AttemptOutcome = "delivered"
	// AttemptFailed: it did not, and is asked again, unless that was the last time.
	AttemptFailed AttemptOutcome = "failed"
	// AttemptRefused: it did not, and wants to be asked no more (PermanentError).
	AttemptRefused AttemptOutcome = "refused"
)

// DeliveryAttempt is one try of a delivery.
type DeliveryAttempt struct {
	// At is when it was begun, by the store's clock.
	At time.Time
	// Latency is how long the notifier took or, where it tells that itself, the
	// receiver. Zero where it is not known: a handler of NotifyTx that succeeds is
	// recorded before it has ended.
	Latency time.Duration
	// Outcome is what it came to.
	Outcome AttemptOutcome
	// Status is the HTTP status; 0 where there was no answer, or no HTTP.
	Status int
	// Error is what the failure said, in at most 503 bytes.
	Error string
	// Response is the beginning of what the receiver answered, without the secrets
	// that the sender knows: at most 1 KiB, of one that took the event 128 bytes. A
	// stranger wrote it.
	Response string
}

// Receipt is what came back of a try beside its error.
type Receipt struct {
	Status   int           // Status is the HTTP status; 0: none.
	Response string        // Response is the beginning of the answer, without secrets.
	Latency  time.Duration // Latency is how long the receiver took; 0: what the call took.
}

// ReceiptNotifier is a Notifier that knows more of a try than its error says. The
// outbox finds it by a type assertion, and calls NotifyReceipt alone. Whoever wraps
// such a Notifier forwards it; without it nothing but the receipts is lost.
type ReceiptNotifier interface {
	Notifier
	// NotifyReceipt is Notify, and tells what came back, also beside an error.
	NotifyReceipt(ctx context.Context, e Event) (Receipt, error)
}

// DeliveryAttempts returns the newest tries of a delivery, at most 16, oldest first,
// also those before a Resend. Tries at which nothing was sent, and those that the
// end of the gateway cut off, are none. They are forgotten with the delivery.
//
// ErrNotFound where the event was never to be told to that notifier, or the delivery
// is forgotten. It only reads.
func (g *Gateway) DeliveryAttempts(ctx context.Context, eventID, notifier string) ([]DeliveryAttempt, error) {
	if eventID == "" {
		return nil, fieldErr("DeliveryAttempts.EventID", CodeRequired, "an event's id")
	}
	if err := checkText("DeliveryAttempts.EventID", eventID, maxSubject); err != nil {
		return nil, err
	}
	if !validName(notifier) {
		return nil, fieldErr("DeliveryAttempts.Notifier", CodeInvalid, "%.80q is no name of a notifier", notifier)
	}
	var rows []Delivery
	err := g.read(ctx, func(r Reader) (err error) {
		rows, err = r.Deliveries(ctx, DeliveryQuery{EventIDs: []string{eventID}, Endpoint: notifier})
		return err
	})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%w: delivery of event %q to %q", ErrNotFound, eventID, notifier)
	}
	if err != nil {
		return nil, err
	}
	tries, err := parseTries(rows[0].Tries)
	if err != nil {
		return nil, fmt.Errorf("%w: tries of event %q to %q: %w", ErrInvariant, eventID, notifier, err)
	}
	out := make([]DeliveryAttempt, len(tries))
	for i, t := range tries {
		out[i] = t.attempt()
	}
	return out, nil
}

// try is a try as it is kept, in the row of its delivery: so it is written, and
// forgotten, with what it came to. Most deliveries have one, of some 40 bytes.
type try struct {
	At       int64  `json:"t"`           // in microseconds since 1970
	Latency  int64  `json:"l,omitempty"` // in microseconds
	Outcome  int    `json:"o,omitempty"` // of outcomes
	Status   int    `json:"c,omitempty"`
	Error    string `json:"e,omitempty"`
	Response string `json:"r,omitempty"`
}

func outcomes() []AttemptOutcome {
	return []AttemptOutcome{AttemptDelivered, AttemptFailed, AttemptRefused}
}

func (t try) attempt() DeliveryAttempt {
	return DeliveryAttempt{
		At: time.UnixMicro(t.At).UTC(), Latency: time.Duration(t.Latency) * time.Microsecond, Outcome: outcomes()[t.Outcome],
		Status: t.Status, Error: t.Error, Response: t.Response,
	}
}

// parseTries reads what addTry wrote.
func parseTries(text string) (tries []try, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &tries); err != nil {
		return nil, err
	}
	for _, t := range tries {
		if t.Outcome < 0 || t.Outcome >= len(outcomes()) || t.Latency < 0 || t.Latency > int64(time.Hour) {
			return nil, fmt.Errorf("a try at %d came to %d in %d", t.At, t.Outcome, t.Latency)
		}
	}
	return tries, nil
}

// addTry adds a try to those of a delivery. What cannot be read is given up: the
// record is for people, and must hold up no event.
func addTry(text string, t try) string {
	tries, err := parseTries(text)
	if err != nil {
		tries = nil
	}
	tries = append(tries, t)
	if len(tries) > keptTries {
		tries = tries[len(tries)-keptTries:]
	}
	b, _ := json.Marshal(tries) // texts and numbers can always be written
	return string(b)
}

// tried is a verdict as a try.
func (v *verdict) tried(at time.Time) try {
	t := try{At: at.UnixMicro(), Latency: min(max(v.receipt.Latency, 0), time.Hour).Microseconds(), Status: v.receipt.Status, Error: v.text}
	most := maxResponse
	switch {
	case v.ok:
		most = maxThanks
	case v.permanent:
		t.Outcome = 2
	default:
		t.Outcome = 1
	}
	t.Response = clip(v.receipt.Response, most)
	return t
}

// clip cuts a stranger's text to that many bytes that any store takes.
func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
}

// answered adds to a receipt what an error knows of the answer.
func (r *Receipt) answered(err error) {
	var status *send.StatusError
	if errors.As(err, &status) {
		r.Status, r.Response = status.Code, status.Body
	}
}
