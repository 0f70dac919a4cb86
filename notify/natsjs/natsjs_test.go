package natsjs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/internal/wiretest"
	"github.com/bursar-go/bursar/notify/natsjs"
)

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

func TestWhatIsPublished(t *testing.T) {
	b := newBus(t)
	e := event("pay_1", 7)
	require.NoError(t, b.publisher().Notify(t.Context(), e))
	got := b.stored()
	require.Len(t, got, 1)
	body, err := bursar.MarshalEvent(e)
	require.NoError(t, err)
	require.Equal(t, body, got[0].Data)
	require.Equal(t, "bursar.payment.confirmed.pay_1", got[0].Subject)
	require.Equal(t, []string{e.ID}, got[0].Header.Values("Nats-Msg-Id"))
}

// TestThreat_E3_TwiceWithinTheWindowIsStoredOnce, and beyond the window again, with
// the id by which a consumer drops it.
func TestThreat_E3_TwiceWithinTheWindowIsStoredOnce(t *testing.T) {
	b := newBus(t)
	p, e := b.publisher(), event("pay_1", 1)
	for range 3 {
		require.NoError(t, p.Notify(t.Context(), e))
	}
	require.Len(t, b.stored(), 1)

	// A window as short as the server allows, which is over at the next publication
	// that comes later than that.
	b = newBus(t, func(c *jetstream.StreamConfig) { c.Duplicates = 100 * time.Millisecond })
	p = b.publisher()
	require.Eventually(t, func() bool {
		require.NoError(t, p.Notify(t.Context(), e))
		return len(b.stored()) == 2
	}, 10*time.Second, 50*time.Millisecond)
	got := b.stored()
	require.Equal(t, got[0].Header.Get("Nats-Msg-Id"), got[1].Header.Get("Nats-Msg-Id"))
	require.Equal(t, got[0].Data, got[1].Data)
}

// TestThreat_E3_ALostAcknowledgement is no success, and the next try is stored once.
func TestThreat_E3_ALostAcknowledgement(t *testing.T) {
	b := newBus(t)
	p, e := b.publisher(), event("pay_1", 1)
	ctx, cancel := context.WithCancel(t.Context())
	said := make(chan error, 1)
	b.wire.Deafen()
	go func() { said <- p.Notify(ctx, e) }()
	require.Eventually(t, func() bool { return len(b.stored()) == 1 }, 10*time.Second, time.Millisecond, "the stream has it")
	select {
	case err := <-said:
		require.Fail(t, "an answer that never came", "%v", err)
	default:
	}
	cancel()
	err := <-said
	require.Nil(t, stays(t, err), "it was sent: that is a try")
	require.ErrorIs(t, err, context.Canceled)
	b.away()
	b.back()
	require.NoError(t, p.Notify(t.Context(), e))
	require.Len(t, b.stored(), 1)
}

// TestThreat_E1_AwayForDays: while the server cannot be reached nothing is sent,
// nothing counts as a try, and the order is kept, for longer than the schedule.
func TestThreat_E1_AwayForDays(t *testing.T) {
	b := newBus(t)
	g := bursartest.New(t, bursartest.Options{Notify: []bursar.Notifier{b.publisher()}})
	b.away()
	p := g.Create("USDC", "25")
	g.Pay(p)
	g.Confirm()
	for range 5 {
		g.AdvanceTime(24 * time.Hour)
	}
	require.Greater(t, len(g.Events(p.ID)), 2)
	rows := deliveries(t, g, p.ID)
	require.Len(t, rows, len(g.Events(p.ID)))
	for _, d := range rows {
		require.Equal(t, bursar.DeliveryPending, d.Status)
		require.Zero(t, d.Attempts)
	}
	require.Empty(t, ids(b, p.ID))
	b.back()
	g.AdvanceTime(time.Minute)
	for _, d := range deliveries(t, g, p.ID) {
		require.Equal(t, bursar.DeliveryDone, d.Status)
		require.Equal(t, 1, d.Attempts)
	}
	var want []string
	for _, e := range g.Events(p.ID) {
		want = append(want, e.ID)
	}
	require.Equal(t, want, ids(b, p.ID))
}

// ids are those of a subject's messages, in the stream's order.
func ids(b *bus, subject string) (out []string) {
	for _, m := range b.stored() {
		if strings.HasSuffix(m.Subject, "."+subject) {
			out = append(out, m.Header.Get("Nats-Msg-Id"))
		}
	}
	return out
}

