package bursar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// received is one request.
type received struct {
	path   string
	header http.Header
	body   []byte
	event  webhook.Event
}

// data is the event's data.
func (r received) data() (out map[string]any) {
	_ = json.Unmarshal(r.event.Data, &out)
	return out
}

// receiver is a server with a path for each endpoint.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []received
	// status, by path, is what is answered instead of 204.
	status map[string]int
	news   chan struct{}
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{status: map[string]int{}, news: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		event, err := webhook.Parse(body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err == nil {
			r.got = append(r.got, received{req.URL.Path, req.Header.Clone(), body, event})
		}
		w.WriteHeader(max(r.status[req.URL.Path], http.StatusNoContent))
		select {
		case r.news <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(path string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[path] = status
}

func (r *receiver) at(path string) (out []received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.got {
		if one.path == path {
			out = append(out, one)
		}
	}
	return out
}

// kinds are those that came to a path.
func (r *receiver) kinds(path string) (out []bursar.Kind) {
	for _, one := range r.at(path) {
		out = append(out, bursar.Kind(one.event.Event))
	}
	return out
}

func endpointKey(t testing.TB, b byte) bursar.EndpointKey {
	k, err := bursar.NewEndpointKey(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	require.NoError(t, err)
	return k
}

// atLoopback lets endpoints be on this machine.
func atLoopback(keys ...bursar.EndpointKey) *bursar.Endpoints {
	return &bursar.Endpoints{Keys: keys, Sender: send.Config{
		AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}}
}

func endpointKit(t testing.TB) (*bursartest.Kit, *receiver) {
	r := newReceiver(t)
	return newKit(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Endpoints = atLoopback(endpointKey(t, 1)) }}), r
}

// verified checks a request with secrets.
func verified(t testing.TB, r received, secrets ...webhook.Secret) error {
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: secrets})
	require.NoError(t, err)
	_, err = v.Verify(r.header, r.body)
	return err
}

