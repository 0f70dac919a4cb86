package send

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bursar-go/bursar/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testSecret(t testing.TB, b byte) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)))
	require.NoError(t, err)
	return s
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// local is the configuration for a receiver on this machine.
func local(t testing.TB, url string, edits ...func(c *Config)) Config {
	t.Helper()
	c := Config{URL: url, Secrets: []webhook.Secret{testSecret(t, 1)}, AllowHTTP: true, AllowPrivate: prefixes("127.0.0.0/8", "::1/128")}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

func newLocal(t testing.TB, url string, edits ...func(c *Config)) *Sender {
	t.Helper()
	s, err := New(local(t, url, edits...))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// serve starts a receiver on loopback.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// answering is a receiver with always the same status.
func answering(t testing.TB, code int) *httptest.Server {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func message(id string) webhook.Message {
	return webhook.Message{ID: id, Body: []byte(`{"id":"` + id + `"}`)}
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// piped is a dialer to a receiver inside the process, for tests in simulated
// time. The receiver has read the request when answer is called.
// The test ends only when the receiver's goroutines have.
func piped(t testing.TB, answer func(conn net.Conn)) func(c *Config) {
	var receivers sync.WaitGroup
	t.Cleanup(receivers.Wait)
	return func(c *Config) {
		c.dial = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			receivers.Go(func() {
				defer server.Close()
				request, err := http.ReadRequest(bufio.NewReader(server))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				answer(server)
			})
			return client, nil
		}
	}
}

// fakeDNS answers address queries over a pipe, each with the next list of
// answers; the last one stays.
type fakeDNS struct {
	mu      sync.Mutex
	answers [][]string
	asked   int
}

func (f *fakeDNS) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for f.answer(server) == nil {
			}
		}()
		return client, nil
	}}
}

// next returns the addresses for one look-up. Only the A query moves on, so
// that each look-up, which also asks for AAAA, counts once.
func (f *fakeDNS) next(a bool) (out []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !a {
		return nil
	}
	for _, text := range f.answers[min(f.asked, len(f.answers)-1)] {
		out = append(out, netip.MustParseAddr(text))
	}
	f.asked++
	return out
}

// answer reads one query in TCP framing (RFC 1035, 4.2.2) and answers it.
func (f *fakeDNS) answer(conn net.Conn) error {
	var size uint16
	if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
		return err
	}
	query := make([]byte, size)
	if _, err := io.ReadFull(conn, query); err != nil {
		return err
	}
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	addresses := f.next(query[end-3] == 1)
	reply := append([]byte{}, query[:end]...)
	copy(reply[2:], []byte{0x81, 0x80, 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0})
	for _, a := range addresses {
		ip := a.As4()
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		reply = append(reply, ip[:]...)
	}
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}
