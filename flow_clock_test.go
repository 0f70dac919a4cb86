package bursar_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/internal/clocktest"
	"github.com/bursar-go/bursar/store/memory"
)

const day = 24 * time.Hour

// leaseCounter counts what a gateway asks of its store.
type leaseCounter struct {
	bursar.Store
	asked atomic.Int64
}

func (s *leaseCounter) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (bursar.Fence, error) {
	s.asked.Add(1)
	return s.Store.Acquire(ctx, name, holder, ttl)
}

// countingLeases is a flow whose store counts.
func countingLeases(t *testing.T, lease time.Duration) (*flow, *leaseCounter) {
	t.Helper()
	s := &leaseCounter{}
	return newFlow(t, bursartest.Options{
		Store: func(now func() time.Time) bursar.Store {
			s.Store = memory.NewWith(memory.Options{Now: now})
			return s
		},
		Edit: func(c *bursar.Config) { c.Lease = lease },
	}), s
}

// soon runs do until something has come about, within a time that no clock on
// the wall shows.
func soon(t *testing.T, what string, do func(), is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); runtime.Gosched() {
		require.Less(t, time.Since(begin), time.Minute, what)
		do()
	}
}

// TestThreat_D7_TrustIsMeasuredByTheMonotonicClock: how long an instance relies
// on its lease without asking has nothing to do with the clock on its wall.
func TestThreat_D7_TrustIsMeasuredByTheMonotonicClock(t *testing.T) {
	for name, by := range map[string]time.Duration{"ahead": day, "back": -day} {
		t.Run(name, func(t *testing.T) {
			f, store := countingLeases(t, 10*time.Minute)
			f.Restart()
			f.Step()
			asked := store.asked.Load()
			clocktest.Jump(t, by)
			for range 3 {
				f.Chain.Mine(1)
				f.Step()
			}
			require.Equal(t, asked, store.asked.Load(), "half the lease is not over")
		})
		t.Run(name+", and the lease is renewed", func(t *testing.T) {
			f, store := countingLeases(t, time.Second)
			f.Step()
			clocktest.Jump(t, by)
			for range 2 {
				asked := store.asked.Load()
				soon(t, "the lease is not renewed", f.Step, func() bool { return store.asked.Load() > asked })
			}
		})
	}
}

// TestThreat_D7_APauseEndsInTime: a notifier that takes nothing is left alone for
// a second, and not for a day more.
func TestThreat_D7_APauseEndsInTime(t *testing.T) {
	calls := make(chan time.Time, 100)
	f := newFlow(t, bursartest.Options{})
	cfg := f.cfg
	cfg.Manual, cfg.Instance = false, "running"
	cfg.Notify = append(slices.Clone(cfg.Notify), bursar.NotifyFunc("busy", func(context.Context, bursar.Event) error {
		calls <- time.Now()
		return &bursar.RetryError{After: time.Second, Err: errors.New("busy"), Untried: true}
	}))
	gw := f.another(cfg)
	clocktest.Jump(t, day)
	ask(t, gw, "USDC")
	first := <-calls
	soon(t, "nobody records what the notifier said", func() {}, func() (told bool) {
		f.read(func(r bursar.Reader) error {
			rows, err := r.Deliveries(t.Context(), bursar.DeliveryQuery{Endpoint: "busy"})
			told = len(rows) == 1 && rows[0].LastError != ""
			return err
		})
		return told
	})
	clocktest.Jump(t, -day) // it is asked again a second later, and not in two days
	f.Chain.AdvanceTime(time.Minute)
	soon(t, "the notifier is not asked again", gw.Wake, func() bool { return len(calls) > 0 })
	require.GreaterOrEqual(t, (<-calls).Sub(first), time.Second/2)
}

// crooked is a flow whose store has a clock of its own, as far from the chain's
// as off says.
func crooked(t *testing.T, o bursartest.Options) (f *flow, off *atomic.Int64) {
	t.Helper()
	off = &atomic.Int64{}
	o.Store = func(now func() time.Time) bursar.Store {
		return memory.NewWith(memory.Options{Now: func() time.Time { return now().Add(time.Duration(off.Load())) }})
	}
	return newFlow(t, o), off
}

// hour makes a payment that waits an hour for its money.
func (f *flow) hour() bursar.Payment {
	f.t.Helper()
	return f.Request(bursar.PaymentRequest{Asset: "local/USDC", Amount: decimal.NewFromInt(10), TTL: time.Hour})
}

