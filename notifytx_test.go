package bursar_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/storetest"
)

// counting is a handler that counts each event in a row of the host's, and then
// does what then says.
func counting(l *callLog, gateway string, then func(context.Context, bursar.Tx, bursar.Event) error) bursar.Notifier {
	return bursar.NotifyTx("n", func(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
		l.add(gateway, e)
		if err := count(ctx, tx, e.ID); err != nil {
			return err
		}
		if then == nil {
			return nil
		}
		return then(ctx, tx, e)
	})
}

// onceEach checks that each of n events of a subject changed the host exactly
// once and is delivered.
func (o *office) onceEach(subject string, n int) {
	o.t.Helper()
	for seq := 1; seq <= n; seq++ {
		id := fmt.Sprintf("evt_%s_%d", subject, seq)
		require.EqualValues(o.t, 1, counted(o.t, o.store, id), id)
		require.Equal(o.t, bursar.DeliveryDone, o.rows("n")[id].Status, id)
	}
}

func TestAHandlerCommitsWithItsDelivery(t *testing.T) {
	o := newOffice(t)
	one := newSQLStore(o.store)
	o.store, o.cfg.Store = one, one
	log := &callLog{}
	gw := o.open("a", counting(log, "a", func(_ context.Context, tx bursar.Tx, e bursar.Event) error {
		_, host := tx.(*sqlTx)
		require.True(t, host, "the store's own Tx, not a copy")
		rows, err := tx.Events(t.Context(), bursar.EventQuery{IDs: []string{e.ID}})
		require.Len(t, rows, 1)
		return err
	}))
	o.tell("pay_1", 1, 3, "n")
	o.tell("pay_2", 1, 1, "n")
	o.step(gw)
	require.Equal(t, []int64{1, 2, 3}, log.of("pay_1"))
	o.onceEach("pay_1", 3)
	o.onceEach("pay_2", 1)
	require.EqualValues(t, 4, one.hosts.Load(), "one transaction each")
	d := o.rows("n")["evt_pay_1_1"]
	require.Equal(t, 1, d.Attempts)
	require.EqualValues(t, 3, d.Version, "told, claimed, done: recorded once")
	require.Equal(t, o.clock.Now(), d.DoneAt)
	require.Empty(t, d.LastError)
	require.True(t, d.LeasedUntil.IsZero())
}

// TestAHandlersFailureRollsBack: what it wrote is gone, the try is counted, its
// subject waits and is parked in the end, the others go on.
func TestAHandlersFailureRollsBack(t *testing.T) {
	ends := map[string]func() error{
		"error":       func() error { return errDown },
		"panic":       func() error { panic("oops") },
		"error panic": func() error { panic(errDown) },
		"goexit":      func() error { runtime.Goexit(); return nil },
		"conflict":    func() error { return fmt.Errorf("the host: %w", bursar.ErrConflict) },
		"unknown":     func() error { return fmt.Errorf("the host: %w", bursar.ErrUnknownOutcome) },
		"retry later": func() error { return &bursar.RetryError{After: time.Second, Err: errDown} },
		"bad error":   func() error { return badError{} },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			log := &callLog{}
			heal := false
			gw := o.open("a", counting(log, "a", func(_ context.Context, _ bursar.Tx, e bursar.Event) error {
				if e.ID == "evt_pay_1_1" && !heal {
					return end()
				}
				return nil
			}))
			o.tell("pay_1", 1, 2, "n")
			o.tell("pay_2", 1, 3, "n")
			o.step(gw)
			o.onceEach("pay_2", 3)
			require.NotContains(t, log.of("pay_1"), int64(2), "the lane waits")
			d := o.rows("n")["evt_pay_1_1"]
			require.Equal(t, bursar.DeliveryPending, d.Status)
			require.Equal(t, 1, d.Attempts)
			require.NotEmpty(t, d.LastError)
			require.GreaterOrEqual(t, d.NextAt.Sub(o.clock.Now()), plan[0])
			require.Zero(t, counted(t, o.store, "evt_pay_1_1"))
			for range 30 {
				o.clock.advance(time.Minute)
				o.step(gw)
			}
			require.Equal(t, bursar.DeliveryParked, o.rows("n")["evt_pay_1_1"].Status)
			require.Zero(t, counted(t, o.store, "evt_pay_1_1"))
			require.EqualValues(t, 1, counted(t, o.store, "evt_pay_1_2"), "and later the lane goes on")
			heal = true
			o.clock.advance(time.Hour)
			o.step(gw)
			o.onceEach("pay_1", 2)
		})
	}
}

