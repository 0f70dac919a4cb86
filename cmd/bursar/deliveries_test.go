package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// told is a world whose notifier refused the first payment's events for good.
func told(t *testing.T) (w *world, refused, taken bursar.Payment, heard func() int) {
	t.Helper()
	down, n := true, 0
	w = live(t, func(c *bursar.Config) {
		c.Notify = append(c.Notify[:0:0], bursar.NotifyFunc("shop", func(_ context.Context, e bursar.Event) error {
			if e.Kind != bursar.PaymentCreated {
				return nil // what the kit itself does
			}
			if n++; down {
				return &bursar.PermanentError{Err: errors.New("no")}
			}
			return nil
		}))
	})
	refused = w.kit.Create("USDC", "10")
	require.NoError(t, w.kit.Gateway.Step(t.Context()))
	down = false
	taken = w.kit.Create("USDC", "11")
	require.NoError(t, w.kit.Gateway.Step(t.Context()))
	return w, refused, taken, func() int {
		require.NoError(t, w.kit.Gateway.Step(t.Context()))
		return n
	}
}

func TestDeliveries(t *testing.T) {
	w, refused, taken, _ := told(t)
	all := decode[[]deliveryRow](t, w.ok("deliveries", "-json", "-kind", "payment.created"))
	require.Len(t, all, 2)
	require.Equal(t, taken.ID, all[0].Subject, "newest first")
	require.Equal(t, bursar.DeliveryDone, all[0].Status)
	require.Empty(t, all[0].Tries)
	require.Equal(t, refused.ID, decode[[]deliveryRow](t, w.ok("deliveries", "-json", "-kind", "payment.created", "-oldest", "-limit", "1"))[0].Subject)
	dead := decode[[]deliveryRow](t, w.ok("deliveries", "-json", "-tries", "-status", "dead"))
	require.Len(t, dead, 1)
	require.Equal(t, bursar.AttemptRefused, dead[0].Tries[0].Outcome)
	text := w.ok("deliveries", "-tries", "-notifier", "shop", "-subject", refused.ID, "-kind", "payment.created", "-event", dead[0].Event)
	require.Contains(t, text, "shop  payment.created of "+refused.ID+" 1  dead, tried 1 times")
	require.Contains(t, text, "refused")
	require.NotContains(t, text, taken.ID)
	require.Contains(t, w.ok("deliveries", "-until", "2001-01-01T00:00:00Z", "-since", "1999-01-01T00:00:00Z"), "")
	require.Contains(t, w.ok("deliveries", "-notifier", "nobody"), "no delivery is like that")
	require.Equal(t, []deliveryRow{}, decode[[]deliveryRow](t, w.ok("deliveries", "-json", "-notifier", "nobody")))
	require.Contains(t, w.fails(exitFailed, "deliveries", "-status", "done"), "DeliveryFilter.Status")
	require.Contains(t, w.fails(exitUsage, "deliveries", "-since", "yesterday"), "-since")
	require.Contains(t, w.fails(exitUsage, "deliveries", "-limit", "0"), "-limit")
}

func TestResend(t *testing.T) {
	w, refused, taken, heard := told(t)
	require.Equal(t, 2, heard())
	require.Contains(t, w.ok("resend", "-dead"), "1 of 1 selected deliveries would go out again, 0 are on their way already\nnothing was written")
	require.Equal(t, 2, heard(), "it only tells")
	require.Equal(t, resendReport{Selected: 1, Resent: 1, Written: true}, decode[resendReport](t, w.ok("resend", "-json", "-dead", "-yes")))
	require.Contains(t, w.ok("resend", "-subject", refused.ID, "-yes"), "0 of 1 selected deliveries go out again, 1 are on their way already")
	require.Equal(t, 3, heard())
	require.Contains(t, w.ok("resend", "-dead", "-yes"), "0 of 0")
	events := decode[[]deliveryRow](t, w.ok("deliveries", "-json", "-kind", "payment.created"))
	require.Contains(t, w.ok("resend", "-event", events[0].Event+", "+events[1].Event, "-kind", "payment.created,payment.late", "-status", "delivered,dead", "-notifier", "shop", "-yes"), "2 of 2")
	require.Equal(t, 5, heard())
	require.Contains(t, w.ok("resend", "-notifier", "orders", "-event", events[0].Event), "1 of 1", "a webhook of the configuration that it was never told of: "+taken.ID)
	require.Contains(t, w.fails(exitFailed, "resend", "-yes"), "one of Events")
	require.Contains(t, w.fails(exitFailed, "resend", "-notifier", "nobody", "-yes"), "ResendRequest.Notifier")
	require.Contains(t, w.fails(exitFailed, "resend", "-kind", "payment.paid", "-yes"), "ResendRequest.Kinds[0]")
	require.Contains(t, w.fails(exitUsage, "resend", "-dead", "-status", "dead"), "exclude each other")
	require.Contains(t, w.fails(exitUsage, "resend", "-until", "x"), "-until")
}
