package kafka_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/notify/kafka"
)

// client makes one that connects to nothing.
func client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestConfigErrors(t *testing.T) {
	plain := client(t)
	good := func() kafka.Config {
		return kafka.Config{Name: "n", Client: plain, Topic: "a.B_9-", Topics: map[bursar.Kind]string{bursar.ChainHalted: strings.Repeat("x", 249)}}
	}
	_, err := kafka.New(good())
	require.NoError(t, err)
	for _, tc := range []struct {
		field string
		code  bursar.Code
		edit  func(*kafka.Config)
	}{
		{"Name", bursar.CodeRequired, func(c *kafka.Config) { c.Name = "" }},
		{"Client", bursar.CodeRequired, func(c *kafka.Config) { c.Client = nil }},
		{"Topic", bursar.CodeRequired, func(c *kafka.Config) { c.Topic = "" }},
		{"Topic", bursar.CodeInvalid, func(c *kafka.Config) { c.Topic = "." }},
		{"Topic", bursar.CodeInvalid, func(c *kafka.Config) { c.Topic = ".." }},
		{"Topic", bursar.CodeInvalid, func(c *kafka.Config) { c.Topic = "a b" }},
		{"Topic", bursar.CodeInvalid, func(c *kafka.Config) { c.Topic = "a[" }},
		{"Topic", bursar.CodeInvalid, func(c *kafka.Config) { c.Topic = "é" }},
		{"Topic", bursar.CodeInvalid, func(c *kafka.Config) { c.Topic = strings.Repeat("x", 250) }},
		{`Topics["alert.gas_low"]`, bursar.CodeInvalid, func(c *kafka.Config) { c.Topics = map[bursar.Kind]string{bursar.AlertGasLow: ""} }},
		{`Topics["alert.gas"]`, bursar.CodeUnknown, func(c *kafka.Config) { c.Topics = map[bursar.Kind]string{"alert.gas": "t"} }},
		{"Timeout", bursar.CodeOutOfRange, func(c *kafka.Config) { c.Timeout = -1 }},
		{"Timeout", bursar.CodeOutOfRange, func(c *kafka.Config) { c.Timeout = kafka.MaxTimeout + 1 }},
	} {
		c := good()
		tc.edit(&c)
		_, err := kafka.New(c)
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "kafka.Config."+tc.field, bad.Field)
		require.Equal(t, tc.code, bad.Code)
	}
}

// TestClientsThatCouldLoseOrReorder are refused at once, with what to do.
func TestClientsThatCouldLoseOrReorder(t *testing.T) {
	for says, opts := range map[string][]kgo.Opt{
		"RequiredAcks":              {kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()},
		"DisableIdempotentWrite":    {kgo.DisableIdempotentWrite()},
		"TransactionalID":           {kgo.TransactionalID("x")},
		"ManualFlushing":            {kgo.ManualFlushing()},
		"DefaultProduceTopicAlways": {kgo.DefaultProduceTopic("x"), kgo.DefaultProduceTopicAlways()},
		"goes by the key":           {kgo.RecordPartitioner(kgo.RoundRobinPartitioner())},
		"events of a payment":       {kgo.RecordPartitioner(kgo.UniformBytesPartitioner(1<<16, true, false, nil))},
	} {
		_, err := kafka.New(kafka.Config{Name: "n", Topic: "t", Client: client(t, opts...)})
		var bad *bursar.FieldError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "kafka.Config.Client", bad.Field)
		require.Contains(t, bad.Reason, says)
	}
	for _, opt := range []kgo.Opt{kgo.DefaultProduceTopic("x"), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerBatchCompression(kgo.NoCompression())} {
		_, err := kafka.New(kafka.Config{Name: "n", Topic: "t", Client: client(t, opt)})
		require.NoError(t, err)
	}
}

// TestTopicsAreCopied: what the host does to its map afterwards is its own affair.
func TestTopicsAreCopied(t *testing.T) {
	b := newBus(t)
	topics := map[bursar.Kind]string{}
	p := b.publisher(func(c *kafka.Config) { c.Topics = topics })
	topics[bursar.PaymentConfirmed] = operators
	require.NoError(t, p.Notify(t.Context(), event("pay_1", 1)))
	require.EqualValues(t, 1, b.size(topic))
}