type badError struct{} // its methods panic

func (badError) Error() string { panic("no text") }

func TestAHandlerMayGiveUpOrWait(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	gw := o.open("a", counting(log, "a", func(_ context.Context, _ bursar.Tx, e bursar.Event) error {
		switch e.Subject {
		case "pay_gone":
			return &bursar.PermanentError{Err: errDown}
		case "pay_wait":
			return &bursar.RetryError{After: time.Minute, Err: errDown, Untried: true}
		}
		return nil
	}))
	o.tell("pay_gone", 1, 2, "n")
	o.tell("pay_wait", 1, 1, "n")
	o.step(gw)
	require.Equal(t, bursar.DeliveryDead, o.rows("n")["evt_pay_gone_1"].Status)
	require.Equal(t, bursar.DeliveryDead, o.rows("n")["evt_pay_gone_2"].Status)
	d := o.rows("n")["evt_pay_wait_1"]
	require.Zero(t, d.Attempts)
	require.Equal(t, o.clock.Now().Add(time.Minute), d.NextAt)
	for _, id := range []string{"evt_pay_gone_1", "evt_pay_gone_2", "evt_pay_wait_1"} {
		require.Zero(t, counted(t, o.store, id))
	}
	nobody := o.open("b", bursar.NotifyTx("nobody", nil))
	o.tell("pay_x", 1, 1, "nobody")
	o.step(nobody)
	require.Equal(t, bursar.DeliveryDead, o.rows("nobody")["evt_pay_x_1"].Status)
}

// TestAConflictRunsTheHandlerAgain: several runs, one commit.
func TestAConflictRunsTheHandlerAgain(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	runs := 0
	gw := o.open("a", counting(log, "a", func(ctx context.Context, tx bursar.Tx, _ bursar.Event) error {
		if err := count(ctx, tx, "stock"); err != nil {
			return err
		}
		if runs++; runs < 4 {
			// The host's other program is faster.
			return o.store.Write(context.WithoutCancel(ctx), func(tx bursar.Tx) error { return count(ctx, tx, "stock") })
		}
		return nil
	}))
	o.tell("pay_1", 1, 1, "n")
	o.step(gw)
	require.Equal(t, []int64{1, 1, 1, 1}, log.of("pay_1"))
	o.onceEach("pay_1", 1)
	require.EqualValues(t, 4, counted(t, o.store, "stock"))
	require.Equal(t, 1, o.rows("n")["evt_pay_1_1"].Attempts)
}

// TestEveryCrashPointOfAHandler: whatever happens at whichever write, each event
// changes the host exactly once in the end.
func TestEveryCrashPointOfAHandler(t *testing.T) {
	faults := []storetest.Fault{
		storetest.Pass, storetest.FailBefore, storetest.LoseBefore, storetest.LoseAfter, storetest.ConflictOnce,
		storetest.CrashBefore, storetest.CrashAfter, storetest.PanicBefore, storetest.PanicAfter,
	}
	for _, fault := range faults {
		for at := 1; at <= 9; at++ {
			t.Run(fmt.Sprint(fault, " at ", at), func(t *testing.T) {
				o := newOffice(t)
				below, log := o.store, &callLog{}
				fails := 0
				flaky := func(_ context.Context, _ bursar.Tx, e bursar.Event) error {
					if fails++; e.Seq == 2 && fails == 2 {
						return errDown
					}
					return nil
				}
				armed, left := false, at
				faulty := storetest.Faulty(below, func(p storetest.Point) storetest.Fault {
					if armed && p.Commits() {
						if left--; left == 0 {
							return fault
						}
					}
					return storetest.Pass
				})
				o.cfg.Store = faulty
				o.tell("pay_1", 1, 3, "n")
				gw := o.open("a", counting(log, "a", flaky))
				armed = true
				for range 4 {
					stepOrDie(t, gw)
					o.clock.advance(10 * time.Second)
				}
				armed = false
				if faulty.Crashed() {
					o.cfg.Store = storetest.Faulty(below, nil)
					gw = o.open("b", counting(log, "b", flaky))
				}
				for range 4 {
					o.clock.advance(time.Minute)
					o.step(gw)
				}
				o.onceEach("pay_1", 3)
			})
		}
	}
}

