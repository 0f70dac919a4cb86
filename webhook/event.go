package webhook

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// MaxSeq is the largest sequence number: 2^53-1, up to which JavaScript counts
// exactly.
const MaxSeq = 1<<53 - 1

// maxEventLength is the longest event name in bytes.
const maxEventLength = 64

// Event is the envelope of a webhook's body:
//
//	{"id":"…","event":"payment.confirmed","timestamp":"…","seq":7,"livemode":true,"data":{…}}
type Event struct {
	// ID names the event for ever; it is the webhook-id too. Same characters
	// as Message.ID.
	ID string
	// Event is what happened: "payment.confirmed". Lower case letters, digits,
	// '_' and '.', at most 64 bytes.
	Event string
	// Timestamp is when it happened, kept to the nanosecond, in UTC. It is not
	// the time of the delivery, and it does not order events: Seq does.
	Timestamp time.Time
	// Seq counts the events of one subject (a payment, an address, a payout, a
	// chain) upwards from 1. At most MaxSeq.
	Seq uint64
	// Livemode is false for chains whose coins have no value.
	Livemode bool
	// Data is a JSON object: the subject's snapshot at that moment. Empty means
	// an empty object.
	Data json.RawMessage
}

// Marshal writes e as the body of a webhook: compact, members in the order of
// the envelope, without HTML escaping. The bytes are those that JavaScript's
// JSON.stringify makes of the parsed body, so that a receiver which has lost
// the raw body and serialises it again still verifies the signature.
//
// That restricts Data, and the restriction is an error rather than a silent
// change: valid UTF-8, whole numbers within ±(2^53-1) and all others as
// strings, no member names that look like array indexes (JavaScript moves them
// to the front), no name twice, at most 32 levels deep. Errors: *FieldError
// with the path.
func Marshal(e Event) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	out := make([]byte, 0, 160+len(e.Data))
	out = append(out, `{"id":`...)
	out = appendString(out, e.ID)
	out = append(out, `,"event":`...)
	out = appendString(out, e.Event)
	out = append(out, `,"timestamp":`...)
	out = appendString(out, e.Timestamp.UTC().Format(time.RFC3339Nano))
	out = append(out, `,"seq":`...)
	out = strconv.AppendUint(out, e.Seq, 10)
	out = append(out, `,"livemode":`...)
	out = strconv.AppendBool(out, e.Livemode)
	out = append(out, `,"data":`...)
	out, err := appendObject(out, e.Data)
	if err != nil {
		return nil, err
	}
	return append(out, '}'), nil
}

func (e Event) check() error {
	switch year := e.Timestamp.UTC().Year(); {
	case !validID(e.ID):
		return &FieldError{"id", ErrBadID.Error()}
	case !validEventName(e.Event):
		return &FieldError{"event", "want a name such as payment.confirmed"}
	case e.Timestamp.IsZero() || year < 1970 || year > 9999:
		return &FieldError{"timestamp", "want a time between 1970 and 9999"}
	case e.Seq > MaxSeq:
		return &FieldError{"seq", "over 2^53-1"}
	}
	return nil
}

func validEventName(name string) bool {
	if name == "" || len(name) > maxEventLength {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// Parse reads the body of a webhook whose signature has been verified. Members
// that it does not know are ignored, because later versions may add some; one
// that is missing or has another type is a *FieldError. Names match exactly, as
// they do in JavaScript. Data is returned as it came.
func Parse(body []byte) (Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return Event{}, &FieldError{"body", "want a JSON object"}
	}
	var e Event
	var at string
	for _, m := range []struct {
		name string
		into any
	}{
		{"id", &e.ID}, {"event", &e.Event}, {"timestamp", &at}, {"seq", &e.Seq}, {"livemode", &e.Livemode}, {"data", &e.Data},
	} {
		raw, ok := members[m.name]
		if !ok || string(raw) == "null" {
			return Event{}, &FieldError{m.name, "missing"}
		}
		if err := json.Unmarshal(raw, m.into); err != nil {
			return Event{}, &FieldError{m.name, fmt.Sprintf("want %s", kind(m.into))}
		}
	}
	if e.Data[0] != '{' {
		return Event{}, &FieldError{"data", "want an object"}
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return Event{}, &FieldError{"timestamp", "want RFC 3339"}
	}
	e.Timestamp = t.UTC()
	return e, e.check()
}

func kind(into any) string {
	switch into.(type) {
	case *uint64:
		return "a whole number"
	case *bool:
		return "true or false"
	}
	return "a string"
}
