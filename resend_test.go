package bursar_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// resend is a call that must succeed.
func resend(t *testing.T, gw *bursar.Gateway, r bursar.ResendRequest) bursar.ResendResult {
	t.Helper()
	got, err := gw.Resend(t.Context(), r)
	require.NoError(t, err)
	return got
}

func TestResendSelectsOneByOne(t *testing.T) {
	start := newClock().now
	dead := []bursar.DeliveryStatus{bursar.DeliveryDead}
	for name, tc := range map[string]struct {
		request bursar.ResendRequest
		want    bursar.ResendResult
	}{
		"dead letters":          {bursar.ResendRequest{Statuses: dead}, bursar.ResendResult{Selected: 2, Resent: 2}},
		"an event":              {bursar.ResendRequest{Events: []string{"evt_pay_1_2", "evt_pay_1_2"}}, bursar.ResendResult{Selected: 2, Resent: 2}},
		"an event to one":       {bursar.ResendRequest{Events: []string{"evt_pay_1_2"}, Notifier: "crm"}, bursar.ResendResult{Selected: 1, Resent: 1}},
		"an event it never had": {bursar.ResendRequest{Events: []string{"evt_pay_2_1"}, Notifier: "crm"}, bursar.ResendResult{Selected: 1, Resent: 1}},
		"a payment":             {bursar.ResendRequest{Subject: "pay_1"}, bursar.ResendResult{Selected: 6, Resent: 6}},
		"a notifier":            {bursar.ResendRequest{Notifier: "crm"}, bursar.ResendResult{Selected: 5, Resent: 3, Waiting: 2}},
		"a kind":                {bursar.ResendRequest{Kinds: []bursar.Kind{bursar.PaymentDetected}}, bursar.ResendResult{Selected: 10, Resent: 8, Waiting: 2}},
		"another kind":          {bursar.ResendRequest{Kinds: []bursar.Kind{bursar.PaymentConfirmed}}, bursar.ResendResult{}},
		"what is on its way":    {bursar.ResendRequest{Statuses: []bursar.DeliveryStatus{bursar.DeliveryPending}}, bursar.ResendResult{Selected: 2, Waiting: 2}},
		"since":                 {bursar.ResendRequest{Since: start.Add(time.Minute)}, bursar.ResendResult{Selected: 4, Resent: 2, Waiting: 2}},
		"since and until":       {bursar.ResendRequest{Since: start, Until: start.Add(time.Minute)}, bursar.ResendResult{Selected: 6, Resent: 6}},
		"all hold":              {bursar.ResendRequest{Subject: "pay_1", Statuses: dead}, bursar.ResendResult{}},
		"no such payment":       {bursar.ResendRequest{Subject: "pay_9"}, bursar.ResendResult{}},
	} {
		t.Run(name, func(t *testing.T) {
			o, gw := mixedOffice(t)
			before := [2]any{o.rows("shop"), o.rows("crm")}
			dry := tc.request
			dry.DryRun = true
			require.Equal(t, tc.want, resend(t, gw, dry))
			require.Equal(t, before, [2]any{o.rows("shop"), o.rows("crm")}, "a dry run writes nothing")
			require.Equal(t, tc.want, resend(t, gw, tc.request))
			resent := 0
			for _, endpoint := range []string{"shop", "crm"} {
				for _, d := range o.rows(endpoint) {
					if d.Status == bursar.DeliveryParked {
						resent++
						require.Zero(t, d.Attempts)
						require.Equal(t, o.clock.Now(), d.NextAt)
						require.True(t, d.DoneAt.IsZero())
					}
				}
			}
			require.Equal(t, tc.want.Resent, resent)
			// Once more: all of it is on its way now.
			tc.want.Waiting, tc.want.Resent = tc.want.Selected, 0
			if len(tc.request.Statuses) == 0 {
				require.Equal(t, tc.want, resend(t, gw, tc.request))
			}
		})
	}
}

