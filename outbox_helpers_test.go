package bursar_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
)

// clock is a store's clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// office is a store with an outbox, and gateways that deliver it.
type office struct {
	t     testing.TB
	store bursar.Store
	clock *clock // nil where the store follows time.Now
	cfg   bursar.Config
}

// newOffice is an office whose clock stands still; its gateways work by Step.
func newOffice(t testing.TB) *office {
	o := &office{t: t, clock: newClock()}
	o.store = memory.NewWith(memory.Options{Now: o.clock.Now})
	o.build(true)
	return o
}

// newRunningOffice follows the clock of a synctest bubble.
func newRunningOffice(t testing.TB) *office {
	o := &office{t: t, store: memory.New()}
	o.build(false)
	return o
}

func (o *office) build(manual bool) {
	// Blocks on demand: nobody tells that none comes.
	c := chaintest.New(chaintest.Options{Info: chain.Info{OnDemandBlocks: true}})
	c.Mine(1)
	o.cfg = bursar.Config{
		Store: o.store, Wallet: wallet(o.t, bursartest.Mnemonic, ""), Manual: manual,
		Chains: []bursar.Chain{{Client: c.Client(), Treasury: c.Payer("treasury")}},
	}
	quiet(&o.cfg)
}

// open starts a gateway with these notifiers.
func (o *office) open(instance string, notify ...bursar.Notifier) *bursar.Gateway {
	o.t.Helper()
	cfg := o.cfg
	cfg.Instance, cfg.Notify = instance, notify
	gw, err := bursar.New(cfg)
	require.NoError(o.t, err)
	require.NoError(o.t, gw.Start(context.Background()))
	o.t.Cleanup(func() { _ = gw.Stop(context.Background()) })
	return gw
}

// tell writes n events of a subject, numbered from first, for some endpoints.
func (o *office) tell(subject string, first, n int, endpoints ...string) {
	o.t.Helper()
	require.NoError(o.t, o.store.Write(context.Background(), func(tx bursar.Tx) error {
		var b bursar.Batch
		for i := range n {
			seq := int64(first + i)
			e := bursar.Event{
				ID: fmt.Sprintf("evt_%s_%d", subject, seq), Kind: bursar.PaymentDetected, Subject: subject, Seq: seq, Time: tx.Now(),
				Data: bursar.EventData{Subject: subject, PaymentID: subject},
			}
			b.Events = append(b.Events, e)
			for _, name := range endpoints {
				b.Deliveries = append(b.Deliveries, bursar.Delivery{
					EventID: e.ID, Endpoint: name, Kind: e.Kind, Subject: subject, Seq: seq, Status: bursar.DeliveryPending, NextAt: tx.Now(), CreatedAt: tx.Now(),
				})
			}
		}
		return tx.Apply(context.Background(), b)
	}))
}

// rows are the deliveries to an endpoint, by event.
func (o *office) rows(endpoint string) map[string]bursar.Delivery {
	o.t.Helper()
	out := map[string]bursar.Delivery{}
	require.NoError(o.t, o.store.Read(context.Background(), func(r bursar.Reader) error {
		rows, err := r.Deliveries(context.Background(), bursar.DeliveryQuery{Endpoint: endpoint})
		for _, d := range rows {
			out[d.EventID] = d
		}
		return err
	}))
	return out
}

// step lets a gateway do what is due, and what becomes due by that.
func (o *office) step(gw *bursar.Gateway) {
	o.t.Helper()
	require.NoError(o.t, gw.Step(context.Background()))
}

// call is one call of a notifier.
type call struct {
	gateway string
	subject string
	seq     int64
	id      string
	at      time.Time
}

// log notes calls; several notifiers may share one.
type callLog struct {
	mu    sync.Mutex
	calls []call
}

func (l *callLog) add(gateway string, e bursar.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call{gateway, e.Subject, e.Seq, e.ID, time.Now()})
}

func (l *callLog) all() []call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]call(nil), l.calls...)
}

// of are the sequence numbers of the calls for a subject.
func (l *callLog) of(subject string) (out []int64) {
	for _, c := range l.all() {
		if c.subject == subject {
			out = append(out, c.seq)
		}
	}
	return out
}

// notifier notes its calls and answers with fn.
func (l *callLog) notifier(name, gateway string, fn func(context.Context, bursar.Event) error) bursar.Notifier {
	return bursar.NotifyFunc(name, func(ctx context.Context, e bursar.Event) error {
		l.add(gateway, e)
		if fn == nil {
			return nil
		}
		return fn(ctx, e)
	})
}
