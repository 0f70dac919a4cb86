package cutproxy_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar/internal/cutproxy"
)

const (
	waitFor = time.Minute
	tick    = time.Millisecond
)

// fake is a server that answers every Query and Execute, and remembers what it
// was told.
type fake struct {
	listener net.Listener
	// encrypts is its answer to a client that wants to encrypt.
	encrypts byte

	mu    sync.Mutex
	heard []string // "Q commit", in the order of one connection
	ends  int      // connections whose client has ended
	conns map[net.Conn]bool
}

// serve starts a fake, and ends it with the test.
func serve(t *testing.T) *fake {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fake{listener: listener, encrypts: 'N', conns: map[net.Conn]bool{}}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[conn] = true
			f.mu.Unlock()
			done.Go(func() { f.talk(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		f.mu.Lock()
		for conn := range f.conns {
			conn.Close()
		}
		f.mu.Unlock()
		done.Wait()
		goleak.VerifyNone(t, leaks)
	})
	return f
}

func (f *fake) talk(conn net.Conn) {
	defer conn.Close()
	defer func() {
		f.mu.Lock()
		f.ends++
		f.mu.Unlock()
	}()
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[:])-4)
		if _, err := io.ReadFull(conn, rest); err != nil {
			return
		}
		switch binary.BigEndian.Uint32(rest) {
		case 80877103, 80877104:
			conn.Write([]byte{f.encrypts})
			continue
		case 80877102:
			f.hear("cancel")
			return
		}
		break
	}
	conn.Write(append(message('R', "\x00\x00\x00\x00"), message('Z', "I")...))
	for {
		kind, payload, err := receive(conn)
		if err != nil || kind == 'X' {
			return
		}
		text, _, _ := strings.Cut(payload, "\x00")
		f.hear(string(kind) + " " + text)
		switch kind {
		case 'Q':
			conn.Write(append(message('C', strings.TrimSuffix(strings.ToUpper(text), ";")+"\x00"), message('Z', "I")...))
		case 'E':
			conn.Write(message('C', "COMMIT\x00"))
		case 'S':
			conn.Write(message('Z', "I"))
		}
	}
}

func (f *fake) hear(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = append(f.heard, what)
}

// all returns what was heard once n connections have ended.
func (f *fake) all(t *testing.T, n int) []string {
	t.Helper()
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.ends >= n
	}, waitFor, tick, "%d connections end", n)
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.heard...)
}

// proxied starts a proxy before the fake, and closes it with the test.
func proxied(t *testing.T, f *fake, options cutproxy.Options) *cutproxy.Proxy {
	t.Helper()
	options.Server = f.listener.Addr().String()
	p, err := cutproxy.New(options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// message puts one together.
func message(kind byte, payload string) []byte {
	out := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)+4))
	return append(out, payload...)
}

// receive takes one apart.
func receive(conn net.Conn) (kind byte, payload string, err error) {
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0, "", err
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(conn, rest)
	return head[0], string(rest), err
}

// client is one connection to the proxy.
type client struct {
	t    *testing.T
	conn net.Conn
}

// dial connects without saying anything.
func dial(t *testing.T, p *cutproxy.Proxy) *client {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(waitFor)))
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn}
}

// login connects up to the point where statements can be sent.
func login(t *testing.T, p *cutproxy.Proxy) *client {
	t.Helper()
	c := dial(t, p)
	c.first(3<<16, "user\x00postgres\x00\x00")
	c.hears("R", "Z")
	return c
}

// first sends a message without a type.
func (c *client) first(code uint32, payload string) {
	c.t.Helper()
	out := binary.BigEndian.AppendUint32(nil, uint32(len(payload)+8))
	_, err := c.conn.Write(append(binary.BigEndian.AppendUint32(out, code), payload...))
	require.NoError(c.t, err)
}

// says sends messages, all in one write.
func (c *client) says(messages ...[]byte) {
	c.t.Helper()
	var out []byte
	for _, m := range messages {
		out = append(out, m...)
	}
	_, err := c.conn.Write(out)
	require.NoError(c.t, err)
}

// query sends one and hears its answer.
func (c *client) query(text string) {
	c.t.Helper()
	c.says(query(text))
	c.hears("C", "Z")
}

func query(text string) []byte { return message('Q', text+"\x00") }

// hears expects messages of these types.
func (c *client) hears(kinds ...string) {
	c.t.Helper()
	for _, want := range kinds {
		kind, _, err := receive(c.conn)
		require.NoError(c.t, err)
		require.Equal(c.t, want, string(kind))
	}
}

// ended expects the end of the connection, and not a byte before it.
func (c *client) ended() {
	c.t.Helper()
	rest, err := io.ReadAll(c.conn)
	require.Empty(c.t, rest)
	var timeout net.Error
	require.False(c.t, errors.As(err, &timeout) && timeout.Timeout(), "the connection is open and silent")
}