// stepOrDie steps a gateway whose store may fail or panic.
func stepOrDie(t *testing.T, gw *bursar.Gateway) {
	t.Helper()
	defer func() { _ = recover() }()
	_ = gw.Step(context.Background())
}

// TestAnUnknownCommitIsLookedUp: where it happened nothing is done again, where
// it did not the handler is not blamed.
func TestAnUnknownCommitIsLookedUp(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.LoseAfter, storetest.LoseBefore} {
		o := newOffice(t)
		log, done := &callLog{}, false
		o.cfg.Store = storetest.Faulty(o.store, func(p storetest.Point) storetest.Fault {
			if !done && len(p.Batches) == 2 { // the mark and the host's row
				done = true
				return fault
			}
			return storetest.Pass
		})
		gw := o.open("a", counting(log, "a", nil))
		o.tell("pay_1", 1, 1, "n")
		o.step(gw)
		if fault == storetest.LoseBefore {
			d := o.rows("n")["evt_pay_1_1"]
			require.Equal(t, bursar.DeliveryPending, d.Status)
			require.Zero(t, d.Attempts)
			require.True(t, d.LeasedUntil.IsZero())
			require.Equal(t, o.clock.Now().Add(5*time.Second), d.NextAt)
			require.Equal(t, bursar.ErrUnknownOutcome.Error(), d.LastError[len(d.LastError)-len(bursar.ErrUnknownOutcome.Error()):])
		} else {
			o.onceEach("pay_1", 1)
		}
		o.clock.advance(5 * time.Second)
		o.step(gw)
		o.onceEach("pay_1", 1)
		require.Equal(t, 1, o.rows("n")["evt_pay_1_1"].Attempts)
		if fault == storetest.LoseAfter {
			require.Len(t, log.all(), 1)
		}
	}
}

// hookStore does something before a host's transaction begins.
type hookStore struct {
	bursar.Store
	before func() error
}

func (s *hookStore) WriteHost(ctx context.Context, fn func(bursar.Tx) error) error {
	if err := s.before(); err != nil {
		return err
	}
	return s.Store.Write(ctx, fn)
}

// TestAStoreThatCannotBegin is no failure of the handler.
func TestAStoreThatCannotBegin(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	down := errDown
	var lines bytes.Buffer
	o.cfg.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	o.cfg.Store = &hookStore{o.store, func() error { return down }}
	gw := o.open("a", counting(log, "a", nil))
	o.tell("pay_1", 1, 1, "n")
	o.step(gw)
	require.Empty(t, log.all())
	require.Contains(t, lines.String(), errDown.Error(), "and it does not go unnoticed")
	d := o.rows("n")["evt_pay_1_1"]
	require.Zero(t, d.Attempts)
	require.Equal(t, o.clock.Now().Add(5*time.Second), d.NextAt)
	down = nil
	o.clock.advance(5 * time.Second)
	o.step(gw)
	o.onceEach("pay_1", 1)
}

// TestSomebodyElseHasTheDelivery: the claim ran out before the transaction
// began, or while the handler was at it.
func TestSomebodyElseHasTheDelivery(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		o := newOffice(t)
		log := &callLog{}
		other := o.open("b", counting(log, "b", nil))
		o.cfg.Store = &hookStore{o.store, func() error {
			o.clock.advance(time.Minute)
			o.step(other)
			return nil
		}}
		gw := o.open("a", counting(log, "a", nil))
		o.tell("pay_1", 1, 1, "n")
		o.step(gw)
		require.Len(t, log.all(), 1)
		require.Equal(t, "b", log.all()[0].gateway, "the one who came late does not even begin")
		o.onceEach("pay_1", 1)
		require.EqualValues(t, 4, o.rows("n")["evt_pay_1_1"].Version)
	})
	t.Run("meanwhile", func(t *testing.T) {
		o := newOffice(t)
		log := &callLog{}
		other := o.open("b", counting(log, "b", nil))
		gw := o.open("a", counting(log, "a", func(context.Context, bursar.Tx, bursar.Event) error {
			o.clock.advance(time.Minute)
			o.step(other)
			return nil
		}))
		o.tell("pay_1", 1, 1, "n")
		o.step(gw)
		require.Len(t, log.all(), 2, "both began")
		o.onceEach("pay_1", 1)
		require.EqualValues(t, 4, o.rows("n")["evt_pay_1_1"].Version)
		require.Equal(t, 1, o.rows("n")["evt_pay_1_1"].Attempts)
	})
}

