package evm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// errorBody is how much of a refused response is read, quotedBody how much of
// it an error repeats.
const (
	errorBody  = 16 << 10
	quotedBody = 256
)

// post sends the request and appends the response's body to buf. The timeout
// covers the last byte of the body too: a node that drips one byte a second is
// as dead as one that says nothing.
func (c *Client) post(ctx context.Context, request, buf []byte) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(bounded, http.MethodPost, c.cfg.URL, bytes.NewReader(request))
	if err != nil {
		return buf, &TransportError{Host: c.secrets.host, Cause: "cannot make a request", err: chain.ErrTransient}
	}
	for name, values := range c.cfg.Headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	c.stats.requests.Add(1)
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return buf, c.transportError(ctx, bounded, err)
	}
	defer func() { _ = resp.Body.Close() }() // read-only: nothing is lost
	if resp.StatusCode != http.StatusOK {
		return buf, c.refused(resp)
	}
	if resp.ContentLength > c.cfg.MaxResponse {
		return buf, &TooLargeError{Host: c.secrets.host, Limit: c.cfg.MaxResponse}
	}
	buf, err = readBody(buf, resp.Body, resp.ContentLength, c.cfg.MaxResponse)
	c.stats.bytes.Add(uint64(len(buf)))
	switch {
	case errors.Is(err, errLimit):
		return buf, &TooLargeError{Host: c.secrets.host, Limit: c.cfg.MaxResponse}
	case err != nil:
		return buf, c.transportError(ctx, bounded, err)
	}
	return buf, nil
}

var errLimit = errors.New("evm: over the limit")

// readBody appends all of r to buf, at most limit bytes. expected is a hint; a
// wrong one costs memory for at most limit bytes.
func readBody(buf []byte, r io.Reader, expected, limit int64) ([]byte, error) {
	if expected > 0 && int64(cap(buf)) <= expected {
		buf = make([]byte, 0, expected+1)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(4096, cap(buf)))...)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return buf, errLimit
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, err
		}
	}
}

// transportError tells the end of the caller's context from everything else. Our
// own timeout is the node's failure and not the caller's deadline. The cause is
// kept as text only: an error of net/http holds the URL.
func (c *Client) transportError(ctx, bounded context.Context, err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	e := &TransportError{Host: c.secrets.host, Cause: c.secrets.text(err.Error(), quotedBody), err: chain.ErrTransient}
	switch {
	case ctx.Err() != nil:
		e.err = ctx.Err()
	case bounded.Err() != nil:
		e.late = true
		e.Cause = "no complete response within " + c.cfg.Timeout.String()
	}
	return e
}

// refused turns a response without status 200 into an error.
func (c *Client) refused(resp *http.Response) error {
	if resp.StatusCode == http.StatusRequestEntityTooLarge {
		return &TooLargeError{Host: c.secrets.host}
	}
	// What cannot be read of an error's body is not worth another error.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBody))
	return &HTTPError{
		Host:       c.secrets.host,
		Status:     resp.StatusCode,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Body:       c.secrets.text(string(body), quotedBody),
	}
}

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = time.Hour

// retryAfter reads the header's two forms, seconds and a date.
func retryAfter(text string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
