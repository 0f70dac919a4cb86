package bursar

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/internal/seal"
	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// Bounds of endpoints.
const (
	DefaultMaxEndpoints = 100                 // DefaultMaxEndpoints is how many there may be where Endpoints.Max says none.
	MaxEndpointFilter   = 1000                // MaxEndpointFilter is the most customers, assets or kinds of one endpoint.
	MaxEndpointName     = 500                 // MaxEndpointName is the longest description in bytes.
	MaxSecretOverlap    = 30 * 24 * time.Hour // MaxSecretOverlap is how long an old secret may sign beside the new one.
)

// Endpoints is what all endpoints that are managed at run time have in common; see
// AddEndpoint.
type Endpoints struct {
	// Keys encrypt in the store what endpoints say: their URLs, headers and secrets.
	// The first seals, the others only open what was sealed earlier: to rotate, put a
	// new key in front, start every instance with it, and drop the old one after. At
	// least one. Who loses the keys loses the endpoints.
	Keys []EndpointKey
	// Sender is how every endpoint is reached: which networks may be, which
	// certificates count, the breaker, the longest Timeout. What is an endpoint's own
	// must be empty here: URL, Secrets, Header, Concurrency, Every and Burst. Without a
	// Breaker each endpoint has one with its defaults.
	Sender send.Config
	// Max is how many endpoints there may be, without the removed ones. Zero means
	// DefaultMaxEndpoints; at most 10,000.
	Max int
}

// EndpointKey encrypts endpoints at rest, with AES-256-GCM. However it is printed,
// logged or marshalled it shows only what it is; Reveal is the one way to its text.
// Keys are immutable and safe for concurrent use.
type EndpointKey struct{ key []byte }

// NewEndpointKey makes a key from random; nil means crypto/rand.
func NewEndpointKey(random io.Reader) (EndpointKey, error) {
	if random == nil {
		random = rand.Reader
	}
	key := make([]byte, seal.KeySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return EndpointKey{}, fmt.Errorf("bursar: random source: %w", err)
	}
	return EndpointKey{key}, nil
}

// ParseEndpointKey reads the standard base64, with padding, of 32 bytes, as Reveal
// and `openssl rand -base64 32` write it. The error is a *FieldError and does not
// repeat the text.
func ParseEndpointKey(text string) (EndpointKey, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != seal.KeySize {
		return EndpointKey{}, fieldErr("EndpointKey", CodeInvalid, "want the base64 of %d bytes", seal.KeySize)
	}
	return EndpointKey{key}, nil
}

const redactedKey = "EndpointKey(redacted)"

// Reveal returns the text that ParseEndpointKey reads.
func (k EndpointKey) Reveal() string { return base64.StdEncoding.EncodeToString(k.key) }

// String returns a redacted text.
func (k EndpointKey) String() string { return redactedKey }

// Format writes a redacted text for every verb and flag.
func (k EndpointKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redactedKey) }

// MarshalText returns a redacted text; what it writes cannot be parsed again.
func (k EndpointKey) MarshalText() ([]byte, error) { return []byte(redactedKey), nil }

// LogValue returns a redacted text for log/slog.
func (k EndpointKey) LogValue() slog.Value { return slog.StringValue(redactedKey) }

// EndpointStatus is whether events go to an endpoint.
type EndpointStatus string

// The statuses of an endpoint.
const (
	// EndpointEnabled: events are kept for it and sent.
	EndpointEnabled EndpointStatus = "enabled"
	// EndpointDisabled: nothing is sent to it. What waited when it was disabled waits
	// on; what happens meanwhile is not kept for it.
	EndpointDisabled EndpointStatus = "disabled"
	// EndpointRemoved: it is gone, and what waited for it is dead.
	EndpointRemoved EndpointStatus = "removed"
)

// EndpointRequest is what an endpoint is to be. Empty filters let everything pass;
// several all have to.
type EndpointRequest struct {
	// ID names the endpoint for ever, as Delivery.Endpoint: 1 to 64 of a-z, A-Z, 0-9,
	// '.', '_', '-', and none of a Notifier of Config.Notify. Adding the same again is
	// no second endpoint. Empty: the gateway makes one.
	ID string
	// URL receives the events, by POST: https, or what Endpoints.Sender allows beside.
	URL string
	// Description is the host's own text for it, up to MaxEndpointName bytes.
	Description string
	// Kinds are those wanted: "payment.confirmed", or "payment.*" for all of a group.
	Kinds []Kind
	// Customers are those whose events are wanted; then none without a customer is.
	Customers []string
	// Assets are those whose events are wanted, by CAIP-19 id; then none without an
	// asset is.
	Assets []chain.AssetID
	// Fields are the members of data that are sent, as "payment_id"; subject always
	// is. Empty: all.
	Fields []string
	// Header is sent along, for receivers that want a token of their own.
	Header map[string]string
	// Timeout bounds a try, up to 30 s. Zero: that of Endpoints.Sender.
	Timeout time.Duration
	// Concurrency is how many requests may be under way at once from each instance,
	// 0 to 64. Zero means 64.
	Concurrency int
	// Every is the time between two requests of an instance in the long run, up to an
	// hour, Burst how many may come at once after a pause. Zero: no such bound.
	Every time.Duration
	Burst int // Burst is 1 where it is zero, and up to 1000.
	// Secret signs what is sent. The zero value: the gateway makes one. UpdateEndpoint
	// does not look at it; see RotateSecret.
	Secret webhook.Secret
}

// Endpoint is a receiver of events that is managed at run time. Printing it shows
// its host and nothing that may be secret.
type Endpoint struct {
	ID string // ID names it.
	// EndpointRequest is what it was asked to be, without the secret and with the
	// names of its headers alone: their values are kept, and told to nobody.
	EndpointRequest
	Status EndpointStatus // Status is whether events go to it.
	// Reason says why it is disabled.
	Reason string
	// Overlap is when the last of its former secrets stops signing; zero: it has one.
	Overlap   time.Time
	CreatedAt time.Time // CreatedAt is when it was added.
	UpdatedAt time.Time // UpdatedAt is when it was last changed.
}

// Host is scheme and host of the URL, without what may be secret.
func (e Endpoint) Host() string {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" {
		return "?"
	}
	return u.Scheme + "://" + u.Host
}

// String names the endpoint by its id and host.
func (e Endpoint) String() string { return fmt.Sprintf("Endpoint(%s %s %s)", e.ID, e.Host(), e.Status) }

// Format writes String for every verb and flag.
func (e Endpoint) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue is String for log/slog.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }

// check validates a request on its own, with the sender that it would get.
func (r EndpointRequest) check(field string, policy Endpoints) error {
	switch {
	case r.ID != "" && !validName(r.ID):
		return fieldErr(field+".ID", CodeInvalid, "%q: want 1 to 64 of a-z, A-Z, 0-9, . _ and -", r.ID)
	case r.URL == "":
		return fieldErr(field+".URL", CodeRequired, "where the events go")
	case r.Timeout < 0 || r.Timeout > notifyTimeout:
		return fieldErr(field+".Timeout", CodeOutOfRange, "%s is not within 0 and %s", r.Timeout, notifyTimeout)
	case r.Concurrency < 0 || r.Concurrency > maxCalls:
		return fieldErr(field+".Concurrency", CodeOutOfRange, "%d is not within 0 and %d", r.Concurrency, maxCalls)
	case r.Every < 0 || r.Every > time.Hour:
		return fieldErr(field+".Every", CodeOutOfRange, "%s is not within 0 and 1 h", r.Every)
	case r.Burst < 0 || r.Burst > 1000:
		return fieldErr(field+".Burst", CodeOutOfRange, "%d is not within 0 and 1000", r.Burst)
	}
	if err := checkText(field+".Description", r.Description, MaxEndpointName); err != nil {
		return err
	}
	if err := r.checkFilters(field); err != nil {
		return err
	}
	said := endpointSaid{EndpointRequest: r, Secrets: []signing{{Text: r.Secret.Reveal()}}}
	if r.Secret.IsZero() {
		secret, err := webhook.NewSecret(nil)
		if err != nil {
			return fmt.Errorf("bursar: random source: %w", err)
		}
		said.Secrets[0].Text = secret.Reveal()
	}
	sender, err := said.sender(policy, time.Time{})
	var bad *send.FieldError
	switch {
	case errors.As(err, &bad):
		return &FieldError{Field: field + "." + bad.Field, Code: CodeInvalid, Reason: bad.Reason}
	case err != nil:
		return err
	}
	sender.Close()
	return nil
}

func (r EndpointRequest) checkFilters(field string) error {
	for i, k := range r.Kinds {
		if !knownKind(k) {
			return fieldErr(fmt.Sprintf("%s.Kinds[%d]", field, i), CodeUnknown, "%q is no kind of event, nor a group such as %q", k, "payment.*")
		}
	}
	for i, c := range r.Customers {
		at := fmt.Sprintf("%s.Customers[%d]", field, i)
		if c == "" {
			return fieldErr(at, CodeRequired, "a customer")
		}
		if err := checkText(at, c, MaxCustomer); err != nil {
			return err
		}
	}
	for i, a := range r.Assets {
		if _, err := chain.ParseAssetID(string(a)); err != nil {
			return &FieldError{Field: fmt.Sprintf("%s.Assets[%d]", field, i), Code: CodeInvalid, Reason: fmt.Sprintf("%q is no CAIP-19 id", a), Err: err}
		}
	}
	known := dataFields()
	for i, f := range r.Fields {
		if !slices.Contains(known, f) {
			return fieldErr(fmt.Sprintf("%s.Fields[%d]", field, i), CodeUnknown, "%q is none of %s", f, strings.Join(known, ", "))
		}
	}
	for what, n := range map[string]int{"Kinds": len(r.Kinds), "Customers": len(r.Customers), "Assets": len(r.Assets)} {
		if n > MaxEndpointFilter {
			return fieldErr(field+"."+what, CodeOutOfRange, "%d, at most %d", n, MaxEndpointFilter)
		}
	}
	return nil
}

// dataFields are the members of an event's data.
func dataFields() (out []string) {
	t := reflect.TypeFor[EventData]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out = append(out, name)
	}
	return out
}

// knownKind reports whether k is a kind of event, or a group of them as "payment.*".
func knownKind(k Kind) bool {
	return slices.ContainsFunc(EventKinds(), func(known Kind) bool { return k.covers(known) })
}

// covers reports whether k is that kind, or a group that it is in.
func (k Kind) covers(other Kind) bool {
	if group, all := strings.CutSuffix(string(k), "*"); all && strings.HasSuffix(group, ".") {
		return strings.HasPrefix(string(other), group)
	}
	return k == other
}

// wants reports whether the filters let an event pass.
func (r *EndpointRequest) wants(e *Event) bool {
	if len(r.Kinds) > 0 && !slices.ContainsFunc(r.Kinds, func(k Kind) bool { return k.covers(e.Kind) }) {
		return false
	}
	if len(r.Customers) > 0 && !slices.Contains(r.Customers, e.Data.Customer) {
		return false
	}
	if len(r.Assets) == 0 {
		return true
	}
	has := func(a chain.AssetID) bool { return a != "" && slices.Contains(r.Assets, a) }
	return has(e.Data.Asset) || e.Data.Transaction != nil && has(e.Data.Transaction.Asset) || e.Data.Payout != nil && has(e.Data.Payout.Asset)
}

// endpointSaid is what an endpoint says, as it is sealed.
type endpointSaid struct {
	EndpointRequest
	Secrets []signing `json:"secrets"` // the current one first
	Reason  string    `json:"reason,omitempty"`
}

// signing is a secret that signs until then; the zero time is for ever.
type signing struct {
	Text  string    `json:"text"`
	Until time.Time `json:"until,omitzero"`
}

