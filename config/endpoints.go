package config

import (
	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/webhook/send"
)

// build makes what all endpoints have in common. The library checks the rest.
func (e *Endpoints) build(r *report) *bursar.Endpoints {
	const path = "endpoints"
	if e.Key.IsZero() {
		r.add(path+".key", bursar.CodeRequired, "what encrypts the endpoints in the store")
	}
	checkSpan(r, path+".timeout", e.Timeout, 0, notifierPatience)
	out := &bursar.Endpoints{Max: e.Max, Sender: send.Config{
		Timeout: e.Timeout, AllowPrivate: networks(r, path+".allow_private", e.AllowPrivate), AllowHTTP: e.AllowHTTP, Ports: e.Ports,
	}}
	if e.BreakerFailures != 0 {
		out.Sender.Breaker = &send.BreakerConfig{Failures: e.BreakerFailures}
	}
	for _, k := range []struct {
		field string
		text  Secret
	}{{"key", e.Key}, {"previous_key", e.PreviousKey}} {
		if k.text.IsZero() {
			continue
		}
		key, err := bursar.ParseEndpointKey(k.text.Reveal())
		if err != nil {
			r.add(path+"."+k.field, bursar.CodeInvalid, "want the base64 of 32 bytes")
			continue
		}
		out.Keys = append(out.Keys, key)
	}
	return out
}
