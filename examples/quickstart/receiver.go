package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// receiver is the shop's end of the webhooks, as a service of its own would be:
// it believes what is signed and nothing else.
type receiver struct {
	server *http.Server
	at     string
	secret webhook.Secret
	show   func(e webhook.Event, signature string)

	mu      sync.Mutex
	seen    map[string]bool // handled event ids
	events  []webhook.Event // in the order of their first arrival
	refused []error
}

// newReceiver listens on loopback.
func newReceiver(show func(webhook.Event, string)) (*receiver, error) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		return nil, err
	}
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		return nil, err
	}
	r := &receiver{secret: secret, show: show, seen: map[string]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.at = "http://" + listener.Addr().String() + "/webhooks"
	handler := webhook.Handler(verifier, webhook.HandlerOptions{Seen: r.handled, OnError: r.refuse}, r.handle)
	r.server = &http.Server{Handler: withSignature(handler), ReadTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(listener) }() // ends with close
	return r, nil
}

// signatureKey is where withSignature leaves the header's value.
type signatureKey struct{}

// withSignature hands the verified header on, only so that it can be shown.
func withSignature(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signature := r.Header.Get(webhook.HeaderSignature)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), signatureKey{}, signature)))
	})
}

// handled implements webhook.HandlerOptions.Seen: delivery is at least once.
func (r *receiver) handled(_ context.Context, id string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[id], nil
}

// handle is called for verified events only.
func (r *receiver) handle(ctx context.Context, e webhook.Event) error {
	r.mu.Lock()
	again := r.seen[e.ID]
	if !again {
		r.seen[e.ID] = true
		r.events = append(r.events, e)
	}
	r.mu.Unlock()
	if !again {
		signature, _ := ctx.Value(signatureKey{}).(string)
		r.show(e, signature)
	}
	return nil
}

func (r *receiver) refuse(_ context.Context, status int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, fmt.Errorf("answered %d: %w", status, err))
}

// state returns copies of what was received and what was refused.
func (r *receiver) state() (events []webhook.Event, refused []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(events, r.events...), append(refused, r.refused...)
}

// notifier is the gateway's end.
func (r *receiver) notifier() (bursar.Notifier, *send.Sender, error) {
	sender, err := send.New(send.Config{
		URL: r.at, Secrets: []webhook.Secret{r.secret}, AllowHTTP: true,
		// Webhooks go to the public internet unless told otherwise.
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	if err != nil {
		return nil, nil, err
	}
	return bursar.Webhooks("shop", sender), sender, nil
}

// forge sends what a stranger would: a genuine event whose amount was changed
// after it was signed. It returns the answer's status.
func (r *receiver) forge(ctx context.Context, e bursar.Event) (int, error) {
	body, err := bursar.MarshalEvent(e)
	if err != nil {
		return 0, err
	}
	header, err := webhook.Sign([]webhook.Secret{r.secret}, webhook.Message{ID: e.ID, Timestamp: time.Now(), Body: body})
	if err != nil {
		return 0, err
	}
	forged := strings.Replace(string(body), `"confirmed":"`, `"confirmed":"9`, 1)
	if forged == string(body) {
		return 0, errors.New("the event has no amount to change")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.at, strings.NewReader(forged))
	if err != nil {
		return 0, err
	}
	req.Header = header
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<10))
	return answer.StatusCode, err
}

func (r *receiver) close(ctx context.Context) error { return r.server.Shutdown(ctx) }
