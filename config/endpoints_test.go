package config_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/store/memory"
)

func TestEndpoints(t *testing.T) {
	key := base64.StdEncoding.EncodeToString([]byte("canary-canary-canary-32-bytes-k!"))
	old := base64.StdEncoding.EncodeToString([]byte("another-another-another-32-bytes"))
	env := append([]string{"BURSAR_ENDPOINTS_KEY=" + key, "BURSAR_ENDPOINTS_PREVIOUS_KEY=" + old}, seed...)
	f, err := load(t, minimal+"endpoints: {timeout: 3s, max: 7, allow_http: true, allow_private: [10.0.0.0/8], ports: [8443], breaker_failures: 9}\n", env...)
	require.NoError(t, err)
	cfg, err := f.Build(memory.New())
	require.NoError(t, err)
	e := cfg.Endpoints
	require.Len(t, e.Keys, 2)
	require.Equal(t, key, e.Keys[0].Reveal())
	require.Equal(t, old, e.Keys[1].Reveal())
	require.Equal(t, 7, e.Max)
	require.Equal(t, 3*time.Second, e.Sender.Timeout)
	require.True(t, e.Sender.AllowHTTP)
	require.Len(t, e.Sender.AllowPrivate, 1)
	require.Equal(t, []uint16{8443}, e.Sender.Ports)
	require.Equal(t, 9, e.Sender.Breaker.Failures)

	for what, c := range map[string]struct{ text, field string }{
		"a long timeout": {"{timeout: 31s}", "endpoints.timeout"},
		"too many":       {"{max: 10001}", "endpoints.max"},
		"bad network":    {"{allow_private: [10.0.0.0]}", "endpoints.allow_private[0]"},
		"bad port":       {"{ports: [0]}", "endpoints.ports"},
		"breaker":        {"{breaker_failures: 1001}", "endpoints.breaker_failures"},
	} {
		_, err := load(t, minimal+"endpoints: "+c.text+"\n", env...)
		require.Contains(t, faults(t, err), c.field, what)
	}
	_, err = load(t, minimal+"endpoints: {}\n", seed...)
	require.Contains(t, faults(t, err), "endpoints.key")
	_, err = load(t, minimal+"endpoints: {}\n", append([]string{"BURSAR_ENDPOINTS_KEY=" + key[1:]}, seed...)...)
	require.Contains(t, faults(t, err), "endpoints.key")
	require.NotContains(t, err.Error(), key[1:])
	_, err = load(t, minimal+"endpoints: {}\n", append([]string{"BURSAR_ENDPOINTS_KEY=" + key, "BURSAR_ENDPOINTS_PREVIOUS_KEY=" + key}, seed...)...)
	require.Contains(t, faults(t, err), "endpoints.key")
}
