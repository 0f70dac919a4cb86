package bursar_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/storetest"
)

// TestThreat_E4_TwoInstancesKeepTheOrder: whichever of two instances delivers,
// and whatever fails, each subject's first attempts are 1, 2, 3 … without a gap,
// one at a time.
func TestThreat_E4_TwoInstancesKeepTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		var mu sync.Mutex
		dice := rand.New(rand.NewPCG(1, 2))
		at, failed := map[string]int{}, map[string]int{}
		worst := 0
		handle := func(_ context.Context, e bursar.Event) error {
			mu.Lock()
			at[e.Subject]++
			worst = max(worst, at[e.Subject])
			fail, pause := dice.IntN(4) == 0, time.Duration(dice.IntN(3000))*time.Millisecond
			// After more failures in a row it is parked, and others pass by rights.
			if fail = fail && failed[e.ID] < 3; fail {
				failed[e.ID]++
			}
			mu.Unlock()
			time.Sleep(pause)
			mu.Lock()
			at[e.Subject]--
			mu.Unlock()
			if fail {
				return errDown
			}
			return nil
		}
		o.open("a", log.notifier("n", "a", handle))
		o.open("b", log.notifier("n", "b", handle))
		const subjects, events = 20, 10
		for i := range subjects {
			o.tell(fmt.Sprintf("pay_%d", i), 1, events/2, "n")
		}
		time.Sleep(10 * time.Second)
		for i := range subjects {
			o.tell(fmt.Sprintf("pay_%d", i), 1+events/2, events/2, "n")
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, 1, worst, "one call at a time for a subject")
		by := map[string]int{}
		for i := range subjects {
			last := int64(0)
			for _, seq := range log.of(fmt.Sprintf("pay_%d", i)) {
				require.LessOrEqual(t, seq, last+1, "a gap before %d", seq)
				require.GreaterOrEqual(t, seq, last, "an older event after a newer one")
				last = seq
			}
			require.EqualValues(t, events, last)
		}
		for _, c := range log.all() {
			by[c.gateway]++
		}
		require.Positive(t, by["a"])
		require.Positive(t, by["b"])
		for id, d := range o.rows("n") {
			require.Equal(t, bursar.DeliveryDone, d.Status, id)
		}
	})
}

// TestThreat_E5_ADeadNotifierDelaysNoOther: one that hangs, one that ignores its
// context, one that refuses, and one that is well.
func TestThreat_E5_ADeadNotifierDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		good := &callLog{}
		release := make(chan struct{})
		var deaf atomic.Int32
		gw := o.open("a",
			bursar.NotifyFunc("hangs", func(ctx context.Context, _ bursar.Event) error { <-ctx.Done(); return ctx.Err() }),
			bursar.NotifyFunc("deaf", func(context.Context, bursar.Event) error { deaf.Add(1); <-release; return nil }),
			bursar.NotifyFunc("refuses", func(context.Context, bursar.Event) error { return errDown }),
			good.notifier("good", "a", nil))
		start := time.Now()
		for range 200 {
			_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		require.Len(t, good.all(), 200)
		for _, c := range good.all() {
			require.LessOrEqual(t, c.at.Sub(start), time.Second)
		}
		// It is not called again for what it has in hand, however long it takes.
		time.Sleep(10 * time.Minute)
		require.EqualValues(t, 64, deaf.Load(), "bounded, and each once")
		close(release)
		time.Sleep(time.Minute)
		require.EqualValues(t, 200, deaf.Load())
		require.NoError(t, gw.Stop(t.Context()))
	})
}

// TestThreat_E6_ASlowSubjectDelaysNoOther of the same notifier.
func TestThreat_E6_ASlowSubjectDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		gw := o.open("a", log.notifier("n", "a", func(ctx context.Context, e bursar.Event) error {
			if e.Subject == "pay_slow" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}))
		o.tell("pay_slow", 1, 2, "n")
		for i := range 300 {
			o.tell(fmt.Sprintf("pay_%d", i), 1, 3, "n")
		}
		time.Sleep(10 * time.Second)
		require.Len(t, log.all(), 901)
		require.Equal(t, []int64{1}, log.of("pay_slow"))
		time.Sleep(25 * time.Second) // the bound of a call is 30 s
		synctest.Wait()
		d := o.rows("n")["evt_pay_slow_1"]
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, context.DeadlineExceeded.Error(), d.LastError)
		require.NoError(t, gw.Stop(t.Context()))
	})
}

