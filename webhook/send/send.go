package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/bursar-go/bursar/webhook"
)

// MaxRetryAfter bounds the Retry-After that a receiver may ask for: one that
// asks for a year would never hear of its payments again.
const MaxRetryAfter = 24 * time.Hour

// Bounds of a stranger's text in our errors, in bytes.
const (
	maxExcerpt   = 512
	maxErrorText = 300
)

// Sender posts messages to one endpoint. It is safe for concurrent use and
// starts no goroutine of its own; idle connections stay open until Close.
type Sender struct {
	config    Config
	target    target
	transport *http.Transport
	redact    *strings.Replacer
	limiter   *rate.Limiter
	slots     chan struct{}
	breaker   *breaker
	closed    atomic.Bool
}

// New copies c, fills in defaults and checks it. It connects to nothing. Errors
// are *FieldError.
func New(c Config) (*Sender, error) {
	c = c.withDefaults()
	t, err := checkURL(c.URL, c.AllowHTTP)
	if err != nil {
		return nil, err
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	g := newGuard(c, t.url.Scheme == "http")
	if err := g.foresee(t); err != nil {
		return nil, err
	}
	s := &Sender{config: c, target: t, transport: newTransport(c, g), redact: newRedactor(c, t)}
	if c.Every > 0 {
		s.limiter = rate.NewLimiter(rate.Every(c.Every), c.Burst)
	}
	if c.Concurrency > 0 {
		s.slots = make(chan struct{}, c.Concurrency)
	}
	if c.Breaker != nil {
		s.breaker = newBreaker(*c.Breaker)
	}
	return s, nil
}

// foresee refuses at once what check would refuse at every attempt.
func (g *guard) foresee(t target) error {
	if a, err := netip.ParseAddr(t.host); err == nil {
		if g.check(netip.AddrPortFrom(a, t.port)) != nil {
			return &FieldError{"URL", "address or port not allowed"}
		}
		return nil
	}
	switch {
	case len(g.private) > 0:
		// The name may resolve into one of them.
		return nil
	case g.plain:
		return &FieldError{"URL", "http goes to addresses in AllowPrivate only"}
	case g.public.SafeAddrPort(netip.AddrPortFrom(publicAddress, t.port)) != nil:
		return &FieldError{"URL", fmt.Sprintf("port %d needs Ports", t.port)}
	}
	return nil
}

// publicAddress is any address on the public internet, to ask the guard about
// the port alone.
var publicAddress = netip.AddrFrom4([4]byte{1, 1, 1, 1})

// newTransport makes a transport that does nothing but the one request: no
// proxy, no decompression, no redirects (those are http.Client's), every part
// of the answer bounded. The attempt's context bounds the time of all of it,
// except that net/http lets a dial go on without the request that wanted it;
// dial and handshake therefore have the limit of their own.
func newTransport(c Config, g *guard) *http.Transport {
	dial := c.dial
	if dial == nil {
		dial = (&net.Dialer{Control: g.control, Resolver: c.Resolver, Timeout: c.Timeout}).DialContext
	}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dial,
		ForceAttemptHTTP2:      true, // A dialer of our own would switch it off.
		DisableCompression:     true,
		TLSHandshakeTimeout:    c.Timeout,
		MaxResponseHeaderBytes: maxResponseHeaders,
		MaxConnsPerHost:        c.Concurrency,
		MaxIdleConnsPerHost:    max(maxIdleConns, c.Concurrency),
		IdleConnTimeout:        idleTimeout,
		TLSClientConfig: &tls.Config{
			RootCAs:      c.RootCAs,
			Certificates: c.ClientCertificates,
			MinVersion:   c.MinTLS,
		},
	}
}

