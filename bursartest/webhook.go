package bursartest

import (
	"net/http"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/webhook"
)

// SampleWebhook is a webhook of an event as the gateway would send it, signed
// with secret: for the tests of receivers.
func (k *Kit) SampleWebhook(e bursar.Event, secret webhook.Secret, at time.Time) (http.Header, []byte) {
	k.t.Helper()
	body, err := bursar.MarshalEvent(e)
	k.must(err)
	header, err := webhook.Sign([]webhook.Secret{secret}, webhook.Message{ID: e.ID, Timestamp: at, Body: body})
	k.must(err)
	header.Set("Content-Type", "application/json")
	return header, body
}
