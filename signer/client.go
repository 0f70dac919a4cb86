package signer

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// DefaultClientTimeout is the default of ClientConfig.Timeout.
const DefaultClientTimeout = 20 * time.Second

// maxAnswer bounds an answer: what each signature takes, and a margin.
func maxAnswer(requests int) int64 { return 64<<10 + 256*int64(requests) }

// ClientConfig is what a Client needs. NewClient copies it.
type ClientConfig struct {
	// URL is where the server is: https://signer.internal:8443, without a path. Plain
	// http is for the loopback alone: a MAC keeps others from changing what is said, not
	// from reading it. Required.
	URL string
	// KeyID is the name of Secret at the server. Secret makes the MAC of each request,
	// and every answer must carry its own. Without one TLS must have a certificate.
	KeyID  string
	Secret Secret // Secret is what client and server share.
	// TLS has the server's authorities and, for mutual TLS, the client's certificate.
	// InsecureSkipVerify is refused. Default: the system's authorities.
	TLS *tls.Config
	// Codecs and Keys are what returned signatures are verified with: see Verified.
	// Required.
	Codecs map[chain.ID]chain.Codec
	Keys   Keys // Keys know the public keys.
	// Timeout bounds each call. Default DefaultClientTimeout, at most an hour.
	Timeout time.Duration
	// Dial connects, where the server is not to be found by its address, such as on a
	// Unix socket. Default: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Rand is the source of nonces. Default: crypto/rand.
	Rand io.Reader
	// Now is the time that requests carry. Default: time.Now.
	Now func() time.Time
}

// Client is a chain.Signer whose keys are elsewhere. What it returns is verified as
// Verified says, so that a server that lies does no harm but to refuse.
//
// It asks once and never by itself again. Errors of Sign, with the fields they had at
// the server: *chain.PolicyError, *chain.FormatError; chain.ErrUnsupported,
// *SignatureError, and *RemoteError (a chain.ErrSignerUnavailable) for everything in
// between. Where the caller's context ended that is among what the error wraps.
//
// It goes through no proxy and follows no redirect. It is safe for concurrent use.
type Client struct {
	cfg      ClientConfig
	base     string
	http     *http.Client
	verified *VerifiedSigner
}

var _ chain.Signer = (*Client)(nil)

// NewClient checks cfg and connects to nothing. Errors are *ConfigError.
func NewClient(cfg ClientConfig) (*Client, error) {
	base, err := checkURL(cfg.URL)
	switch {
	case err != nil:
		return nil, err
	case cfg.TLS != nil && cfg.TLS.InsecureSkipVerify:
		return nil, &ConfigError{"TLS", "InsecureSkipVerify: whoever is in between could answer"}
	case cfg.Secret.IsZero() && (cfg.TLS == nil || len(cfg.TLS.Certificates) == 0 && cfg.TLS.GetClientCertificate == nil):
		return nil, &ConfigError{"Secret", "want one, or a client's certificate in TLS"}
	case cfg.Secret.IsZero() && base.Scheme == "http":
		return nil, &ConfigError{"Secret", "required without TLS"}
	case !cfg.Secret.IsZero() && !isKeyID(cfg.KeyID):
		return nil, &ConfigError{"KeyID", fmt.Sprintf("want 1 to %d of a-z A-Z 0-9 . _ -", maxKeyID)}
	case cfg.Timeout < 0 || cfg.Timeout > time.Hour:
		return nil, &ConfigError{"Timeout", "want 0 to 1h"}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultClientTimeout
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		secure = cfg.TLS.Clone()
		secure.MinVersion = max(secure.MinVersion, tls.VersionTLS12)
	}
	c := &Client{cfg: cfg, base: strings.TrimSuffix(base.String(), "/")}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: cfg.Dial, TLSClientConfig: secure, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 16 << 10,
			DisableCompression: true, // what is small may not grow in here
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.verified, err = Verified(remote{c}, cfg.Codecs, cfg.Keys)
	return c, err
}

func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return nil, &ConfigError{"URL", "want https://host:port"}
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, &ConfigError{"URL", "want nothing but scheme, host and port"}
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, &ConfigError{"URL", "http is for the loopback alone, want https"}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &ConfigError{"URL", "want https"}
	}
	return u, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// Sign implements chain.Signer.
func (c *Client) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	return c.verified.Sign(ctx, requests)
}

