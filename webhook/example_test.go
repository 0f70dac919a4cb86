package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/bursar-go/bursar/webhook"
)

// A receiver: verify, fulfil once, answer. The ids and the last sequence of
// each payment belong in the database, in the transaction of the effect.
func ExampleHandler() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		panic(err)
	}
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		panic(err)
	}
	handled := map[string]bool{}
	options := webhook.HandlerOptions{
		Seen: func(_ context.Context, id string) (bool, error) { return handled[id], nil },
	}
	receiver := webhook.Handler(verifier, options, func(_ context.Context, e webhook.Event) error {
		handled[e.ID] = true
		fmt.Println(e.Event, e.Seq, string(e.Data))
		return nil
	})

	// What the gateway does.
	now := time.Now()
	body, err := webhook.Marshal(webhook.Event{
		ID: "evt_1", Event: "payment.confirmed", Timestamp: now, Seq: 3, Data: []byte(`{"payment_id": "pay_1", "amount": "25.00"}`),
	})
	if err != nil {
		panic(err)
	}
	headers, err := webhook.Sign([]webhook.Secret{secret}, webhook.Message{ID: "evt_1", Timestamp: now, Body: body})
	if err != nil {
		panic(err)
	}
	for range 2 { // The first answer was lost.
		request := httptest.NewRequest(http.MethodPost, "/webhooks", strings.NewReader(string(body)))
		request.Header = headers
		answer := httptest.NewRecorder()
		receiver.ServeHTTP(answer, request)
		fmt.Println(answer.Code)
	}
	// Output:
	// payment.confirmed 3 {"payment_id":"pay_1","amount":"25.00"}
	// 204
	// 204
}

// The smallest receiver that knows nothing but an HMAC over the body.
func ExampleVerifier_VerifyBody() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		panic(err)
	}
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		panic(err)
	}
	err = verifier.VerifyBody("sha256=00", []byte(`{}`))
	fmt.Println(err)
	// Output: webhook: X-Gateway-Signature: no signature matches
}
