package signer

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/bursar-go/bursar/chain"
)

// Bounds and defaults of a ServerConfig.
const (
	// DefaultWindow is the default of ServerConfig.Window.
	DefaultWindow = time.Minute
	// DefaultMaxBody is the default of ServerConfig.MaxBody: 493 authorisations are
	// about 300 KB.
	DefaultMaxBody = 2 << 20
	// DefaultMaxRequests is the default of ServerConfig.MaxRequests.
	DefaultMaxRequests = 1024
	// DefaultPerSecond is the default of ServerConfig.PerSecond.
	DefaultPerSecond = 50
	// DefaultServerTimeout is the default of ServerConfig.Timeout.
	DefaultServerTimeout = 30 * time.Second
	// maxParallel is how many calls are worked on at a time; others wait.
	maxParallel = 8
	// maxKeyID bounds the name of a secret.
	maxKeyID = 64
)

// Halter is a signer with a kill switch; *hdwallet.Signer is one.
type Halter interface {
	// Halt has everything refused from now on. An error says that it may not outlive
	// the process.
	Halt(reason string) error
	// Halted returns the reason of a halt, and whether there is one.
	Halted() (reason string, halted bool)
}

// ServerConfig is what a Server needs. NewServer copies it.
type ServerConfig struct {
	// Signer signs. It must have a policy of its own: a server passes on what it is
	// asked for. Required.
	Signer chain.Signer
	// Secrets are those of the clients by their names, which are 1 to 64 of a-z, A-Z,
	// 0-9, '.', '_', '-'. Where there are any, every request must carry the MAC of one;
	// two names at a time serve to change a secret.
	Secrets map[string]Secret
	// Certificate says whether a client's certificate is accepted, which the host's
	// tls.Config has verified (tls.RequireAndVerifyClientCert). Where it is set, every
	// request must come with one. At least one of Secrets and Certificate is required;
	// with both, both must be right.
	Certificate func(*x509.Certificate) bool
	// Halter is the kill switch behind the path /v1/halt. Default: Signer, where it is
	// one; else the path does not exist.
	Halter Halter
	// Window is how far the time of a request may be from the server's, either way.
	// Default DefaultWindow, 1 s to 10 min.
	Window time.Duration
	// MaxBody bounds a request's body in bytes. Default DefaultMaxBody.
	MaxBody int64
	// MaxRequests is how many messages one call may have. Default DefaultMaxRequests.
	MaxRequests int
	// PerSecond is how many calls are taken in a second, from all clients together.
	// Default DefaultPerSecond.
	PerSecond int
	// Timeout bounds each call, reading included. Default DefaultServerTimeout.
	Timeout time.Duration
	// Logger gets a line for each call: who, how many messages, what came of it. It
	// gets refusals and errors of Signer in full, and no payloads. Default
	// slog.Default().
	Logger *slog.Logger
	// Now is the time by which requests are fresh. Default: time.Now.
	Now func() time.Time
}

// Server is an http.Handler that signs for authorised clients. Serve it by TLS, on an
// address that only they can reach, or on the loopback.
//
// In this order it checks: method and path; certificate and headers; the size and
// the MAC of the body; that the nonce is new; the rate. Only then is the body parsed. It
// has no call that ends a halt: who has the client's secret may stop the signer and
// not start it.
//
// It is safe for concurrent use. Make one with NewServer.
type Server struct {
	cfg   ServerConfig
	begin time.Time
	seen  seen
	rate  *rate.Limiter
	slots chan struct{}
}

var _ http.Handler = (*Server)(nil)

