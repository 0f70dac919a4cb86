package evm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// answering returns a client of a server that answers every request with the
// body, in which $0, $1 … are replaced by the ids of the request.
func answering(t *testing.T, body string, change ...func(*Config)) *Client {
	t.Helper()
	return serving(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, withIDs(r, body))
	}, change...)
}

func serving(t *testing.T, h http.HandlerFunc, change ...func(*Config)) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	cfg := Config{Preset: Local(1337), URL: server.URL}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	return c
}

func withIDs(r *http.Request, body string) string {
	type request struct {
		ID json.Number `json:"id"`
	}
	raw, _ := io.ReadAll(r.Body)
	var all []request
	if json.Unmarshal(raw, &all) != nil {
		all = make([]request, 1)
		_ = json.Unmarshal(raw, &all[0])
	}
	for i, q := range all {
		body = strings.ReplaceAll(body, "$"+strconv.Itoa(i), q.ID.String())
	}
	return body
}

// pair sends two calls and returns their results and errors.
func pair(t *testing.T, c *Client) (values [2]uint64, errs [2]error, err error) {
	t.Helper()
	calls := []*call{newCall("first", intoUint64(&values[0])), newCall("second", intoUint64(&values[1]), "param", 2)}
	err = c.do(t.Context(), calls...)
	return values, [2]error{calls[0].err, calls[1].err}, err
}

func TestThreat_C20_BatchIDs(t *testing.T) {
	const one, two = `{"jsonrpc":"2.0","id":$0,"result":"0x1"}`, `{"jsonrpc":"2.0","id":$1,"result":"0x2"}`
	for name, c := range map[string]struct {
		body          string
		first, second bool // answered
		whole         bool // the request as a whole failed
	}{
		"in order":         {body: "[" + one + "," + two + "]", first: true, second: true},
		"reordered":        {body: "[" + two + "," + one + "]", first: true, second: true},
		"id last":          {body: `[{"result":"0x1","id":$0},{"result":"0x2","jsonrpc":"2.0","id":$1}]`, first: true, second: true},
		"second missing":   {body: "[" + one + "]", first: true},
		"all missing":      {body: "[]"},
		"duplicate":        {body: "[" + one + "," + two + "," + one + "]", second: true},
		"duplicate, other": {body: `[{"id":$0,"result":"0x5"},` + two + "," + one + "]", second: true},
		"foreign id":       {body: `[{"id":99999,"result":"0x1"},` + one + "," + two + "]", whole: true},
		"old id":           {body: `[{"id":0,"result":"0x1"},` + one + "," + two + "]", whole: true},
		"string id":        {body: `[{"id":"$0","result":"0x1"},` + two + "]", whole: true},
		"float id":         {body: `[{"id":$0.0,"result":"0x1"},` + two + "]", whole: true},
		"negative id":      {body: `[{"id":-1,"result":"0x1"},` + two + "]", whole: true},
		"no id":            {body: `[{"result":"0x1"},` + two + "]", whole: true},
		"null id":          {body: `[{"id":null,"result":"0x1"},` + two + "]", whole: true},
		"two ids":          {body: `[{"id":$0,"id":$1,"result":"0x1"}]`, whole: true},
		"two results":      {body: `[{"id":$0,"result":"0x1","result":"0x2"},` + two + "]", whole: true},
		"two late results": {body: `[{"result":"0x1","result":"0x2","id":$0},` + two + "]", whole: true},
		"two errors":       {body: `[{"id":$0,"error":null,"error":null,"result":"0x2"},` + two + "]", whole: true},
		"no result":        {body: `[{"id":$0},` + two + "]", second: true},
		"error null":       {body: `[{"id":$0,"error":null,"result":"0x1"},` + two + "]", first: true, second: true},
		"error and result": {body: `[{"id":$0,"result":"0x1","error":{"code":-32000,"message":"no"}},` + two + "]", second: true},
		"refused as one":   {body: `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch too large"}}`, whole: true},
		"not an array":     {body: one, first: true},
		"trailing bytes":   {body: "[" + one + "," + two + "]x", whole: true},
		"truncated":        {body: "[" + one + "," + two, whole: true},
		"empty":            {body: "", whole: true},
		"null":             {body: "null", whole: true},
		"null member":      {body: "[null]", whole: true},
		"HTML":             {body: "<html>busy</html>", whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			values, errs, err := pair(t, answering(t, c.body))
			if c.whole {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			for i, answered := range []bool{c.first, c.second} {
				if !answered {
					require.Error(t, errs[i])
					continue
				}
				require.NoError(t, errs[i])
				require.Equal(t, uint64(i+1), values[i])
			}
		})
	}
}

func TestRequestShape(t *testing.T) {
	var got []string
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, string(body), r.Header.Get("Content-Type"), r.Header.Get("X-Key"))
		_, _ = io.WriteString(w, "[]")
	}, func(c *Config) { c.Headers = http.Header{"X-Key": {"value"}} })
	_, _, err := pair(t, c)
	require.NoError(t, err)
	require.Error(t, c.one(t.Context(), newCall("third", intoUint64(new(uint64)))))
	require.Equal(t, []string{`[{"jsonrpc":"2.0","id":1,"method":"first","params":[]},{"jsonrpc":"2.0","id":2,"method":"second","params":["param",2]}]`, "application/json", "value",
		`{"jsonrpc":"2.0","id":3,"method":"third","params":[]}`, "application/json", "value"}, got)
	require.Error(t, c.one(t.Context(), newCall("bad", nil, func() {})), "a parameter that is no JSON")
}

