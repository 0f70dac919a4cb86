package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bursar-go/bursar/internal/wiretest"
	"github.com/bursar-go/bursar/notify/kafka"
	"github.com/bursar-go/bursar/notifytest"
)

const (
	topic      = "payments"
	operators  = "operators"
	partitions = 3
)

// bus is a cluster in this process, and a gateway's way to it.
type bus struct {
	t       testing.TB
	cluster *kfake.Cluster
	wire    *wiretest.Wire
	client  *kgo.Client // the gateway's, over the wire
}

// newBus starts a cluster with the topics payments and operators.
func newBus(t testing.TB, opts ...kfake.Opt) *bus {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic, operators)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b := &bus{t: t, cluster: c, wire: &wiretest.Wire{}}
	b.client = b.connect(kgo.Dialer(b.wire.DialContext))
	return b
}

// connect is how a host makes a client, but for the haste.
func (b *bus) connect(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.cluster.ListenAddrs()...),
		kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }),
		kgo.MetadataMinAge(10 * time.Millisecond),
	}, opts...)...)
	require.NoError(b.t, err)
	b.t.Cleanup(client.Close)
	return client
}

// publisher makes the notifier under test.
func (b *bus) publisher(edit ...func(*kafka.Config)) *kafka.Publisher {
	b.t.Helper()
	c := kafka.Config{Name: "kafka", Client: b.client, Topic: topic}
	for _, f := range edit {
		f(&c)
	}
	p, err := kafka.New(c)
	require.NoError(b.t, err)
	return p
}

// brief makes a publisher that does not wait for long.
func brief(c *kafka.Config) { c.Timeout = 250 * time.Millisecond }

// size is how many records a topic has.
func (b *bus) size(topic string) (n int64) {
	for _, p := range b.cluster.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

// stored are the records of a topic, each partition's in its order.
func (b *bus) stored(topic string) (out []*kgo.Record) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n := b.size(topic)
	if n == 0 {
		return nil
	}
	consumer := b.connect(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(10*time.Millisecond))
	defer consumer.Close()
	for int64(len(out)) < n {
		got := consumer.PollFetches(ctx)
		require.NoError(b.t, got.Err())
		out = append(out, got.Records()...)
	}
	return out
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Receiver {
		b := newBus(t)
		return notifytest.Receiver{
			Notifier: b.publisher(brief),
			Got: func(testing.TB) (out []notifytest.Message) {
				for _, r := range b.stored(topic) {
					out = append(out, notifytest.Message{ID: header(r, kafka.HeaderID), Body: r.Value})
				}
				return out
			},
			Away: b.wire.Cut, Back: b.wire.Mend,
		}
	})
}
