package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bursar-go/bursar"
)

// The headers of every record.
const (
	HeaderID    = "bursar-id"    // HeaderID: the event's id, by which repetitions are dropped.
	HeaderEvent = "bursar-event" // HeaderEvent: its kind, e.g. "payment.confirmed".
	HeaderSeq   = "bursar-seq"   // HeaderSeq: its number among the subject's events, in decimal.
)

// Defaults and bounds of Config.
const (
	DefaultTimeout = 10 * time.Second // DefaultTimeout is how long an acknowledgement is waited for.
	MaxTimeout     = 30 * time.Second // MaxTimeout is the bound of every call of a notifier.
	maxTopic       = 249
)

// pause is how long events wait where no broker answers.
const pause = 5 * time.Second

// Config says where events go.
type Config struct {
	// Name identifies the notifier in the outbox for ever; see bursar.Notifier.
	// Required.
	Name string
	// Client produces; it may be one that the host uses for other things too.
	// Required.
	Client *kgo.Client
	// Topic takes the events: 1 to 249 of A-Z, a-z, 0-9, '.', '_' and '-'. Required.
	Topic string
	// Topics are other topics for some kinds, such as those of operators. Kafka keeps
	// order within a topic alone. nil: all go to Topic.
	Topics map[bursar.Kind]string
	// Timeout is how long an acknowledgement is waited for. Zero means
	// DefaultTimeout; at most MaxTimeout.
	Timeout time.Duration
}

// Publisher is a bursar.Notifier. It is safe for concurrent use.
type Publisher struct {
	name, topic string
	topics      map[bursar.Kind]string
	client      *kgo.Client
	timeout     time.Duration

	mu sync.Mutex
	// under are the records that the client has and knows no end of, by the id of
	// their event: at most one for an event, however often it is tried.
	under map[string]*shipment
}

var _ bursar.Notifier = (*Publisher)(nil)

// shipment is a record on its way.
type shipment struct {
	done chan struct{} // closed when it has come to its end
	err  error         // what that was; not to be read before
}

// New checks c and makes a Publisher. It sends nothing and does not look for the
// topic. Errors are *bursar.FieldError, with no value of a field in them but a kind;
// that the Name is well formed and unique is checked by bursar.New.
func New(c Config) (*Publisher, error) {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	const topics = "want 1 to 249 of A-Z, a-z, 0-9, '.', '_' and '-'"
	switch {
	case c.Name == "":
		return nil, bad("Name", bursar.CodeRequired, "required")
	case c.Client == nil:
		return nil, bad("Client", bursar.CodeRequired, "required")
	case c.Topic == "":
		return nil, bad("Topic", bursar.CodeRequired, "required")
	case !validTopic(c.Topic):
		return nil, bad("Topic", bursar.CodeInvalid, topics)
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return nil, bad("Timeout", bursar.CodeOutOfRange, "want at most 30 s")
	}
	for _, kind := range slices.Sorted(maps.Keys(c.Topics)) {
		field := fmt.Sprintf("Topics[%q]", kind)
		switch {
		case !slices.Contains(bursar.EventKinds(), kind):
			return nil, bad(field, bursar.CodeUnknown, "no event is of this kind")
		case !validTopic(c.Topics[kind]):
			return nil, bad(field, bursar.CodeInvalid, topics)
		}
	}
	if reason := unfit(c.Client, c.Topic); reason != "" {
		return nil, bad("Client", bursar.CodeInvalid, reason)
	}
	return &Publisher{
		name: c.Name, topic: c.Topic, topics: maps.Clone(c.Topics), client: c.Client, timeout: c.Timeout, under: map[string]*shipment{},
	}, nil
}

func bad(field string, code bursar.Code, reason string) error {
	return &bursar.FieldError{Field: "kafka.Config." + field, Code: code, Reason: reason}
}

