package send

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// drip writes text again and again, one byte a second, until nobody listens.
func drip(conn net.Conn, text string) {
	for {
		for i := range len(text) {
			if _, err := conn.Write([]byte{text[i]}); err != nil {
				return
			}
			<-time.After(time.Second)
		}
	}
}

func TestThreat_E7_SlowHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLocal(t, "http://127.0.0.1", piped(t, func(conn net.Conn) { drip(conn, "HTTP/1.1 200 OK\r\nX-A: aaaaaaaaaaaaaaaaaa") }))
		start := time.Now()
		err := s.Send(t.Context(), message("a"))
		var failed *TransportError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, FailTimeout, failed.Kind)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, DefaultTimeout, time.Since(start))
	})
}

func TestThreat_E7_SilentReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLocal(t, "http://127.0.0.1", func(c *Config) { c.Timeout = 3 * time.Second }, piped(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }))
		start := time.Now()
		var failed *TransportError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &failed)
		require.Equal(t, FailTimeout, failed.Kind)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// TestThreat_E7_SilentHandshake: net/http gives the dial a life of its own, and
// it has to end as well.
func TestThreat_E7_SilentHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hungUp := make(chan struct{})
		s := newLocal(t, "https://127.0.0.1", func(c *Config) {
			c.dial = func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					defer close(hungUp)
					_, _ = io.Copy(io.Discard, server)
				}()
				return client, nil
			}
		})
		start := time.Now()
		var failed *TransportError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &failed)
		require.Equal(t, FailTimeout, failed.Kind)
		<-hungUp
		require.Equal(t, DefaultTimeout, time.Since(start))
	})
}

// TestThreat_E7_SlowBody: the status came, so it counts; the body may take no
// longer than the rest of the time.
func TestThreat_E7_SlowBody(t *testing.T) {
	for status, want := range map[string]int{"200 OK": 200, "500 Oops": 500} {
		synctest.Test(t, func(t *testing.T) {
			s := newLocal(t, "http://127.0.0.1", piped(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 1000\r\n\r\n")
				drip(conn, "z")
			}))
			start := time.Now()
			receipt, err := s.Deliver(t.Context(), message("a"))
			require.Equal(t, want, receipt.Code)
			require.Equal(t, want != 200, err != nil)
			require.Equal(t, DefaultTimeout, time.Since(start))
			require.Equal(t, DefaultTimeout, receipt.Latency)
		})
	}
}

// TestThreat_E7_EndlessBody counts what the receiver gets rid of: the limit,
// plus what the buffers between hold.
func TestThreat_E7_EndlessBody(t *testing.T) {
	for _, status := range []string{"200 OK", "503 Busy"} {
		synctest.Test(t, func(t *testing.T) {
			var written atomic.Int64
			s := newLocal(t, "http://127.0.0.1", piped(t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nConnection: keep-alive\r\n\r\n")
				for block := make([]byte, 1024); ; {
					n, err := conn.Write(block)
					written.Add(int64(n))
					if err != nil {
						return
					}
				}
			}))
			receipt, err := s.Deliver(t.Context(), message("a"))
			require.Equal(t, status[:3] != "200", err != nil)
			require.Equal(t, strings.Repeat(" ", maxExcerpt), receipt.Body)
			s.Close()
			synctest.Wait()
			require.GreaterOrEqual(t, written.Load(), int64(DefaultMaxResponse))
			require.LessOrEqual(t, written.Load(), int64(DefaultMaxResponse+16<<10))
		})
	}
}

func TestThreat_E7_GzipBomb(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write(bytes.Repeat([]byte("boom"), 4<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	asked := ""
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(bomb.Bytes())
	})
	receipt, err := newLocal(t, server.URL).Deliver(t.Context(), message("a"))
	require.Error(t, err)
	require.Equal(t, "identity", asked)
	require.NotContains(t, receipt.Body, "boom")
}

func TestThreat_E7_HugeHeaders(t *testing.T) {
	for name, set := range map[string]func(h http.Header){
		"one":  func(h http.Header) { h.Set("X-Big", strings.Repeat("a", 1<<20)) },
		"many": func(h http.Header) { h["X-Many"] = strings.Split(strings.Repeat("abc,", 100_000), ",") },
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) { set(w.Header()) })
		err := newLocal(t, server.URL).Send(t.Context(), message("a"))
		var failed *TransportError
		require.ErrorAs(t, err, &failed, name)
		require.Equal(t, FailProtocol, failed.Kind, name)
		require.Less(t, len(err.Error()), 500)
	}
	// What a decent receiver sends is well within.
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Big", strings.Repeat("a", 32<<10)) })
	require.NoError(t, newLocal(t, server.URL).Send(t.Context(), message("a")))
}

func TestThreat_E7_EndlessInformationalAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLocal(t, "http://127.0.0.1", piped(t, func(conn net.Conn) {
			for {
				if _, err := io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"); err != nil {
					return
				}
			}
		}))
		var failed *TransportError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &failed)
		require.Equal(t, FailProtocol, failed.Kind)
	})
}

func TestSwitchingProtocolsIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLocal(t, "http://127.0.0.1", piped(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
		}))
		start := time.Now()
		var status *StatusError
		require.ErrorAs(t, s.Send(t.Context(), message("a")), &status)
		require.Equal(t, 101, status.Code)
		require.Zero(t, time.Since(start))
	})
}

// TestThreat_E8_RedirectsAreFailures: the target of the redirect is even an
// allowed one, and gets nothing.
func TestThreat_E8_RedirectsAreFailures(t *testing.T) {
	var reached atomic.Int64
	internal := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	for _, code := range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", internal.URL)
			w.WriteHeader(code)
		})
		err := newLocal(t, server.URL).Send(t.Context(), message("a"))
		var status *StatusError
		require.ErrorAs(t, err, &status, "%d", code)
		require.Equal(t, code, status.Code)
		require.NotContains(t, err.Error(), internal.URL)
	}
	require.Zero(t, reached.Load())
}
