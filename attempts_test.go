package bursar_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/webhook/send"
)

// tries are the tries of an event of pay_1 that must be known.
func tries(t *testing.T, gw *bursar.Gateway, event, notifier string) []bursar.DeliveryAttempt {
	t.Helper()
	got, err := gw.DeliveryAttempts(t.Context(), event, notifier)
	require.NoError(t, err)
	return got
}

func TestDeliveryAttemptsTellEachTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		n := 0
		gw := o.open("a", bursar.NotifyFunc("shop", func(context.Context, bursar.Event) error {
			n++
			time.Sleep(time.Duration(n) * time.Second)
			switch n {
			case 1:
				return errDown
			case 2:
				panic("oh")
			case 3:
				return &bursar.RetryError{After: time.Second, Err: errors.New("busy"), Untried: true}
			case 5:
				return &bursar.PermanentError{Err: errors.New("gone")}
			}
			return nil
		}))
		o.tell("pay_1", 1, 1, "shop")
		start := time.Now()
		gw.Wake()
		time.Sleep(5 * time.Minute)
		got := tries(t, gw, "evt_pay_1_1", "shop")
		require.Len(t, got, 3, "where nothing was sent there is no try")
		require.Equal(t, bursar.DeliveryAttempt{At: start.UTC(), Latency: time.Second, Outcome: bursar.AttemptFailed, Error: errDown.Error()}, got[0])
		require.Equal(t, bursar.AttemptFailed, got[1].Outcome)
		require.Contains(t, got[1].Error, "panicked: oh")
		require.Equal(t, 2*time.Second, got[1].Latency)
		require.True(t, got[1].At.After(got[0].At.Add(5*time.Second)))
		require.Equal(t, bursar.DeliveryAttempt{At: got[2].At, Latency: 4 * time.Second, Outcome: bursar.AttemptDelivered}, got[2])
		// A resend goes on behind them.
		resend(t, gw, bursar.ResendRequest{Subject: "pay_1"})
		time.Sleep(time.Minute)
		again := tries(t, gw, "evt_pay_1_1", "shop")
		require.Equal(t, got, again[:3])
		require.Len(t, again, 4)
		require.Equal(t, bursar.AttemptRefused, again[3].Outcome)
		require.Equal(t, bursar.DeliveryDead, o.rows("shop")["evt_pay_1_1"].Status)
	})
}

// Nothing is recorded of a call that the end of the gateway cut off.
func TestDeliveryAttemptsLeaveOutWhatWasInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newRunningOffice(t)
		gw := o.open("a", bursar.NotifyFunc("shop", func(ctx context.Context, _ bursar.Event) error { <-ctx.Done(); return ctx.Err() }))
		o.tell("pay_1", 1, 1, "shop")
		gw.Wake()
		time.Sleep(time.Second)
		require.NoError(t, gw.Stop(t.Context()))
		require.Empty(t, tries(t, gw, "evt_pay_1_1", "shop"))
	})
}

// The record is bounded: the newest tries stay, and each is cut.
func TestDeliveryAttemptsAreBounded(t *testing.T) {
	o := newOffice(t)
	long := strings.Repeat("é\x00", 4000)
	n := 0
	gw := o.open("a", chatty{func() (bursar.Receipt, error) {
		n++
		if n > 20 {
			return bursar.Receipt{Status: 200, Response: long}, nil
		}
		return bursar.Receipt{Status: 500 + n, Response: long, Latency: time.Duration(n) * time.Millisecond}, errors.New(long)
	}})
	o.tell("pay_1", 1, 1, "chatty")
	for range 13 {
		o.step(gw)
		o.clock.advance(27 * time.Hour)
	}
	resend(t, gw, bursar.ResendRequest{Subject: "pay_1"})
	for range 8 {
		o.step(gw)
		o.clock.advance(27 * time.Hour)
	}
	got := tries(t, gw, "evt_pay_1_1", "chatty")
	require.Len(t, got, 16)
	for i, a := range got[:15] {
		require.Equal(t, 506+i, a.Status, "the newest, oldest first")
		require.Equal(t, time.Duration(6+i)*time.Millisecond, a.Latency)
		require.LessOrEqual(t, len(a.Response), 1<<10)
		require.Greater(t, len(a.Response), 500)
		require.LessOrEqual(t, len(a.Error), 503)
		require.NotContains(t, a.Response+a.Error, "\x00")
	}
	require.Equal(t, bursar.AttemptDelivered, got[15].Outcome)
	require.LessOrEqual(t, len(got[15].Response), 128)
	require.LessOrEqual(t, len(o.rows("chatty")["evt_pay_1_1"].Tries), 32<<10)
}

// chatty is a notifier with receipts.
type chatty struct {
	answer func() (bursar.Receipt, error)
}

func (chatty) Name() string { return "chatty" }

func (chatty) Notify(context.Context, bursar.Event) error {
	return errors.New("not asked for its receipt")
}

func (c chatty) NotifyReceipt(context.Context, bursar.Event) (bursar.Receipt, error) {
	return c.answer()
}

