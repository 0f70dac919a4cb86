package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/notify/kafka"
)

const password = "correct-horse"

func event(subject string, seq int64) bursar.Event {
	return bursar.Event{
		ID: fmt.Sprintf("evt_%s_%d", subject, seq), Kind: bursar.PaymentConfirmed, Subject: subject, Seq: seq, Time: time.Unix(1_700_000_000, 0),
		Data: bursar.EventData{Subject: subject, PaymentID: subject},
	}
}

// stays requires an error that keeps the event in the outbox and shows no secret.
func stays(t *testing.T, err error) (retry *bursar.RetryError) {
	t.Helper()
	require.Error(t, err)
	require.False(t, errors.As(err, new(*bursar.PermanentError)), "%v", err)
	require.NotContains(t, err.Error(), password)
	errors.As(err, &retry)
	return retry
}

// unheard requires an error that does not count as a try.
func unheard(t *testing.T, err error) {
	t.Helper()
	retry := stays(t, err)
	require.NotNil(t, retry, "%v", err)
	require.True(t, retry.Untried)
	require.Positive(t, retry.After)
}

func TestWhatIsPublished(t *testing.T) {
	b := newBus(t)
	p := b.publisher(func(c *kafka.Config) { c.Topics = map[bursar.Kind]string{bursar.ChainHalted: operators} })
	e := event("pay_1", 7)
	require.NoError(t, p.Notify(t.Context(), e))
	got := b.stored(topic)
	require.Len(t, got, 1)
	body, err := bursar.MarshalEvent(e)
	require.NoError(t, err)
	require.Equal(t, body, got[0].Value)
	require.Equal(t, "pay_1", string(got[0].Key))
	require.Equal(t, e.ID, header(got[0], "bursar-id"))
	require.Equal(t, "payment.confirmed", header(got[0], "bursar-event"))
	require.Equal(t, "7", header(got[0], "bursar-seq"))
	require.WithinDuration(t, time.Now(), got[0].Timestamp, time.Minute)

	halted := event("chain", 1)
	halted.Kind = bursar.ChainHalted
	require.NoError(t, p.Notify(t.Context(), halted))
	require.Len(t, b.stored(topic), 1)
	require.Equal(t, halted.ID, header(b.stored(operators)[0], kafka.HeaderID))
}

// TestThreat_E4_OnePartitionForASubject, whatever the others do.
func TestThreat_E4_OnePartitionForASubject(t *testing.T) {
	b := newBus(t)
	p := b.publisher()
	const subjects = 12
	for seq := range int64(4) {
		for i := range subjects {
			require.NoError(t, p.Notify(t.Context(), event(fmt.Sprintf("pay_%d", i), seq+1)))
		}
	}
	at, used, last := map[string]int32{}, map[int32]bool{}, map[string]int64{}
	for _, r := range b.stored(topic) {
		key := string(r.Key)
		if _, known := at[key]; !known {
			at[key] = r.Partition
		}
		require.Equal(t, at[key], r.Partition, key)
		require.Greater(t, r.Offset, last[key]-1)
		require.Equal(t, fmt.Sprint(last[key]+1), header(r, kafka.HeaderSeq), key)
		last[key]++
		used[r.Partition] = true
	}
	require.Len(t, at, subjects)
	require.Len(t, used, partitions, "subjects are spread")
}

// TestThreat_E3_ALostAnswer is no success; the record stays with the client, the tries
// after it add none, and the client has it stored once.
func TestThreat_E3_ALostAnswer(t *testing.T) {
	b := newBus(t)
	p, e := b.publisher(), event("pay_1", 1)
	require.NoError(t, p.Notify(t.Context(), event("pay_1", 0)), "the client knows the topic")
	ctx, cancel := context.WithCancel(t.Context())
	said := make(chan error, 1)
	b.wire.Deafen()
	go func() { said <- p.Notify(ctx, e) }()
	require.Eventually(t, func() bool { return b.size(topic) == 2 }, 10*time.Second, time.Millisecond, "the broker has it")
	select {
	case err := <-said:
		require.Fail(t, "an answer that never came", "%v", err)
	default:
	}
	cancel()
	err := <-said
	unheard(t, err)
	require.ErrorIs(t, err, context.Canceled)
	// Tries meanwhile do not add records of their own.
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		unheard(t, p.Notify(ctx, e))
		cancel()
	}
	require.EqualValues(t, 1, b.client.BufferedProduceRecords())
	// The client asks again on another connection, and the broker knows the record.
	b.wire.Cut()
	b.wire.Mend()
	require.Eventually(t, func() bool { return b.client.BufferedProduceRecords() == 0 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 2, b.size(topic))
	require.NoError(t, p.Notify(t.Context(), e), "what has come to its end meanwhile is published again")
	require.NoError(t, p.Notify(t.Context(), event("pay_1", 2)), "and nothing is held up")
	require.Equal(t, []string{"0", "1", "2"}, seqs(b, "pay_1"))
}