// TestRetriesComeByThemselves: nobody has to wake the outbox up.
func TestRetriesComeByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		gw := o.open("a", log.notifier("n", "a", func(context.Context, bursar.Event) error { return errDown }))
		o.tell("pay_1", 1, 1, "n")
		time.Sleep(90 * time.Hour)
		require.Len(t, log.all(), len(plan)+1)
		for i, pause := range plan {
			gap := log.all()[i+1].at.Sub(log.all()[i].at)
			require.GreaterOrEqual(t, gap, pause)
			require.LessOrEqual(t, gap, pause+pause/10+5*time.Second, "a retry is at most 5 s late")
		}
		require.Equal(t, bursar.DeliveryDead, o.rows("n")["evt_pay_1_1"].Status)
		require.NoError(t, gw.Stop(t.Context()))
	})
}

// TestThreat_E1_E3_CrashWhileDelivering: what was claimed by a process that died
// comes again from the next one, with the same id, and not before the claim has
// run out.
func TestThreat_E1_E3_CrashWhileDelivering(t *testing.T) {
	for name, fault := range map[string]storetest.Fault{"before the outcome is written": storetest.CrashBefore, "and the write is lost": storetest.FailBefore} {
		o := newOffice(t)
		log := &callLog{}
		below := o.store
		writes := 0
		o.cfg.Store = storetest.Faulty(below, func(p storetest.Point) storetest.Fault {
			if len(p.Batches) > 0 && len(p.Batches[0].Deliveries) > 0 && len(p.Batches[0].Events) == 0 {
				if writes++; writes == 2 { // the first is the claim
					return fault
				}
			}
			return storetest.Pass
		})
		gw := o.open("a", log.notifier("n", "a", nil))
		o.tell("pay_1", 1, 2, "n")
		require.Error(t, gw.Step(t.Context()), name)
		require.Equal(t, []int64{1}, log.of("pay_1"))
		o.cfg.Store = below
		next := o.open("b", log.notifier("n", "b", nil))
		o.clock.advance(time.Minute - time.Microsecond)
		require.NoError(t, next.Step(t.Context()))
		require.Equal(t, []int64{1}, log.of("pay_1"), "a claim is not stolen before its end")
		o.clock.advance(time.Microsecond)
		require.NoError(t, next.Step(t.Context()))
		require.Equal(t, []int64{1, 1, 2}, log.of("pay_1"))
		require.Equal(t, log.all()[0].id, log.all()[1].id)
		require.Equal(t, bursar.DeliveryDone, o.rows("n")["evt_pay_1_1"].Status)
	}
}

// TestAClaimThatRanOut: who was slower than its claim leaves the row to the one
// who took it over, and still records what else it did.
func TestAClaimThatRanOut(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	other := o.open("b", log.notifier("n", "b", nil))
	gw := o.open("a", log.notifier("n", "a", func(_ context.Context, e bursar.Event) error {
		if e.Subject == "pay_slow" {
			o.clock.advance(time.Minute)
			o.step(other)
		}
		return errDown
	}))
	o.tell("pay_slow", 1, 1, "n")
	o.step(gw)
	d := o.rows("n")["evt_pay_slow_1"]
	require.Equal(t, bursar.DeliveryDone, d.Status, "the outcome of the one who holds it")
	require.Equal(t, 1, d.Attempts)
	require.Equal(t, []int64{1, 1}, log.of("pay_slow"))
}

