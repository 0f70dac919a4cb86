package bursar_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

var errDown = errors.New("receiver down")

// plan is the schedule as it is promised.
var plan = []time.Duration{
	5 * time.Second, 25 * time.Second, 90 * time.Second, 3 * time.Minute, 10 * time.Minute,
	30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

func TestThreat_E2_ScheduleThenDead(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	gw := o.open("a", log.notifier("n", "a", func(context.Context, bursar.Event) error { return errDown }))
	o.tell("pay_1", 1, 1, "n")
	start := o.clock.Now()
	for i, pause := range plan {
		o.step(gw)
		require.Len(t, log.all(), i+1)
		d := o.rows("n")["evt_pay_1_1"]
		require.Equal(t, i+1, d.Attempts)
		require.Equal(t, errDown.Error(), d.LastError)
		require.Equal(t, start, d.FirstAt)
		require.Equal(t, o.clock.Now(), d.LastAt)
		require.True(t, d.LeasedUntil.IsZero())
		wait := d.NextAt.Sub(o.clock.Now())
		require.GreaterOrEqual(t, wait, pause, "try %d", i+1)
		require.LessOrEqual(t, wait, pause+pause/10, "try %d", i+1)
		want := bursar.DeliveryPending
		if i >= 5 {
			want = bursar.DeliveryParked
		}
		require.Equal(t, want, d.Status, "try %d", i+1)
		o.clock.advance(wait - time.Microsecond)
		o.step(gw)
		require.Len(t, log.all(), i+1, "not a moment too soon")
		o.clock.advance(time.Microsecond)
	}
	require.GreaterOrEqual(t, o.clock.Now().Sub(start), 75*time.Hour+35*time.Minute)
	o.step(gw)
	d := o.rows("n")["evt_pay_1_1"]
	require.Equal(t, bursar.DeliveryDead, d.Status)
	require.Equal(t, len(plan)+1, d.Attempts)
	require.Equal(t, o.clock.Now(), d.DoneAt)
	o.clock.advance(1000 * time.Hour)
	o.step(gw)
	require.Len(t, log.all(), len(plan)+1, "dead is dead")
	for _, c := range log.all() {
		require.Equal(t, "evt_pay_1_1", c.id, "the same id at every try")
	}
}

// TestThreat_E18_RetriesAreSpread: what fails at once does not come back at once.
func TestThreat_E18_RetriesAreSpread(t *testing.T) {
	o := newOffice(t)
	gw := o.open("a", bursar.NotifyFunc("n", func(context.Context, bursar.Event) error { return errDown }))
	for i := range 50 {
		o.tell("pay_"+strings.Repeat("x", i+1), 1, 1, "n")
	}
	o.step(gw)
	at := map[time.Time]bool{}
	for _, d := range o.rows("n") {
		at[d.NextAt] = true
	}
	require.Greater(t, len(at), 25)
}

func TestThreat_E4_E6_AFailingEventIsParked(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	heal := false
	gw := o.open("a", log.notifier("n", "a", func(_ context.Context, e bursar.Event) error {
		if e.Subject == "pay_1" && e.Seq == 1 && !heal {
			return errDown
		}
		return nil
	}))
	o.tell("pay_1", 1, 3, "n")
	o.tell("pay_2", 1, 3, "n")
	start := o.clock.Now()
	o.step(gw)
	require.Equal(t, []int64{1}, log.of("pay_1"), "the lane waits")
	require.Equal(t, []int64{1, 2, 3}, log.of("pay_2"), "the others do not")
	var parked time.Duration
	for parked == 0 && o.clock.Now().Before(start.Add(time.Hour)) {
		o.clock.advance(time.Second)
		o.step(gw)
		if o.rows("n")["evt_pay_1_1"].Status == bursar.DeliveryParked {
			parked = o.clock.Now().Sub(start)
		}
	}
	require.GreaterOrEqual(t, parked, 15*time.Minute)
	require.LessOrEqual(t, parked, 20*time.Minute)
	require.Equal(t, []int64{1, 1, 1, 1, 1, 1, 2, 3}, log.of("pay_1"))
	// A new event of the subject goes at once; the parked one is tried on.
	o.tell("pay_1", 4, 1, "n")
	o.step(gw)
	o.clock.advance(40 * time.Minute)
	heal = true
	o.step(gw)
	require.Equal(t, []int64{1, 1, 1, 1, 1, 1, 2, 3, 4, 1}, log.of("pay_1"))
	require.Equal(t, bursar.DeliveryDone, o.rows("n")["evt_pay_1_1"].Status)
}

func TestPermanentErrorIsDeadAtOnceAndTheLaneGoesOn(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	gw := o.open("a", log.notifier("n", "a", func(_ context.Context, e bursar.Event) error {
		if e.Seq == 1 {
			return errors.Join(&bursar.PermanentError{Err: errDown})
		}
		return nil
	}), bursar.NotifyFunc("none", nil))
	o.tell("pay_1", 1, 2, "n", "none")
	o.step(gw)
	require.Equal(t, []int64{1, 2}, log.of("pay_1"))
	d := o.rows("n")["evt_pay_1_1"]
	require.Equal(t, bursar.DeliveryDead, d.Status)
	require.Equal(t, 1, d.Attempts)
	require.Contains(t, d.LastError, "receiver down")
	require.Equal(t, bursar.DeliveryDead, o.rows("none")["evt_pay_1_1"].Status, "a nil function takes nothing, and says so")
}

func TestRetryErrorIsHeeded(t *testing.T) {
	for name, tc := range map[string]struct{ after, least, most time.Duration }{
		"shorter than the schedule": {time.Second, 5 * time.Second, 5500 * time.Millisecond},
		"longer":                    {time.Hour, time.Hour, time.Hour},
		"far too long":              {9000 * time.Hour, 24 * time.Hour, 24 * time.Hour},
		"negative":                  {-time.Hour, 5 * time.Second, 5500 * time.Millisecond},
	} {
		o := newOffice(t)
		gw := o.open("a", bursar.NotifyFunc("n", func(context.Context, bursar.Event) error {
			return &bursar.RetryError{After: tc.after, Err: errDown}
		}))
		o.tell("pay_1", 1, 1, "n")
		o.step(gw)
		d := o.rows("n")["evt_pay_1_1"]
		require.Equal(t, 1, d.Attempts, name)
		require.GreaterOrEqual(t, d.NextAt.Sub(o.clock.Now()), tc.least, name)
		require.LessOrEqual(t, d.NextAt.Sub(o.clock.Now()), tc.most, name)
	}
}

// TestUntriedCountsForNothing: while a breaker is open an event neither ages nor
// is parked, so that what waits is still told in order afterwards.
func TestUntriedCountsForNothing(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	open := true
	gw := o.open("a", log.notifier("n", "a", func(context.Context, bursar.Event) error {
		if open {
			return &bursar.RetryError{After: 10 * time.Minute, Err: errDown, Untried: true}
		}
		return nil
	}))
	o.tell("pay_1", 1, 3, "n")
	for range 600 { // 100 hours
		o.step(gw)
		o.clock.advance(10 * time.Minute)
	}
	require.Len(t, log.all(), 600)
	d := o.rows("n")["evt_pay_1_1"]
	require.Equal(t, bursar.DeliveryPending, d.Status)
	require.Zero(t, d.Attempts)
	require.True(t, d.FirstAt.IsZero())
	require.NotEmpty(t, d.LastError)
	open = false
	o.step(gw)
	require.Equal(t, []int64{1, 2, 3}, log.of("pay_1")[599+1:])
	require.Equal(t, 1, o.rows("n")["evt_pay_1_1"].Attempts)
}

// TestUntriedLeavesTheRestAlone: a notifier that takes nothing is not asked
// about every other event.
func TestUntriedLeavesTheRestAlone(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	gw := o.open("a", log.notifier("n", "a", func(context.Context, bursar.Event) error {
		return &bursar.RetryError{After: time.Minute, Err: errDown, Untried: true}
	}))
	for i := range 300 {
		o.tell("pay_"+string(rune('a'+i%26))+strings.Repeat("x", i/26), 1, 1, "n")
	}
	o.step(gw)
	require.Len(t, log.all(), 64)
}

// brokenError panics when it is asked what it says.
type brokenError struct{}

func (*brokenError) Error() string { panic("no words") }

func TestThreat_G10_HandlersThatDoNotReturnWell(t *testing.T) {
	var none *bursar.RetryError
	for name, fn := range map[string]func() error{
		"panic":                func() error { panic("host code") },
		"panic with an error":  func() error { panic(errDown) },
		"panic with nil":       func() error { panic(nil) }, //nolint:govet // On purpose.
		"nil dereference":      func() error { var e *bursar.Event; e.Seq++; return nil },
		"end of the goroutine": func() error { runtime.Goexit(); return nil },
		"error that panics":    func() error { return &brokenError{} },
		"typed nil":            func() error { return none },
		"endless error":        func() error { return errors.New(strings.Repeat("é", 100_000)) },
		"error of garbage":     func() error { return errors.New("\xff\x00") },
	} {
		o := newOffice(t)
		bad := true
		good := &callLog{}
		gw := o.open("a", bursar.NotifyFunc("n", func(context.Context, bursar.Event) error {
			if bad {
				return fn()
			}
			return nil
		}), good.notifier("good", "a", nil))
		o.tell("pay_1", 1, 2, "n", "good")
		o.step(gw)
		d := o.rows("n")["evt_pay_1_1"]
		require.Equal(t, bursar.DeliveryPending, d.Status, name)
		require.Equal(t, 1, d.Attempts, name)
		require.NotEmpty(t, d.LastError, name)
		require.Less(t, len(d.LastError), 600, name)
		require.True(t, utf8.ValidString(d.LastError) && !strings.Contains(d.LastError, "\x00"), name)
		require.Equal(t, []int64{1, 2}, good.of("pay_1"), "%s: it harms no other", name)
		bad = false
		o.clock.advance(time.Minute)
		o.step(gw)
		require.Equal(t, bursar.DeliveryDone, o.rows("n")["evt_pay_1_2"].Status, "%s: and goes on", name)
	}
}

// TestADeliveryWithoutItsEvent blocks nobody.
func TestADeliveryWithoutItsEvent(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	gw := o.open("a", log.notifier("n", "a", nil))
	o.tell("pay_1", 1, 2, "n")
	require.NoError(t, o.store.Write(t.Context(), func(tx bursar.Tx) error {
		return tx.Apply(t.Context(), bursar.Batch{Deliveries: []bursar.Delivery{
			{EventID: "evt_gone", Endpoint: "n", Subject: "pay_0", Seq: 1, Status: bursar.DeliveryPending, NextAt: tx.Now().Add(-time.Hour)},
		}})
	}))
	o.step(gw)
	require.Equal(t, []int64{1, 2}, log.of("pay_1"))
	d := o.rows("n")["evt_gone"]
	require.Equal(t, bursar.DeliveryDead, d.Status)
	require.NotEmpty(t, d.LastError)
}

// TestNotifiersThatComeLater are told of what happens from then on.
func TestNotifiersThatComeLater(t *testing.T) {
	o := newOffice(t)
	first, second := &callLog{}, &callLog{}
	gw := o.open("a", first.notifier("first", "a", nil))
	_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.NoError(t, err)
	o.step(gw)
	require.NoError(t, gw.Stop(t.Context()))
	gw = o.open("a", first.notifier("first", "a", nil), second.notifier("second", "a", nil))
	q, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.NoError(t, err)
	o.clock.advance(time.Minute)
	o.step(gw)
	require.Len(t, first.all(), 2)
	require.Len(t, second.all(), 1)
	require.Equal(t, q.ID, second.all()[0].subject)
}
