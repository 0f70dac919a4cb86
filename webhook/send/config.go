package send

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/bursar-go/bursar/webhook"
)

// Defaults and bounds of Config.
const (
	DefaultTimeout     = 15 * time.Second
	MaxTimeout         = 2 * time.Minute
	DefaultMaxResponse = 64 << 10
	MaxMaxResponse     = 1 << 20
	DefaultUserAgent   = "bursar-webhook/1"
	maxResponseHeaders = 64 << 10
	maxConcurrency     = 1024
	maxIdleConns       = 64 // as many as one notifier has calls under way
	idleTimeout        = 90 * time.Second
)

// Config describes one endpoint. Printing it shows the host of the URL and
// nothing that may be secret.
type Config struct {
	// URL receives the requests: https, or http where AllowHTTP. A host and
	// optionally port, path and query; no user, no fragment.
	URL string

	// Secrets sign, the current one first; see package webhook on rotation. At
	// least one.
	Secrets []webhook.Secret

	// Timeout bounds an attempt from the look-up of the name to the last byte
	// read. Zero means DefaultTimeout; at most MaxTimeout.
	Timeout time.Duration

	// Header is sent with each request, for receivers that want a token of
	// their own. Names that HTTP or this package uses are refused; User-Agent
	// may be set.
	Header http.Header

	// AllowPrivate lists networks that may be reached although they are not on
	// the public internet: loopback, RFC 1918, link-local. In them every port
	// is allowed. Keep it as narrow as the one receiver needs.
	AllowPrivate []netip.Prefix

	// AllowHTTP permits http URLs, and those to addresses in AllowPrivate only:
	// nothing crosses the internet in the clear.
	AllowHTTP bool

	// Ports are those allowed at public addresses beside 443.
	Ports []uint16

	// MaxResponse is how much of an answer's body is read, in bytes, before the
	// connection is given up. Zero means DefaultMaxResponse; at most
	// MaxMaxResponse. Headers are bounded at 64 KiB.
	MaxResponse int64

	// RootCAs are believed instead of the system's; nil means the system's.
	RootCAs *x509.CertPool
	// ClientCertificates are shown to receivers that ask for one.
	ClientCertificates []tls.Certificate
	// MinTLS is the oldest version accepted. Zero means tls.VersionTLS12, and
	// nothing older is accepted.
	MinTLS uint16

	// Resolver looks names up; nil means net.DefaultResolver.
	Resolver *net.Resolver

	// Concurrency is how many requests may be under way at once, 0 to 1024.
	// Zero: no limit here. The one beyond is refused with ErrBusy.
	Concurrency int

	// Every is the time between two requests in the long run; what comes
	// earlier is refused with ErrRateLimited. Zero: no limit.
	Every time.Duration
	// Burst is how many requests may come at once after a pause, where Every is
	// set. Zero means 1.
	Burst int

	// Breaker stops requests to an endpoint that does not answer; nil: none.
	Breaker *BreakerConfig

	// Now is the clock of timestamps, limits and breaker; nil means time.Now.
	Now func() time.Time

	// dial replaces the dialer, and with it the address check, in tests that
	// run in simulated time, where no real connection can be.
	dial dialFunc
}

// FieldError says which field of a Config is wrong. The value is left out,
// since it may be secret.
type FieldError struct {
	// Field is the field's name: "URL", "Breaker.Failures".
	Field string
	// Reason says what is wrong.
	Reason string
}

// Error names the field and the reason.
func (e *FieldError) Error() string { return "webhook/send: " + e.Field + ": " + e.Reason }

// withDefaults returns a copy that shares nothing mutable with c.
func (c Config) withDefaults() Config {
	c.Secrets = slices.Clone(c.Secrets)
	c.Header = c.Header.Clone()
	c.AllowPrivate = slices.Clone(c.AllowPrivate)
	c.Ports = append(slices.Clone(c.Ports), 443)
	c.ClientCertificates = slices.Clone(c.ClientCertificates)
	if c.RootCAs != nil {
		c.RootCAs = c.RootCAs.Clone()
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxResponse == 0 {
		c.MaxResponse = DefaultMaxResponse
	}
	if c.MinTLS == 0 {
		c.MinTLS = tls.VersionTLS12
	}
	if c.Burst == 0 {
		c.Burst = 1
	}
	if c.Breaker != nil {
		b := c.Breaker.withDefaults()
		c.Breaker = &b
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// validate checks everything but the URL, after the defaults.
func (c Config) validate() error {
	switch {
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return &FieldError{"Timeout", fmt.Sprintf("want at most %v", MaxTimeout)}
	case c.MaxResponse < 0 || c.MaxResponse > MaxMaxResponse:
		return &FieldError{"MaxResponse", fmt.Sprintf("want at most %d bytes", MaxMaxResponse)}
	case c.MinTLS < tls.VersionTLS12 || c.MinTLS > tls.VersionTLS13:
		return &FieldError{"MinTLS", "want TLS 1.2 or 1.3"}
	case c.Concurrency < 0 || c.Concurrency > maxConcurrency:
		return &FieldError{"Concurrency", fmt.Sprintf("want 0 to %d", maxConcurrency)}
	case c.Every < 0:
		return &FieldError{"Every", "negative"}
	case c.Burst < 0:
		return &FieldError{"Burst", "negative"}
	}
	if _, err := webhook.Sign(c.Secrets, webhook.Message{ID: "x", Timestamp: time.Unix(1, 0)}); err != nil {
		return &FieldError{"Secrets", err.Error()}
	}
	for i, p := range c.AllowPrivate {
		if err := checkPrefix(p); err != "" {
			return &FieldError{fmt.Sprintf("AllowPrivate[%d]", i), err}
		}
	}
	if slices.Contains(c.Ports, 0) {
		return &FieldError{"Ports", "no such port: 0"}
	}
	if c.Breaker != nil {
		if err := c.Breaker.validate(); err != nil {
			return err
		}
	}
	return checkHeader(c.Header)
}

// String names the endpoint by its host alone.
func (c Config) String() string { return "send.Config(" + origin(c.URL) + ")" }

// GoString is String.
func (c Config) GoString() string { return c.String() }

// Format writes String for every verb and flag.
func (c Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// MarshalJSON writes String; a Config is not meant to be stored this way.
func (c Config) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", c.String()), nil }

// LogValue is String for log/slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