// newRedactor blanks out what a receiver may echo: path and query of the URL,
// values of extra headers. Short ones are left, for they would match anywhere.
func newRedactor(c Config, t target) *strings.Replacer {
	var secrets []string
	add := func(values ...string) {
		for _, v := range values {
			if len(v) >= 6 {
				secrets = append(secrets, v)
			}
		}
	}
	add(t.url.RequestURI(), t.url.RawQuery, t.url.EscapedPath(), t.url.Path)
	for _, values := range t.url.Query() {
		add(values...)
	}
	add(strings.Split(t.url.Path, "/")...)
	for _, values := range c.Header {
		for _, v := range values {
			add(v)
			add(strings.Fields(v)...) // "Bearer token"
		}
	}
	// Longest first, since the replacer takes the first that matches; sorted by
	// text as well, since both maps above come in any order.
	slices.SortFunc(secrets, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var pairs []string
	for _, v := range slices.Compact(secrets) {
		pairs = append(pairs, v, "***")
	}
	return strings.NewReplacer(pairs...)
}

// Receipt is what is known of an attempt that got an answer.
type Receipt struct {
	// Code is the HTTP status.
	Code int
	// Body is the beginning of the answer, as StatusError.Body.
	Body string
	// Latency is the time from the call until the answer was read.
	Latency time.Duration
}

// Send posts m once and returns nil when the receiver answered 2xx. A zero
// m.Timestamp means now, which is right for every attempt: the id stays, the
// time is that of the attempt.
//
// Errors: *NotSentError where nothing left the process, *TransportError where
// no answer came, *StatusError for any other answer, *webhook.FieldError for a
// message that cannot be signed.
func (s *Sender) Send(ctx context.Context, m webhook.Message) error {
	_, err := s.Deliver(ctx, m)
	return err
}

// Deliver is Send for callers that keep a record of the attempts. The receipt
// is set where there was an answer, also along with a *StatusError.
func (s *Sender) Deliver(ctx context.Context, m webhook.Message) (Receipt, error) {
	start := s.config.Now()
	if m.Timestamp.IsZero() {
		m.Timestamp = start
	}
	headers, err := webhook.Sign(s.config.Secrets, m)
	if err != nil {
		return Receipt{}, err
	}
	release, err := s.admit(start)
	if err != nil {
		return Receipt{}, err
	}
	// A breaker whose probe never reports would stay half open for ever.
	result := neutral
	var retryAfter time.Duration
	defer func() { release(result, retryAfter) }()

	receipt, err := s.post(ctx, headers, m.Body)
	receipt.Latency = s.config.Now().Sub(start)
	result, retryAfter = judge(err)
	return receipt, err
}

// admit passes the limits, cheapest to give back first, and returns what has to
// be called when the request is over.
func (s *Sender) admit(now time.Time) (func(outcome, time.Duration), error) {
	refuse := func(err error, until time.Time) (func(outcome, time.Duration), error) {
		return nil, &NotSentError{Host: s.target.url.Host, Err: err, Until: until}
	}
	if s.closed.Load() {
		return refuse(ErrClosed, time.Time{})
	}
	free := func() {}
	if s.slots != nil {
		select {
		case s.slots <- struct{}{}:
			free = func() { <-s.slots }
		default:
			return refuse(ErrBusy, time.Time{})
		}
	}
	report := func(outcome, time.Duration) {}
	if s.breaker != nil {
		generation, until, ok := s.breaker.allow(now)
		if !ok {
			free()
			return refuse(ErrBreakerOpen, until)
		}
		report = func(o outcome, retryAfter time.Duration) {
			s.breaker.report(generation, o, s.config.Now(), retryAfter)
		}
	}
	if s.limiter != nil {
		if r := s.limiter.ReserveN(now, 1); r.DelayFrom(now) > 0 {
			until := now.Add(r.DelayFrom(now))
			r.CancelAt(now)
			report(neutral, 0)
			free()
			return refuse(ErrRateLimited, until)
		}
	}
	return func(o outcome, retryAfter time.Duration) { report(o, retryAfter); free() }, nil
}

// judge says what an attempt tells of the endpoint as a whole.
func judge(err error) (outcome, time.Duration) {
	var status *StatusError
	var transport *TransportError
	switch {
	case errors.As(err, &status):
		switch status.Code {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return failing, status.RetryAfter
		}
		return alive, 0
	case errors.As(err, &transport) && transport.Kind == FailCanceled:
		return neutral, 0
	case err != nil:
		return failing, 0
	}
	return alive, 0
}

func (s *Sender) post(ctx context.Context, signed http.Header, body []byte) (Receipt, error) {
	attempt, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(attempt, http.MethodPost, s.config.URL, bytes.NewReader(body))
	if err != nil {
		return Receipt{}, s.failed(FailProtocol, err)
	}
	for name, values := range s.config.Header {
		request.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	for name, values := range signed {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", DefaultUserAgent)
	}
	// The transport itself, without http.Client: nothing to follow redirects,
	// to keep cookies, or to put the URL into errors.
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		return Receipt{}, s.failed(classify(ctx, attempt, err), err)
	}
	defer response.Body.Close()
	return s.read(response)
}

// read turns an answer into a receipt. The status decides, and it is here: a
// body that is endless, slow or broken changes nothing about it any more.
func (s *Sender) read(response *http.Response) (Receipt, error) {
	receipt := Receipt{Code: response.StatusCode}
	if response.StatusCode != http.StatusSwitchingProtocols {
		excerpt, _ := io.ReadAll(io.LimitReader(response.Body, min(4*maxExcerpt, s.config.MaxResponse)))
		receipt.Body = clean(s.redact.Replace(string(excerpt)), maxExcerpt)
		// A connection whose answer was read to its end can be used again.
		_, _ = io.CopyN(io.Discard, response.Body, s.config.MaxResponse-int64(len(excerpt)))
	}
	if receipt.Code >= 200 && receipt.Code <= 299 {
		return receipt, nil
	}
	return receipt, &StatusError{
		Host: s.target.url.Host, Code: receipt.Code, Body: receipt.Body,
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), s.config.Now()),
	}
}

func (s *Sender) failed(kind FailureKind, err error) error {
	return &TransportError{
		Host: s.target.url.Host, Kind: kind, Err: err,
		text: clean(s.redact.Replace(err.Error()), maxErrorText),
	}
}

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110, 10.2.3).
// What is neither, or lies in the past, counts as not said.
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	if n, err := strconv.ParseUint(text, 10, 63); err == nil {
		if n > uint64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter
		}
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

// Close drops idle connections and refuses further messages. Requests under way
// end by themselves. It may be called more than once.
func (s *Sender) Close() {
	s.closed.Store(true)
	s.transport.CloseIdleConnections()
}

// Host returns the endpoint's host and port, for logs and metrics.
func (s *Sender) Host() string { return s.target.url.Host }

// String names the sender by its endpoint's host alone.
func (s *Sender) String() string { return "send.Sender(" + origin(s.config.URL) + ")" }

// Format writes String for every verb and flag.
func (s *Sender) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }
