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

// maxHeadMessage bounds one message of a subscription; a head has about 2 KiB.
const maxHeadMessage = 256 << 10

// pace is how long a subscription waits for what.
type pace struct {
	// beat is the time between two pings.
	beat time.Duration
	// silence is how long it may be without a head, or where a head may be long in
	// coming without an answer to a ping, before the connection is taken for dead.
	silence time.Duration
}

// pace follows from the chain: three blocks that do not come are no chance.
func (c *Client) pace() pace {
	return pace{beat: 10 * time.Second, silence: max(3*c.Info().BlockTime, 30*time.Second)}
}

// SubscribeHeads follows new heads over Config.WebSocket (eth_subscribe, newHeads)
// and sends on wake for each, without blocking, and once when the subscription
// begins. It returns when ctx ends, with its error, or when the subscription
// does: the caller subscribes again. A connection on which no head comes for
// three blocks' time, at least 30 s, ends as dead; on a chain that makes blocks
// on demand it is pings that must be answered.
//
// Errors: chain.ErrUnsupported without Config.WebSocket or where the node has no
// subscriptions, *WrongChainError, *RPCError, *HTTPError, *DecodeError and
// *TransportError.
func (c *Client) SubscribeHeads(ctx context.Context, wake chan<- struct{}) error {
	if c.cfg.WebSocket == "" {
		return fmt.Errorf("evm: %w: no Config.WebSocket", chain.ErrUnsupported)
	}
	return c.subscribe(ctx, wake, c.pace())
}

func (c *Client) subscribe(ctx context.Context, wake chan<- struct{}, p pace) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is written that could be lost
	// A read ends by its deadline or by this.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	h := heads{client: c, conn: conn, pace: p, wake: wake}
	err = h.follow(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
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
		conn.SetReadLimit(maxHeadMessage)
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case bounded.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		err = errors.New("no connection within " + c.cfg.Timeout.String())
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		err := c.refused(resp)
		if status := (*HTTPError)(nil); errors.As(err, &status) {
			status.Host = c.secrets.wsHost
		}
		return nil, err
	}
	return nil, c.headError(err)
}

// headError is a connection that did not come about, or ended. The library's
// errors may hold the URL.
func (c *Client) headError(err error) error {
	return &TransportError{Host: c.secrets.wsHost, Cause: "heads: " + c.secrets.text(err.Error(), quotedBody), err: chain.ErrTransient}
}

// heads is one subscription under way.
type heads struct {
	client *Client
	conn   *websocket.Conn
	pace   pace
	wake   chan<- struct{}
	id     string // of the subscription, empty before there is one
}

// Ids of the two calls of a subscription.
const (
	askedChain = "1"
	askedHeads = "2"
)

// follow asks which chain it is, subscribes and reads until something fails.
func (h *heads) follow(ctx context.Context) error {
	for _, text := range []string{
		`{"jsonrpc":"2.0","id":` + askedChain + `,"method":"eth_chainId","params":[]}`,
		`{"jsonrpc":"2.0","id":` + askedHeads + `,"method":"eth_subscribe","params":["newHeads"]}`,
	} {
		_ = h.conn.SetWriteDeadline(time.Now().Add(h.pace.beat)) // what fails here fails in the write
		if err := h.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			return h.client.headError(err)
		}
	}
	ctx, end := context.WithCancel(ctx)
	beating := make(chan struct{})
	defer func() { end(); <-beating }()
	go h.beat(ctx, beating)
	h.alive()
	if h.client.Info().OnDemandBlocks {
		h.conn.SetPongHandler(func(string) error { h.alive(); return nil })
	}
	for {
		_, text, err := h.conn.ReadMessage()
		if err != nil {
			return h.client.headError(err)
		}
		if err := h.take(text); err != nil {
			return err
		}
	}
}

// alive sets the time by which the next sign of life must come.
func (h *heads) alive() {
	_ = h.conn.SetReadDeadline(time.Now().Add(h.pace.silence)) // fails on a closed connection alone, as the read does
}

// beat pings until ctx ends, so that nothing between here and the node takes the
// connection for unused. What fails is found by the reader.
func (h *heads) beat(ctx context.Context, done chan<- struct{}) {
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

// headMessage is what a node sends: an answer, or a notification.
type headMessage struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int64  `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Method string `json:"method"`
	Params struct {
		Subscription string `json:"subscription"`
	} `json:"params"`
}

// take reads one message. What a head says is not looked at: it is a hint, and
// the scanner asks for itself.
func (h *heads) take(text []byte) error {
	var m headMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return &DecodeError{Reason: "heads: not a message of JSON-RPC"}
	}
	if m.Method != "" {
		if m.Method == "eth_subscription" && h.id != "" && m.Params.Subscription == h.id {
			h.alive()
			h.hint()
		}
		return nil
	}
	method := map[string]string{askedChain: "eth_chainId", askedHeads: "eth_subscribe"}[string(m.ID)]
	switch {
	case m.Error != nil:
		return h.refused(&RPCError{Method: method, Code: m.Error.Code, Message: h.client.secrets.text(m.Error.Message, 1024)})
	case method == "eth_chainId":
		return h.checkChain(m.Result)
	case method == "eth_subscribe":
		if err := json.Unmarshal(m.Result, &h.id); err != nil || h.id == "" {
			return &DecodeError{Reason: "heads: a subscription without an id"}
		}
		h.hint() // for what came before it
		return nil
	}
	return &DecodeError{Reason: "heads: an id that was not asked for"}
}

// refused tells nodes without subscriptions from those that fail.
func (h *heads) refused(err *RPCError) error {
	if err.Code == codeMethodNotFound || refusedWith(err, 0, "notifications not supported", "not supported", "unsupported") {
		return fmt.Errorf("%w: %w", chain.ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", chain.ErrTransient, err)
}

func (h *heads) checkChain(result []byte) error {
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
		return &DecodeError{Reason: "heads: no chain id"}
	case number != h.client.number:
		return h.client.wrongNumber(number)
	}
	return nil
}

// hint wakes whoever waits; hints that come while one is waiting are one.
func (h *heads) hint() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}