// TestThreat_D7_NoVerdictBeforeItsTime: a deadline has passed when both the chain
// and the store say so. A clock that is a day ahead takes no customer's hour; one
// that is a day behind gives him a day at most, and the verdict comes as soon as
// it is set right.
func TestThreat_D7_NoVerdictBeforeItsTime(t *testing.T) {
	t.Run("ahead", func(t *testing.T) {
		f, off := crooked(t, bursartest.Options{})
		unpaid, paid := f.hour(), f.hour()
		off.Store(int64(day))
		f.Mine(20)
		require.Equal(t, bursar.StatusPending, f.Payment(unpaid).Status, "by the chain's time its hour has hardly begun")
		f.Pay(paid)
		f.Confirm()
		require.Equal(t, bursar.StatusConfirmed, f.Payment(paid).Status)
		require.False(t, f.Payment(paid).Late)
		off.Store(0)
		f.AdvanceTime(time.Hour)
		require.Equal(t, bursar.StatusExpired, f.Payment(unpaid).Status)
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(paid).Status)
		f.noBrokenRules()
	})
	t.Run("back", func(t *testing.T) {
		f, off := crooked(t, bursartest.Options{})
		unpaid, paid := f.hour(), f.hour()
		off.Store(int64(-day))
		f.Pay(paid)
		f.Mine(1)
		require.Equal(t, bursar.StatusDetected, f.Payment(paid).Status)
		f.AdvanceTime(2 * time.Hour)
		require.Equal(t, bursar.StatusPending, f.Payment(unpaid).Status)
		off.Store(0)
		f.Mine(1)
		require.Equal(t, bursar.StatusExpired, f.Payment(unpaid).Status)
		f.Settle()
		require.Equal(t, bursar.StatusSettled, f.Payment(paid).Status)
		require.False(t, f.Payment(paid).Late)
		f.noBrokenRules()
	})
}

// TestThreat_D7_TheChainChangesHandsCleanly: by a clock that jumps a lease ends at
// once, or seems to hold for a day. Whoever has it then, the work is done once.
func TestThreat_D7_TheChainChangesHandsCleanly(t *testing.T) {
	for name, jumps := range map[string][]time.Duration{
		"ahead": {day}, "back": {-day}, "ahead and right": {day, 0}, "back and right": {-day, 0}, "there and back": {day, -day, day, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f, off := crooked(t, bursartest.Options{Edit: longLease})
			both := []*bursar.Gateway{f.twin("two"), f.Gateway}
			p := f.Create("USDC", "10")
			q := f.Create("ETH", "1")
			f.Pay(p)
			f.Chain.Mine(1)
			f.Step()
			for _, by := range jumps {
				off.Store(int64(by))
				for range 8 {
					f.Chain.Mine(1)
					for _, gw := range both {
						if err := gw.Step(t.Context()); err != nil {
							require.ErrorIs(t, err, bursar.ErrFenced)
						}
					}
				}
				f.CheckLedger()
			}
			f.Pay(q)
			for range 40 {
				f.Chain.Mine(1)
				for _, gw := range both {
					if err := gw.Step(t.Context()); err != nil {
						require.ErrorIs(t, err, bursar.ErrFenced)
					}
				}
			}
			f.CheckLedger()
			require.Equal(t, bursar.StatusSettled, f.Payment(p).Status)
			require.Equal(t, bursar.StatusSettled, f.Payment(q).Status)
			require.Empty(t, f.logs.broken())
			f.oneCreditEach()
		})
	}
}

// TestThreat_D7_DeliveriesMakeNoStorm: a clock that jumps a day ahead makes what
// waits for its next try due, once. One that jumps back delays nothing that
// happens from then on, and loses nothing of what waits: it is delivered by the
// time that the clock shows then.
func TestThreat_D7_DeliveriesMakeNoStorm(t *testing.T) {
	failing := true
	var mu sync.Mutex // subjects are told of at the same time
	calls := map[string]int{}
	f, off := crooked(t, bursartest.Options{Notify: []bursar.Notifier{
		bursar.NotifyFunc("shop", func(_ context.Context, e bursar.Event) error {
			mu.Lock()
			defer mu.Unlock()
			calls[e.ID]++
			if failing {
				return errors.New("not now")
			}
			return nil
		}),
	}})
	one := func(p bursar.Payment) string { return f.Events(p.ID)[0].ID }
	var waiting []string
	for range 5 {
		p := f.hour()
		f.Step()
		waiting = append(waiting, one(p))
	}
	before := make([]int, len(waiting))
	for i, id := range waiting {
		before[i] = calls[id]
		require.Positive(t, before[i])
	}
	off.Store(int64(day))
	for range 5 {
		f.Step()
	}
	for i, id := range waiting {
		require.Equal(t, before[i]+1, calls[id], "one more try, however far the clock jumped")
	}
	off.Store(0)
	failing = false
	p := f.hour()
	f.Step()
	require.Equal(t, 1, calls[one(p)], "what happens now is told now")
	for i, id := range waiting {
		require.Equal(t, before[i]+1, calls[id])
	}
	f.AdvanceTime(day + time.Hour)
	for i, id := range waiting {
		require.Equal(t, before[i]+2, calls[id], "and what waited is not lost")
	}
	var left []bursar.Delivery
	f.read(func(r bursar.Reader) (err error) {
		left, err = r.Deliveries(t.Context(), bursar.DeliveryQuery{Endpoint: "shop"})
		return err
	})
	for _, d := range left {
		require.Equal(t, bursar.DeliveryDone, d.Status, "%+v", d)
	}
}