// TestTwoGatewaysHandleEachEventOnce under failures of all kinds.
func TestTwoGatewaysHandleEachEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		var calls, at, worst atomic.Int64
		var failed sync.Map // event → how often: at most thrice, so that twelve hours are enough
		then := func(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
			if now := at.Add(1); now > worst.Load() {
				worst.Store(now)
			}
			defer at.Add(-1)
			time.Sleep(10 * time.Millisecond)
			if err := count(ctx, tx, "all"); err != nil { // one row that everybody wants
				return err
			}
			way := calls.Add(1) % 7
			if way != 2 && way != 4 && way != 5 {
				return nil
			}
			times, _ := failed.LoadOrStore(e.ID, new(atomic.Int64))
			if times.(*atomic.Int64).Add(1) > 3 {
				return nil
			}
			switch way {
			case 2:
				return errDown
			case 4:
				panic("oops")
			}
			runtime.Goexit()
			return nil
		}
		o.open("a", counting(log, "a", then))
		o.open("b", counting(log, "b", then))
		const subjects, events = 12, 4
		for i := range subjects {
			o.tell(fmt.Sprint("pay_", i), 1, events, "n")
		}
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		for i := range subjects {
			o.onceEach(fmt.Sprint("pay_", i), events)
		}
		require.EqualValues(t, subjects*events, counted(t, o.store, "all"))
		require.LessOrEqual(t, worst.Load(), int64(16), "8 at once in each")
	})
}

func TestAFullHouseOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		release := make(chan struct{})
		gw := o.open("a", counting(log, "a", func(context.Context, bursar.Tx, bursar.Event) error { <-release; return nil }))
		for i := range 20 {
			o.tell(fmt.Sprint("pay_", i), 1, 1, "n")
		}
		time.Sleep(20 * time.Second)
		require.Len(t, log.all(), 8, "bounded")
		close(release)
		time.Sleep(time.Second)
		for i := range 20 {
			o.onceEach(fmt.Sprint("pay_", i), 1)
		}
		require.NoError(t, gw.Stop(t.Context()))
	})
}

// TestThreat_G8_AHandlerOutOfTime: it has 30 s, and the end of the gateway cuts
// it short; all or nothing, and the latter costs no try.
func TestThreat_G8_AHandlerOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		gw := o.open("a", counting(log, "a", func(ctx context.Context, _ bursar.Tx, e bursar.Event) error {
			<-ctx.Done()
			if e.Subject == "pay_deaf" {
				return nil // as if all were well
			}
			return ctx.Err()
		}))
		o.tell("pay_deaf", 1, 1, "n")
		o.tell("pay_slow", 1, 1, "n")
		time.Sleep(36 * time.Second) // up to 5 s to be found, and the first pause is 5 s
		for _, id := range []string{"evt_pay_deaf_1", "evt_pay_slow_1"} {
			d := o.rows("n")[id]
			require.Equal(t, 1, d.Attempts, id)
			require.Equal(t, context.DeadlineExceeded.Error(), d.LastError)
			require.Zero(t, counted(t, o.store, id))
		}
		time.Sleep(10 * time.Second)
		require.Len(t, log.all(), 4)
		require.NoError(t, gw.Stop(context.Background()))
		for _, id := range []string{"evt_pay_deaf_1", "evt_pay_slow_1"} {
			d := o.rows("n")[id]
			require.Equal(t, bursar.DeliveryPending, d.Status)
			require.Equal(t, 1, d.Attempts, "cut short is not tried")
			require.True(t, d.LeasedUntil.IsZero(), "and anybody may go on")
			require.Zero(t, counted(t, o.store, id))
		}
		next := o.open("b", counting(log, "b", nil))
		time.Sleep(10 * time.Second)
		o.onceEach("pay_deaf", 1)
		o.onceEach("pay_slow", 1)
		require.NoError(t, next.Stop(t.Context()))
	})
}

// wrapped hides all but the port.
type wrapped struct{ bursar.Notifier }

// forwarding knows what it wraps.
type forwarding struct {
	bursar.Notifier
	calls int
}

func (f *forwarding) NotifyTx(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
	f.calls++
	return f.Notifier.(bursar.TxNotifier).NotifyTx(ctx, tx, e)
}