// The receiver hears the same ids and bytes, and the schedule begins anew.
func TestResendTellsTheSameOnceMore(t *testing.T) {
	o := newOffice(t)
	var heard []string
	var refuse error
	gw := o.open("a", bursar.NotifyFunc("shop", func(_ context.Context, e bursar.Event) error {
		body, err := bursar.MarshalEvent(e)
		heard = append(heard, string(body))
		return errors.Join(err, refuse)
	}))
	o.tell("pay_1", 1, 1, "shop")
	o.step(gw)
	refuse = errDown
	require.Equal(t, bursar.ResendResult{Selected: 1, Resent: 1}, resend(t, gw, bursar.ResendRequest{Events: []string{"evt_pay_1_1"}}))
	for range 13 { // the whole schedule
		o.step(gw)
		o.clock.advance(27 * time.Hour)
	}
	d := o.rows("shop")["evt_pay_1_1"]
	require.Equal(t, bursar.DeliveryDead, d.Status)
	require.Equal(t, 13, d.Attempts)
	require.Len(t, heard, 14)
	refuse = nil
	resend(t, gw, bursar.ResendRequest{Statuses: []bursar.DeliveryStatus{bursar.DeliveryDead}})
	o.step(gw)
	d = o.rows("shop")["evt_pay_1_1"]
	require.Equal(t, bursar.DeliveryDone, d.Status)
	require.Equal(t, 1, d.Attempts)
	require.Len(t, heard, 15)
	for _, body := range heard {
		require.Equal(t, heard[0], body)
	}
}

// E4: what is told once more holds up no first attempt, and none holds it up.
func TestThreat_E4_AResendHoldsUpNoFirstAttempt(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	var down bool
	gw := o.open("a", log.notifier("shop", "a", func(_ context.Context, e bursar.Event) error {
		if down && e.Seq <= 2 {
			return errDown
		}
		return nil
	}))
	o.tell("pay_1", 1, 2, "shop")
	o.step(gw)
	down = true
	resend(t, gw, bursar.ResendRequest{Subject: "pay_1"})
	o.tell("pay_1", 3, 2, "shop")
	o.step(gw)
	require.ElementsMatch(t, []int64{1, 2, 1, 2, 3, 4}, log.of("pay_1"))
	for id, d := range o.rows("shop") {
		require.Equal(t, d.Seq > 2, d.Status == bursar.DeliveryDone, id)
	}
}

func TestResendIsChecked(t *testing.T) {
	o, gw := mixedOffice(t)
	before := [2]any{o.rows("shop"), o.rows("crm")}
	now := time.Now()
	many := make([]string, bursar.MaxResend+1)
	for i := range many {
		many[i] = fmt.Sprint("evt_", i)
	}
	for name, tc := range map[string]struct {
		request bursar.ResendRequest
		field   string
		code    bursar.Code
	}{
		"nothing selected":     {bursar.ResendRequest{}, "", bursar.CodeRequired},
		"a dry run of nothing": {bursar.ResendRequest{DryRun: true, Limit: 5, Until: now}, "", bursar.CodeRequired},
		"unknown notifier":     {bursar.ResendRequest{Notifier: "nobody"}, ".Notifier", bursar.CodeUnknown},
		"bad notifier":         {bursar.ResendRequest{Notifier: "no body"}, ".Notifier", bursar.CodeInvalid},
		"unknown kind":         {bursar.ResendRequest{Kinds: []bursar.Kind{bursar.PaymentLate, "payment.paid"}}, ".Kinds[1]", bursar.CodeUnknown},
		"unknown status":       {bursar.ResendRequest{Statuses: []bursar.DeliveryStatus{"done"}}, ".Statuses[0]", bursar.CodeInvalid},
		"too many events":      {bursar.ResendRequest{Events: many}, ".Events", bursar.CodeOutOfRange},
		"an empty event":       {bursar.ResendRequest{Events: []string{"evt_pay_1_1", ""}}, ".Events[1]", bursar.CodeRequired},
		"a bad event":          {bursar.ResendRequest{Events: []string{"a\x00"}}, ".Events[0]", bursar.CodeInvalid},
		"a long subject":       {bursar.ResendRequest{Subject: strings.Repeat("s", 300)}, ".Subject", bursar.CodeOutOfRange},
		"turned":               {bursar.ResendRequest{Since: now, Until: now.Add(-1)}, ".Until", bursar.CodeOutOfRange},
		"limit":                {bursar.ResendRequest{Notifier: "shop", Limit: bursar.MaxResend + 1}, ".Limit", bursar.CodeOutOfRange},
		"negative limit":       {bursar.ResendRequest{Notifier: "shop", Limit: -1}, ".Limit", bursar.CodeOutOfRange},
		"after":                {bursar.ResendRequest{Notifier: "shop", After: "x"}, ".After", bursar.CodeInvalid},
	} {
		_, err := gw.Resend(t.Context(), tc.request)
		require.Error(t, err, name)
		isField(t, err, "ResendRequest"+tc.field, tc.code)
	}
	_, err := gw.Resend(t.Context(), bursar.ResendRequest{Events: []string{"evt_pay_1_1", "evt_9"}})
	require.ErrorIs(t, err, bursar.ErrNotFound)
	require.ErrorContains(t, err, "evt_9")
	var none *bursar.Gateway
	_, err = none.Resend(t.Context(), bursar.ResendRequest{Notifier: "shop"})
	require.ErrorIs(t, err, bursar.ErrNotStarted)
	require.Equal(t, before, [2]any{o.rows("shop"), o.rows("crm")})
}