func TestEndpointsGetWhatTheyWant(t *testing.T) {
	t.Parallel()
	kit, r := endpointKit(t)
	add := func(req bursar.EndpointRequest) webhook.Secret {
		t.Helper()
		e, secret, err := kit.Gateway.AddEndpoint(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, bursar.EndpointEnabled, e.Status)
		return secret
	}
	all := add(bursar.EndpointRequest{URL: r.URL + "/all", Header: map[string]string{"X-Token": "my own token"}})
	add(bursar.EndpointRequest{URL: r.URL + "/confirmed", Kinds: []bursar.Kind{bursar.PaymentConfirmed}})
	add(bursar.EndpointRequest{URL: r.URL + "/payments", Kinds: []bursar.Kind{"payment.*"}})
	add(bursar.EndpointRequest{URL: r.URL + "/ann", Customers: []string{"ann"}, Kinds: []bursar.Kind{bursar.PaymentCreated, bursar.PayoutSentEvent}})
	add(bursar.EndpointRequest{URL: r.URL + "/eth", Assets: []chain.AssetID{kit.ETH.ID}})
	add(bursar.EndpointRequest{URL: r.URL + "/few", Fields: []string{"payment_id", "status"}, Kinds: []bursar.Kind{bursar.PaymentConfirmed}})

	p := kit.Request(bursar.PaymentRequest{Asset: "local/USDC", Amount: amount("25"), Customer: "ann"})
	q := kit.Request(bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1"), Customer: "bob"})
	kit.Pay(p)
	kit.Pay(q)
	kit.Confirm()
	kit.Settle()

	told := map[string]bursar.Event{}
	for _, subject := range []string{p.ID, q.ID} {
		for _, e := range kit.Events(subject) {
			told[e.ID] = e
		}
	}
	seen := map[string]bool{}
	for _, one := range r.at("/all") {
		require.NoError(t, verified(t, one, all))
		require.Equal(t, "my own token", one.header.Get("X-Token"))
		require.False(t, seen[one.event.ID], "once")
		seen[one.event.ID] = true
		if e, ok := told[one.event.ID]; ok {
			body, err := bursar.MarshalEvent(e)
			require.NoError(t, err)
			require.Equal(t, string(body), string(one.body))
		}
	}
	for id := range told {
		require.True(t, seen[id], "%s", told[id].Kind)
	}
	require.Contains(t, r.kinds("/all"), bursar.PayoutConfirmedEvent)
	require.Equal(t, []bursar.Kind{bursar.PaymentConfirmed, bursar.PaymentConfirmed}, r.kinds("/confirmed"))
	for _, k := range r.kinds("/payments") {
		require.True(t, strings.HasPrefix(string(k), "payment."), "%s", k)
	}
	require.Contains(t, r.kinds("/payments"), bursar.PaymentSettled)
	require.Equal(t, []bursar.Kind{bursar.PaymentCreated}, r.kinds("/ann"))
	require.Equal(t, p.ID, r.at("/ann")[0].data()["payment_id"])
	require.NotEmpty(t, r.at("/eth"))
	for _, one := range r.at("/eth") {
		require.NotEqual(t, p.ID, one.data()["payment_id"])
	}
	few := r.at("/few")
	require.Len(t, few, 2)
	for _, one := range few {
		require.Len(t, one.data(), 3)
		require.Equal(t, "confirmed", one.data()["status"])
		require.Equal(t, one.data()["payment_id"], one.data()["subject"])
	}
}

// Whoever adds an endpoint, it hears of what another instance sees.
func TestEndpointsOfAnotherInstance(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	a, b := o.open("a"), o.open("b")
	e, secret, err := a.AddEndpoint(t.Context(), bursar.EndpointRequest{URL: r.URL + "/x"})
	require.NoError(t, err)
	p, err := b.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.NoError(t, err)
	require.Len(t, o.rows(e.ID), 1, "kept in the transaction of the payment")
	o.step(b)
	require.Len(t, r.at("/x"), 1)
	require.NoError(t, verified(t, r.at("/x")[0], secret))
	require.Equal(t, p.ID, r.at("/x")[0].data()["payment_id"])

	require.NoError(t, b.RemoveEndpoint(t.Context(), e.ID))
	_, err = a.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.NoError(t, err)
	require.Len(t, o.rows(e.ID), 1)
	list, err := a.Endpoints(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestEndpointIsUpdated(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	gw := o.open("a")
	pay := func() {
		_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
		require.NoError(t, err)
	}
	e, _, err := gw.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: "shop", URL: r.URL + "/old", Header: map[string]string{"X-Token": "token one"}, Description: "the shop"})
	require.NoError(t, err)
	require.Equal(t, "shop", e.ID)
	require.Equal(t, map[string]string{"X-Token": ""}, e.Header, "values are told to nobody")
	r.answer("/old", 500)
	pay()
	o.step(gw)
	require.Len(t, r.at("/old"), 1)

	// What was returned can be sent back.
	next := e.EndpointRequest
	next.URL = r.URL + "/new"
	e, err = gw.UpdateEndpoint(t.Context(), "shop", next)
	require.NoError(t, err)
	require.Equal(t, next.URL, e.URL)
	require.Equal(t, "the shop", e.Description)
	o.clock.advance(time.Hour)
	o.step(gw)
	require.Len(t, r.at("/new"), 1, "what waited goes by the new terms")
	require.Equal(t, "token one", r.at("/new")[0].header.Get("X-Token"))

	r.answer("/new", 500)
	pay()
	o.step(gw)
	next.Kinds = []bursar.Kind{bursar.PaymentSettled}
	_, err = gw.UpdateEndpoint(t.Context(), "shop", next)
	require.NoError(t, err)
	o.clock.advance(time.Hour)
	o.step(gw)
	require.Len(t, r.at("/new"), 2, "what is not wanted any more is dropped")
	for _, d := range o.rows("shop") {
		require.Equal(t, bursar.DeliveryDone, d.Status)
	}
	_, err = gw.UpdateEndpoint(t.Context(), "none", next)
	require.ErrorAs(t, err, new(*bursar.FieldError))
	next.ID = ""
	_, err = gw.UpdateEndpoint(t.Context(), "none", next)
	require.ErrorIs(t, err, bursar.ErrNotFound)
}

func TestEndpointIsDisabledAndEnabled(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	gw := o.open("a")
	pay := func() {
		_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
		require.NoError(t, err)
	}
	_, _, err := gw.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: "shop", URL: r.URL + "/x"})
	require.NoError(t, err)
	pay()
	e, err := gw.DisableEndpoint(t.Context(), "shop", "moves house")
	require.NoError(t, err)
	require.Equal(t, bursar.EndpointDisabled, e.Status)
	require.Equal(t, "moves house", e.Reason)
	pay()
	o.step(gw)
	require.Empty(t, r.at("/x"))
	require.Len(t, o.rows("shop"), 1, "what waited waits on, nothing is kept meanwhile")
	e, err = gw.EnableEndpoint(t.Context(), "shop")
	require.NoError(t, err)
	require.Empty(t, e.Reason)
	pay()
	o.step(gw)
	require.Len(t, r.at("/x"), 2)
}

