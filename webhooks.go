package bursar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// Webhooks makes a Notifier that sends events over HTTP, signed. Make the
// sender with send.New; its Timeout counts up to 30 s, the bound of every call
// of a notifier. A 410 makes the delivery dead; Retry-After is heeded, up to a
// day; while the sender's breaker is open nothing counts as a try.
func Webhooks(name string, sender *send.Sender) Notifier { return webhooks{name, sender} }

var _ ReceiptNotifier = webhooks{}

type webhooks struct {
	name   string
	sender *send.Sender
}

func (w webhooks) Name() string { return w.name }

func (w webhooks) Notify(ctx context.Context, e Event) error {
	_, err := w.NotifyReceipt(ctx, e)
	return err
}

// NotifyReceipt implements ReceiptNotifier.
func (w webhooks) NotifyReceipt(ctx context.Context, e Event) (Receipt, error) {
	if w.sender == nil {
		return Receipt{}, &PermanentError{errors.New("no sender")}
	}
	body, err := MarshalEvent(e)
	if err != nil {
		return Receipt{}, &PermanentError{err}
	}
	return post(ctx, w.sender, e.ID, body)
}

// post sends a body and says of the answer what the outbox makes of it.
func post(ctx context.Context, to *send.Sender, id string, body []byte) (Receipt, error) {
	got, err := sendInTurn(ctx, to, webhook.Message{ID: id, Body: body})
	receipt := Receipt{Status: got.Code, Response: got.Body, Latency: got.Latency}
	var status *send.StatusError
	var unsent *send.NotSentError
	switch {
	case err == nil:
		return receipt, nil
	case errors.As(err, &unsent):
		return receipt, &RetryError{After: max(time.Until(unsent.Until), untriedPause), Err: err, Untried: true}
	case errors.As(err, &status) && status.Gone():
		return receipt, &PermanentError{err}
	case errors.As(err, &status) && status.RetryAfter > 0:
		return receipt, &RetryError{After: status.RetryAfter, Err: err}
	}
	return receipt, err
}

// How long a message waits that the sender did not take, where the sender names
// no time: for a free slot here, and for the next try.
const (
	slotPause    = 20 * time.Millisecond
	untriedPause = 5 * time.Second
)

// sendInTurn waits for its turn where the sender is merely busy or bound to a rate:
// that is shorter and cheaper than going through the outbox again.
func sendInTurn(ctx context.Context, to *send.Sender, m webhook.Message) (send.Receipt, error) {
	for {
		got, err := to.Deliver(ctx, m)
		var unsent *send.NotSentError
		if !errors.As(err, &unsent) || !errors.Is(err, send.ErrBusy) && !errors.Is(err, send.ErrRateLimited) {
			return got, err
		}
		pause := max(time.Until(unsent.Until), slotPause)
		if end, bounded := ctx.Deadline(); bounded && time.Until(end) <= pause {
			return got, err
		}
		if sleep(ctx, pause, nil); ctx.Err() != nil {
			return got, err
		}
	}
}

// MarshalEvent returns the body that a webhook carries for an event: the
// envelope {"id","event","timestamp","seq","livemode","data"}, compact, amounts
// as decimal strings, the same bytes at every delivery.
func MarshalEvent(e Event) ([]byte, error) {
	data, err := json.Marshal(e.Data)
	if err != nil {
		return nil, fmt.Errorf("bursar: event %s: %w", e.ID, err)
	}
	return marshalEvent(e, data)
}

func marshalEvent(e Event, data []byte) ([]byte, error) {
	return webhook.Marshal(webhook.Event{
		ID: e.ID, Event: string(e.Kind), Timestamp: e.Time, Seq: uint64(e.Seq), Livemode: e.Livemode, Data: data,
	})
}
