package natsjs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bursar-go/bursar"
)

// Defaults and bounds of Config.
const (
	DefaultPrefix  = "bursar"         // DefaultPrefix is the first token of the subjects.
	DefaultTimeout = 10 * time.Second // DefaultTimeout is how long an acknowledgement is waited for.
	MaxTimeout     = 30 * time.Second // MaxTimeout is the bound of every call of a notifier.
	maxPrefix      = 128
)

// pause is how long events wait before the connection is looked at again.
const pause = 5 * time.Second

// Config says where events go.
type Config struct {
	// Name identifies the notifier in the outbox for ever; see bursar.Notifier.
	// Required.
	Name string
	// JetStream publishes. Its connection reconnects for ever
	// (nats.MaxReconnects(-1)): one that gives up would stay silent until the
	// process is started again. Where passwords change while the gateway runs it
	// needs nats.IgnoreAuthErrorAbort too. Required.
	JetStream jetstream.JetStream
	// Prefix begins every subject: one or more tokens of A-Z, a-z, 0-9, '_' and
	// '-', joined by dots, at most 128 bytes. Empty means DefaultPrefix.
	Prefix string
	// Stream is the one that must take the events; what another one takes is an
	// error. Empty: whichever has the subject.
	Stream string
	// Timeout is how long an acknowledgement is waited for. Zero means
	// DefaultTimeout; at most MaxTimeout.
	Timeout time.Duration
}

// Publisher is a bursar.Notifier. It is safe for concurrent use and keeps no state
// but what its Config names.
type Publisher struct {
	name, prefix, stream string
	js                   jetstream.JetStream
	timeout              time.Duration
}

var _ bursar.Notifier = (*Publisher)(nil)

// New checks c and makes a Publisher. It sends nothing and does not look for the
// stream. Errors are *bursar.FieldError, with no value of a field in them; that the
// Name is well formed and unique is checked by bursar.New.
func New(c Config) (*Publisher, error) {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	switch {
	case c.Name == "":
		return nil, bad("Name", bursar.CodeRequired, "required")
	case c.JetStream == nil:
		return nil, bad("JetStream", bursar.CodeRequired, "required")
	case !validPrefix(c.Prefix):
		return nil, bad("Prefix", bursar.CodeInvalid, "want tokens of A-Z, a-z, 0-9, _ and -, joined by dots, at most 128 bytes")
	case !validStream(c.Stream):
		return nil, bad("Stream", bursar.CodeInvalid, "want the name of a stream: printable, without spaces and any of . * > / \\")
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return nil, bad("Timeout", bursar.CodeOutOfRange, "want at most 30 s")
	}
	if nc := c.JetStream.Conn(); nc != nil && (!nc.Opts.AllowReconnect || nc.Opts.MaxReconnect >= 0) {
		return nil, bad("JetStream", bursar.CodeInvalid, "its connection is given up for good when the servers are away for long: connect with nats.MaxReconnects(-1)")
	}
	return &Publisher{name: c.Name, prefix: c.Prefix, stream: c.Stream, js: c.JetStream, timeout: c.Timeout}, nil
}

func bad(field string, code bursar.Code, reason string) error {
	return &bursar.FieldError{Field: "natsjs.Config." + field, Code: code, Reason: reason}
}

// Name is Config.Name.
func (p *Publisher) Name() string { return p.name }

// Notify publishes e and returns nil when the stream has it. Everything else is
// tried again: *bursar.RetryError without a try where nothing was sent, because the
// connection is away, and other errors where the stream refused it or said nothing
// in time. *bursar.PermanentError is what has no body: it will have none tomorrow.
func (p *Publisher) Notify(ctx context.Context, e bursar.Event) error {
	body, err := bursar.MarshalEvent(e)
	if err != nil {
		return &bursar.PermanentError{Err: err}
	}
	// What is published while the connection is away waits in its buffer and is sent
	// later, when nobody waits for the acknowledgement any more.
	nc := p.js.Conn()
	if nc != nil && !nc.IsConnected() {
		return unsent(fmt.Errorf("natsjs: the connection is %s", nc.Status()))
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	m := &nats.Msg{Subject: p.Subject(e), Data: body}
	opts := []jetstream.PublishOpt{jetstream.WithMsgID(e.ID)}
	if p.stream != "" {
		opts = append(opts, jetstream.WithExpectStream(p.stream))
	}
	ack, err := p.js.PublishMsg(ctx, m, opts...)
	switch {
	case err != nil:
		return p.failed(nc, m.Subject, err)
	case p.stream != "" && ack.Stream != p.stream:
		return fmt.Errorf("natsjs: %s: another stream than the expected one took it", m.Subject)
	}
	return nil
}

// unsent holds an event's place: nothing of it has left the process.
func unsent(err error) error { return &bursar.RetryError{After: pause, Err: err, Untried: true} }

// failed names what went wrong. The server tells of a missing permission to the
// connection alone, and leaves the publisher without an answer.
func (p *Publisher) failed(nc *nats.Conn, subject string, err error) error {
	switch {
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionDraining):
		return unsent(fmt.Errorf("natsjs: %w", err))
	case errors.Is(err, context.DeadlineExceeded):
		if last := lastError(nc); errors.Is(last, nats.ErrPermissionViolation) {
			return fmt.Errorf("natsjs: %s: no acknowledgement in time, after %w: %w", subject, nats.ErrPermissionViolation, err)
		}
		return fmt.Errorf("natsjs: %s: no acknowledgement in time: %w", subject, err)
	}
	return fmt.Errorf("natsjs: %s: %w", subject, err)
}

func lastError(nc *nats.Conn) error {
	if nc == nil {
		return nil
	}
	return nc.LastError()
}
