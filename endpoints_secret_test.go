package bursar_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/webhook"
)

func TestEndpointSecretIsRotated(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	o.store = memory.New() // by the clock that signatures go by
	o.cfg.Store = o.store
	o.cfg.Endpoints = atLoopback(endpointKey(t, 1))
	gw := o.open("a")
	_, first, err := gw.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: "shop", URL: r.URL + "/x"})
	require.NoError(t, err)
	last := func() received {
		_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
		require.NoError(t, err)
		o.step(gw)
		all := r.at("/x")
		return all[len(all)-1]
	}
	require.NoError(t, verified(t, last(), first))
	second, err := gw.RotateSecret(t.Context(), "shop", webhook.Secret{}, time.Hour)
	require.NoError(t, err)
	both := last()
	require.NoError(t, verified(t, both, first))
	require.NoError(t, verified(t, both, second))
	list, err := gw.Endpoints(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), list[0].Overlap, time.Minute)
	third, err := webhook.NewSecret(nil)
	require.NoError(t, err)
	told, err := gw.RotateSecret(t.Context(), "shop", third, 0)
	require.NoError(t, err)
	require.True(t, told.Equal(third))
	one := last()
	require.NoError(t, verified(t, one, third))
	require.Error(t, verified(t, one, first))
	require.Error(t, verified(t, one, second), "one that was stolen ends at once")
	for range 6 {
		_, err = gw.RotateSecret(t.Context(), "shop", webhook.Secret{}, time.Hour)
		require.NoError(t, err)
	}
	require.Len(t, strings.Fields(last().header.Get("webhook-signature")), 3, "not without end")
}

// The database alone tells nobody where events go and what they are signed with.
func TestEndpointsAreSealed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	o := newOffice(t)
	old, next := endpointKey(t, 1), endpointKey(t, 2)
	o.cfg.Endpoints = atLoopback(old)
	gw := o.open("a")
	_, secret, err := gw.AddEndpoint(t.Context(), bursar.EndpointRequest{ID: "shop", URL: r.URL + "/my-secret-path", Header: map[string]string{"X-Token": "my-token"}})
	require.NoError(t, err)
	text := string(o.endpointRows()[0].Sealed)
	for _, hidden := range []string{"my-secret-path", "my-token", secret.Reveal(), "127.0.0.1"} {
		require.NotContains(t, text, hidden)
	}
	// Moved to another row it does not open.
	require.NoError(t, o.store.Write(t.Context(), func(tx bursar.Tx) error {
		moved := o.endpointRows()[0]
		moved.ID, moved.Version, moved.Revision = "other", 0, 9
		return tx.Apply(t.Context(), bursar.Batch{Endpoints: []bursar.EndpointRow{moved}})
	}))
	list, err := gw.Endpoints(t.Context())
	require.NoError(t, err)
	require.Contains(t, list[0].Reason, "damaged")
	require.NoError(t, gw.RemoveEndpoint(t.Context(), "other"))
	require.NoError(t, gw.Stop(t.Context()))

	// A lost key is told at the start, and so is no configuration at all.
	for what, edit := range map[string]*bursar.Endpoints{"Config.Endpoints.Keys": atLoopback(next), "Config.Endpoints": nil} {
		o.cfg.Endpoints = edit
		bad, err := bursar.New(o.cfg)
		require.NoError(t, err)
		var field *bursar.FieldError
		require.ErrorAs(t, bad.Start(t.Context()), &field)
		require.Equal(t, what, field.Field)
		require.Contains(t, field.Error(), "shop")
	}
	// Keys rotate: with both, rows are sealed anew; then the new one is enough.
	o.cfg.Endpoints = atLoopback(next, old)
	gw = o.open("b")
	o.step(gw)
	require.NotEqual(t, text, string(o.endpointRows()[0].Sealed))
	require.NoError(t, gw.Stop(t.Context()))
	o.cfg.Endpoints = atLoopback(next)
	gw = o.open("c")
	ping, err := gw.PingEndpoint(t.Context(), "shop")
	require.NoError(t, err)
	require.NoError(t, ping.Err)
	require.NoError(t, verified(t, r.at("/my-secret-path")[0], secret))
}

func TestEndpointsShowNoSecrets(t *testing.T) {
	t.Parallel()
	key := endpointKey(t, 7)
	e := bursar.Endpoint{ID: "shop", EndpointRequest: bursar.EndpointRequest{URL: "https://shop.example/my-secret-path?token=abc"}}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", key, key, key, key), fmt.Sprintf("%v %+v %#v %s", e, e, e, e), fmt.Sprintf("%+v", bursar.Endpoints{Keys: []bursar.EndpointKey{key}})} {
		require.NotContains(t, text, "my-secret-path")
		require.NotContains(t, text, "abc")
		require.NotContains(t, text, "7 7 7")
		require.NotContains(t, text, key.Reveal())
	}
	again, err := bursar.ParseEndpointKey(key.Reveal())
	require.NoError(t, err)
	require.Equal(t, key, again)
	for _, text := range []string{"", "abc", key.Reveal()[1:], key.Reveal() + "="} {
		_, err := bursar.ParseEndpointKey(text)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad)
		require.True(t, text == "" || !strings.Contains(bad.Error(), text))
	}
}
