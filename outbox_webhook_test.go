package bursar_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// noAnswer makes a receiver hang up.
const noAnswer = -1

// shop is a host that receives webhooks over loopback.
type shop struct {
	sender *send.Sender
	mu     sync.Mutex
	got    []webhook.Event
	// answer, where set, replaces the answer to the n-th request, from 1.
	answer func(n int) (status int, header http.Header)
	// reply is the same with a body.
	reply func(n int, r *http.Request) (status int, body string)
	asked int
}

func newShop(t testing.TB, edit func(*send.Config)) *shop {
	t.Helper()
	secret, err := webhook.NewSecret(nil)
	require.NoError(t, err)
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	require.NoError(t, err)
	s := &shop{}
	handler := webhook.Handler(verifier, webhook.HandlerOptions{}, func(_ context.Context, e webhook.Event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, e)
		return nil
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked++
		n, answer, reply := s.asked, s.answer, s.reply
		s.mu.Unlock()
		if reply != nil {
			status, body := reply(n, r)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return
		}
		if answer != nil {
			status, header := answer(n)
			if status == noAnswer {
				panic(http.ErrAbortHandler)
			}
			if status != 0 {
				for k, v := range header {
					w.Header()[k] = v
				}
				w.WriteHeader(status)
				return
			}
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	cfg := send.Config{URL: server.URL, Secrets: []webhook.Secret{secret}, AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	if edit != nil {
		edit(&cfg)
	}
	s.sender, err = send.New(cfg)
	require.NoError(t, err)
	t.Cleanup(s.sender.Close)
	return s
}

// requests is how many requests have come.
func (s *shop) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *shop) of(subject string) (out []webhook.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.got {
		var data struct {
			Subject string `json:"subject"`
		}
		if json.Unmarshal(e.Data, &data) == nil && data.Subject == subject {
			out = append(out, e)
		}
	}
	return out
}

// TestWebhooksOfAPaidPayment: everything that happens to a payment arrives at a
// receiver, signed, in order, with the snapshot that in-process handlers get.
func TestWebhooksOfAPaidPayment(t *testing.T) {
	s := newShop(t, nil)
	kit := newKit(t, bursartest.Options{Notify: []bursar.Notifier{bursar.Webhooks("shop", s.sender)}})
	p := kit.Request(bursar.PaymentRequest{Asset: "local/USDC", Amount: amount("25"), Metadata: map[string]string{"order": "<7>"}})
	kit.PayLess(p, "5")
	kit.Confirm()
	kit.PayAmount(p, "6")
	kit.Confirm()
	kit.Settle()
	want := kit.Events(p.ID)
	got := s.of(p.ID)
	require.Len(t, got, len(want))
	require.Equal(t, bursar.PaymentSettled, want[len(want)-1].Kind)
	for i, e := range got {
		require.Equal(t, want[i].ID, e.ID)
		require.Equal(t, string(want[i].Kind), e.Event)
		require.EqualValues(t, i+1, e.Seq)
		require.False(t, e.Livemode)
		require.True(t, want[i].Time.Equal(e.Timestamp))
		var data bursar.EventData
		require.NoError(t, json.Unmarshal(e.Data, &data))
		require.Equal(t, want[i].Data, data)
		require.Equal(t, p.ID, data.PaymentID)
		require.Equal(t, p.Address, data.Address)
		require.Equal(t, "25", data.Amount)
		require.Equal(t, local, data.Chain)
		require.Equal(t, "USDC", data.TokenID)
		require.Equal(t, map[string]string{"order": "<7>"}, data.Metadata)
	}
	// The payload tells the whole state at each time.
	by := map[string]bursar.EventData{}
	for _, e := range want {
		by[string(e.Kind)] = e.Data
	}
	require.Equal(t, [...]string{"20", "5", "0"}, [...]string{by["payment.partial"].Received, by["payment.partial"].Shortfall, by["payment.partial"].Excess})
	require.Equal(t, [...]string{"26", "0", "1"}, [...]string{by["payment.overpaid"].Received, by["payment.overpaid"].Shortfall, by["payment.overpaid"].Excess})
	require.Equal(t, 1, by["payment.confirmed"].ConfirmationNo)
	require.NotNil(t, by["transaction.confirmed"].Transaction)
}

func TestWebhookFailuresAreRetried(t *testing.T) {
	s := newShop(t, nil)
	s.answer = func(n int) (int, http.Header) {
		switch n {
		case 1:
			return http.StatusInternalServerError, nil
		case 2:
			return http.StatusServiceUnavailable, http.Header{"Retry-After": {"120"}}
		case 3:
			return http.StatusFound, http.Header{"Location": {"/elsewhere"}}
		}
		return 0, nil
	}
	o := newOffice(t)
	gw := o.open("a", bursar.Webhooks("shop", s.sender))
	p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.NoError(t, err)
	row := func() bursar.Delivery {
		for _, d := range o.rows("shop") {
			return d
		}
		return bursar.Delivery{}
	}
	for i, least := range []time.Duration{5 * time.Second, 2 * time.Minute, 90 * time.Second} {
		o.step(gw)
		d := row()
		require.Equal(t, i+1, d.Attempts)
		require.Equal(t, bursar.DeliveryPending, d.Status)
		require.Contains(t, d.LastError, map[int]string{0: "500", 1: "503", 2: "302"}[i])
		require.GreaterOrEqual(t, d.NextAt.Sub(o.clock.Now()), least)
		require.Empty(t, s.of(p.ID))
		o.clock.advance(d.NextAt.Sub(o.clock.Now()))
	}
	o.step(gw)
	require.Equal(t, bursar.DeliveryDone, row().Status)
	require.Len(t, s.of(p.ID), 1)
}

func TestThreat_E17_GoneIsDead(t *testing.T) {
	s := newShop(t, nil)
	s.answer = func(n int) (int, http.Header) { return map[int]int{1: http.StatusGone, 2: http.StatusNotFound}[n], nil }
	o := newOffice(t)
	gw := o.open("a", bursar.Webhooks("shop", s.sender), bursar.Webhooks("none", nil))
	o.tell("pay_1", 1, 1, "shop", "none")
	o.step(gw)
	require.Equal(t, bursar.DeliveryDead, o.rows("shop")["evt_pay_1_1"].Status)
	require.Equal(t, bursar.DeliveryDead, o.rows("none")["evt_pay_1_1"].Status)
	o.tell("pay_1", 2, 1, "shop")
	o.step(gw)
	require.Equal(t, bursar.DeliveryPending, o.rows("shop")["evt_pay_1_2"].Status, "404 may be a mistake of today")
}

// TestWebhookBreakerCountsNoTries: while the breaker is open nothing is sent and
// no try is used up.
func TestWebhookBreakerCountsNoTries(t *testing.T) {
	s := newShop(t, func(c *send.Config) {
		c.Breaker = &send.BreakerConfig{Failures: 1, Cooldown: time.Hour, MaxCooldown: time.Hour}
	})
	s.answer = func(int) (int, http.Header) { return noAnswer, nil }
	o := newOffice(t)
	gw := o.open("a", bursar.Webhooks("shop", s.sender))
	o.tell("pay_1", 1, 2, "shop")
	o.step(gw)
	for range 10 {
		o.clock.advance(time.Hour)
		o.step(gw)
	}
	require.Equal(t, 1, s.requests())
	d := o.rows("shop")["evt_pay_1_1"]
	require.Equal(t, 1, d.Attempts)
	require.Equal(t, bursar.DeliveryPending, d.Status)
	require.Zero(t, o.rows("shop")["evt_pay_1_2"].Attempts)
}

// TestWebhookSenderThatIsBusy: its own limit of concurrency costs no tries and
// no detour through the outbox.
func TestWebhookSenderThatIsBusy(t *testing.T) {
	s := newShop(t, func(c *send.Config) { c.Concurrency = 2 })
	o := newOffice(t)
	gw := o.open("a", bursar.Webhooks("shop", s.sender))
	for _, subject := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		o.tell("pay_"+subject, 1, 1, "shop")
	}
	o.step(gw)
	for id, d := range o.rows("shop") {
		require.Equal(t, bursar.DeliveryDone, d.Status, id)
		require.Equal(t, 1, d.Attempts, id)
	}
}
