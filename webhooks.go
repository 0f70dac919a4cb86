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
// sender with send.New. A 410 makes the delivery dead; Retry-After is heeded.
func Webhooks(name string, sender *send.Sender) Notifier { return webhooks{name, sender} }

type webhooks struct {
	name   string
	sender *send.Sender
}

func (w webhooks) Name() string { return w.name }

func (w webhooks) Notify(ctx context.Context, e Event) error {
	if w.sender == nil {
		return &PermanentError{errors.New("no sender")}
	}
	body, err := MarshalEvent(e)
	if err != nil {
		return &PermanentError{err}
	}
	err = w.sender.Send(ctx, webhook.Message{ID: e.ID, Timestamp: time.Now(), Body: body})
	var status *send.StatusError
	var unsent *send.NotSentError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unsent):
		return &RetryError{After: max(time.Until(unsent.Until), time.Second), Err: err, Untried: true}
	case errors.As(err, &status) && status.Gone():
		return &PermanentError{err}
	case errors.As(err, &status) && status.RetryAfter > 0:
		return &RetryError{After: status.RetryAfter, Err: err}
	}
	return err
}

// MarshalEvent returns the body that a webhook carries for an event: the
// envelope {"id","event","timestamp","seq","livemode","data"}, compact, amounts
// as decimal strings, the same bytes at every delivery.
func MarshalEvent(e Event) ([]byte, error) {
	data, err := json.Marshal(e.Data)
	if err != nil {
		return nil, fmt.Errorf("bursar: event %s: %w", e.ID, err)
	}
	return webhook.Marshal(webhook.Event{
		ID: e.ID, Event: string(e.Kind), Timestamp: e.Time, Seq: uint64(e.Seq), Livemode: e.Livemode, Data: data,
	})
}