// TestAStoreThatRefusesOutcomes: a running gateway keeps them and writes them
// later, instead of delivering again.
func TestAStoreThatRefusesOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		below := o.store
		var down atomic.Bool
		o.cfg.Store = storetest.Faulty(below, func(p storetest.Point) storetest.Fault {
			if down.Load() && p.Op == storetest.OpWrite {
				return storetest.FailBefore
			}
			return storetest.Pass
		})
		gw := o.open("a", log.notifier("n", "a", func(context.Context, bursar.Event) error { down.Store(true); return nil }))
		o.tell("pay_1", 1, 1, "n")
		time.Sleep(5 * time.Minute)
		require.Equal(t, bursar.DeliveryPending, o.rows("n")["evt_pay_1_1"].Status)
		down.Store(false)
		time.Sleep(time.Minute)
		require.Equal(t, []int64{1}, log.of("pay_1"), "once")
		require.Equal(t, bursar.DeliveryDone, o.rows("n")["evt_pay_1_1"].Status)
		require.NoError(t, gw.Stop(t.Context()))
	})
}

// TestStopWhileDelivering: what was taken is recorded, what was cut short counts
// for nothing and goes on with the next instance at once.
func TestStopWhileDelivering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		gw := o.open("a", log.notifier("n", "a", func(ctx context.Context, e bursar.Event) error {
			<-ctx.Done()
			if e.Subject == "pay_taken" {
				return nil
			}
			return ctx.Err()
		}))
		o.tell("pay_taken", 1, 1, "n")
		o.tell("pay_cut", 1, 1, "n")
		time.Sleep(6 * time.Second)
		require.Len(t, log.all(), 2)
		require.NoError(t, gw.Stop(context.Background()))
		require.Equal(t, bursar.DeliveryDone, o.rows("n")["evt_pay_taken_1"].Status)
		d := o.rows("n")["evt_pay_cut_1"]
		require.Equal(t, bursar.DeliveryPending, d.Status)
		require.Zero(t, d.Attempts)
		require.True(t, d.LeasedUntil.IsZero())
		require.True(t, d.FirstAt.IsZero())
		o.open("b", log.notifier("n", "b", nil))
		time.Sleep(time.Second)
		require.Equal(t, []int64{1, 1}, log.of("pay_cut"))
		require.Equal(t, []int64{1}, log.of("pay_taken"))
	})
}

// TestThreat_E15_HandlersMayCallTheGateway.
func TestThreat_E15_HandlersMayCallTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		var gw *bursar.Gateway
		var problems []error
		var mu sync.Mutex
		kinds := map[string][]bursar.Kind{}
		gw = o.open("a", bursar.NotifyFunc("n", func(ctx context.Context, e bursar.Event) error {
			mu.Lock()
			kinds[e.Subject] = append(kinds[e.Subject], e.Kind)
			first := len(kinds) == 1
			mu.Unlock()
			if e.Kind != bursar.PaymentCreated || !first {
				return nil
			}
			p, err := gw.Payment(ctx, e.Subject)
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, err)
			_, err = gw.CancelPayment(ctx, p.ID)
			problems = append(problems, err)
			_, err = gw.RenewPayment(ctx, p.ID)
			problems = append(problems, err, gw.Health(ctx).Err)
			_, err = gw.CreateAddress(ctx, bursar.AddressRequest{Chain: local, Customer: "ann"})
			problems = append(problems, err)
			return nil
		}))
		p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
		require.NoError(t, err)
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		for _, err := range problems {
			require.NoError(t, err)
		}
		require.Len(t, problems, 5)
		require.Equal(t, []bursar.Kind{bursar.PaymentCreated, bursar.PaymentCanceled}, kinds[p.ID])
		require.Len(t, kinds, 2, "the renewed payment is told too")
	})
}

// TestManyDueAreDeliveredInBoundedMemory.
func TestManyDueAreDeliveredInBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		var now, most, total atomic.Int64
		gw := o.open("a", bursar.NotifyFunc("n", func(context.Context, bursar.Event) error {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(10 * time.Millisecond)
			now.Add(-1)
			total.Add(1)
			return nil
		}))
		for i := range 3000 {
			o.tell(fmt.Sprintf("pay_%d", i), 1, 1, "n")
		}
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 3000, total.Load())
		require.LessOrEqual(t, most.Load(), int64(64))
		require.NoError(t, gw.Stop(t.Context()))
	})
}

