package send

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Why a message was not sent at all. Send returns them inside a *NotSentError.
var (
	// ErrBreakerOpen: the endpoint failed too often; it is left alone for a while.
	ErrBreakerOpen = errors.New("breaker open")
	// ErrRateLimited: Config.Every and Burst are used up.
	ErrRateLimited = errors.New("rate limit")
	// ErrBusy: Config.Concurrency requests are under way.
	ErrBusy = errors.New("too many requests under way")
	// ErrClosed: Close has been called.
	ErrClosed = errors.New("sender closed")
)

// NotSentError says that nothing left this process: it is no attempt, and the
// schedule of retries should not count it as one.
type NotSentError struct {
	// Host is the endpoint's host.
	Host string
	// Err is one of the sentinels above.
	Err error
	// Until is the earliest time at which another try makes sense; zero where
	// nobody can tell (ErrBusy, ErrClosed).
	Until time.Time
}

// Error names the host, the reason and the time.
func (e *NotSentError) Error() string {
	text := fmt.Sprintf("webhook/send: %s: not sent: %v", e.Host, e.Err)
	if !e.Until.IsZero() {
		text += " until " + e.Until.UTC().Format(time.RFC3339)
	}
	return text
}

// Unwrap returns the sentinel.
func (e *NotSentError) Unwrap() error { return e.Err }

// StatusError is an answer other than 2xx.
type StatusError struct {
	// Host is the endpoint's host.
	Host string
	// Code is the HTTP status.
	Code int
	// RetryAfter is what the receiver asked for in its Retry-After header, from
	// now, at most MaxRetryAfter; zero where it did not.
	RetryAfter time.Duration
	// Body is the beginning of the answer: at most 512 bytes of valid UTF-8
	// without control characters, path, query and extra headers blanked out. A
	// stranger wrote it.
	Body string
}

// Error names the host and the status and quotes the excerpt.
func (e *StatusError) Error() string {
	text := "webhook/send: " + e.Host + ": status " + strconv.Itoa(e.Code)
	if e.Body != "" {
		text += ": " + strconv.Quote(e.Body)
	}
	return text
}

// Gone reports the one status that asks for no further request ever: 410. The
// endpoint should be disabled, and somebody told. Every other failure, 401 and
// 404 included, may be a receiver's mistake of today and is worth a retry.
func (e *StatusError) Gone() bool { return e.Code == 410 }

// FailureKind says where a request failed.
type FailureKind string

// The kinds of failure without an answer.
const (
	// FailBlocked: the address is not allowed. errors.Is(err, ErrBlocked) too.
	FailBlocked FailureKind = "blocked"
	// FailCanceled: the caller's context ended first.
	FailCanceled FailureKind = "canceled"
	// FailTimeout: Config.Timeout passed; the receiver may have the message.
	FailTimeout FailureKind = "timeout"
	// FailDNS: the host name was not found.
	FailDNS FailureKind = "dns"
	// FailTLS: certificate or handshake.
	FailTLS FailureKind = "tls"
	// FailConnect: no connection.
	FailConnect FailureKind = "connect"
	// FailProtocol: the connection broke, or what came was no HTTP answer.
	FailProtocol FailureKind = "protocol"
)

// TransportError is a request without an answer. Except for the kinds blocked,
// dns, tls and connect, the receiver may have handled the message.
type TransportError struct {
	// Host is the endpoint's host.
	Host string
	// Kind is where it failed.
	Kind FailureKind
	// Err is the cause. Its own text is not vetted: it may quote what the
	// receiver sent. Error shows a bounded, redacted form of it.
	Err  error
	text string
}

// Error names the host and the kind; the cause is bounded and redacted.
func (e *TransportError) Error() string {
	return "webhook/send: " + e.Host + ": " + string(e.Kind) + ": " + e.text
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// classify finds the kind of a failed round trip. The order matters: an attempt
// that was cut short by a deadline looks like a failed connection too.
func classify(ctx, attempt context.Context, err error) FailureKind {
	var (
		dns       *net.DNSError
		alert     tls.AlertError
		record    tls.RecordHeaderError
		untrusted *tls.CertificateVerificationError
		hostname  x509.HostnameError
		op        *net.OpError
		slow      net.Error
	)
	switch {
	case errors.Is(err, ErrBlocked):
		return FailBlocked
	case ctx.Err() != nil:
		return FailCanceled
	case attempt.Err() != nil, errors.As(err, &slow) && slow.Timeout():
		return FailTimeout
	case errors.As(err, &dns):
		return FailDNS
	case errors.As(err, &untrusted), errors.As(err, &hostname), errors.As(err, &alert), errors.As(err, &record):
		return FailTLS
	case errors.As(err, &op) && op.Op == "remote error":
		// How crypto/tls reports an alert that the other side sent.
		return FailTLS
	case errors.As(err, &op) && op.Op == "dial":
		return FailConnect
	}
	return FailProtocol
}

// clean makes a stranger's text fit for a log: at most limit bytes, one line.
func clean(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
		for len(text) > 0 && !utf8.RuneStart(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
	}
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
}