// unfit says why a client could lose events or change their order, or "".
func unfit(client *kgo.Client, topic string) string {
	on := func(option any) bool { set, _ := client.OptValue(option).(bool); return set }
	partitioner, _ := client.OptValue(kgo.RecordPartitioner).(kgo.Partitioner)
	switch {
	case client.OptValue(kgo.RequiredAcks) != kgo.AllISRAcks():
		return "want kgo.RequiredAcks(kgo.AllISRAcks()), or an acknowledged event could be lost"
	case on(kgo.DisableIdempotentWrite):
		return "want no kgo.DisableIdempotentWrite: events could change places"
	case client.OptValue(kgo.TransactionalID) != "":
		return "want no kgo.TransactionalID: nobody would commit"
	case on(kgo.ManualFlushing):
		return "want no kgo.ManualFlushing: nobody would flush"
	case on(kgo.DefaultProduceTopicAlways):
		return "want no kgo.DefaultProduceTopicAlways: the topic is the one named here"
	case partitioner == nil || !partitioner.ForTopic(topic).RequiresConsistency(&kgo.Record{Topic: topic, Key: []byte("pay_")}):
		return "want a kgo.RecordPartitioner that goes by the key, as the default one does, or the events of a payment lose their order"
	}
	return ""
}

// validTopic is Kafka's own rule.
func validTopic(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '.' && c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return name != "" && name != "." && name != ".." && len(name) <= maxTopic
}

// Name is Config.Name.
func (p *Publisher) Name() string { return p.name }

// Notify publishes e and returns nil when all in-sync replicas have it. Everything
// else is tried again: *bursar.RetryError without a try where no broker has answered
// yet, and other errors where one refused it. *bursar.PermanentError is what has no
// body: it will have none tomorrow.
func (p *Publisher) Notify(ctx context.Context, e bursar.Event) error {
	body, err := bursar.MarshalEvent(e)
	if err != nil {
		return &bursar.PermanentError{Err: err}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	s := p.ship(ctx, e, body)
	select {
	case <-s.done:
	case <-ctx.Done():
		select {
		case <-s.done:
		default:
			return waiting(ctx.Err())
		}
	}
	var refused *kerr.Error
	switch {
	case s.err == nil:
		return nil
	case errors.As(s.err, &refused):
		return fmt.Errorf("kafka: %s: %w", p.topicOf(e.Kind), s.err)
	}
	// The client gave it up unsent: the end of its context, or of that of another
	// record before it in the same partition.
	return waiting(s.err)
}

// waiting holds an event's place: no broker has said anything about it.
func waiting(err error) error {
	return &bursar.RetryError{After: pause, Err: fmt.Errorf("kafka: no answer of a broker: %w", err), Untried: true}
}

// ship hands e to the client, or finds the record of an earlier try there. A
// context that ends takes a record back where the client can be sure that no broker
// has it; otherwise it stays, and would be written beside a second one.
func (p *Publisher) ship(ctx context.Context, e bursar.Event, body []byte) *shipment {
	p.mu.Lock()
	s, found := p.under[e.ID]
	if !found {
		s = &shipment{done: make(chan struct{})}
		p.under[e.ID] = s
	}
	p.mu.Unlock()
	if found {
		return s
	}
	p.client.Produce(ctx, p.record(e, body), func(_ *kgo.Record, err error) {
		p.mu.Lock()
		delete(p.under, e.ID)
		p.mu.Unlock()
		s.err = err
		close(s.done)
	})
	return s
}

// record is an event as it stands in the topic. Its time is that of publishing: a
// broker may refuse one that is old, or delete it at once.
func (p *Publisher) record(e bursar.Event, body []byte) *kgo.Record {
	return &kgo.Record{
		Topic: p.topicOf(e.Kind), Key: []byte(e.Subject), Value: body,
		Headers: []kgo.RecordHeader{
			{Key: HeaderID, Value: []byte(e.ID)},
			{Key: HeaderEvent, Value: []byte(e.Kind)},
			{Key: HeaderSeq, Value: strconv.AppendInt(nil, e.Seq, 10)},
		},
	}
}

func (p *Publisher) topicOf(kind bursar.Kind) string {
	if topic, ok := p.topics[kind]; ok {
		return topic
	}
	return p.topic
}
