package signer_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/signer"
)

// raw is a request as docs/signers.md describes it, made by hand.
type raw struct {
	method, path, body     string
	key, time, nonce, sign string
	secret                 []byte
}

func (d *desk) raw(path, body string) raw {
	return raw{method: "POST", path: path, body: body, key: "shop", time: fmt.Sprint(d.clock().Unix()), nonce: "000102030405060708090a0b0c0d0e0f", secret: secretBytes}
}

func macOf(secret []byte, lines ...string) string {
	h := hmac.New(sha256.New, secret)
	for _, l := range lines {
		h.Write([]byte(l + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (r raw) signed() raw {
	path, _, _ := strings.Cut(r.path, "?")
	r.sign = macOf(r.secret, "bursar-signer-v1 request", r.method, path, r.key, r.time, r.nonce, sha(r.body))
	return r
}

// do sends a raw request; the answer's MAC is checked by hand where there is one.
func (d *desk) do(r raw) (status int, body string, authentic bool) {
	d.t.Helper()
	req, err := http.NewRequest(r.method, d.http.URL+r.path, strings.NewReader(r.body))
	require.NoError(d.t, err)
	for name, value := range map[string]string{"Bursar-Key": r.key, "Bursar-Time": r.time, "Bursar-Nonce": r.nonce, "Bursar-Signature": r.sign} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(d.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(d.t, err)
	mac := resp.Header.Get("Bursar-Signature")
	if mac == "" {
		return resp.StatusCode, string(b), false
	}
	require.Equal(d.t, macOf(r.secret, "bursar-signer-v1 answer", r.key, r.nonce, fmt.Sprint(resp.StatusCode), sha(string(b))), mac)
	return resp.StatusCode, string(b), true
}

func (d *desk) signBody(r chain.SignRequest) string {
	return fmt.Sprintf(`{"requests":[{"chain":%q,"purpose":%q,"scheme":%q,"key":{"wallet":%q,"path":%q},"payload":%q}]}`,
		r.Chain, r.Purpose, r.Scheme, r.Key.Wallet, r.Key.Path, base64.StdEncoding.EncodeToString(r.Payload))
}

// TestProtocol speaks to the server as a client in another language would.
func TestProtocol(t *testing.T) {
	d := newDesk(t)
	request := d.request(0, 1, treasury, 5)
	status, body, authentic := d.do(d.raw("/v1/sign", d.signBody(request)).signed())
	require.Equal(t, 200, status)
	require.True(t, authentic)
	require.JSONEq(t, fmt.Sprintf(`{"signatures":[%q]}`, base64.StdEncoding.EncodeToString(d.real(request)[0])), body)

	d.restart()
	astray := d.request(0, 1, stranger, 5)
	status, body, authentic = d.do(d.raw("/v1/sign", d.signBody(astray)).signed())
	require.Equal(t, 403, status)
	require.True(t, authentic)
	require.JSONEq(t, fmt.Sprintf(`{"error":{"code":"policy","rule":"treasury","detail":"request 0: %s is neither a treasury nor an own address, and there is no approval","wallet":%q,"path":%q}}`,
		stranger, astray.Key.Wallet, astray.Key.Path), body)
}

// TestThreat_F20_OnlyTheSecretsHolderIsServed and what it said is what is done: each
// part of a request is covered.
func TestThreat_F20_OnlyTheSecretsHolderIsServed(t *testing.T) {
	d := newDesk(t)
	good := d.raw("/v1/sign", d.signBody(d.request(0, 1, treasury, 5))).signed()
	for name, change := range map[string]func(*raw){
		"no key":       func(r *raw) { r.key = "" },
		"unknown key":  func(r *raw) { r.key = "other" },
		"no time":      func(r *raw) { r.time = "" },
		"other time":   func(r *raw) { r.time = fmt.Sprint(d.clock().Unix() + 1) },
		"odd time":     func(r *raw) { r.time = "+" + r.time; *r = r.signed() },
		"no nonce":     func(r *raw) { r.nonce = "" },
		"other nonce":  func(r *raw) { r.nonce = "ff" + r.nonce[2:] },
		"short nonce":  func(r *raw) { r.nonce = "ff"; *r = r.signed() },
		"upper nonce":  func(r *raw) { r.nonce = strings.ToUpper(r.nonce); *r = r.signed() },
		"no MAC":       func(r *raw) { r.sign = "" },
		"short MAC":    func(r *raw) { r.sign = r.sign[:32] },
		"other MAC":    func(r *raw) { r.sign = strings.Repeat("00", 32) },
		"other body":   func(r *raw) { r.body += " " },
		"other secret": func(r *raw) { r.secret = []byte(strings.Repeat("x", 32)); *r = r.signed(); r.secret = secretBytes },
		"other path":   func(r *raw) { r.path = "/v1/halt" },
		"too early":    func(r *raw) { r.time = fmt.Sprint(d.clock().Add(-61 * time.Second).Unix()); *r = r.signed() },
		"too late":     func(r *raw) { r.time = fmt.Sprint(d.clock().Add(61 * time.Second).Unix()); *r = r.signed() },
	} {
		bad := good
		change(&bad)
		status, body, authentic := d.do(bad)
		require.Equal(t, 401, status, name)
		require.Contains(t, body, `"unauthorized"`, name)
		require.NotContains(t, body, "signatures", name)
		require.False(t, authentic, name)
	}
	status, _, _ := d.do(good)
	require.Equal(t, 200, status)
	require.NotContains(t, d.logs.String(), string(secretBytes))
}

// TestThreat_F20_ARequestIsTakenOnce within the window, and after it not at all; also
// by a server that has begun anew and has forgotten.
func TestThreat_F20_ARequestIsTakenOnce(t *testing.T) {
	d := newDesk(t)
	good := d.raw("/v1/sign", d.signBody(d.request(0, 1, treasury, 5))).signed()
	status, _, _ := d.do(good)
	require.Equal(t, 200, status)
	for range 3 {
		status, body, authentic := d.do(good)
		require.Equal(t, 409, status)
		require.Contains(t, body, `"replayed"`)
		require.True(t, authentic)
	}
	d.advance(60 * time.Second)
	status, _, _ = d.do(good)
	require.Equal(t, 409, status)
	d.advance(time.Second)
	status, _, _ = d.do(good)
	require.Equal(t, 401, status)
	early := d.raw("/v1/status", "")
	early.method, early.nonce = "GET", strings.Repeat("1", 32)
	early.time = fmt.Sprint(d.clock().Unix() + 60) // a client whose clock is ahead
	status, _, _ = d.do(early.signed())
	require.Equal(t, 200, status)
	d.advance(119 * time.Second) // the last moment at which it is in the window, nearly
	status, _, _ = d.do(early.signed())
	require.Equal(t, 409, status)

	d.restart()
	// In its memory there is nothing.
	late := d.raw("/v1/sign", d.signBody(d.request(0, 1, treasury, 5)))
	late.time = fmt.Sprint(d.clock().Unix() - 1)
	status, body, _ := d.do(late.signed())
	require.Equal(t, 409, status, body)
	require.Contains(t, body, "before the server began")
}

func TestServerBounds(t *testing.T) {
	d := newDesk(t, func(d *desk) { d.config.MaxBody, d.config.MaxRequests = 4096, 2 })
	one := d.request(0, 1, treasury, 5)
	_, err := d.client.Sign(t.Context(), []chain.SignRequest{one, one, one})
	remote(t, err, signer.CodeTooLarge)
	r := one
	r.Own = make([]chain.OwnTarget, 100)
	_, err = d.client.Sign(t.Context(), []chain.SignRequest{r})
	require.ErrorIs(t, err, chain.ErrSignerUnavailable) // the body was never read, so no MAC
	require.Contains(t, d.logs.String(), `"too_large"`)

	nonce := 0
	for _, c := range []struct {
		method, path, body string
		status             int
		reason             string
	}{
		{"GET", "/v1/sign", "", 400, "want POST"},
		{"POST", "/v1/status", "", 400, "want GET"},
		{"POST", "/", "", 400, "unknown"},
		{"POST", "/v1/sign/", "", 400, "unknown"},
		{"POST", "/v1/%73ign", "", 400, "unknown"},
		{"POST", "/v1/sign?x=1", "", 400, "query"},
		{"POST", "/v1/sign", "", 400, "not the JSON"},
		{"POST", "/v1/sign", `{"requests":[]}`, 400, "at least one"},
		{"POST", "/v1/sign", `{"requests":[{"chain":"x","more":1}]}`, 400, "not the JSON"},
		{"POST", "/v1/sign", `{"requests":[{"payload":"!"}]}`, 400, "not the JSON"},
		{"POST", "/v1/sign", d.signBody(one) + "{}", 400, "more than one"},
		{"POST", "/v1/sign", `{"requests":[{"chain":"eip155:5"}]}`, 403, "no chain"},
	} {
		nonce++
		r := d.raw(c.path, c.body)
		r.method, r.nonce = c.method, fmt.Sprintf("%032x", nonce)
		status, body, _ := d.do(r.signed())
		require.Equal(t, c.status, status, "%s %s %s", c.method, c.path, c.body)
		require.Contains(t, body, c.reason)
	}
}

func TestServerRate(t *testing.T) {
	d := newDesk(t, func(d *desk) { d.config.PerSecond = 3 })
	for range 3 {
		_, err := d.client.Status(t.Context())
		require.NoError(t, err)
	}
	_, err := d.client.Status(t.Context())
	require.Equal(t, time.Second, remote(t, err, signer.CodeBusy).RetryDelay())
	d.advance(time.Second)
	_, err = d.client.Status(t.Context())
	require.NoError(t, err)
}

// TestErrorsSurviveTheWire with their types and fields.
func TestErrorsSurviveTheWire(t *testing.T) {
	d := newDesk(t)
	var answer error
	d.inner = signs(func(context.Context, []chain.SignRequest) ([][]byte, error) { return nil, answer })
	d.config.Signer = d.inner
	d.restart()
	sign := func(err error) error {
		answer = err
		_, got := d.client.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, treasury, 5)})
		require.Error(t, got)
		return got
	}
	want := &chain.PolicyError{Rule: "limit", Detail: "request 0: \"too\" much\n<&>", Key: chain.KeyRef{Wallet: "w", Path: "m/1"}}
	require.Equal(t, want, refused(t, sign(fmt.Errorf("wrapped: %w", want)), "limit"))
	format := &chain.FormatError{What: "payload", Text: "x", Reason: "odd"}
	var gotFormat *chain.FormatError
	require.ErrorAs(t, sign(format), &gotFormat)
	require.Equal(t, format, gotFormat)
	require.ErrorIs(t, sign(chain.ErrInvalidSignature), chain.ErrInvalidSignature)
	require.ErrorIs(t, sign(chain.ErrUnsupported), chain.ErrUnsupported)
	busy := remote(t, sign(&signer.RemoteError{Code: signer.CodeBusy, Reason: "later", RetryAfter: 1500 * time.Millisecond}), signer.CodeBusy)
	require.Equal(t, 1500*time.Millisecond, busy.RetryAfter)
	long := remote(t, sign(&signer.RemoteError{Code: signer.CodeBusy, RetryAfter: 1000 * time.Hour}), signer.CodeBusy)
	require.Equal(t, time.Hour, long.RetryAfter)
	remote(t, sign(&signer.RemoteError{Code: signer.CodeUnreachable, Reason: "the HSM"}), signer.CodeInternal)
	remote(t, sign(context.DeadlineExceeded), signer.CodeInternal)

	// What has no type may say anything: it stays at the server.
	got := remote(t, sign(errors.New("password hunter2 was wrong")), signer.CodeInternal)
	require.NotContains(t, got.Error(), "hunter2")
	require.Contains(t, d.logs.String(), "hunter2")
	d.config.Signer = signs(func(context.Context, []chain.SignRequest) ([][]byte, error) { panic("hunter3") })
	d.restart()
	_, err := d.client.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, treasury, 5)})
	require.NotContains(t, remote(t, err, signer.CodeInternal).Error(), "hunter3")
}