// panickyLog is a log handler of the host that has a defect.
type panickyLog struct{ slog.Handler }

func (panickyLog) Enabled(context.Context, slog.Level) bool  { return true }
func (panickyLog) Handle(context.Context, slog.Record) error { panic("log handler") }
func (h panickyLog) WithAttrs([]slog.Attr) slog.Handler      { panic("log handler") }
func (h panickyLog) WithGroup(string) slog.Handler           { panic("log handler") }

func TestThreat_G10_ALoggerThatPanicsEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		o.store = memory.New()
		o.cfg.Store, o.cfg.Logger = o.store, slog.New(panickyLog{})
		log := &callLog{}
		bad := true
		gw := o.open("a", log.notifier("n", "a", func(context.Context, bursar.Event) error {
			if bad {
				bad = false
				panic("handler")
			}
			return nil
		}))
		o.tell("pay_1", 1, 1, "n")
		time.Sleep(time.Minute)
		require.Equal(t, bursar.DeliveryDone, o.rows("n")["evt_pay_1_1"].Status)
		require.NoError(t, gw.Stop(t.Context()))
	})
}

// countedWrites counts the transactions that wrote deliveries.
type countedWrites struct {
	bursar.Store
	n atomic.Int64
}

func (c *countedWrites) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	var tx *countedTx
	err := c.Store.Write(ctx, func(inner bursar.Tx) error {
		tx = &countedTx{Tx: inner}
		return fn(tx)
	})
	if err == nil && tx != nil && tx.deliveries {
		c.n.Add(1)
	}
	return err
}

type countedTx struct {
	bursar.Tx
	deliveries bool
}

func (c *countedTx) Apply(ctx context.Context, b bursar.Batch) error {
	c.deliveries = c.deliveries || len(b.Deliveries) > 0
	return c.Tx.Apply(ctx, b)
}

// What returns in the same moment is recorded together, and nobody waits for a call
// that takes its time.
func TestABurstIsRecordedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		counted := &countedWrites{Store: o.store}
		o.cfg.Store = counted
		for i := range 40 {
			o.tell(fmt.Sprintf("pay_%d", i), 1, 1, "n")
		}
		var order atomic.Int64
		slow := make(chan struct{})
		gw := o.open("a", bursar.NotifyFunc("n", func(_ context.Context, e bursar.Event) error {
			if e.Subject == "pay_7" {
				<-slow
				return nil
			}
			time.Sleep(time.Millisecond + time.Duration(order.Add(1))*50*time.Microsecond) // within 3 ms
			return nil
		}))
		time.Sleep(20 * time.Millisecond)
		done := 0
		for _, row := range o.rows("n") {
			if row.Status == bursar.DeliveryDone {
				done++
			}
		}
		require.Equal(t, 39, done)
		require.LessOrEqual(t, counted.n.Load(), int64(3), "one that claims, and one that records")
		close(slow)
		time.Sleep(20 * time.Millisecond)
		require.Equal(t, bursar.DeliveryDone, o.rows("n")["evt_pay_7_1"].Status)
		require.NoError(t, gw.Stop(t.Context()))
	})
}

// Calls that take no time share goroutines; each that takes some has its own.
func TestEachCallThatTakesTimeHasAGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		for i := range 64 {
			o.tell(fmt.Sprintf("pay_%d", i), 1, 1, "n")
		}
		var now atomic.Int64
		all := make(chan struct{})
		gw := o.open("a", bursar.NotifyFunc("n", func(ctx context.Context, _ bursar.Event) error {
			if now.Add(1)%8 == 0 {
				runtime.Goexit() // whoever it was, the others go on
			}
			<-all
			return nil
		}))
		time.Sleep(time.Second)
		require.EqualValues(t, 64, now.Load(), "all 64 are called at once")
		close(all)
		require.NoError(t, gw.Stop(t.Context()))
	})
}