// seqs are the numbers of a subject's records, without those that come again at once:
// a record may be written just when the call that waits for it ends.
func seqs(b *bus, subject string) (out []string) {
	for _, r := range b.stored(topic) {
		if string(r.Key) == subject {
			out = append(out, header(r, kafka.HeaderSeq))
		}
	}
	return slices.Compact(out)
}

// TestThreat_E1_AwayForDays: while no broker can be reached nothing counts as a try,
// and the order is kept, for longer than the schedule.
func TestThreat_E1_AwayForDays(t *testing.T) {
	b := newBus(t)
	g := bursartest.New(t, bursartest.Options{Notify: []bursar.Notifier{b.publisher(func(c *kafka.Config) { c.Timeout = 30 * time.Millisecond })}})
	b.wire.Cut()
	p := g.Create("USDC", "25")
	g.Step()
	g.Pay(p)
	g.Chain.Mine(int(g.Chain.Info().Confirmations))
	for range 5 {
		g.Chain.AdvanceTime(24 * time.Hour)
		g.Step()
	}
	require.Greater(t, len(g.Events(p.ID)), 2)
	rows := deliveries(t, g, p.ID)
	require.Len(t, rows, len(g.Events(p.ID)))
	for _, d := range rows {
		require.Equal(t, bursar.DeliveryPending, d.Status)
		require.Zero(t, d.Attempts)
	}
	require.Empty(t, seqs(b, p.ID))
	b.wire.Mend()
	require.Eventually(t, func() bool {
		g.Chain.AdvanceTime(time.Minute)
		g.Step()
		for _, d := range deliveries(t, g, p.ID) {
			if d.Status != bursar.DeliveryDone {
				return false
			}
		}
		return true
	}, 30*time.Second, time.Millisecond)
	var want []string
	for _, e := range g.Events(p.ID) {
		want = append(want, fmt.Sprint(e.Seq))
	}
	require.Equal(t, want, seqs(b, p.ID))
	for _, d := range deliveries(t, g, p.ID) {
		require.Equal(t, 1, d.Attempts)
	}
}

// deliveries are the rows of a subject.
func deliveries(t *testing.T, g *bursartest.Kit, subject string) (out []bursar.Delivery) {
	t.Helper()
	require.NoError(t, g.Store.Read(t.Context(), func(r bursar.Reader) error {
		rows, err := r.Deliveries(t.Context(), bursar.DeliveryQuery{Endpoint: "kafka"})
		for _, d := range rows {
			if d.Subject == subject {
				out = append(out, d)
			}
		}
		return err
	}))
	return out
}

// TestRefusalsAreTriedAgain: what an operator can put right is never dead at once.
func TestRefusalsAreTriedAgain(t *testing.T) {
	plainEvent, large := event("pay_1", 1), event("pay_1", 1)
	large.Data.Reason = strings.Repeat("x", 3000)
	for name, tc := range map[string]struct {
		event bursar.Event
		edit  func(b *bus, c *kafka.Config)
		err   error
		heal  func(b *bus)
	}{
		"no topic": {
			event: plainEvent, edit: func(_ *bus, c *kafka.Config) { c.Topic = "later" }, err: kerr.UnknownTopicOrPartition,
			heal: func(b *bus) { require.NoError(b.t, b.cluster.CreateTopic("later", 1, nil)) },
		},
		"too large for the client": {
			event: large, err: kerr.MessageTooLarge,
			edit: func(b *bus, c *kafka.Config) { c.Client = b.connect(kgo.ProducerBatchMaxBytes(2000)) },
		},
		"too large for the topic": {event: plainEvent, err: kerr.MessageTooLarge, edit: refuse(kerr.MessageTooLarge)},
		"no right":                {event: plainEvent, err: kerr.TopicAuthorizationFailed, edit: refuse(kerr.TopicAuthorizationFailed)},
		"a policy":                {event: plainEvent, err: kerr.PolicyViolation, edit: refuse(kerr.PolicyViolation)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t)
			var c kafka.Config
			p := b.publisher(func(into *kafka.Config) { tc.edit(b, into); c = *into })
			err := p.Notify(t.Context(), tc.event)
			require.Nil(t, stays(t, err), "a broker has spoken: that is a try")
			require.ErrorIs(t, err, tc.err)
			require.ErrorContains(t, err, "kafka: "+c.Topic+": ")
			if name == "too large for the client" {
				require.NoError(t, p.Notify(t.Context(), plainEvent), "the next one is not too large")
				return
			}
			if tc.heal != nil {
				tc.heal(b)
			}
			require.Eventually(t, func() bool { return p.Notify(t.Context(), tc.event) == nil }, 10*time.Second, time.Millisecond)
			require.EqualValues(t, 1, b.size(c.Topic))
		})
	}
}