// TestThreat_F21_AnswersThatAreNotTheServersAreNotBelieved: without the MAC nothing
// counts, least of all a refusal that would have a payout given up.
func TestThreat_F21_AnswersThatAreNotTheServersAreNotBelieved(t *testing.T) {
	d := newDesk(t)
	request := []chain.SignRequest{d.request(0, 1, treasury, 5)}
	right := string(toJSON(t, map[string]any{"signatures": d.real(request...)}))
	for name, c := range map[string]struct {
		status int
		body   string
		code   signer.Code
	}{
		"signature": {200, right, signer.CodeUntrusted},
		"refusal":   {403, `{"error":{"code":"policy","rule":"treasury"}}`, signer.CodeUntrusted},
		"401":       {401, ``, signer.CodeUnauthorized},
		"proxy":     {502, `<html>`, signer.CodeUntrusted},
		"redirect":  {307, ``, signer.CodeUntrusted},
	} {
		client := d.lying(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", d.http.URL+r.URL.Path)
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		_, err := client.Sign(t.Context(), request)
		remote(t, err, c.code)
		require.NotErrorIs(t, err, chain.ErrInvalidSignature, name)
	}
	// An answer to another request, and one whose body or status was changed.
	for name, change := range map[string]func(nonce *string, status *int, body *string){
		"nonce":  func(nonce *string, _ *int, _ *string) { *nonce = strings.Repeat("0", 32) },
		"status": func(_ *string, status *int, _ *string) { *status = 403 },
		"body":   func(_ *string, _ *int, body *string) { *body += " " },
	} {
		client := d.lying(func(w http.ResponseWriter, r *http.Request) {
			nonce, status, body := r.Header.Get("Bursar-Nonce"), 200, right
			change(&nonce, &status, &body)
			w.Header().Set("Bursar-Signature", macOf(secretBytes, "bursar-signer-v1 answer", "shop", nonce, "200", sha(right)))
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
		_, err := client.Sign(t.Context(), request)
		remote(t, err, signer.CodeUntrusted)
		require.Error(t, err, name)
	}
	// Authentic nonsense.
	for _, c := range []struct {
		status int
		body   string
	}{
		{200, `nonsense`},
		{200, `{"signatures":"x"}`},
		{403, `{}`},
		{500, `nonsense`},
		{403, `{"error":{"code":"new"}}`},
		{200, strings.Repeat(" ", 1<<20)},
	} {
		client := d.lying(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Bursar-Signature", macOf(secretBytes, "bursar-signer-v1 answer", "shop", r.Header.Get("Bursar-Nonce"), fmt.Sprint(c.status), sha(c.body)))
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		_, err := client.Sign(t.Context(), request)
		remote(t, err, signer.CodeUntrusted)
	}
}

func FuzzServer(f *testing.F) {
	d := newDesk(f)
	f.Add("/v1/sign", []byte(d.signBody(d.request(0, 1, treasury, 5))))
	f.Add("/v1/halt", []byte(`{"reason":"x"}`))
	f.Add("/v1/sign", []byte(`{"requests":[{"approval":{"amount":"1","not_after":"2026-01-01T00:00:00Z"},"own":[{}]}]}`))
	server, err := signer.NewServer(signer.ServerConfig{
		Signer:  signs(func(_ context.Context, r []chain.SignRequest) ([][]byte, error) { return make([][]byte, len(r)), nil }),
		Secrets: map[string]signer.Secret{"shop": d.secret}, Now: d.clock, Logger: d.config.Logger, PerSecond: 1 << 30,
	})
	require.NoError(f, err)
	n := 0
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		d.logs.Reset()
		n++
		r := d.raw("/v1/sign", string(body))
		r.nonce = fmt.Sprintf("%032x", n)
		if path == "/v1/halt" {
			r.path = path
		}
		d.advance(time.Second)
		r.time = fmt.Sprint(d.clock().Unix())
		r = r.signed()
		req := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
		req.Header.Set("Bursar-Key", r.key)
		req.Header.Set("Bursar-Time", r.time)
		req.Header.Set("Bursar-Nonce", r.nonce)
		req.Header.Set("Bursar-Signature", r.sign)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, req)
		require.True(t, json.Valid(w.Body.Bytes()))
		require.Contains(t, []int{200, 400, 403, 413}, w.Code, w.Body.String())
	})
}

func FuzzClientAnswer(f *testing.F) {
	d := newDesk(f)
	request := []chain.SignRequest{d.request(0, 1, treasury, 5)}
	f.Add(200, toJSON(f, map[string]any{"signatures": d.real(request...)}))
	f.Add(403, []byte(`{"error":{"code":"policy","rule":"treasury","detail":"x"}}`))
	f.Add(429, []byte(`{"error":{"code":"busy","retry_after_ms":-5}}`))
	var status int
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Bursar-Signature", macOf(secretBytes, "bursar-signer-v1 answer", "shop", r.Header.Get("Bursar-Nonce"), fmt.Sprint(status), sha(string(body))))
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(s.Close)
	client := d.dial(s.URL)
	right := d.real(request...)
	f.Fuzz(func(t *testing.T, code int, answer []byte) {
		status, body = 200+((code%300)+300)%300, answer
		if status == 204 || status == 304 {
			return // these have no body
		}
		got, err := client.Sign(t.Context(), request)
		if err == nil {
			require.Equal(t, right, got) // deterministic: there is no other valid one to be known
			return
		}
		require.Nil(t, got)
	})
}

var _ signer.Halter = (*hdwallet.Signer)(nil)