// TestAWrapperDoesNotLoseTheTransaction: one that knows nothing of it fails.
func TestAWrapperDoesNotLoseTheTransaction(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	gw := o.open("a", wrapped{counting(log, "a", nil)})
	o.tell("pay_1", 1, 1, "n")
	o.step(gw)
	d := o.rows("n")["evt_pay_1_1"]
	require.Equal(t, bursar.DeliveryPending, d.Status)
	require.Equal(t, 1, d.Attempts)
	require.Contains(t, d.LastError, "notifier n needs the store's transaction")
	require.Empty(t, log.all())
	f := &forwarding{Notifier: counting(log, "b", nil)}
	gw = o.open("b", f)
	o.clock.advance(10 * time.Second)
	o.step(gw)
	o.onceEach("pay_1", 1)
	require.Equal(t, 1, f.calls)
}

// TestTheOtherVerbsAreRefusedInside: they would open a transaction of their own.
func TestTheOtherVerbsAreRefusedInside(t *testing.T) {
	o := newOffice(t)
	var gw *bursar.Gateway
	second := o.open("second")
	var errs []error
	gw = o.open("a", counting(&callLog{}, "a", func(ctx context.Context, _ bursar.Tx, _ bursar.Event) error {
		for _, g := range []*bursar.Gateway{gw, second} {
			_, err := g.CreatePayment(ctx, eth(""))
			errs = append(errs, err)
			_, err = g.RenewPayment(ctx, "pay_1")
			errs = append(errs, err)
			_, err = g.CancelPayment(ctx, "pay_1")
			errs = append(errs, err)
			_, err = g.AcceptPayment(ctx, "pay_1", "key")
			errs = append(errs, err)
			_, err = g.CreateAddress(ctx, bursar.AddressRequest{Chain: local, Customer: "ann"})
			errs = append(errs, err, g.ResumeChain(ctx, local), g.Step(ctx))
			if _, err := g.Payments(ctx, bursar.PaymentFilter{}, 1, ""); err != nil {
				return err // reading is free
			}
		}
		return nil
	}))
	o.tell("pay_1", 1, 1, "n")
	before := len(dumpOf(t, o.store).Payments)
	o.step(gw)
	require.Len(t, errs, 14)
	for _, err := range errs {
		require.ErrorIs(t, err, bursar.ErrInTransaction)
	}
	o.onceEach("pay_1", 1)
	require.Len(t, dumpOf(t, o.store).Payments, before)
}

// TestAHandlerMakesPayments by the twins, with its own fate.
func TestAHandlerMakesPayments(t *testing.T) {
	onBoth(t, func(t *testing.T, wrap func(bursar.Store) bursar.Store) {
		var k *till
		var mu sync.Mutex
		tries := 0
		k = newTill(t, wrap, bursar.NotifyTx("n", func(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind != bursar.PaymentCanceled {
				return nil
			}
			if _, err := k.gw.RenewPaymentTx(ctx, tx, e.Subject); err != nil {
				return err
			}
			if _, err := k.gw.CreatePaymentTx(ctx, tx, eth("fee of "+e.Subject)); err != nil {
				return err
			}
			if tries++; tries == 1 {
				return errDown
			}
			return nil
		}))
		p, err := k.order("a", nil)
		require.NoError(t, err)
		_, err = k.gw.CancelPayment(t.Context(), p.ID)
		require.NoError(t, err)
		k.step(k.gw)
		require.Len(t, dumpOf(t, k.store).Payments, 1, "rolled back")
		k.chain.AdvanceTime(10 * time.Second)
		k.step(k.gw)
		d := dumpOf(t, k.store)
		require.Len(t, d.Payments, 3)
		require.Len(t, d.Addresses, 3)
		require.Equal(t, 3, d.created())
		require.Equal(t, 2, tries)
		p, err = k.gw.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.NotEmpty(t, p.Next)
		for id, row := range k.rows("n") {
			require.Equal(t, bursar.DeliveryDone, row.Status, id)
		}
	})
}

// TestWhatAHandlerTellsGoesAtOnce: the gateway knows of that commit.
func TestWhatAHandlerTellsGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		var gw *bursar.Gateway
		gw = o.open("a", log.notifier("plain", "a", nil), bursar.NotifyTx("n", func(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
			if e.Kind == bursar.PaymentCreated {
				return nil
			}
			time.Sleep(time.Millisecond) // the other one has looked, and waits again
			_, err := gw.CreatePaymentTx(ctx, tx, eth(e.ID))
			return err
		}))
		time.Sleep(7 * time.Second)
		o.tell("pay_1", 1, 1, "n")
		gw.Wake()
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		require.Len(t, log.all(), 1)
		require.NoError(t, gw.Stop(t.Context()))
	})
}