// Status asks the server how it is, and proves that the credentials are right. Errors
// are *RemoteError.
func (c *Client) Status(ctx context.Context) (st Status, err error) {
	body, err := c.call(ctx, http.MethodGet, pathStatus, nil, 0)
	if err == nil && decode(body, false, &st) != nil {
		err = &RemoteError{Code: CodeUntrusted, Reason: "the answer is not understood"}
	}
	return st, err
}

// Halt has the server refuse everything from now on, until somebody with access to the
// server itself ends that. A server without a kill switch is a *chain.FormatError,
// other errors are *RemoteError; with CodeInternal the halt may end with the server's
// process.
func (c *Client) Halt(ctx context.Context, reason string) error {
	_, err := c.call(ctx, http.MethodPost, pathHalt, haltBody{reason}, 0)
	return err
}

// remote is the part of a Client that believes the server.
type remote struct{ *Client }

// Sign asks the server.
func (c remote) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	body, err := c.call(ctx, http.MethodPost, pathSign, toWireRequests(requests), len(requests))
	if err != nil {
		return nil, err
	}
	var answer signAnswer
	if decode(body, false, &answer) != nil {
		return nil, &RemoteError{Code: CodeUntrusted, Reason: "the answer is not understood"}
	}
	return answer.Signatures, nil
}

// call makes one call, and returns the body of an authentic success.
func (c *Client) call(ctx context.Context, method, path string, in any, requests int) ([]byte, error) {
	body := []byte{}
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, &chain.FormatError{What: "request", Reason: "cannot be written as JSON"}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, &RemoteError{Code: CodeUnreachable, Reason: "the request cannot be made"}
	}
	r.Header.Set("Content-Type", "application/json")
	cred, err := c.authorize(r, path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	defer resp.Body.Close()
	most := maxAnswer(requests)
	answer, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return nil, unreachable(ctx, err)
	case int64(len(answer)) > most:
		return nil, &RemoteError{Code: CodeUntrusted, Reason: fmt.Sprintf("an answer of more than %d bytes", most)}
	case !c.cfg.Secret.IsZero() && !equalMAC(resp.Header.Get(headerMAC), c.cfg.Secret.answerMAC(cred, resp.StatusCode, answer)):
		return nil, unsigned(resp.StatusCode)
	case resp.StatusCode == http.StatusOK:
		return answer, nil
	}
	var e errorAnswer
	if decode(answer, false, &e) != nil {
		return nil, &RemoteError{Code: CodeUntrusted, Reason: fmt.Sprintf("HTTP status %d without an error that is understood", resp.StatusCode)}
	}
	return nil, e.Error.fromWire()
}

// authorize puts the MAC to a request.
func (c *Client) authorize(r *http.Request, path string, body []byte) (credentials, error) {
	if c.cfg.Secret.IsZero() {
		return credentials{}, nil
	}
	var nonce [nonceSize]byte
	if _, err := io.ReadFull(c.cfg.Rand, nonce[:]); err != nil {
		return credentials{}, &RemoteError{Code: CodeUnreachable, Reason: "no random numbers", Err: err}
	}
	cred := credentials{key: c.cfg.KeyID, time: strconv.FormatInt(c.cfg.Now().Unix(), 10), nonce: hex.EncodeToString(nonce[:])}
	r.Header.Set(headerKey, cred.key)
	r.Header.Set(headerTime, cred.time)
	r.Header.Set(headerNonce, cred.nonce)
	r.Header.Set(headerMAC, hex.EncodeToString(c.cfg.Secret.requestMAC(cred, r.Method, path, body)))
	return cred, nil
}

// unreachable is a call without an answer.
func unreachable(ctx context.Context, err error) error {
	var operation *url.Error
	if errors.As(err, &operation) {
		err = operation.Err
	}
	if ended := ctx.Err(); ended != nil {
		return &RemoteError{Code: CodeUnreachable, Reason: "no answer in time", Err: ended}
	}
	return &RemoteError{Code: CodeUnreachable, Reason: shorten(err.Error()), Err: err}
}

// unsigned is an answer that does not prove to be the server's. Nothing in it is
// believed; what its status hints at is told.
func unsigned(status int) error {
	if status == http.StatusUnauthorized {
		return &RemoteError{Code: CodeUnauthorized, Reason: "the server does not accept the credentials, or the time"}
	}
	return &RemoteError{Code: CodeUntrusted, Reason: fmt.Sprintf("HTTP status %d, and no MAC that proves whose answer it is", status)}
}