// deliveries are the rows of a subject.
func deliveries(t *testing.T, g *bursartest.Kit, subject string) (out []bursar.Delivery) {
	t.Helper()
	require.NoError(t, g.Store.Read(t.Context(), func(r bursar.Reader) error {
		rows, err := r.Deliveries(t.Context(), bursar.DeliveryQuery{Endpoint: "nats"})
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
	plain := event("pay_1", 1)
	large := event("pay_1", 1)
	large.Data.Reason = strings.Repeat("x", 70<<10)
	for name, tc := range map[string]struct {
		open  func(t *testing.T) (*bus, *natsjs.Publisher)
		event bursar.Event
		says  string
		heal  func(b *bus)
	}{
		"no stream": {
			open:  func(t *testing.T) (*bus, *natsjs.Publisher) { b := bareBus(t); return b, b.publisher() },
			event: plain, says: "no response from stream",
			heal: func(b *bus) { b.stream(jetstream.StreamConfig{Name: streamName, Subjects: []string{subjects}}) },
		},
		"another stream": {
			open: func(t *testing.T) (*bus, *natsjs.Publisher) {
				b := bareBus(t)
				b.stream(jetstream.StreamConfig{Name: "OTHER", Subjects: []string{subjects}})
				return b, b.publisher()
			},
			event: plain, says: "expected stream does not match",
			heal: func(b *bus) {
				require.NoError(b.t, b.eye.DeleteStream(b.t.Context(), "OTHER"))
				b.stream(jetstream.StreamConfig{Name: streamName, Subjects: []string{subjects}})
			},
		},
		"a full stream": {
			open: func(t *testing.T) (*bus, *natsjs.Publisher) {
				b := newBus(t, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1, jetstream.DiscardNew })
				p := b.publisher()
				require.NoError(t, p.Notify(t.Context(), event("pay_0", 1)))
				return b, p
			},
			event: plain, says: "maximum messages exceeded",
			heal: func(b *bus) {
				s, err := b.eye.Stream(b.t.Context(), streamName)
				require.NoError(b.t, err)
				require.NoError(b.t, s.Purge(b.t.Context()))
			},
		},
		"too large for the stream": {
			open: func(t *testing.T) (*bus, *natsjs.Publisher) {
				b := newBus(t, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 })
				return b, b.publisher()
			},
			event: plain, says: "message size exceeds maximum allowed",
			heal: func(b *bus) {
				_, err := b.eye.UpdateStream(b.t.Context(), jetstream.StreamConfig{Name: streamName, Subjects: []string{subjects}, Storage: jetstream.MemoryStorage, Duplicates: 20 * time.Minute, MaxMsgSize: 1 << 20})
				require.NoError(b.t, err)
			},
		},
		"too large for the server": {
			open:  func(t *testing.T) (*bus, *natsjs.Publisher) { b := newBus(t); return b, b.publisher() },
			event: large, says: "maximum payload exceeded",
		},
		"no right to publish": {
			open: func(t *testing.T) (*bus, *natsjs.Publisher) {
				b := newBus(t)
				_, js := b.connect(mute, &wiretest.Wire{})
				return b, b.publisher(func(c *natsjs.Config) { c.JetStream, c.Timeout = js, 300*time.Millisecond })
			},
			event: plain, says: "permissions violation",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, p := tc.open(t)
			err := p.Notify(t.Context(), tc.event)
			require.Nil(t, stays(t, err), "the server has spoken: that is a try")
			require.ErrorContains(t, err, tc.says)
			require.ErrorContains(t, err, "natsjs: bursar.payment.confirmed.pay_1: ")
			if tc.heal != nil {
				tc.heal(b)
				require.NoError(t, p.Notify(t.Context(), tc.event))
				require.Equal(t, "bursar.payment.confirmed.pay_1", b.stored()[len(b.stored())-1].Subject)
			}
		})
	}
}

// forged answers as another stream would, and as none does.
type forged struct {
	jetstream.JetStream
	ack *jetstream.PubAck
}

func (f forged) PublishMsg(context.Context, *nats.Msg, ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return f.ack, nil
}

// TestTheWrongStreamIsNoSuccess: somebody else who listens on the subject can answer
// first.
func TestTheWrongStreamIsNoSuccess(t *testing.T) {
	b := newBus(t)
	p := b.publisher(func(c *natsjs.Config) { c.JetStream = forged{b.js, &jetstream.PubAck{Stream: "OTHER", Sequence: 1}} })
	require.Nil(t, stays(t, p.Notify(t.Context(), event("pay_1", 1))))

	// And without an expected stream, an answer that is no acknowledgement at all.
	b = bareBus(t)
	nc, _ := b.connect(watcher, &wiretest.Wire{})
	_, err := nc.Subscribe(subjects, func(m *nats.Msg) { _ = m.Respond([]byte("hello")) })
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	err = b.publisher(func(c *natsjs.Config) { c.Stream = "" }).Notify(t.Context(), event("pay_1", 1))
	require.Nil(t, stays(t, err))
	require.ErrorIs(t, err, jetstream.ErrInvalidJSAck)
}

// TestTheContextEndsACall long before its own time is over.
func TestTheContextEndsACall(t *testing.T) {
	b := newBus(t)
	p := b.publisher(func(c *natsjs.Config) { c.Timeout = natsjs.MaxTimeout })
	b.wire.Deafen()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := p.Notify(ctx, event("pay_1", 1))
	stays(t, err)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begin), 10*time.Second)
	// And the other way round: the publisher's own time.
	p = b.publisher(func(c *natsjs.Config) { c.Timeout = 50 * time.Millisecond })
	require.ErrorIs(t, p.Notify(t.Context(), event("pay_1", 1)), context.DeadlineExceeded)
	require.Less(t, time.Since(begin), 10*time.Second)
}

// TestAClosedConnection is the host's affair: the events wait for the next start.
func TestAClosedConnection(t *testing.T) {
	b := newBus(t)
	p := b.publisher()
	b.nc.Close()
	retry := stays(t, p.Notify(t.Context(), event("pay_1", 1)))
	require.NotNil(t, retry)
	require.True(t, retry.Untried)
	require.ErrorContains(t, retry, "CLOSED")
}

// TestThreat_C19_E14_NoErrorShowsThePassword: not even where the server refuses it.
func TestThreat_C19_E14_NoErrorShowsThePassword(t *testing.T) {
	b := newBus(t)
	p := b.publisher(func(c *natsjs.Config) { c.Timeout = 50 * time.Millisecond })
	b.away()
	stays(t, p.Notify(t.Context(), event("pay_1", 1)))
	b.srv.Shutdown()
	b.wire.Mend()
	stays(t, p.Notify(t.Context(), event("pay_1", 1)))
	b.nc.Close()
	stays(t, p.Notify(t.Context(), event("pay_1", 1)))
}