// A notifier that is configured no more is known by what it was told; one that came
// later hears of the past where it is named with the events.
func TestResendToNotifiersOfAnotherTime(t *testing.T) {
	o := newOffice(t)
	o.tell("pay_1", 1, 2, "old")
	log := &callLog{}
	gw := o.open("a", log.notifier("new", "a", nil))
	o.step(gw)
	require.Empty(t, log.all())
	require.Equal(t, bursar.ResendResult{Selected: 2, Waiting: 2}, resend(t, gw, bursar.ResendRequest{Notifier: "old"}))
	require.Equal(t, bursar.ResendResult{}, resend(t, gw, bursar.ResendRequest{Notifier: "new", Subject: "pay_1"}), "it was to hear of nothing")
	both := []string{"evt_pay_1_2", "evt_pay_1_1"}
	require.Equal(t, bursar.ResendResult{Selected: 2, Resent: 2}, resend(t, gw, bursar.ResendRequest{Notifier: "new", Events: both}))
	require.Equal(t, bursar.ResendResult{Selected: 2, Waiting: 2}, resend(t, gw, bursar.ResendRequest{Notifier: "new", Events: both}))
	require.Equal(t, bursar.PaymentDetected, o.rows("new")["evt_pay_1_1"].Kind)
	o.step(gw)
	require.ElementsMatch(t, []int64{1, 2}, log.of("pay_1"))
}

// A long list goes out part by part, each delivery once, although its rows move on
// between the calls.
func TestResendGoesOnWhereItEnded(t *testing.T) {
	o := newOffice(t)
	log := &callLog{}
	gw := o.open("a", log.notifier("shop", "a", nil))
	for i := range 7 {
		o.tell(fmt.Sprint("pay_", i), 1, 1, "shop")
		o.clock.advance(time.Millisecond)
	}
	o.step(gw)
	require.Len(t, log.all(), 7)
	request := bursar.ResendRequest{Notifier: "shop", Statuses: []bursar.DeliveryStatus{bursar.DeliveryDone}, Limit: 3}
	for _, want := range []int{3, 3, 1} {
		got := resend(t, gw, request)
		require.Equal(t, want, got.Resent)
		require.Equal(t, want == 1, got.Next == "")
		request.After = got.Next
		o.step(gw)
	}
	require.Len(t, log.all(), 14)
	for i := range 7 {
		require.Len(t, log.of(fmt.Sprint("pay_", i)), 2)
	}
}