// NewServer checks cfg. Errors are *ConfigError.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Signer == nil {
		return nil, &ConfigError{"Signer", "required"}
	}
	if len(cfg.Secrets) == 0 && cfg.Certificate == nil {
		return nil, &ConfigError{"Secrets", "want one, or Certificate: a server for everybody is none"}
	}
	cfg.Secrets = maps.Clone(cfg.Secrets)
	for _, id := range slices.Sorted(maps.Keys(cfg.Secrets)) {
		switch {
		case !isKeyID(id):
			return nil, &ConfigError{"Secrets", fmt.Sprintf("the name %.80q is not 1 to %d of a-z A-Z 0-9 . _ -", id, maxKeyID)}
		case cfg.Secrets[id].IsZero():
			return nil, &ConfigError{"Secrets[" + id + "]", "empty"}
		}
	}
	for _, d := range []struct {
		name      string
		value     *time.Duration
		byDefault time.Duration
		least     time.Duration
		most      time.Duration
	}{
		{"Window", &cfg.Window, DefaultWindow, time.Second, 10 * time.Minute},
		{"Timeout", &cfg.Timeout, DefaultServerTimeout, time.Millisecond, time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.byDefault
		}
		if *d.value < d.least || *d.value > d.most {
			return nil, &ConfigError{d.name, fmt.Sprintf("want %s to %s", d.least, d.most)}
		}
	}
	if err := cfg.sizes(); err != nil {
		return nil, err
	}
	if cfg.Halter == nil {
		cfg.Halter, _ = cfg.Signer.(Halter)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Server{
		cfg: cfg, begin: cfg.Now(), rate: rate.NewLimiter(rate.Limit(cfg.PerSecond), cfg.PerSecond), slots: make(chan struct{}, maxParallel),
	}, nil
}

func (c *ServerConfig) sizes() error {
	switch {
	case c.MaxBody < 0:
		return &ConfigError{"MaxBody", "negative"}
	case c.MaxRequests < 0:
		return &ConfigError{"MaxRequests", "negative"}
	case c.PerSecond < 0:
		return &ConfigError{"PerSecond", "negative"}
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxRequests == 0 {
		c.MaxRequests = DefaultMaxRequests
	}
	if c.PerSecond == 0 {
		c.PerSecond = DefaultPerSecond
	}
	return nil
}

func isKeyID(id string) bool {
	return id != "" && len(id) <= maxKeyID && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	// A body that drips in must not hold a slot for longer; not every writer can.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.Timeout))
	c := &serverCall{Server: s, w: w, r: r}
	answer, err := c.handle(ctx)
	c.respond(ctx, answer, err)
}

// serverCall is one request under way.
type serverCall struct {
	*Server
	w    http.ResponseWriter
	r    *http.Request
	cred credentials
	// secret is the client's, once it is known to be the sender's.
	secret Secret
	count  int
}

func (c *serverCall) handle(ctx context.Context) (any, error) {
	work, method := c.route()
	switch {
	case work == nil:
		return nil, &chain.FormatError{What: "path", Text: c.r.URL.Path, Reason: "unknown"}
	case c.r.Method != method:
		return nil, &chain.FormatError{What: "method", Text: c.r.Method, Reason: "want " + method}
	case c.r.URL.RawQuery != "":
		return nil, &chain.FormatError{What: "path", Reason: "has a query, which no MAC would cover"}
	}
	secret, err := c.identify()
	if err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, &RemoteError{Code: CodeBusy, Reason: "too many calls at a time", RetryAfter: time.Second}
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, c.cfg.MaxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, &RemoteError{Code: CodeTooLarge, Reason: fmt.Sprintf("a body of more than %d bytes", c.cfg.MaxBody)}
		}
		return nil, &chain.FormatError{What: "body", Reason: "did not arrive"}
	}
	if err := c.authenticate(secret, body); err != nil {
		return nil, err
	}
	if !c.rate.AllowN(c.cfg.Now(), 1) {
		return nil, &RemoteError{Code: CodeBusy, Reason: "too many calls", RetryAfter: time.Second}
	}
	return work(ctx, body)
}

func (c *serverCall) route() (work func(context.Context, []byte) (any, error), method string) {
	switch c.r.URL.EscapedPath() {
	case pathSign:
		return c.sign, http.MethodPost
	case pathStatus:
		return c.status, http.MethodGet
	case pathHalt:
		if c.cfg.Halter != nil {
			return c.halt, http.MethodPost
		}
	}
	return nil, ""
}

func unauthorized(reason string) error { return &RemoteError{Code: CodeUnauthorized, Reason: reason} }

