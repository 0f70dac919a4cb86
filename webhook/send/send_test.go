package send

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/webhook"
)

func TestSend(t *testing.T) {
	var got *http.Request
	var body []byte
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks")
	})
	next, old := testSecret(t, 1), testSecret(t, 2)
	s := newLocal(t, server.URL+"/hook?token=abc", func(c *Config) {
		c.Secrets = []webhook.Secret{next, old}
		c.Header = http.Header{"authorization": {"Bearer 123"}, "X-Two": {"a", "b"}}
	})
	m := message("evt_1")
	m.Timestamp = time.Now()
	receipt, err := s.Deliver(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, 202, receipt.Code)
	require.Equal(t, "thanks", receipt.Body)
	require.NotZero(t, receipt.Latency)

	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "/hook?token=abc", got.URL.RequestURI())
	require.Equal(t, m.Body, body)
	require.Equal(t, int64(len(m.Body)), got.ContentLength)
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.Equal(t, DefaultUserAgent, got.Header.Get("User-Agent"))
	require.Equal(t, "identity", got.Header.Get("Accept-Encoding"))
	require.Equal(t, "Bearer 123", got.Header.Get("Authorization"))
	require.Equal(t, []string{"a", "b"}, got.Header.Values("X-Two"))

	for _, secret := range []webhook.Secret{next, old} {
		oracle, err := standard.NewWebhook(secret.Reveal())
		require.NoError(t, err)
		require.NoError(t, oracle.Verify(body, got.Header))
	}
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{next}})
	require.NoError(t, err)
	require.NoError(t, v.VerifyBody(got.Header.Get("X-Gateway-Signature"), body))
}

func TestSendOwnUserAgent(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "shop/2" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	s := newLocal(t, server.URL, func(c *Config) { c.Header = http.Header{"user-agent": {"shop/2"}} })
	require.NoError(t, s.Send(t.Context(), message("a")))
}

// TestThreat_E3_EveryAttemptHasTheSameID and a time of its own, by which alone
// a repetition after three days still verifies.
func TestThreat_E3_EveryAttemptHasTheSameID(t *testing.T) {
	var ids, times []string
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("webhook-id"))
		times = append(times, r.Header.Get("webhook-timestamp"))
	})
	now := newClock()
	s := newLocal(t, server.URL, func(c *Config) { c.Now = now.Now })
	require.NoError(t, s.Send(t.Context(), message("evt_1")))
	now.advance(75 * time.Hour)
	require.NoError(t, s.Send(t.Context(), message("evt_1")))
	require.Equal(t, []string{"evt_1", "evt_1"}, ids)
	first, err := strconv.Atoi(times[0])
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(first+75*3600), times[1])
}

func TestSendRefusesBadMessages(t *testing.T) {
	asked := false
	server := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	s := newLocal(t, server.URL)
	for _, id := range []string{"", "a.b", "a\r\nX-Injected: 1", "a b"} {
		var field *webhook.FieldError
		require.ErrorAs(t, s.Send(t.Context(), message(id)), &field, id)
		require.Equal(t, "id", field.Field)
	}
	require.False(t, asked)
}

// TestThreat_E17_OnlyGoneIsGone: no other status tells a caller to give up.
func TestThreat_E17_OnlyGoneIsGone(t *testing.T) {
	for _, code := range []int{400, 401, 403, 404, 408, 410, 413, 422, 429, 500, 501, 502, 503, 504, 599} {
		s := newLocal(t, answering(t, code).URL)
		receipt, err := s.Deliver(t.Context(), message("a"))
		var status *StatusError
		require.ErrorAs(t, err, &status, "%d", code)
		require.Equal(t, code, status.Code)
		require.Equal(t, code, receipt.Code)
		require.Equal(t, code == 410, status.Gone(), "%d", code)
		require.Equal(t, s.Host(), status.Host)
	}
	for _, code := range []int{200, 201, 202, 204, 299} {
		require.NoError(t, newLocal(t, answering(t, code).URL).Send(t.Context(), message("a")), "%d", code)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"120":                           2 * time.Minute,
		"86400":                         24 * time.Hour,
		"86401":                         MaxRetryAfter,
		"9223372036854775807":           MaxRetryAfter,
		"99999999999999999999":          0,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT": 0,
		"Fri, 01 Mar 2999 12:00:00 GMT": MaxRetryAfter,
	} {
		require.Equal(t, want, retryAfter(text, now), text)
	}
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	var status *StatusError
	require.ErrorAs(t, newLocal(t, server.URL).Send(t.Context(), message("a")), &status)
	require.Equal(t, 7*time.Second, status.RetryAfter)
}

func TestSendReusesConnections(t *testing.T) {
	peers := map[string]bool{}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		peers[r.RemoteAddr] = true
		_, _ = w.Write(make([]byte, DefaultMaxResponse-1))
	})
	s := newLocal(t, server.URL)
	for i := range 5 {
		require.NoError(t, s.Send(t.Context(), message(fmt.Sprint("a", i))))
	}
	require.Len(t, peers, 1)
}

func TestSendCanceledByCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-release })
	defer close(release)
	err := newLocal(t, server.URL).Send(ctx, message("a"))
	var failed *TransportError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, FailCanceled, failed.Kind)
	require.ErrorIs(t, err, context.Canceled)
}

func TestSendNoConnection(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	var failed *TransportError
	require.ErrorAs(t, newLocal(t, url).Send(t.Context(), message("a")), &failed)
	require.Equal(t, FailConnect, failed.Kind)
}

func TestSendUnknownName(t *testing.T) {
	dns := &fakeDNS{answers: [][]string{{}}}
	s := newLocal(t, "https://nowhere.test", func(c *Config) { c.Resolver = dns.resolver() })
	var failed *TransportError
	require.ErrorAs(t, s.Send(t.Context(), message("a")), &failed)
	require.Equal(t, FailDNS, failed.Kind)
}

func TestClose(t *testing.T) {
	s := newLocal(t, answering(t, 204).URL)
	require.NoError(t, s.Send(t.Context(), message("a")))
	s.Close()
	s.Close()
	err := s.Send(t.Context(), message("a"))
	require.ErrorIs(t, err, ErrClosed)
	var unsent *NotSentError
	require.ErrorAs(t, err, &unsent)
	require.Zero(t, unsent.Until)
}

// TestThreat_E14_ErrorsCarryNoCredentials: services put tokens into path,
// query and headers, and a receiver's error page likes to repeat them.
func TestThreat_E14_ErrorsCarryNoCredentials(t *testing.T) { credentialsStayInside(t) }
func TestThreat_C19_URLCredentialsStayInside(t *testing.T) { credentialsStayInside(t) }

func credentialsStayInside(t *testing.T) {
	t.Helper()
	var mode atomic.Value
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch mode.Load() {
		case "echo":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, "no route for %s (%s) with %v", r.URL.RequestURI(), r.URL.Query(), r.Header)
		case "echo parts":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, "no %s for %s", path.Base(r.URL.Path), strings.Fields(r.Header.Get("Authorization"))[1])
		case "redirect":
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		case "break":
			panic(http.ErrAbortHandler)
		case "nonsense":
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", r.URL.RequestURI())
				conn.Close()
			}
		}
	})
	config := local(t, server.URL+"/services/PATHCANARY?token=QUERYCANARY&x=%43ANARY7", func(c *Config) {
		c.Header = http.Header{"Authorization": {"Bearer HEADERCANARY"}}
		c.Now = time.Now
	})
	s := newLocal(t, "http://127.0.0.1", func(c *Config) { *c = config })
	var said []string
	note := func(err error) {
		require.Error(t, err)
		said = append(said, err.Error(), fmt.Sprintf("%v %+v", err, err))
		var status *StatusError
		if errors.As(err, &status) {
			said = append(said, status.Body)
		}
	}
	for _, m := range []string{"echo", "echo parts", "redirect", "break", "nonsense"} {
		mode.Store(m)
		note(s.Send(t.Context(), message("a")))
	}
	server.Close()
	note(s.Send(t.Context(), message("a")))
	s.Close()
	note(s.Send(t.Context(), message("a")))
	for _, broken := range [][2]string{{"/services", "/%zz"}, {"token=", "#"}, {"token", " "}, {"&", "\r\n"}, {"http://", "http://u:PWCANARY@"}, {"http", "ftp"}} {
		_, err := New(local(t, strings.Replace(config.URL, broken[0], broken[1], 1)))
		note(err)
	}
	type holder struct {
		C Config
		s *Sender
	}
	text, err := config.MarshalJSON()
	require.NoError(t, err)
	said = append(said, string(text), config.LogValue().String(), fmt.Sprint(config, &config, s, holder{config, s}),
		fmt.Sprintf("%+v %#v %s %+v %#v %#v", config, config, config, s, s, holder{config, s}))
	for _, text := range said {
		require.NotContains(t, text, "CANARY")
	}
	require.Contains(t, strings.Join(said, "\n"), "***")
}

// TestThreat_E20_AnswersCannotForgeLogLines: an excerpt is one bounded line.
func TestThreat_E20_AnswersCannotForgeLogLines(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "a\r\nlevel=INFO msg=paid\x1b[31m\x00\xff\u2028\u202e"+strings.Repeat("é", 4000))
	})
	err := newLocal(t, server.URL).Send(t.Context(), message("a"))
	var status *StatusError
	require.ErrorAs(t, err, &status)
	require.True(t, strings.HasPrefix(status.Body, "a  level=INFO msg=paid [31m "), status.Body)
	require.LessOrEqual(t, len(status.Body), maxExcerpt)
	require.False(t, strings.ContainsFunc(status.Body, func(r rune) bool { return !strconv.IsPrint(r) || r == '\uFFFD' }), "%q", status.Body)
}
