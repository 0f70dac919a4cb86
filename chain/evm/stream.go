package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/bursar-go/bursar/chain"
)

// stream is one subscription under way.
type stream struct {
	client *Client
	conn   *websocket.Conn
	pace   pace
	// topics are what to subscribe to, as parameters; the next one where the node
	// does not understand one.
	topics []string
	// pongs: answers to pings are signs of life, and not what is pushed alone.
	pongs bool
	// limit is the most bytes of one message.
	limit int64
	// note gets what is pushed, and nil when the subscription begins.
	note func(result json.RawMessage)
	id   string // of the subscription, empty before there is one
	next int    // of topics
}

// run dials, and follows until something fails or ctx ends.
func (h *stream) run(ctx context.Context) error {
	conn, err := h.client.dial(ctx)
	if err != nil {
		return err
	}
	return h.on(ctx, conn)
}

// on follows over a connection, and closes it.
func (h *stream) on(ctx context.Context, conn *websocket.Conn) error {
	conn.SetReadLimit(h.limit)
	h.conn = conn
	defer func() { _ = conn.Close() }() // nothing is written that could be lost
	// A read ends by its deadline or by this.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	err := h.follow(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Ids of the two calls of a subscription.
const (
	askedChain = "1"
	askedTopic = "2"
)

// follow asks which chain it is, subscribes and reads until something fails.
func (h *stream) follow(ctx context.Context) error {
	if err := h.ask(askedChain, "eth_chainId", ""); err != nil {
		return err
	}
	if err := h.ask(askedTopic, "eth_subscribe", h.topics[0]); err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	beating := make(chan struct{})
	defer func() { end(); <-beating }()
	go h.beat(ctx, beating)
	h.alive()
	if h.pongs {
		h.conn.SetPongHandler(func(string) error { h.alive(); return nil })
	}
	for {
		_, text, err := h.conn.ReadMessage()
		if err != nil {
			return h.client.streamError(err)
		}
		if err := h.take(text); err != nil {
			return err
		}
	}
}

// ask sends a call.
func (h *stream) ask(id, method, params string) error {
	text := `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":[` + params + `]}`
	_ = h.conn.SetWriteDeadline(time.Now().Add(h.pace.beat)) // what fails here fails in the write
	if err := h.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		return h.client.streamError(err)
	}
	return nil
}

// alive sets the time by which the next sign of life must come.
func (h *stream) alive() {
	_ = h.conn.SetReadDeadline(time.Now().Add(h.pace.silence)) // fails on a closed connection alone, as the read does
}

// beat pings until ctx ends, so that nothing between here and the node takes the
// connection for unused. What fails is found by the reader.
func (h *stream) beat(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	ticker := time.NewTicker(h.pace.beat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = h.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(h.pace.beat))
		case <-ctx.Done():
			return
		}
	}
}

// pushMessage is what a node sends: an answer, or a notification.
type pushMessage struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int64  `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Method string `json:"method"`
	Params struct {
		Subscription string          `json:"subscription"`
		Result       json.RawMessage `json:"result"`
	} `json:"params"`
}

// take reads one message.
func (h *stream) take(text []byte) error {
	var m pushMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return &DecodeError{Reason: "subscription: not a message of JSON-RPC"}
	}
	if m.Method != "" {
		if m.Method == "eth_subscription" && h.id != "" && m.Params.Subscription == h.id {
			h.alive()
			h.note(m.Params.Result)
		}
		return nil
	}
	method := map[string]string{askedChain: "eth_chainId", askedTopic: "eth_subscribe"}[string(m.ID)]
	switch {
	case m.Error != nil && method == "eth_subscribe" && m.Error.Code == codeInvalidParams && h.next+1 < len(h.topics):
		h.next++
		return h.ask(askedTopic, method, h.topics[h.next])
	case m.Error != nil:
		return h.refused(&RPCError{Method: method, Code: m.Error.Code, Message: h.client.secrets.text(m.Error.Message, 1024)})
	case method == "eth_chainId":
		return h.checkChain(m.Result)
	case method == "eth_subscribe":
		if err := json.Unmarshal(m.Result, &h.id); err != nil || h.id == "" {
			return &DecodeError{Reason: "subscription: a subscription without an id"}
		}
		h.note(nil)
		return nil
	}
	return &DecodeError{Reason: "subscription: an id that was not asked for"}
}

// refused tells nodes without subscriptions from those that fail.
func (h *stream) refused(err *RPCError) error {
	if err.Code == codeMethodNotFound || refusedWith(err, 0, "notifications not supported", "not supported", "unsupported") {
		return fmt.Errorf("%w: %w", chain.ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", chain.ErrTransient, err)
}

func (h *stream) checkChain(result []byte) error {
	var text string
	number, err := uint64(0), json.Unmarshal(result, &text)
	if err == nil {
		digits, prefixed := strings.CutPrefix(text, "0x")
		if number, err = strconv.ParseUint(digits, 16, 64); !prefixed {
			err = errors.New("no prefix")
		}
	}
	switch {
	case err != nil:
		return &DecodeError{Reason: "subscription: no chain id"}
	case number != h.client.number:
		return h.client.wrongNumber(number)
	}
	return nil
}

// dial opens the connection. Like the HTTP client it uses no proxy, follows no
// redirect and compresses nothing.
func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	release := func() bool { return true }
	dialer := websocket.Dialer{NetDialContext: func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(dialing, network, address)
		if err == nil {
			// The library's handshake does not look at the context.
			release = context.AfterFunc(bounded, func() { _ = conn.Close() })
		}
		return conn, err
	}}
	conn, resp, err := dialer.DialContext(bounded, c.cfg.WebSocket, c.cfg.Headers) //nolint:bodyclose // a copy in memory
	switch {
	case err == nil && release():
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case bounded.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		// The dialer has a timer of its own, which may be ahead of the context.
		err = errors.New("no connection within " + c.cfg.Timeout.String())
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		err := c.refused(resp)
		if status := (*HTTPError)(nil); errors.As(err, &status) {
			status.Host = c.secrets.wsHost
		}
		return nil, err
	}
	return nil, c.streamError(err)
}

// streamError is a connection that did not come about, or ended. The library's
// errors may hold the URL.
func (c *Client) streamError(err error) error {
	return &TransportError{Host: c.secrets.wsHost, Cause: "subscription: " + c.secrets.text(err.Error(), quotedBody), err: chain.ErrTransient}
}
