package bursar_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/notifytest"
	"github.com/bursar-go/bursar/webhook"
)

// TestWebhooksAreANotifier: what the adapters for brokers keep to holds here too.
func TestWebhooksAreANotifier(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Receiver {
		s := newShop(t, nil)
		var mu sync.Mutex
		away := false
		set := func(to bool) func() {
			return func() {
				mu.Lock()
				defer mu.Unlock()
				away = to
			}
		}
		s.answer = func(int) (int, http.Header) {
			mu.Lock()
			defer mu.Unlock()
			return map[bool]int{true: noAnswer}[away], nil
		}
		return notifytest.Receiver{
			Notifier: bursar.Webhooks("shop", s.sender),
			Got: func(t testing.TB) (out []notifytest.Message) {
				s.mu.Lock()
				got := slices.Clone(s.got)
				s.mu.Unlock()
				for _, e := range got {
					body, err := webhook.Marshal(e)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, notifytest.Message{ID: e.ID, Body: body})
				}
				return out
			},
			Away: set(true), Back: set(false),
		}
	})
}