func TestThreat_E17_GoneDisablesTheEndpoint(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	gw := o.open("a")
	for _, id := range []string{"gone", "there"} {
		_, _, err := gw.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: id, URL: r.URL + "/" + id})
		require.NoError(t, err)
	}
	r.answer("/gone", http.StatusGone)
	for range 2 {
		_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
		require.NoError(t, err)
		o.step(gw)
	}
	require.Len(t, r.at("/gone"), 1, "never asked again")
	require.Len(t, r.at("/there"), 2)
	list, err := gw.Endpoints(t.Context())
	require.NoError(t, err)
	require.Equal(t, bursar.EndpointDisabled, list[0].Status)
	require.Contains(t, list[0].Reason, "410")
	require.Equal(t, bursar.EndpointEnabled, list[1].Status)
}

func TestEndpointIsRemoved(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	gw := o.open("a")
	req := bursar.EndpointRequest{ID: "shop", URL: r.URL + "/x"}
	_, _, err := gw.AddEndpoint(t.Context(), req)
	require.NoError(t, err)
	o.tell("pay_1", 1, 450, "shop")
	require.NoError(t, gw.RemoveEndpoint(t.Context(), "shop"))
	require.ErrorIs(t, gw.RemoveEndpoint(t.Context(), "shop"), bursar.ErrNotFound)
	o.step(gw)
	require.Empty(t, r.at("/x"))
	rows := o.rows("shop")
	require.Len(t, rows, 450)
	for _, d := range rows {
		require.Equal(t, bursar.DeliveryDead, d.Status)
		require.False(t, d.DoneAt.IsZero())
	}
	_, _, err = gw.AddEndpoint(t.Context(), req)
	var bad *bursar.FieldError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, bursar.CodeDuplicate, bad.Code)
	kept := o.endpointRows()
	require.Len(t, kept, 1)
	require.Empty(t, kept[0].Sealed, "its secret is gone")
}

func (o *office) endpointRows() (rows []bursar.EndpointRow) {
	require.NoError(o.t, o.store.Read(context.Background(), func(r bursar.Reader) (err error) {
		rows, err = r.Endpoints(context.Background(), bursar.EndpointQuery{})
		return err
	}))
	return rows
}

func TestPingEndpoint(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	gw := o.open("a")
	_, secret, err := gw.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: "shop", URL: r.URL + "/x", Kinds: []bursar.Kind{bursar.PaymentSettled}})
	require.NoError(t, err)
	ping, err := gw.PingEndpoint(t.Context(), "shop")
	require.NoError(t, err)
	require.NoError(t, ping.Err)
	require.Equal(t, http.StatusNoContent, ping.Code)
	got := r.at("/x")
	require.Len(t, got, 1)
	require.NoError(t, verified(t, got[0], secret))
	require.Equal(t, ping.EventID, got[0].event.ID)
	require.Equal(t, string(bursar.EndpointPing), got[0].event.Event)
	r.answer("/x", 500)
	ping, err = gw.PingEndpoint(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, 500, ping.Code)
	require.Error(t, ping.Err)
	_, err = gw.PingEndpoint(t.Context(), "none")
	require.ErrorIs(t, err, bursar.ErrNotFound)
	require.Empty(t, o.rows("shop"), "recorded nowhere")
}

