package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// notifierPatience is how long the gateway waits for a notifier's answer.
const notifierPatience = 30 * time.Second

// build makes the notifier of an endpoint; nil where it cannot.
func (w Webhook) build(r *report, name string) bursar.Notifier {
	path := join("webhooks", shown(name))
	before := len(r.errs)
	if !plainName(name) {
		r.add(path, bursar.CodeInvalid, "a webhook's name is 1 to 64 of a-z, A-Z, 0-9, ., _ and -")
	}
	if w.URL.IsZero() {
		r.add(path+".url", bursar.CodeRequired, "where events are sent to")
	}
	checkSpan(r, path+".timeout", w.Timeout, 0, notifierPatience)
	cfg := send.Config{
		URL: w.URL.Reveal(), Secrets: w.secrets(r, path), Timeout: w.Timeout, Header: headers(r, path+".headers", w.Headers),
		AllowPrivate: networks(r, path+".allow_private", w.AllowPrivate), AllowHTTP: w.AllowHTTP, Ports: w.Ports,
		Concurrency: w.Concurrency, Every: w.Every, Burst: w.Burst,
	}
	if w.BreakerFailures != 0 {
		cfg.Breaker = &send.BreakerConfig{Failures: w.BreakerFailures}
	}
	if len(r.errs) > before || r.failed(path) {
		return nil
	}
	sender, err := send.New(cfg)
	var field *send.FieldError
	switch {
	case err == nil:
		return bursar.Webhooks(name, sender)
	case errors.As(err, &field):
		r.add(path+"."+sendPath(field.Field), bursar.CodeInvalid, "%s", field.Reason)
	default:
		r.wrap(path, bursar.CodeInvalid, err, "refused")
	}
	return nil
}

// sendPath translates the sender's name of a field.
func sendPath(field string) string {
	switch {
	case strings.HasPrefix(field, "Breaker"):
		return "breaker_failures"
	case strings.HasPrefix(field, "Header"):
		return "headers"
	case strings.HasPrefix(field, "Secret"):
		return "secret"
	case field == "AllowHTTP":
		return "allow_http"
	}
	name, _, _ := strings.Cut(field, "[")
	return snake(name)
}

// secrets reads the signing secrets, the current one first.
func (w Webhook) secrets(r *report, path string) (out []webhook.Secret) {
	if w.Secret.IsZero() {
		r.add(path+".secret", bursar.CodeRequired, "what requests are signed with")
	}
	for _, s := range []struct {
		field string
		text  Secret
	}{{"secret", w.Secret}, {"previous_secret", w.PreviousSecret}} {
		if s.text.IsZero() {
			continue
		}
		secret, err := webhook.ParseSecret(s.text.Reveal())
		if err != nil {
			r.wrap(path+"."+s.field, bursar.CodeInvalid, err, "cannot be used")
			continue
		}
		out = append(out, secret)
	}
	return out
}

func networks(r *report, path string, texts []string) (out []netip.Prefix) {
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			r.add(fmt.Sprintf("%s[%d]", path, i), bursar.CodeInvalid, "want a network such as 10.1.2.0/24")
			continue
		}
		out = append(out, p)
	}
	return out
}