// refuse has a broker refuse the first record.
func refuse(err *kerr.Error) func(*bus, *kafka.Config) {
	return func(b *bus, _ *kafka.Config) { b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err}) }
}

// TestTooFewReplicas: a broker that cannot keep its promise today is asked again by
// the client, and no success is told meanwhile.
func TestTooFewReplicas(t *testing.T) {
	b := newBus(t)
	fault := b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	e := event("pay_1", 1)
	unheard(t, b.publisher(brief).Notify(t.Context(), e))
	require.Positive(t, fault.Hits())
	require.Zero(t, b.size(topic))
	fault.Remove()
	// The first try may be about to end in the client, and takes others with it.
	p := b.publisher()
	require.Eventually(t, func() bool { return p.Notify(t.Context(), e) == nil }, 10*time.Second, time.Millisecond)
	require.Equal(t, []string{"1"}, seqs(b, "pay_1"))
}

// TestTheEndOfAnotherRecord: the client fails all records of a partition when the
// context of the first one ends, and that is no fault of the others.
func TestTheEndOfAnotherRecord(t *testing.T) {
	b := newBus(t)
	p := b.publisher()
	b.wire.Cut()
	first, cancel := context.WithCancel(t.Context())
	said := make(chan error, 2)
	go func() { said <- p.Notify(first, event("pay_1", 1)) }()
	require.Eventually(t, func() bool { return b.client.BufferedProduceRecords() == 1 }, 10*time.Second, time.Millisecond)
	go func() { said <- p.Notify(t.Context(), event("pay_1", 2)) }()
	require.Eventually(t, func() bool { return b.client.BufferedProduceRecords() == 2 }, 10*time.Second, time.Millisecond)
	cancel()
	unheard(t, <-said)
	unheard(t, <-said)
}

// TestTheContextEndsACall long before its own time is over, also where the client
// cannot take the record back.
func TestTheContextEndsACall(t *testing.T) {
	b := newBus(t)
	p := b.publisher(func(c *kafka.Config) { c.Timeout = kafka.MaxTimeout })
	require.NoError(t, p.Notify(t.Context(), event("pay_1", 1)))
	b.wire.Deafen()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	unheard(t, p.Notify(ctx, event("pay_1", 2)))
	require.Less(t, time.Since(begin), 10*time.Second)
	// And the other way round: the publisher's own time.
	unheard(t, b.publisher(brief).Notify(t.Context(), event("pay_1", 3)))
	require.Less(t, time.Since(begin), 10*time.Second)
}

// buffered counts the records that a client was handed.
type buffered struct{ n atomic.Int64 }

func (b *buffered) OnProduceRecordBuffered(*kgo.Record) { b.n.Add(1) }

// TestAnEndedContextHandsOverNothing: such a record would take those of others that
// are in its batch with it.
func TestAnEndedContextHandsOverNothing(t *testing.T) {
	b, count := newBus(t), &buffered{}
	p := b.publisher(func(c *kafka.Config) { c.Client = b.connect(kgo.WithHooks(count)) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Notify(ctx, event("pay_1", 1)), context.Canceled)
	require.Zero(t, count.n.Load())
	require.NoError(t, p.Notify(t.Context(), event("pay_1", 1)))
	require.EqualValues(t, 1, count.n.Load())
}

// TestAClosedClient is the host's affair: the events wait for the next start.
func TestAClosedClient(t *testing.T) {
	b := newBus(t)
	p := b.publisher()
	b.client.Close()
	err := p.Notify(t.Context(), event("pay_1", 1))
	unheard(t, err)
	require.ErrorIs(t, err, kgo.ErrClientClosed)
}

// TestThreat_C19_E14_NoErrorShowsThePassword: not even where the broker refuses it.
func TestThreat_C19_E14_NoErrorShowsThePassword(t *testing.T) {
	b := newBus(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "gateway", "another"))
	client := b.connect(kgo.SASL(plain.Auth{User: "gateway", Pass: password}.AsMechanism()))
	p := b.publisher(brief, func(c *kafka.Config) { c.Client = client })
	err := p.Notify(t.Context(), event("pay_1", 1))
	stays(t, err)
}