func TestAddingAnEndpointAgain(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	o.cfg.Endpoints.Max = 2
	gw := o.open("a", bursar.NotifyFunc("mine", func(context.Context, bursar.Event) error { return nil }))
	req := bursar.EndpointRequest{ID: "shop", URL: r.URL + "/x", Customers: []string{"ann"}}
	_, secret, err := gw.AddEndpoint(t.Context(), req)
	require.NoError(t, err)
	require.False(t, secret.IsZero())
	_, again, err := gw.AddEndpoint(t.Context(), req)
	require.NoError(t, err)
	require.True(t, again.IsZero(), "told once")
	code := func(req bursar.EndpointRequest) bursar.Code {
		t.Helper()
		_, _, err := gw.AddEndpoint(t.Context(), req)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad)
		return bad.Code
	}
	other := req
	other.URL += "y"
	require.Equal(t, bursar.CodeDuplicate, code(other))
	require.Equal(t, bursar.CodeDuplicate, code(bursar.EndpointRequest{ID: "mine", URL: r.URL}))
	_, _, err = gw.AddEndpoint(t.Context(), bursar.EndpointRequest{URL: r.URL})
	require.NoError(t, err)
	require.Equal(t, bursar.CodeOutOfRange, code(bursar.EndpointRequest{URL: r.URL}))
	require.Len(t, o.endpointRows(), 2)
}

func TestBadEndpoints(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	key := endpointKey(t, 1)
	o.cfg.Endpoints = &bursar.Endpoints{Keys: []bursar.EndpointKey{key}}
	gw := o.open("a")
	const good = "https://shop.example/hook"
	for _, c := range []struct {
		field string
		edit  func(*bursar.EndpointRequest)
	}{
		{"ID", func(r *bursar.EndpointRequest) { r.ID = "a b" }},
		{"URL", func(r *bursar.EndpointRequest) { r.URL = "" }},
		{"URL", func(r *bursar.EndpointRequest) { r.URL = "http://shop.example/" }},
		{"URL", func(r *bursar.EndpointRequest) { r.URL = "https://127.0.0.1/" }},
		{"URL", func(r *bursar.EndpointRequest) { r.URL = "https://user:pass@shop.example/" }},
		{"Description", func(r *bursar.EndpointRequest) { r.Description = "a\nb" }},
		{"Kinds[1]", func(r *bursar.EndpointRequest) { r.Kinds = []bursar.Kind{bursar.PaymentCreated, "payment.made"} }},
		{"Kinds[0]", func(r *bursar.EndpointRequest) { r.Kinds = []bursar.Kind{"*"} }},
		{"Kinds[0]", func(r *bursar.EndpointRequest) { r.Kinds = []bursar.Kind{"pay*"} }},
		{"Customers[0]", func(r *bursar.EndpointRequest) { r.Customers = []string{""} }},
		{"Customers[0]", func(r *bursar.EndpointRequest) { r.Customers = []string{"a\x00"} }},
		{"Assets[0]", func(r *bursar.EndpointRequest) { r.Assets = []chain.AssetID{"local/ETH"} }},
		{"Fields[0]", func(r *bursar.EndpointRequest) { r.Fields = []string{"amounts"} }},
		{"Timeout", func(r *bursar.EndpointRequest) { r.Timeout = time.Minute }},
		{"Concurrency", func(r *bursar.EndpointRequest) { r.Concurrency = 65 }},
		{"Every", func(r *bursar.EndpointRequest) { r.Every = -1 }},
		{"Burst", func(r *bursar.EndpointRequest) { r.Burst = -1 }},
		{"Header", func(r *bursar.EndpointRequest) { r.Header = map[string]string{"Content-Type": "x"} }},
		{"Header", func(r *bursar.EndpointRequest) { r.Header = map[string]string{"X-A": "a\nb"} }},
	} {
		req := bursar.EndpointRequest{URL: good}
		c.edit(&req)
		_, _, err := gw.AddEndpoint(t.Context(), req)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad, "%s %+v", c.field, req)
		require.True(t, strings.HasPrefix(bad.Field, "EndpointRequest."+c.field), "%s: %s", c.field, bad.Field)
	}
	_, err := gw.RotateSecret(t.Context(), "x", webhook.Secret{}, -1)
	require.ErrorAs(t, err, new(*bursar.FieldError))
	require.Empty(t, o.endpointRows())

	for field, e := range map[string]bursar.Endpoints{
		"Config.Endpoints.Keys":                   {},
		"Config.Endpoints.Keys[0]":                {Keys: make([]bursar.EndpointKey, 1)},
		"Config.Endpoints.Max":                    {Keys: []bursar.EndpointKey{key}, Max: -1},
		"Config.Endpoints.Sender.URL":             {Keys: []bursar.EndpointKey{key}, Sender: send.Config{URL: good}},
		"Config.Endpoints.Sender.AllowPrivate[0]": {Keys: []bursar.EndpointKey{key}, Sender: send.Config{AllowPrivate: make([]netip.Prefix, 1)}},
	} {
		cfg := o.cfg
		cfg.Endpoints = &e
		_, err := bursar.New(cfg)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, field, bad.Field)
	}
	twice := o.cfg
	twice.Endpoints = &bursar.Endpoints{Keys: []bursar.EndpointKey{key, key}}
	_, err = bursar.New(twice)
	require.ErrorAs(t, err, new(*bursar.FieldError))

	o.cfg.Endpoints = nil
	_, err = o.open("b").Endpoints(t.Context())
	require.ErrorIs(t, err, bursar.ErrNoEndpoints)
}

