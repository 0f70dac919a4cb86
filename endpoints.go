package bursar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bursar-go/bursar/internal/seal"
	"github.com/bursar-go/bursar/webhook"
)

// ErrNoEndpoints is returned where Config.Endpoints is not set.
var ErrNoEndpoints = errors.New("bursar: Config.Endpoints is not set")

// prepare validates what all endpoints have in common, after a copy.
func (e Endpoints) prepare(field string) (Endpoints, error) {
	e.Keys = slices.Clone(e.Keys)
	if len(e.Keys) == 0 {
		return e, fieldErr(field+".Keys", CodeRequired, "a key that encrypts what endpoints say")
	}
	for i, k := range e.Keys {
		if len(k.key) != seal.KeySize {
			return e, fieldErr(fmt.Sprintf("%s.Keys[%d]", field, i), CodeRequired, "see NewEndpointKey and ParseEndpointKey")
		}
	}
	if e.Max == 0 {
		e.Max = DefaultMaxEndpoints
	}
	own := map[string]bool{
		"URL": e.Sender.URL != "", "Secrets": len(e.Sender.Secrets) > 0, "Header": len(e.Sender.Header) > 0,
		"Concurrency": e.Sender.Concurrency != 0, "Every": e.Sender.Every != 0, "Burst": e.Sender.Burst != 0,
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if own[name] {
			return e, fieldErr(field+".Sender."+name, CodeInvalid, "is each endpoint's own")
		}
	}
	if e.Max < 0 || e.Max > 10_000 {
		return e, fieldErr(field+".Max", CodeOutOfRange, "%d is not within 1 and 10,000", e.Max)
	}
	// A sender to some public address shows what is wrong with the rest.
	err := EndpointRequest{URL: "https://1.1.1.1/"}.check(field, e)
	var bad *FieldError
	if errors.As(err, &bad) {
		bad.Field = strings.Replace(bad.Field, field, field+".Sender", 1)
	}
	return e, err
}

// directory knows the endpoints. What is in the store counts: every transaction
// that records an event first learns what was changed since the last look, so that
// an event after AddEndpoint is kept for the endpoint by whichever instance it is.
type directory struct {
	gw     *Gateway
	policy Endpoints
	ring   *seal.Keyring
	wake   chan struct{}

	mu sync.Mutex
	// revision is the newest one seen.
	revision int64
	// known are the endpoints, in the order of their ids, the removed ones too.
	known []*endpoint
	// buried are the removed ones for which nothing waits.
	buried map[string]bool
	pumps  map[string]*pump
}

// endpoint is one of them as a row tells it. It never changes.
type endpoint struct {
	row  EndpointRow
	said endpointSaid
	// err is why what it says cannot be read.
	err error
	// stale is true where it is sealed with a former key.
	stale bool
}

func newDirectory(g *Gateway, policy Endpoints) (*directory, error) {
	var keys [][]byte
	for _, k := range policy.Keys {
		keys = append(keys, k.key)
	}
	ring, err := seal.New(keys)
	if err != nil {
		return nil, &FieldError{Field: "Config.Endpoints.Keys", Code: CodeInvalid, Reason: "cannot be used", Err: err}
	}
	return &directory{gw: g, policy: policy, ring: ring, wake: make(chan struct{}, 1), pumps: map[string]*pump{}, buried: map[string]bool{}}, nil
}

// read opens a row.
func (d *directory) read(row EndpointRow) *endpoint {
	e := &endpoint{row: row}
	if row.Status == EndpointRemoved {
		return e
	}
	plain, current, err := d.ring.Open(row.Sealed, row.ID)
	if err == nil {
		err = json.Unmarshal(plain, &e.said)
	}
	e.stale = !current
	if err != nil {
		e.err = fmt.Errorf("endpoint %s: Config.Endpoints.Keys: %w", row.ID, err)
	}
	return e
}

// seal writes what an endpoint says into its row.
func (d *directory) seal(row *EndpointRow, said endpointSaid) error {
	plain, err := json.Marshal(said)
	if err == nil {
		row.Sealed, err = d.ring.Seal(d.gw.cfg.Rand, plain, row.ID)
	}
	if err != nil {
		return fmt.Errorf("bursar: endpoint %s: %w", row.ID, err)
	}
	return nil
}

// learn reads what was changed since the last time. It is nothing for a gateway
// without endpoints.
func (d *directory) learn(ctx context.Context, r Reader) error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	after := d.revision
	d.mu.Unlock()
	rows, err := r.Endpoints(ctx, EndpointQuery{After: after})
	if err != nil || len(rows) == 0 {
		return err
	}
	fresh := make([]*endpoint, len(rows))
	for i, row := range rows {
		fresh[i] = d.read(row)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Readers share what is returned by all: a new list each time.
	known := slices.Clone(d.known)
	for _, e := range fresh {
		d.revision = max(d.revision, e.row.Revision)
		at, there := slices.BinarySearchFunc(known, e.row.ID, func(k *endpoint, id string) int { return strings.Compare(k.row.ID, id) })
		switch {
		case !there:
			known = slices.Insert(known, at, e)
		case known[at].row.Revision < e.row.Revision:
			known[at] = e
		}
	}
	d.known = known
	return nil
}

// all are the endpoints, by id.
func (d *directory) all() []*endpoint {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known
}

// find returns one of them, nil where there is none.
func (d *directory) find(id string) *endpoint {
	for _, e := range d.all() {
		if e.row.ID == id {
			return e
		}
	}
	return nil
}

// deliveries are the outbox rows of an event. What cannot be read may want it: that
// is found out once it can be.
func (d *directory) deliveries(to []Delivery, e *Event, now time.Time) []Delivery {
	for _, p := range d.all() {
		if p.row.Status == EndpointEnabled && (p.err != nil || p.said.wants(e)) {
			to = append(to, newDelivery(*e, p.row.ID, DeliveryPending, now))
		}
	}
	return to
}

// view is an endpoint as the host sees it.
func (e *endpoint) view(now time.Time) Endpoint {
	out := Endpoint{
		ID: e.row.ID, EndpointRequest: e.said.EndpointRequest, Status: e.row.Status, Reason: e.said.Reason,
		CreatedAt: e.row.CreatedAt, UpdatedAt: e.row.UpdatedAt,
	}
	out.EndpointRequest.ID, out.Secret = e.row.ID, webhook.Secret{}
	out.Header = maps.Clone(e.said.Header)
	for name := range out.Header {
		out.Header[name] = ""
	}
	out.Kinds, out.Customers, out.Assets, out.Fields = slices.Clone(out.Kinds), slices.Clone(out.Customers), slices.Clone(out.Assets), slices.Clone(out.Fields)
	for _, s := range e.said.Secrets {
		if s.Until.After(now) && s.Until.After(out.Overlap) {
			out.Overlap = s.Until
		}
	}
	return out
}

// directoryOf returns the directory. Endpoints are a matter of the store alone, so
// that a gateway which has not been started will do, as in an operator's tool.
func (g *Gateway) directoryOf(ctx context.Context) (*directory, error) {
	switch {
	case g == nil || g.store == nil:
		return nil, ErrNotStarted
	case inside(ctx) != nil:
		return nil, fmt.Errorf("%w: endpoints are changed outside of it", ErrInTransaction)
	case g.directory == nil:
		return nil, ErrNoEndpoints
	}
	return g.directory, nil
}

// AddEndpoint adds a receiver of events at run time, and returns it with the secret
// that signs what it gets: hand that to the receiver, it is never told again. The
// URL is checked as far as that goes without a request; see PingEndpoint for one.
//
// What happens after it returns is kept for the endpoint, whichever instance sees
// it happen. All instances that share the store must have the same
// Config.Endpoints; one without it tells endpoints nothing.
//
// Adding what is there already, with the ID of the request and alike in all else, returns it, and
// the secret where the request brought it.
//
// Neither this nor the other calls about endpoints need a gateway that was started.
//
// Errors: ErrNoEndpoints; *FieldError, also where the ID belongs to another endpoint or a Notifier
// (CodeDuplicate), or there are Endpoints.Max of them (CodeOutOfRange).
func (g *Gateway) AddEndpoint(ctx context.Context, req EndpointRequest) (Endpoint, webhook.Secret, error) {
	d, err := g.directoryOf(ctx)
	if err != nil {
		return Endpoint{}, webhook.Secret{}, err
	}
	if err := req.check("EndpointRequest", d.policy); err != nil {
		return Endpoint{}, webhook.Secret{}, err
	}
	if slices.ContainsFunc(g.pumps, func(p *pump) bool { return p.name == req.ID }) {
		return Endpoint{}, webhook.Secret{}, fieldErr("EndpointRequest.ID", CodeDuplicate, "%q is a notifier of Config.Notify", req.ID)
	}
	random, err := g.ids.draw()
	if err != nil {
		return Endpoint{}, webhook.Secret{}, err
	}
	secret := req.Secret
	if secret.IsZero() {
		if secret, err = webhook.NewSecret(g.cfg.Rand); err != nil {
			return Endpoint{}, secret, fmt.Errorf("bursar: random source: %w", err)
		}
	}
	said := endpointSaid{EndpointRequest: req.own(), Secrets: []signing{{Text: secret.Reveal()}}}
	var out *endpoint
	now := time.Time{}
	err = d.change(ctx, func(tx Tx) (*EndpointRow, error) {
		now = tx.Now()
		id := req.ID
		if id == "" {
			id = random.id("we_", now)
		}
		if old := d.find(id); old != nil {
			if out = old; !old.like(said, req.Secret) {
				return nil, fieldErr("EndpointRequest.ID", CodeDuplicate, "endpoint %q is there, and is another or was removed", id)
			}
			if req.Secret.IsZero() {
				secret = webhook.Secret{}
			}
			return nil, nil
		}
		if d.count() >= d.policy.Max {
			return nil, fieldErr("Config.Endpoints.Max", CodeOutOfRange, "there are %d endpoints", d.policy.Max)
		}
		row := EndpointRow{ID: id, Status: EndpointEnabled, CreatedAt: now}
		out = &endpoint{row: row, said: said}
		return &row, d.seal(&row, said)
	})
	if err != nil {
		return Endpoint{}, webhook.Secret{}, err
	}
	if is := d.find(out.row.ID); is != nil {
		out = is
	}
	return out.view(now), secret, nil
}

// own is a copy that shares nothing with the caller's.
func (r EndpointRequest) own() EndpointRequest {
	r.Kinds, r.Customers, r.Assets, r.Fields = slices.Clone(r.Kinds), slices.Clone(r.Customers), slices.Clone(r.Assets), slices.Clone(r.Fields)
	r.Header = maps.Clone(r.Header)
	return r
}

// like reports whether an endpoint is what somebody asks for again.
func (e *endpoint) like(said endpointSaid, secret webhook.Secret) bool {
	if e.row.Status == EndpointRemoved || e.err != nil {
		return false
	}
	had, want := e.said.form(), said.form()
	if !secret.IsZero() && !e.said.signs(secret) {
		return false
	}
	had.Secrets, want.Secrets, had.Reason = nil, nil, ""
	a, errA := json.Marshal(had)
	b, errB := json.Marshal(want)
	return errA == nil && errB == nil && string(a) == string(b)
}

// signs reports whether that is the secret that signs first.
func (s *endpointSaid) signs(secret webhook.Secret) bool {
	return len(s.Secrets) > 0 && s.Secrets[0].is(secret)
}

// is compares in constant time.
func (s signing) is(secret webhook.Secret) bool {
	kept, err := webhook.ParseSecret(s.Text)
	return err == nil && kept.Equal(secret)
}

// count is how many there are that were not removed.
func (d *directory) count() (n int) {
	for _, e := range d.all() {
		if e.row.Status != EndpointRemoved {
			n++
		}
	}
	return n
}

// change writes one row, with the next revision. fn runs in the transaction, after
// what others did was learned; without a row nothing is written.
func (d *directory) change(ctx context.Context, fn func(Tx) (*EndpointRow, error)) error {
	write := func(tx Tx) error {
		if err := d.learn(ctx, tx); err != nil {
			return err
		}
		row, err := fn(tx)
		if err != nil || row == nil {
			return err
		}
		d.mu.Lock()
		row.Revision, row.UpdatedAt = d.revision+1, tx.Now()
		d.mu.Unlock()
		return tx.Apply(ctx, Batch{Endpoints: []EndpointRow{*row}})
	}
	if err := d.gw.store.Write(ctx, write); err != nil {
		return err
	}
	d.look()
	return d.gw.store.Read(ctx, func(r Reader) error { return d.learn(ctx, r) })
}

// look has the pumps of endpoints begun and ended as they are now.
func (d *directory) look() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// edit changes an endpoint that is there.
func (g *Gateway) edit(ctx context.Context, id string, fn func(d *directory, e *endpoint, now time.Time) (endpointSaid, EndpointStatus, error)) (Endpoint, error) {
	d, err := g.directoryOf(ctx)
	if err != nil {
		return Endpoint{}, err
	}
	var now time.Time
	err = d.change(ctx, func(tx Tx) (*EndpointRow, error) {
		now = tx.Now()
		e := d.find(id)
		if e == nil || e.row.Status == EndpointRemoved {
			return nil, fmt.Errorf("%w: endpoint %q", ErrNotFound, id)
		}
		said, status, err := fn(d, e, now)
		if err != nil {
			return nil, err
		}
		row := e.row
		row.Status = status
		if status == EndpointRemoved {
			row.Sealed = nil
			return &row, nil
		}
		return &row, d.seal(&row, said)
	})
	if err != nil {
		return Endpoint{}, err
	}
	return d.find(id).view(now), nil
}

// UpdateEndpoint replaces what an endpoint is by the request, but for its ID, its
// Secret and its status. What waits for it goes by the new terms; what they do not
// want any more is dropped then. A header of which the request has the name and no
// value keeps the value that it had, so that what Endpoints returned can be sent back.
//
// Errors: as AddEndpoint; ErrNotFound.
func (g *Gateway) UpdateEndpoint(ctx context.Context, id string, req EndpointRequest) (Endpoint, error) {
	req.Secret = webhook.Secret{}
	if req.ID != "" && req.ID != id {
		return Endpoint{}, fieldErr("EndpointRequest.ID", CodeMismatch, "%q, and the endpoint is %q", req.ID, id)
	}
	return g.edit(ctx, id, func(d *directory, e *endpoint, _ time.Time) (endpointSaid, EndpointStatus, error) {
		next := req.own()
		for name, value := range next.Header {
			if old, had := e.said.Header[name]; had && value == "" {
				next.Header[name] = old
			}
		}
		if err := next.check("EndpointRequest", d.policy); err != nil {
			return endpointSaid{}, "", err
		}
		if e.err != nil {
			return endpointSaid{}, "", fmt.Errorf("bursar: %w", e.err)
		}
		return endpointSaid{EndpointRequest: next, Secrets: e.said.Secrets, Reason: e.said.Reason}, e.row.Status, nil
	})
}

// RotateSecret gives an endpoint another secret, which the gateway makes where the
// one given is the zero value, and returns it. For overlap, up to MaxSecretOverlap, what is sent
// carries the signatures of both, so that the receiver can change at its leisure;
// zero ends the old one at once, as one that was stolen wants it.
//
// Errors: ErrNoEndpoints; ErrNotFound; *FieldError.
func (g *Gateway) RotateSecret(ctx context.Context, id string, secret webhook.Secret, overlap time.Duration) (webhook.Secret, error) {
	if overlap < 0 || overlap > MaxSecretOverlap {
		return webhook.Secret{}, fieldErr("RotateSecret.Overlap", CodeOutOfRange, "%s is not within 0 and %s", overlap, MaxSecretOverlap)
	}
	if _, err := g.directoryOf(ctx); err != nil {
		return webhook.Secret{}, err
	}
	if secret.IsZero() {
		made, err := webhook.NewSecret(g.cfg.Rand)
		if err != nil {
			return webhook.Secret{}, fmt.Errorf("bursar: random source: %w", err)
		}
		secret = made
	}
	_, err := g.edit(ctx, id, func(_ *directory, e *endpoint, now time.Time) (endpointSaid, EndpointStatus, error) {
		if e.err != nil {
			return endpointSaid{}, "", fmt.Errorf("bursar: %w", e.err)
		}
		said := e.said
		said.Secrets = []signing{{Text: secret.Reveal()}}
		for _, old := range e.said.Secrets {
			if until := now.Add(overlap); old.Until.IsZero() || old.Until.After(until) {
				old.Until = until
			}
			// Several rotations in a row must not make a header without end.
			if overlap > 0 && old.Until.After(now) && !old.is(secret) && len(said.Secrets) < maxSigning {
				said.Secrets = append(said.Secrets, old)
			}
		}
		return said, e.row.Status, nil
	})
	if err != nil {
		return webhook.Secret{}, err
	}
	return secret, nil
}

// maxSigning is how many secrets of an endpoint sign at a time.
const maxSigning = 3

// DisableEndpoint has nothing sent to an endpoint until EnableEndpoint: what waits
// for it waits on, and what happens meanwhile is not kept for it. reason is the
// host's own text, up to MaxEndpointName bytes. The gateway does it by itself where
// a receiver answers 410 Gone. Doing it twice is no error.
//
// Errors: ErrNoEndpoints; ErrNotFound; *FieldError.
func (g *Gateway) DisableEndpoint(ctx context.Context, id, reason string) (Endpoint, error) {
	if err := checkText("DisableEndpoint.Reason", reason, MaxEndpointName); err != nil {
		return Endpoint{}, err
	}
	return g.setStatus(ctx, id, EndpointDisabled, reason)
}

