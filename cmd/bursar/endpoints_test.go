package main

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/webhook/send"
)

func TestEndpoints(t *testing.T) {
	answer := http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer) }))
	t.Cleanup(server.Close)
	text := base64.StdEncoding.EncodeToString([]byte("canary-canary-canary-32-bytes-k!"))
	key, err := bursar.ParseEndpointKey(text)
	require.NoError(t, err)
	w := live(t, func(c *bursar.Config) {
		c.Endpoints = &bursar.Endpoints{Keys: []bursar.EndpointKey{key}, Sender: send.Config{
			AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}}
	})
	require.Contains(t, w.fails(exitFailed, "endpoints"), "Config.Endpoints is not set")
	whole, err := os.ReadFile(w.config)
	require.NoError(t, err)
	w.write("key", text)
	w.write("bursar.yaml", string(whole)+"endpoints: {key: {file: key}, allow_http: true, allow_private: [127.0.0.0/8]}\n")
	require.Contains(t, w.ok("endpoints"), "no endpoints")

	_, secret, err := w.kit.Gateway.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: "shop", URL: server.URL + "/" + hookPath, Description: "the shop"})
	require.NoError(t, err)
	for _, out := range []string{w.ok("endpoints"), w.ok("endpoints", "-json")} {
		require.Contains(t, out, "shop")
		require.Contains(t, out, "enabled")
		require.Contains(t, out, server.URL)
		require.NotContains(t, out, secret.Reveal())
		require.NotContains(t, out, text)
	}
	require.Contains(t, w.ok("endpoints", "-ping", "shop"), "shop took evt_ping_")
	answer = http.StatusTeapot
	require.Contains(t, w.fails(exitFailed, "endpoints", "-ping", "shop"), "418")
	require.Contains(t, w.ok("endpoints", "-disable", "shop", "-reason", "moves house"), "moves house")
	list, err := w.kit.Gateway.Endpoints(t.Context())
	require.NoError(t, err)
	require.Equal(t, bursar.EndpointDisabled, list[0].Status)
	require.NotContains(t, w.ok("endpoints", "-enable", "shop"), "moves house")
	require.Contains(t, w.ok("endpoints", "-remove", "shop"), "no endpoints")
	require.Contains(t, w.fails(exitFailed, "endpoints", "-remove", "shop"), "not found")
	require.Contains(t, w.fails(exitUsage, "endpoints", "-ping", "a", "-enable", "b"), "one of")
	require.Contains(t, w.fails(exitUsage, "endpoints", "-reason", strings.Repeat("x", 3)), "-disable")
}