func TestRPCErrorFields(t *testing.T) {
	c := answering(t, `{"id":$0,"error":{"code":3,"message":"execution reverted: \"no\"\n","data":"0x08c379a0","extra":{}}}`)
	err := c.one(t.Context(), newCall("eth_call", intoUint64(new(uint64))))
	var refusal *RPCError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, &RPCError{Method: "eth_call", Code: 3, Message: `execution reverted: "no" `, Data: []byte(`"0x08c379a0"`)}, refusal)
	require.Equal(t, `evm: eth_call: node error 3: execution reverted: "no" `, err.Error())

	c = answering(t, `{"id":$0,"error":{"code":"x","message":"`+strings.Repeat("m", 5000)+`","data":null}}`)
	require.ErrorAs(t, c.one(t.Context(), newCall("m", intoUint64(new(uint64)))), &refusal)
	require.Less(t, len(refusal.Message), 1100)
	require.Zero(t, refusal.Code)
	require.Nil(t, refusal.Data)
}

func TestThreat_C6_HTTPErrors(t *testing.T) {
	for status, transient := range map[int]bool{400: false, 401: false, 403: false, 404: false, 408: true, 429: true, 500: true, 502: true, 503: true, 504: true, 301: false} {
		c := serving(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "17")
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "go away\n"+strings.Repeat("x", 100_000))
		})
		_, _, err := pair(t, c)
		var e *HTTPError
		require.ErrorAs(t, err, &e, "%d", status)
		require.Equal(t, status, e.Status)
		require.Equal(t, 17*time.Second, e.RetryAfter)
		require.True(t, strings.HasPrefix(e.Body, "go away x"))
		require.Less(t, len(err.Error()), 400)
		if transient {
			require.ErrorIs(t, err, chain.ErrTransient)
		} else {
			require.NotErrorIs(t, err, chain.ErrTransient)
		}
	}
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	_, _, err := pair(t, c)
	require.True(t, isTooLarge(err))
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "3": 3 * time.Second, "-3": 0, "1.5": 0, "soon": 0, "99999999": maxRetryAfter, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0, "Fri, 02 Jan 2099 03:04:00 GMT": maxRetryAfter,
	} {
		require.Equal(t, want, retryAfter(text, now), text)
	}
}

func TestThreat_C5_HugeResponse(t *testing.T) {
	limit := func(c *Config) { c.MaxResponse = minMaxResponse }
	var sent int
	endless := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := []byte(strings.Repeat(" ", 4096))
		for sent < 64<<20 {
			n, err := w.Write(chunk)
			if sent += n; err != nil {
				return
			}
		}
	}, limit)
	_, _, err := pair(t, endless)
	var large *TooLargeError
	require.ErrorAs(t, err, &large)
	require.EqualValues(t, minMaxResponse, large.Limit)
	require.ErrorIs(t, err, chain.ErrTransient)
	require.Less(t, endless.Stats().Bytes, uint64(4*minMaxResponse), "it stopped reading")

	announced := serving(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1000000000") }, limit)
	_, _, err = pair(t, announced)
	require.ErrorAs(t, err, &large)
	require.Zero(t, announced.Stats().Bytes, "it never began to read")

	exact := answering(t, fmt.Sprintf("%-*s", minMaxResponse, "[]"), limit)
	_, _, err = pair(t, exact)
	require.NoError(t, err)
}

// dripping is a transport whose body gives a space a second, for ever, and whose
// reads end with the request, as those of net/http do.
type dripping struct{ ctx context.Context }

func (dripping) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: io.NopCloser(dripping{r.Context()}), Request: r}, nil
}

func (d dripping) Read(p []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	}
}

func TestThreat_C14_SlowDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Preset: Local(1337), URL: "http://drip", HTTP: &http.Client{Transport: dripping{}}, Timeout: 20 * time.Second})
		require.NoError(t, err)
		start := time.Now()
		_, err = c.Head(t.Context())
		require.ErrorIs(t, err, chain.ErrTransient)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the deadline was ours and not the caller's")
		require.Equal(t, 20*time.Second, time.Since(start))

		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = c.Head(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, chain.ErrTransient)
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestTransportErrors(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	c, err := New(Config{Preset: Local(1337), URL: dead.URL})
	require.NoError(t, err)
	_, err = c.Head(t.Context())
	var transport *TransportError
	require.ErrorAs(t, err, &transport)
	require.ErrorIs(t, err, chain.ErrTransient)

	cut := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "[")
	})
	_, err = cut.Head(t.Context())
	require.ErrorIs(t, err, chain.ErrTransient)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = cut.Head(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, chain.ErrTransient)
}

func TestReadErrorClasses(t *testing.T) {
	for code, want := range map[int64]error{-32601: chain.ErrUnsupported, -32000: chain.ErrTransient, -32603: chain.ErrTransient, -32005: chain.ErrTransient} {
		err := readError(&RPCError{Code: code})
		require.ErrorIs(t, err, want)
		var refusal *RPCError
		require.ErrorAs(t, err, &refusal, "the node's words stay")
	}
	for _, code := range []int64{-32602, -32600} {
		err := readError(&RPCError{Code: code, Message: "invalid"})
		require.NotErrorIs(t, err, chain.ErrTransient)
	}
}

func TestThreat_C4_TooLargeTexts(t *testing.T) {
	for _, text := range []string{
		"query returned more than 10000 results", "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
		"response is too large", "batch response too large", "batch too large", "query exceeds max results 20000, retry with the range",
		"logs matched by query exceeds limit of 10000", "response size is larger than 150MB limit", "response size should not greater than 10000000 bytes",
		"Maximum batch size is 100", "Batch limit exceeded",
	} {
		require.True(t, isTooLarge(&RPCError{Message: text}), text)
	}
	for _, text := range []string{"daily request limit exceeded", "Too Many Requests", "rate limit exceeded", "unknown block", "header not found", ""} {
		require.False(t, isTooLarge(&RPCError{Message: text}), text)
	}
}