// A gateway that works by itself begins to send when an endpoint is added, goes on
// when it is enabled, and has ended everything when it is stopped.
func TestEndpointsOfARunningGateway(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newRunningOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	gw := o.open("a")
	_, _, err := gw.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: "shop", URL: r.URL + "/x"})
	require.NoError(t, err)
	pay := func(n int) {
		t.Helper()
		_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
		require.NoError(t, err)
		for len(r.at("/x")) < n {
			select {
			case <-r.news:
			case <-time.After(time.Minute):
				t.Fatal("nothing came")
			}
		}
	}
	pay(1)
	pay(2)
	_, err = gw.DisableEndpoint(t.Context(), "shop", "")
	require.NoError(t, err)
	_, err = gw.EnableEndpoint(t.Context(), "shop")
	require.NoError(t, err)
	pay(3)
	require.NoError(t, gw.RemoveEndpoint(t.Context(), "shop"))
	require.NoError(t, gw.Stop(t.Context()))
	require.Len(t, r.at("/x"), 3)
}

// What is told once more goes to endpoints too, also what happened before they were
// added, and not to those that were removed.
func TestResendToEndpoints(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	gw := o.open("a")
	o.tell("pay_1", 1, 2)
	for _, id := range []string{"shop", "gone"} {
		_, _, err := gw.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: id, URL: r.URL + "/" + id})
		require.NoError(t, err)
	}
	_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.NoError(t, err)
	o.step(gw)
	require.Len(t, r.at("/gone"), 1)
	require.NoError(t, gw.RemoveEndpoint(t.Context(), "gone"))
	got, err := gw.Resend(t.Context(), bursar.ResendRequest{Events: []string{"evt_pay_1_1", "evt_pay_1_2"}, Notifier: "shop"})
	require.NoError(t, err)
	require.Equal(t, 2, got.Resent)
	got, err = gw.Resend(t.Context(), bursar.ResendRequest{Statuses: []bursar.DeliveryStatus{bursar.DeliveryDone}})
	require.NoError(t, err)
	require.Equal(t, 1, got.Selected, "the one for the shop")
	o.step(gw)
	require.Len(t, r.at("/shop"), 4)
	require.Len(t, r.at("/gone"), 1)
	_, err = gw.Resend(t.Context(), bursar.ResendRequest{Notifier: "gone"})
	var bad *bursar.FieldError
	require.ErrorAs(t, err, &bad)
	require.Contains(t, bad.Reason, "removed")
}