// What is under way is not told twice at a time.
func TestResendLeavesAloneWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		release := make(chan struct{})
		gw := o.open("a", log.notifier("shop", "a", func(context.Context, bursar.Event) error { <-release; return nil }))
		other := o.open("b")
		o.tell("pay_1", 1, 1, "shop")
		gw.Wake()
		synctest.Wait()
		require.Len(t, log.all(), 1)
		for _, g := range []*bursar.Gateway{gw, other} {
			require.Equal(t, bursar.ResendResult{Selected: 1, Waiting: 1}, resend(t, g, bursar.ResendRequest{Subject: "pay_1"}))
		}
		release <- struct{}{}
		time.Sleep(time.Second)
		require.Len(t, log.all(), 1)
		// Done: told once more, at once, although the other one had it sent again and
		// both ask at the same time.
		var wg sync.WaitGroup
		results := make([]bursar.ResendResult, 2)
		for i, g := range []*bursar.Gateway{gw, other} {
			wg.Go(func() { results[i], _ = g.Resend(t.Context(), bursar.ResendRequest{Subject: "pay_1"}) })
		}
		wg.Wait()
		require.Equal(t, 1, results[0].Resent+results[1].Resent)
		gw.Wake()
		synctest.Wait()
		require.Len(t, log.all(), 2)
		// Parked and under way: the second try of the same is left alone.
		require.Equal(t, bursar.ResendResult{Selected: 1, Waiting: 1}, resend(t, gw, bursar.ResendRequest{Subject: "pay_1"}))
		close(release)
		time.Sleep(10 * time.Second)
		require.Len(t, log.all(), 2)
		require.Equal(t, bursar.DeliveryDone, o.rows("shop")["evt_pay_1_1"].Status)
	})
}

// It wakes the notifiers.
func TestResendWakesTheOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		log := &callLog{}
		gw := o.open("a", log.notifier("shop", "a", nil))
		o.tell("pay_1", 1, 1, "shop")
		gw.Wake()
		synctest.Wait()
		resend(t, gw, bursar.ResendRequest{Subject: "pay_1"})
		synctest.Wait()
		require.Len(t, log.all(), 2, "without a pause")
	})
}

// refusing is a store whose commits fail once it is down.
type refusing struct {
	bursar.Store
	down bool
}

func (r *refusing) Write(ctx context.Context, fn func(bursar.Tx) error) error {
	return r.Store.Write(ctx, func(tx bursar.Tx) error {
		if err := fn(tx); err != nil || !r.down {
			return err
		}
		return errDown
	})
}

// A resend that the store refuses has done nothing, and says so.
func TestResendThatFails(t *testing.T) {
	o, _ := mixedOffice(t)
	store := &refusing{Store: o.store}
	o.cfg.Store = store
	gw := o.open("b", bursar.NotifyFunc("shop", func(context.Context, bursar.Event) error { return nil }))
	before := o.rows("shop")
	store.down = true
	got, err := gw.Resend(t.Context(), bursar.ResendRequest{Subject: "pay_1"})
	require.ErrorIs(t, err, errDown)
	require.Equal(t, bursar.ResendResult{}, got)
	require.Equal(t, before, o.rows("shop"))
}

// Inside a handler of NotifyTx it would wait for its own caller.
func TestResendInsideATransaction(t *testing.T) {
	o := newOffice(t)
	var inner error
	var gw *bursar.Gateway
	gw = o.open("a", bursar.NotifyTx("orders", func(ctx context.Context, _ bursar.Tx, e bursar.Event) error {
		_, inner = gw.Resend(ctx, bursar.ResendRequest{Subject: e.Subject})
		return nil
	}))
	o.tell("pay_1", 1, 1, "orders")
	o.step(gw)
	require.ErrorIs(t, inner, bursar.ErrInTransaction)
}

// A parked delivery that has failed before is left alone while it is being tried, and
// goes out again once that claim has ended.
func TestResendOfAParkedDelivery(t *testing.T) {
	o := newOffice(t)
	gw := o.open("a")
	o.tell("pay_1", 1, 1, "shop")
	d := o.rows("shop")["evt_pay_1_1"]
	d.Status, d.Attempts, d.LastError = bursar.DeliveryParked, 7, "down"
	d.NextAt, d.LeasedUntil = o.clock.Now().Add(-time.Minute), o.clock.Now().Add(time.Second)
	require.NoError(t, o.store.Write(t.Context(), func(tx bursar.Tx) error {
		return tx.Apply(t.Context(), bursar.Batch{Deliveries: []bursar.Delivery{d}})
	}))
	all := bursar.ResendRequest{Notifier: "shop"}
	require.Equal(t, bursar.ResendResult{Selected: 1, Waiting: 1}, resend(t, gw, all))
	require.Equal(t, 7, o.rows("shop")["evt_pay_1_1"].Attempts)
	o.clock.advance(time.Second)
	require.Equal(t, bursar.ResendResult{Selected: 1, Resent: 1}, resend(t, gw, all))
	require.Zero(t, o.rows("shop")["evt_pay_1_1"].Attempts)
}