// identify looks at certificate and headers, before a byte of the body is read. It
// does not tell a name that is unknown from a MAC that is wrong.
func (c *serverCall) identify() (secret Secret, err error) {
	if c.cfg.Certificate != nil {
		if c.r.TLS == nil || len(c.r.TLS.VerifiedChains) == 0 || len(c.r.TLS.PeerCertificates) == 0 || !c.cfg.Certificate(c.r.TLS.PeerCertificates[0]) {
			return secret, unauthorized("no certificate that is accepted")
		}
	}
	if len(c.cfg.Secrets) == 0 {
		return secret, nil
	}
	for header, into := range map[string]*string{headerKey: &c.cred.key, headerTime: &c.cred.time, headerNonce: &c.cred.nonce} {
		values := c.r.Header.Values(header)
		if len(values) != 1 {
			return secret, unauthorized("want each header of the protocol once")
		}
		*into = values[0]
	}
	seconds, err := strconv.ParseInt(c.cred.time, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != c.cred.time {
		return secret, unauthorized("the time is no number of seconds")
	}
	raw, err := hex.DecodeString(c.cred.nonce)
	if err != nil || len(raw) != nonceSize || strings.ToLower(c.cred.nonce) != c.cred.nonce {
		return secret, unauthorized("the nonce is not 32 digits of lower-case hex")
	}
	now, at := c.cfg.Now(), time.Unix(seconds, 0)
	if at.Before(now.Add(-c.cfg.Window)) || at.After(now.Add(c.cfg.Window)) {
		return secret, unauthorized("the time is too far from the server's")
	}
	return c.cfg.Secrets[c.cred.key], nil
}

// authenticate checks the MAC and that the request is new. From before the server's
// start it cannot know, so it takes none.
func (c *serverCall) authenticate(secret Secret, body []byte) error {
	if len(c.cfg.Secrets) == 0 {
		return nil
	}
	mac := c.r.Header.Values(headerMAC)
	if secret.IsZero() || len(mac) != 1 || !equalMAC(mac[0], secret.requestMAC(c.cred, c.r.Method, c.r.URL.EscapedPath(), body)) {
		return unauthorized("the MAC is not right")
	}
	c.secret = secret
	seconds, _ := strconv.ParseInt(c.cred.time, 10, 64) // identify has looked at it
	if time.Unix(seconds, 0).Before(c.begin.Truncate(time.Second)) {
		return &RemoteError{Code: CodeReplayed, Reason: "made before the server began"}
	}
	now := c.cfg.Now()
	if !c.seen.add(c.cred.key+" "+c.cred.nonce, now, now.Add(2*c.cfg.Window+time.Second)) {
		return &RemoteError{Code: CodeReplayed, Reason: "the nonce is known, or there is no room for it"}
	}
	return nil
}

func (c *serverCall) sign(ctx context.Context, body []byte) (any, error) {
	requests, err := decodeSign(body, c.cfg.MaxRequests)
	if err != nil {
		return nil, err
	}
	c.count = len(requests)
	var signatures [][]byte
	err = guard("the signer", func() (err error) {
		signatures, err = c.cfg.Signer.Sign(ctx, requests)
		return err
	})
	if err != nil {
		return nil, err
	}
	return signAnswer{signatures}, nil
}

func (c *serverCall) status(context.Context, []byte) (any, error) {
	var st Status
	if c.cfg.Halter != nil {
		st.Reason, st.Halted = c.cfg.Halter.Halted()
	}
	return st, nil
}

func (c *serverCall) halt(_ context.Context, body []byte) (any, error) {
	var b haltBody
	if err := decode(body, true, &b); err != nil {
		return nil, err
	}
	if err := c.cfg.Halter.Halt(shorten(b.Reason)); err != nil {
		return nil, err
	}
	return struct{}{}, nil
}

// respond writes the answer with its MAC, where the sender is known.
func (c *serverCall) respond(ctx context.Context, answer any, err error) {
	status, code := http.StatusOK, "ok"
	if err != nil {
		e := toWire(err)
		answer, status, code = errorAnswer{e}, e.Code.status(), string(e.Code)
	}
	body, failed := json.Marshal(answer)
	if failed != nil {
		body, status, code = []byte(`{"error":{"code":"internal"}}`), http.StatusInternalServerError, string(CodeInternal)
		err = errors.Join(err, failed)
	}
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("path", shorten(c.r.URL.Path)), slog.String("client", shorten(c.cred.key)), slog.Int("messages", c.count), slog.String("outcome", code),
	}
	if err != nil {
		level, attrs = slog.LevelWarn, append(attrs, slog.String("err", err.Error()))
	}
	c.cfg.Logger.LogAttrs(ctx, level, "signer call", attrs...)
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if !c.secret.IsZero() {
		h.Set(headerMAC, hex.EncodeToString(c.secret.answerMAC(c.cred, status, body)))
	}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // a client that left has nobody to tell
}
