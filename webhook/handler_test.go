package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/webhook"
)

// receiver is a Handler with a record of what it did.
type receiver struct {
	t       testing.TB
	secret  webhook.Secret
	now     time.Time
	options webhook.HandlerOptions
	handle  func(ctx context.Context, e webhook.Event) error
	handled []webhook.Event
	failed  error
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t, secret: secretOf(t, 5, 32), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	r.options.OnError = func(_ context.Context, _ int, err error) { r.failed = err }
	r.handle = func(context.Context, webhook.Event) error { return nil }
	return r
}

// request signs a body as the sender does.
func (r *receiver) request(id string, body []byte) *http.Request {
	h, err := webhook.Sign([]webhook.Secret{r.secret}, webhook.Message{ID: id, Timestamp: r.now, Body: body})
	require.NoError(r.t, err)
	request := httptest.NewRequest(http.MethodPost, "/hook", bytes.NewReader(body))
	request.Header = h
	return request
}

func (r *receiver) event(e webhook.Event) *http.Request {
	body, err := webhook.Marshal(e)
	require.NoError(r.t, err)
	return r.request(e.ID, body)
}

func (r *receiver) serve(request *http.Request) *httptest.ResponseRecorder {
	h := webhook.Handler(verifierAt(r.t, r.now, r.secret), r.options, func(ctx context.Context, e webhook.Event) error {
		r.handled = append(r.handled, e)
		return r.handle(ctx, e)
	})
	w := httptest.NewRecorder()
	r.failed = nil
	h.ServeHTTP(w, request)
	require.Empty(r.t, w.Body.String())
	return w
}

func TestHandlerAccepts(t *testing.T) {
	r := newReceiver(t)
	require.Equal(t, http.StatusNoContent, r.serve(r.event(sample())).Code)
	require.NoError(t, r.failed)
	require.Len(t, r.handled, 1)
	require.Equal(t, uint64(7), r.handled[0].Seq)
	require.JSONEq(t, string(sample().Data), string(r.handled[0].Data))
}

func TestHandlerRefuses(t *testing.T) {
	body, err := webhook.Marshal(sample())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		status int
		make   func(r *receiver) *http.Request
	}{
		"GET":        {405, func(r *receiver) *http.Request { q := r.event(sample()); q.Method = "GET"; return q }},
		"no headers": {401, func(r *receiver) *http.Request { q := r.event(sample()); q.Header = http.Header{}; return q }},
		"too old": {401, func(r *receiver) *http.Request {
			q := r.event(sample())
			r.now = r.now.Add(6 * time.Minute)
			return q
		}},
		"re-serialised body": {401, func(r *receiver) *http.Request {
			q := httptest.NewRequest("POST", "/", strings.NewReader(strings.ReplaceAll(string(body), ",", ", ")))
			q.Header = r.event(sample()).Header
			return q
		}},
		"body too large": {413, func(r *receiver) *http.Request { r.options.MaxBody = int64(len(body)) - 1; return r.event(sample()) }},
		"body breaks off": {400, func(r *receiver) *http.Request {
			return httptest.NewRequest("POST", "/", iotest.ErrReader(errors.New("cut")))
		}},
		"signed nonsense": {400, func(r *receiver) *http.Request { return r.request("evt_1", []byte("hello")) }},
		"other id inside": {400, func(r *receiver) *http.Request { return r.request("evt_2", body) }},
	} {
		r := newReceiver(t)
		w := r.serve(c.make(r))
		require.Equal(t, c.status, w.Code, name)
		require.Error(t, r.failed, name)
		require.Empty(t, r.handled, name)
	}
	r := newReceiver(t)
	q := r.event(sample())
	q.Method = http.MethodPut
	require.Equal(t, "POST", r.serve(q).Header().Get("Allow"))
}

func TestHandlerBodyLimitIsExact(t *testing.T) {
	body, err := webhook.Marshal(sample())
	require.NoError(t, err)
	r := newReceiver(t)
	r.options.MaxBody = int64(len(body))
	require.Equal(t, http.StatusNoContent, r.serve(r.event(sample())).Code)

	// By default it is 1 MiB.
	r = newReceiver(t)
	require.Equal(t, http.StatusBadRequest, r.serve(r.request("a", make([]byte, webhook.DefaultMaxBody))).Code)
	require.Equal(t, http.StatusRequestEntityTooLarge, r.serve(r.request("a", make([]byte, webhook.DefaultMaxBody+1))).Code)
}

func TestHandlerWithoutVerifier(t *testing.T) {
	r := newReceiver(t)
	w := httptest.NewRecorder()
	webhook.Handler(nil, r.options, r.handle).ServeHTTP(w, r.event(sample()))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.ErrorIs(t, r.failed, webhook.ErrNoSecret)
}

func TestHandlerFailures(t *testing.T) {
	broken := errors.New("database down")
	r := newReceiver(t)
	r.handle = func(context.Context, webhook.Event) error { return broken }
	require.Equal(t, http.StatusInternalServerError, r.serve(r.event(sample())).Code)
	require.ErrorIs(t, r.failed, broken)

	ctx, cancel := context.WithCancel(t.Context())
	r.handle = func(ctx context.Context, _ webhook.Event) error { cancel(); return ctx.Err() }
	require.Equal(t, http.StatusServiceUnavailable, r.serve(r.event(sample()).WithContext(ctx)).Code)
	require.ErrorIs(t, r.failed, context.Canceled)
}

func TestThreat_G10_HandlerPanicsAreContained(t *testing.T) {
	boom := func() { panic("boom") }
	for name, set := range map[string]func(r *receiver){
		"handle": func(r *receiver) { r.handle = func(context.Context, webhook.Event) error { boom(); return nil } },
		"seen": func(r *receiver) {
			r.options.Seen = func(context.Context, string) (bool, error) { boom(); return true, nil }
		},
		"stale": func(r *receiver) {
			r.options.Stale = func(context.Context, webhook.Event) (bool, error) { boom(); return true, nil }
		},
	} {
		r := newReceiver(t)
		set(r)
		require.Equal(t, http.StatusInternalServerError, r.serve(r.event(sample())).Code, name)
		var p *webhook.PanicError
		require.ErrorAs(t, r.failed, &p, name)
		require.Equal(t, "boom", p.Value)
		require.Contains(t, string(p.Stack), "handler_test.go")
		require.EqualError(t, p, "webhook: panic: boom")
	}
}

// TestThreat_E3_SeenEventIsNotHandledAgain: the acknowledgement was lost, the
// sender repeats, the receiver has recorded the id with the effect.
func TestThreat_E3_SeenEventIsNotHandledAgain(t *testing.T) {
	r := newReceiver(t)
	done := map[string]bool{}
	r.options.Seen = func(_ context.Context, id string) (bool, error) { return done[id], nil }
	broken := errors.New("not yet")
	r.handle = func(context.Context, webhook.Event) error { return broken }
	require.Equal(t, http.StatusInternalServerError, r.serve(r.event(sample())).Code)
	r.handle = func(_ context.Context, e webhook.Event) error { done[e.ID] = true; return nil }
	require.Equal(t, http.StatusNoContent, r.serve(r.event(sample())).Code)
	r.now = r.now.Add(75 * time.Hour)
	require.Equal(t, http.StatusNoContent, r.serve(r.event(sample())).Code)
	require.Len(t, r.handled, 2, "once failed, once done, and not a third time")

	r.options.Seen = func(context.Context, string) (bool, error) { return true, broken }
	require.Equal(t, http.StatusServiceUnavailable, r.serve(r.event(sample())).Code)
	require.ErrorIs(t, r.failed, broken)
	require.Len(t, r.handled, 2)
}

func TestThreat_E4_OlderSequenceIsDropped(t *testing.T) {
	r := newReceiver(t)
	var last uint64
	r.options.Stale = func(_ context.Context, e webhook.Event) (bool, error) { return e.Seq < last, nil }
	r.handle = func(_ context.Context, e webhook.Event) error { last = e.Seq; return nil }
	for i, seq := range []uint64{3, 2, 5, 4, 6} {
		e := sample()
		e.ID, e.Seq = "evt_"+string(rune('a'+i)), seq
		require.Equal(t, http.StatusNoContent, r.serve(r.event(e)).Code)
	}
	var seqs []uint64
	for _, e := range r.handled {
		seqs = append(seqs, e.Seq)
	}
	require.Equal(t, []uint64{3, 5, 6}, seqs)

	broken := errors.New("database down")
	r.options.Stale = func(context.Context, webhook.Event) (bool, error) { return false, broken }
	require.Equal(t, http.StatusServiceUnavailable, r.serve(r.event(sample())).Code)
	require.ErrorIs(t, r.failed, broken)
}

// TestThreat_E20_LogsCarryNothingOfTheRequest: whatever a stranger sends, the
// default log has one line of ours for it.
func TestThreat_E20_LogsCarryNothingOfTheRequest(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)

	r := newReceiver(t)
	r.options.OnError = nil
	const canary = "CANARY"
	for _, edit := range []func(h http.Header){
		func(h http.Header) { h.Set("webhook-id", canary+"\nlevel=ERROR") },
		func(h http.Header) { h.Set("webhook-timestamp", canary) },
		func(h http.Header) { h.Set("webhook-signature", "v1,"+canary) },
	} {
		q := r.event(sample())
		edit(q.Header)
		r.serve(q)
	}
	r.serve(r.request("a", []byte(`{"id":"CANARY`)))
	require.Equal(t, 4, strings.Count(out.String(), "\n"))
	require.Equal(t, 4, strings.Count(out.String(), "webhook refused"))
	require.NotContains(t, out.String(), canary)
}