// MarshalJSON is the sealed form: the members are named, so that a release to come
// reads what this one wrote. The embedded request would show a redacted secret.
func (s endpointSaid) MarshalJSON() ([]byte, error) { return json.Marshal(s.form()) }

// UnmarshalJSON reads the sealed form.
func (s *endpointSaid) UnmarshalJSON(b []byte) error {
	var f endpointForm
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*s = endpointSaid{Secrets: f.Secrets, Reason: f.Reason, EndpointRequest: EndpointRequest{
		URL: f.URL, Description: f.Description, Kinds: f.Kinds, Customers: f.Customers, Assets: f.Assets, Fields: f.Fields, Header: f.Header,
		Timeout: f.Timeout, Concurrency: f.Concurrency, Every: f.Every, Burst: f.Burst,
	}}
	return nil
}

// endpointForm is the sealed form.
type endpointForm struct {
	URL         string            `json:"url"`
	Description string            `json:"description,omitempty"`
	Kinds       []Kind            `json:"kinds,omitempty"`
	Customers   []string          `json:"customers,omitempty"`
	Assets      []chain.AssetID   `json:"assets,omitempty"`
	Fields      []string          `json:"fields,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	Timeout     time.Duration     `json:"timeout,omitempty"`
	Concurrency int               `json:"concurrency,omitempty"`
	Every       time.Duration     `json:"every,omitempty"`
	Burst       int               `json:"burst,omitempty"`
	Secrets     []signing         `json:"secrets"`
	Reason      string            `json:"reason,omitempty"`
}

func (s endpointSaid) form() endpointForm {
	return endpointForm{
		URL: s.URL, Description: s.Description, Kinds: s.Kinds, Customers: s.Customers, Assets: s.Assets, Fields: s.Fields, Header: s.Header,
		Timeout: s.Timeout, Concurrency: s.Concurrency, Every: s.Every, Burst: s.Burst, Secrets: s.Secrets, Reason: s.Reason,
	}
}

// sender makes the sender of an endpoint, with the secrets that sign at that time.
func (s *endpointSaid) sender(policy Endpoints, now time.Time) (*send.Sender, error) {
	c := policy.Sender
	c.URL, c.Concurrency, c.Every, c.Burst = s.URL, s.Concurrency, s.Every, s.Burst
	if s.Timeout > 0 {
		c.Timeout = s.Timeout
	}
	if c.Breaker == nil {
		c.Breaker = &send.BreakerConfig{}
	}
	c.Header = http.Header{}
	for name, value := range s.Header {
		c.Header[name] = []string{value}
	}
	for _, kept := range s.Secrets {
		if !kept.Until.IsZero() && !now.Before(kept.Until) {
			continue
		}
		secret, err := webhook.ParseSecret(kept.Text)
		if err != nil {
			return nil, err
		}
		c.Secrets = append(c.Secrets, secret)
	}
	return send.New(c)
}

// nextChange is when a secret stops signing next; zero: never.
func (s *endpointSaid) nextChange(now time.Time) (at time.Time) {
	for _, kept := range s.Secrets {
		if kept.Until.After(now) && (at.IsZero() || kept.Until.Before(at)) {
			at = kept.Until
		}
	}
	return at
}

// body is the event as this endpoint gets it.
func (s *endpointSaid) body(e Event) ([]byte, error) {
	if len(s.Fields) == 0 {
		return MarshalEvent(e)
	}
	whole, err := json.Marshal(e.Data)
	if err != nil {
		return nil, fmt.Errorf("bursar: event %s: %w", e.ID, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(whole, &members); err != nil {
		return nil, fmt.Errorf("bursar: event %s: %w", e.ID, err)
	}
	for name := range members {
		if name != "subject" && !slices.Contains(s.Fields, name) {
			delete(members, name)
		}
	}
	// Members of a map are written in the order of their names: the same bytes always.
	data, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("bursar: event %s: %w", e.ID, err)
	}
	return marshalEvent(e, data)
}
