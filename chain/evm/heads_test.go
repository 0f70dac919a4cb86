package evm

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar/chain"
)

// pusher is a node that pushes: it answers each call as told and sends whatever
// else is told.
type pusher struct {
	*httptest.Server
	answers map[string]string // method → the rest of the answer
	send    chan string
	pongs   chan struct{} // an answer to a ping, each
	deaf    bool          // pings are not answered
	calls   chan string   // what was answered
	// plain: parameters of a subscription are refused beyond the first.
	plain bool
}

func newPusher(t *testing.T) *pusher {
	p := unservedPusher()
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

// unservedPusher listens nowhere.
func unservedPusher() *pusher {
	return &pusher{
		answers: map[string]string{"eth_chainId": `"result":"0x539"`, "eth_subscribe": `"result":"0xcd0c"`},
		send:    make(chan string, 100), pongs: make(chan struct{}, 100), calls: make(chan string, 100),
	}
}

func (p *pusher) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	gone := make(chan struct{})
	type reply struct{ call, text string }
	answers := make(chan reply, 10)
	answer := conn.PingHandler()
	conn.SetPingHandler(func(text string) error {
		if p.deaf {
			return nil
		}
		p.pongs <- struct{}{}
		return answer(text)
	})
	go func() {
		defer close(gone)
		for {
			var call struct {
				ID     int
				Method string
				Params []any
			}
			if conn.ReadJSON(&call) != nil {
				return
			}
			rest := p.answers[call.Method]
			if p.plain && len(call.Params) > 1 {
				rest = `"error":{"code":-32602,"message":"too many arguments"}`
			}
			answers <- reply{call.Method + " " + r.Header.Get("X-Key"), fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,%s}`, call.ID, rest)}
		}
	}()
	for {
		select {
		case a := <-answers:
			// The call shows after its answer: what a test sends then comes behind it.
			_ = conn.WriteMessage(websocket.TextMessage, []byte(a.text))
			p.calls <- a.call
		case text := <-p.send:
			_ = conn.WriteMessage(websocket.TextMessage, []byte(text))
		case <-gone:
			return
		}
	}
}

func head(subscription string) string {
	return `{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"` + subscription + `","result":{"number":"0x1"}}}`
}

func (p *pusher) client(t *testing.T, edit func(*Config)) *Client {
	t.Helper()
	cfg := Config{Preset: Local(1337), URL: "http://127.0.0.1:1/", Headers: http.Header{"X-Key": {"canary-of-a-header"}}}
	if p.Server != nil {
		cfg.WebSocket = "ws" + strings.TrimPrefix(p.URL, "http") + "/v3/canary-of-a-key"
	}
	if edit != nil {
		edit(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	return c
}

// subscribed runs a subscription; stop ends it and returns its error.
func subscribed(t *testing.T, c *Client, p pace) (wake chan struct{}, ended chan error, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	wake, ended = make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- c.subscribe(ctx, wake, p) }()
	return wake, ended, func() error { cancel(); return <-ended }
}

var patient = pace{beat: time.Hour, silence: time.Hour}

func TestHeadsAreHints(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p := newPusher(t)
	defer p.Close()
	wake, _, stop := subscribed(t, p.client(t, nil), patient)
	require.Equal(t, "eth_chainId canary-of-a-header", <-p.calls)
	require.Equal(t, "eth_subscribe canary-of-a-header", <-p.calls)
	<-wake // what came before the subscription did
	p.send <- head("0xcd0c")
	<-wake
	// Nobody takes these: one hint waits, and the reader goes on.
	for range 50 {
		p.send <- head("0xcd0c")
	}
	p.send <- head("0xother")
	p.send <- `{"jsonrpc":"2.0","method":"eth_somethingElse","params":{}}`
	<-wake
	require.ErrorIs(t, stop(), context.Canceled)
}

func TestHeadsOfAnotherSubscription(t *testing.T) {
	p := newPusher(t)
	wake, ended, _ := subscribed(t, p.client(t, nil), patient)
	<-wake
	p.send <- head("0xother")
	p.send <- `{}` // ends it
	require.Error(t, <-ended)
	require.Empty(t, wake)
}

// waiting is a listener with one connection.
type waiting struct {
	conn chan net.Conn
	gone chan struct{}
}

func (l waiting) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conn:
		return conn, nil
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

func (l waiting) Close() error { close(l.gone); return nil }

func (waiting) Addr() net.Addr { return &net.TCPAddr{} }

// piped runs a subscription over a pipe, so that in a bubble nothing but the pace
// takes time; stop ends it and returns its error.
func (p *pusher) piped(t *testing.T, c *Client, by pace) (wake chan struct{}, ended chan error, stop func() error) {
	t.Helper()
	near, far := net.Pipe()
	l := waiting{make(chan net.Conn, 1), make(chan struct{})}
	l.conn <- far
	server := &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: time.Hour}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	dialer := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }}
	conn, resp, err := dialer.DialContext(t.Context(), "ws://node/", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	ctx, cancel := context.WithCancel(t.Context())
	wake, ended = make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- c.headStream(wake, by).on(ctx, conn) }()
	return wake, ended, func() error { cancel(); return <-ended }
}

// TestThreat_C13_ASilentSubscriptionEnds: by heads that do not come, or where a
// chain may make none for long, by pings without an answer.
func TestThreat_C13_ASilentSubscriptionEnds(t *testing.T) {
	slow := (&Client{cfg: Config{Preset: Ethereum()}}).pace()
	require.Equal(t, pace{10 * time.Second, 36 * time.Second}, slow)
	onDemand := func(yes bool) func(*Config) {
		return func(c *Config) { c.URL, c.WebSocket, c.Preset.Info.OnDemandBlocks = "http://node/", "ws://node/", yes }
	}
	t.Run("no head", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, began := unservedPusher(), time.Now()
			wake, ended, _ := p.piped(t, p.client(t, onDemand(false)), slow)
			<-wake
			for range 3 {
				<-p.pongs // it is not that the connection were dead
			}
			var failed *TransportError
			require.ErrorAs(t, <-ended, &failed)
			require.ErrorIs(t, failed, chain.ErrTransient)
			require.Equal(t, slow.silence, time.Since(began))
		})
	})
	t.Run("heads", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := unservedPusher()
			wake, ended, stop := p.piped(t, p.client(t, onDemand(false)), slow)
			<-wake
			for range 12 {
				time.Sleep(slow.silence - time.Second) // in the bubble of the test
				p.send <- head("0xcd0c")
				<-wake
			}
			require.Empty(t, ended)
			require.ErrorIs(t, stop(), context.Canceled)
		})
	})
	t.Run("no answer to a ping", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, began := unservedPusher(), time.Now()
			p.deaf = true
			wake, ended, _ := p.piped(t, p.client(t, onDemand(true)), slow)
			<-wake
			require.ErrorIs(t, <-ended, chain.ErrTransient)
			require.Equal(t, slow.silence, time.Since(began))
		})
	})
	t.Run("answers to pings are enough for a chain that makes blocks on demand", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := unservedPusher()
			wake, ended, stop := p.piped(t, p.client(t, onDemand(true)), slow)
			<-wake
			for range 120 { // longer than the silence
				<-p.pongs
			}
			require.Empty(t, ended)
			require.ErrorIs(t, stop(), context.Canceled)
		})
	})
}

func TestHeadsThatCannotBeHad(t *testing.T) {
	var (
		transport *TransportError
		decode    *DecodeError
		refusal   *RPCError
		wrong     *WrongChainError
	)
	for name, test := range map[string]struct {
		bend  func(*pusher)
		is    error
		as    any
		says  string
		never bool
	}{
		"wrong chain":    {bend: func(p *pusher) { p.answers["eth_chainId"] = `"result":"0x1"` }, is: chain.ErrWrongChain, as: &wrong},
		"no chain":       {bend: func(p *pusher) { p.answers["eth_chainId"] = `"result":17` }, is: chain.ErrTransient, as: &decode},
		"no prefix":      {bend: func(p *pusher) { p.answers["eth_chainId"] = `"result":"539"` }, is: chain.ErrTransient, as: &decode},
		"no such method": {bend: func(p *pusher) { p.answers["eth_subscribe"] = `"error":{"code":-32601,"message":"no eth_subscribe"}` }, is: chain.ErrUnsupported, as: &refusal},
		"no notifications": {bend: func(p *pusher) {
			p.answers["eth_subscribe"] = `"error":{"code":-32000,"message":"Notifications not supported"}`
		}, is: chain.ErrUnsupported},
		"too many": {bend: func(p *pusher) {
			p.answers["eth_subscribe"] = `"error":{"code":-32005,"message":"too many subscriptions"}`
		}, is: chain.ErrTransient, as: &refusal},
		"a subscription of 17": {bend: func(p *pusher) { p.answers["eth_subscribe"] = `"result":17` }, is: chain.ErrTransient, as: &decode},
		"no JSON":              {bend: func(p *pusher) { p.send <- "hello" }, is: chain.ErrTransient, as: &decode},
		"another id":           {bend: func(p *pusher) { p.send <- `{"id":7,"result":1}` }, is: chain.ErrTransient, as: &decode},
		"a huge message":       {bend: func(p *pusher) { p.send <- strings.Repeat(" ", maxHeadMessage+1) }, is: chain.ErrTransient, as: &transport},
		"no websocket": {bend: func(p *pusher) {
			p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "canary-of-a-key", http.StatusServiceUnavailable)
			})
		}, is: chain.ErrTransient, as: new(*HTTPError), says: "503"},
		"a redirect": {bend: func(p *pusher) {
			p.Config.Handler = http.RedirectHandler("ws://127.0.0.1:1/", http.StatusFound)
		}, as: new(*HTTPError), says: "302"},
		"nobody there": {bend: func(p *pusher) { p.Close() }, is: chain.ErrTransient, as: &transport},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPusher(t)
			c := p.client(t, nil)
			test.bend(p)
			_, ended, _ := subscribed(t, c, patient)
			err := <-ended
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			if test.as != nil {
				require.ErrorAs(t, err, test.as)
			}
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "canary")
			require.NotContains(t, fmt.Sprintf("%+v", err), "canary")
		})
	}
	c, err := New(Config{Preset: Local(1337), URL: "http://127.0.0.1:1/"})
	require.NoError(t, err)
	require.ErrorIs(t, c.SubscribeHeads(t.Context(), make(chan struct{})), chain.ErrUnsupported)
}

// TestHeadsEndWithTheContext also where the node never finishes the handshake.
func TestHeadsEndWithTheContext(t *testing.T) {
	arrived := make(chan struct{})
	release := make(chan struct{})
	p := newPusher(t)
	p.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(arrived); <-release })
	defer close(release)
	_, _, stop := subscribed(t, p.client(t, nil), patient)
	<-arrived
	require.ErrorIs(t, stop(), context.Canceled)

	arrived = make(chan struct{})
	_, ended, _ := subscribed(t, p.client(t, func(cfg *Config) { cfg.Timeout = 20 * time.Millisecond }), patient)
	err := <-ended
	require.ErrorIs(t, err, chain.ErrTransient)
	require.ErrorContains(t, err, "no connection within 20ms")
}

// FuzzHeadMessage: nothing that a node sends breaks more than its subscription.
func FuzzHeadMessage(f *testing.F) {
	for _, text := range []string{head("0xcd0c"), `{"id":1,"result":"0x539"}`, `{"id":2,"error":{"code":1}}`, `{"id":null}`, `[]`, `{"params":[]}`, `"x"`} {
		f.Add([]byte(text))
	}
	c, err := New(Config{Preset: Local(1337), URL: "http://127.0.0.1:1/", WebSocket: "ws://127.0.0.1:1/"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		conn := &websocket.Conn{}
		h := stream{client: c, conn: conn, topics: []string{"x"}, note: func(json.RawMessage) {}, id: "0xcd0c"}
		var m pushMessage
		if json.Unmarshal(text, &m) == nil && m.Method == "eth_subscription" {
			return // needs a connection
		}
		_ = h.take(text)
	})
}