// EnableEndpoint has events sent to an endpoint again, first those that waited.
// Doing it twice is no error. Errors: ErrNoEndpoints; ErrNotFound.
func (g *Gateway) EnableEndpoint(ctx context.Context, id string) (Endpoint, error) {
	return g.setStatus(ctx, id, EndpointEnabled, "")
}

// RemoveEndpoint removes an endpoint for good. What waited for it becomes dead. Its
// ID cannot be used again. Errors: ErrNoEndpoints; ErrNotFound, also where it was removed before.
func (g *Gateway) RemoveEndpoint(ctx context.Context, id string) error {
	_, err := g.setStatus(ctx, id, EndpointRemoved, "")
	return err
}

func (g *Gateway) setStatus(ctx context.Context, id string, status EndpointStatus, reason string) (Endpoint, error) {
	return g.edit(ctx, id, func(_ *directory, e *endpoint, _ time.Time) (endpointSaid, EndpointStatus, error) {
		if e.err != nil && status != EndpointRemoved {
			return endpointSaid{}, "", fmt.Errorf("bursar: %w", e.err)
		}
		said := e.said
		said.Reason = reason
		return said, status, nil
	})
}

// Endpoints returns the endpoints that were not removed, by id. One that no key
// opens has a Reason and nothing else to tell. Errors: ErrNoEndpoints; the store's.
func (g *Gateway) Endpoints(ctx context.Context) ([]Endpoint, error) {
	d, err := g.directoryOf(ctx)
	if err != nil {
		return nil, err
	}
	var now time.Time
	if err := g.store.Read(ctx, func(r Reader) error { now = r.Now(); return d.learn(ctx, r) }); err != nil {
		return nil, err
	}
	var out []Endpoint
	for _, e := range d.all() {
		if e.row.Status == EndpointRemoved {
			continue
		}
		v := e.view(now)
		if e.err != nil {
			v.Reason = e.err.Error()
		}
		out = append(out, v)
	}
	return out, nil
}

// Ping is what came of a test event.
type Ping struct {
	// EventID is the id that the receiver got.
	EventID string
	// Code is the HTTP status; zero where no answer came.
	Code int
	// Latency is the time until the answer was read.
	Latency time.Duration
	// Err is why it counts as not received; nil where the answer was 2xx.
	Err error
}

// EndpointPing is the kind of the test event of PingEndpoint. It is recorded nowhere
// and is in no filter.
const EndpointPing Kind = "endpoint.ping"

// PingEndpoint sends a signed test event to an endpoint, once and now, also where it
// is disabled: kind EndpointPing, the endpoint's ID as subject, Seq 1, and nothing in
// data. What came of it is in the answer; an error means that nothing was sent.
//
// Errors: ErrNoEndpoints; ErrNotFound.
func (g *Gateway) PingEndpoint(ctx context.Context, id string) (Ping, error) {
	d, err := g.directoryOf(ctx)
	if err != nil {
		return Ping{}, err
	}
	var now time.Time
	if err := g.store.Read(ctx, func(r Reader) error { now = r.Now(); return d.learn(ctx, r) }); err != nil {
		return Ping{}, err
	}
	e := d.find(id)
	if e == nil || e.row.Status == EndpointRemoved {
		return Ping{}, fmt.Errorf("%w: endpoint %q", ErrNotFound, id)
	}
	if e.err != nil {
		return Ping{}, fmt.Errorf("bursar: %w", e.err)
	}
	random, err := g.ids.draw()
	if err != nil {
		return Ping{}, err
	}
	event := Event{ID: random.id("evt_ping_", now), Kind: EndpointPing, Subject: id, Seq: 1, Time: now, Livemode: g.live, Data: EventData{Subject: id}}
	body, err := e.said.body(event)
	if err != nil {
		return Ping{}, err
	}
	sender, err := e.said.sender(d.policy, now)
	if err != nil {
		return Ping{}, fmt.Errorf("bursar: endpoint %s: %w", id, err)
	}
	defer sender.Close()
	receipt, err := sender.Deliver(ctx, webhook.Message{ID: event.ID, Body: body})
	return Ping{EventID: event.ID, Code: receipt.Code, Latency: receipt.Latency, Err: err}, nil
}
