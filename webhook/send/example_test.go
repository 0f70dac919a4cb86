package send_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

func ExampleSender_Send() {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL.Path, r.Header.Get(webhook.HeaderID))
		w.WriteHeader(http.StatusGone)
	}))
	defer receiver.Close()
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		panic(err)
	}
	sender, err := send.New(send.Config{
		URL:     receiver.URL + "/webhooks",
		Secrets: []webhook.Secret{secret},
		// This receiver runs on the same machine; others need neither.
		AllowHTTP:    true,
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	if err != nil {
		panic(err)
	}
	defer sender.Close()

	err = sender.Send(context.Background(), webhook.Message{ID: "evt_1", Body: []byte(`{}`)})
	var status *send.StatusError
	if errors.As(err, &status) {
		fmt.Println(status.Code, status.Gone())
	}
	// Output:
	// POST /webhooks evt_1
	// 410 true
}