// A webhook's tries have status, latency and answer, also of one that succeeds.
// What the receiver echoes of the endpoint's secrets is not kept (E14).
func TestThreat_E14_AttemptsKeepNoSecrets(t *testing.T) {
	const token, bearer = "path-token-7f3a9c", "bearer-4be19d02"
	s := newShop(t, func(c *send.Config) {
		c.URL += "/hooks/" + token
		c.Header = http.Header{"Authorization": {"Bearer " + bearer}}
	})
	s.reply = func(n int, r *http.Request) (int, string) {
		echo := r.URL.Path + " " + r.Header.Get("Authorization")
		switch n {
		case 1:
			return http.StatusInternalServerError, "no: " + echo
		case 2:
			return http.StatusOK, "yes: " + echo
		}
		return http.StatusGone, "never"
	}
	o := newOffice(t)
	gw := o.open("a", bursar.Webhooks("shop", s.sender))
	o.tell("pay_1", 1, 2, "shop")
	for range 3 {
		o.step(gw)
		o.clock.advance(time.Minute)
	}
	got := tries(t, gw, "evt_pay_1_1", "shop")
	require.Len(t, got, 2)
	require.Equal(t, []int{500, 200}, []int{got[0].Status, got[1].Status})
	require.Contains(t, got[0].Response, "no: ")
	require.Contains(t, got[1].Response, "yes: ")
	require.Equal(t, bursar.AttemptFailed, got[0].Outcome)
	require.Equal(t, bursar.AttemptDelivered, got[1].Outcome)
	require.Positive(t, got[0].Latency)
	require.Positive(t, got[1].Latency)
	gone := tries(t, gw, "evt_pay_1_2", "shop")
	require.Equal(t, 410, gone[0].Status)
	require.Equal(t, "never", gone[0].Response)
	require.Equal(t, bursar.AttemptRefused, gone[0].Outcome)
	for id, d := range o.rows("shop") {
		require.NotContains(t, d.Tries+d.LastError, token, id)
		require.NotContains(t, d.Tries+d.LastError, bearer, id)
	}
}

// A handler of NotifyTx is recorded in the transaction that it is part of.
func TestDeliveryAttemptsOfATransaction(t *testing.T) {
	o := newOffice(t)
	n := 0
	gw := o.open("a", bursar.NotifyTx("orders", func(context.Context, bursar.Tx, bursar.Event) error {
		if n++; n == 1 {
			return errDown
		}
		return nil
	}))
	o.tell("pay_1", 1, 1, "orders")
	o.step(gw)
	o.clock.advance(time.Minute)
	o.step(gw)
	got := tries(t, gw, "evt_pay_1_1", "orders")
	require.Len(t, got, 2)
	require.Equal(t, bursar.AttemptFailed, got[0].Outcome)
	require.Equal(t, errDown.Error(), got[0].Error)
	require.Equal(t, bursar.DeliveryAttempt{At: o.clock.Now(), Outcome: bursar.AttemptDelivered}, got[1])
}

func TestDeliveryAttemptsAreChecked(t *testing.T) {
	o, gw := mixedOffice(t)
	_, err := gw.DeliveryAttempts(t.Context(), "", "shop")
	isField(t, err, "DeliveryAttempts.EventID", bursar.CodeRequired)
	_, err = gw.DeliveryAttempts(t.Context(), "a\x00", "shop")
	isField(t, err, "DeliveryAttempts.EventID", bursar.CodeInvalid)
	_, err = gw.DeliveryAttempts(t.Context(), "evt_pay_1_1", "")
	isField(t, err, "DeliveryAttempts.Notifier", bursar.CodeInvalid)
	for _, pair := range [][2]string{{"evt_9", "shop"}, {"evt_pay_1_1", "other"}} {
		_, err = gw.DeliveryAttempts(t.Context(), pair[0], pair[1])
		require.ErrorIs(t, err, bursar.ErrNotFound)
	}
	// What nobody can read holds up no event, and is told.
	d := o.rows("crm")["evt_pay_3_1"]
	d.Tries = "nonsense"
	require.NoError(t, o.store.Write(t.Context(), func(tx bursar.Tx) error {
		return tx.Apply(t.Context(), bursar.Batch{Deliveries: []bursar.Delivery{d}})
	}))
	_, err = gw.DeliveryAttempts(t.Context(), "evt_pay_3_1", "crm")
	require.ErrorIs(t, err, bursar.ErrInvariant)
	o.clock.advance(time.Minute)
	o.step(gw)
	require.Len(t, tries(t, gw, "evt_pay_3_1", "crm"), 1)
}

// A host's own notifier that sends by a webhook's has the status and the answer of what
// failed, out of the error.
func TestDeliveryAttemptsOfAWrappedWebhook(t *testing.T) {
	s := newShop(t, nil)
	s.reply = func(int, *http.Request) (int, string) { return http.StatusTeapot, "short and stout" }
	hook := bursar.Webhooks("inner", s.sender)
	o := newOffice(t)
	gw := o.open("a", bursar.NotifyFunc("shop", hook.Notify))
	o.tell("pay_1", 1, 1, "shop")
	o.step(gw)
	got := tries(t, gw, "evt_pay_1_1", "shop")
	require.Len(t, got, 1)
	require.Equal(t, http.StatusTeapot, got[0].Status)
	require.Equal(t, "short and stout", got[0].Response)
}
