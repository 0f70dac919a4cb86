package bursar_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

func TestKindsAreAllThereAre(t *testing.T) {
	require.Equal(t, kinds(t), bursar.EventKinds())
	bursar.EventKinds()[0] = "changed"
	require.Equal(t, kinds(t), bursar.EventKinds(), "each caller has its own list")
}

// mixedOffice is an office with deliveries of every status: shop and crm were told of
// pay_1, shop was told of pay_2 in vain, and crm hears of pay_3 later.
func mixedOffice(t *testing.T) (*office, *bursar.Gateway) {
	t.Helper()
	o := newOffice(t)
	refuse := map[string]error{}
	answer := func(_ context.Context, e bursar.Event) error { return refuse[e.Subject] }
	gw := o.open("a", bursar.NotifyFunc("shop", answer), bursar.NotifyFunc("crm", answer))
	o.tell("pay_1", 1, 3, "shop", "crm")
	o.step(gw)
	o.clock.advance(time.Minute)
	refuse["pay_2"] = &bursar.PermanentError{Err: errors.New("gone")}
	o.tell("pay_2", 1, 2, "shop")
	o.step(gw)
	o.clock.advance(time.Minute)
	refuse["pay_3"] = errors.New("down")
	o.tell("pay_3", 1, 2, "crm")
	o.step(gw)
	return o, gw
}

func deliveryName(d bursar.Delivery) string {
	return d.Endpoint + " " + strings.TrimPrefix(d.EventID, "evt_pay_")
}

func TestDeliveryFiltersOneByOne(t *testing.T) {
	o, gw := mixedOffice(t)
	start := newClock().now
	all := []string{"crm 3_2", "crm 3_1", "shop 2_2", "shop 2_1", "shop 1_3", "shop 1_2", "shop 1_1", "crm 1_3", "crm 1_2", "crm 1_1"}
	turned := slices.Clone(all)
	slices.Reverse(turned)
	for name, tc := range map[string]struct {
		filter bursar.DeliveryFilter
		want   []string
	}{
		"none":                {bursar.DeliveryFilter{}, all},
		"oldest first":        {bursar.DeliveryFilter{OldestFirst: true}, turned},
		"an event":            {bursar.DeliveryFilter{EventID: "evt_pay_1_2"}, []string{"shop 1_2", "crm 1_2"}},
		"no such event":       {bursar.DeliveryFilter{EventID: "evt_pay_9_9"}, nil},
		"a notifier":          {bursar.DeliveryFilter{Notifier: "crm"}, []string{"crm 3_2", "crm 3_1", "crm 1_3", "crm 1_2", "crm 1_1"}},
		"one of another time": {bursar.DeliveryFilter{Notifier: "old"}, nil},
		"a payment":           {bursar.DeliveryFilter{Subject: "pay_2"}, []string{"shop 2_2", "shop 2_1"}},
		"a kind":              {bursar.DeliveryFilter{Kind: bursar.PaymentDetected}, all},
		"another kind":        {bursar.DeliveryFilter{Kind: bursar.PaymentConfirmed}, nil},
		"pending":             {bursar.DeliveryFilter{Status: bursar.DeliveryPending}, []string{"crm 3_2", "crm 3_1"}},
		"parked":              {bursar.DeliveryFilter{Status: bursar.DeliveryParked}, nil},
		"dead":                {bursar.DeliveryFilter{Status: bursar.DeliveryDead}, []string{"shop 2_2", "shop 2_1"}},
		"done":                {bursar.DeliveryFilter{Status: bursar.DeliveryDone, Notifier: "shop"}, []string{"shop 1_3", "shop 1_2", "shop 1_1"}},
		"since":               {bursar.DeliveryFilter{Since: start.Add(time.Minute)}, []string{"crm 3_2", "crm 3_1", "shop 2_2", "shop 2_1"}},
		"until":               {bursar.DeliveryFilter{Since: start, Until: start.Add(time.Minute), Notifier: "crm"}, []string{"crm 1_3", "crm 1_2", "crm 1_1"}},
		"all hold":            {bursar.DeliveryFilter{Subject: "pay_1", Notifier: "crm", Status: bursar.DeliveryDead}, nil},
	} {
		page, err := gw.Deliveries(t.Context(), tc.filter, 0, "")
		require.NoError(t, err, name)
		require.Equal(t, tc.want, ids(page.Items, deliveryName), name)
		require.Empty(t, page.Next, name)
		// The same, a row at a time.
		var walked []string
		for cursor := ""; ; {
			page, err := gw.Deliveries(t.Context(), tc.filter, 1, cursor)
			require.NoError(t, err, name)
			walked = append(walked, ids(page.Items, deliveryName)...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		require.Equal(t, tc.want, walked, name)
		walked = nil
		for d, err := range gw.AllDeliveries(t.Context(), tc.filter) {
			require.NoError(t, err, name)
			walked = append(walked, deliveryName(d))
		}
		require.Equal(t, tc.want, walked, name)
	}
	page, err := gw.Deliveries(t.Context(), bursar.DeliveryFilter{Subject: "pay_3", OldestFirst: true}, 1, "")
	require.NoError(t, err)
	row := page.Items[0]
	require.Equal(t, bursar.PaymentDetected, row.Kind)
	require.Equal(t, 1, row.Attempts)
	require.Equal(t, "down", row.LastError)
	require.Equal(t, o.clock.Now(), row.CreatedAt)
	require.Equal(t, o.clock.Now(), row.FirstAt)
	require.True(t, row.NextAt.After(row.FirstAt))
}

func TestDeliveryFiltersAreChecked(t *testing.T) {
	_, gw := mixedOffice(t)
	now := time.Now()
	for field, tc := range map[string]struct {
		filter bursar.DeliveryFilter
		code   bursar.Code
	}{
		"EventID":  {bursar.DeliveryFilter{EventID: "a\x00b"}, bursar.CodeInvalid},
		"Subject":  {bursar.DeliveryFilter{Subject: strings.Repeat("s", 257)}, bursar.CodeOutOfRange},
		"Notifier": {bursar.DeliveryFilter{Notifier: "a b"}, bursar.CodeInvalid},
		"Kind":     {bursar.DeliveryFilter{Kind: "payment.paid"}, bursar.CodeInvalid},
		"Status":   {bursar.DeliveryFilter{Status: "done"}, bursar.CodeInvalid},
		"Until":    {bursar.DeliveryFilter{Since: now, Until: now.Add(-1)}, bursar.CodeOutOfRange},
	} {
		_, err := gw.Deliveries(t.Context(), tc.filter, 0, "")
		isField(t, err, "DeliveryFilter."+field, tc.code)
		for _, err := range gw.AllDeliveries(t.Context(), tc.filter) {
			isField(t, err, "DeliveryFilter."+field, tc.code)
		}
	}
	for _, limit := range []int{-1, bursar.MaxPage + 1} {
		_, err := gw.Deliveries(t.Context(), bursar.DeliveryFilter{}, limit, "")
		isField(t, err, "Limit", bursar.CodeOutOfRange)
	}
	for _, cursor := range []string{"x", "e30", "bnVsbA", strings.Repeat("e", 5000)} {
		_, err := gw.Deliveries(t.Context(), bursar.DeliveryFilter{}, 0, cursor)
		isField(t, err, "Cursor", bursar.CodeInvalid)
	}
	var none *bursar.Gateway
	_, err := none.Deliveries(t.Context(), bursar.DeliveryFilter{}, 0, "")
	require.ErrorIs(t, err, bursar.ErrNotStarted)
}

// A page stays where it is while its rows are tried, end and appear.
func TestThreat_G19_DeliveriesPageWhileTheyMove(t *testing.T) {
	o := newOffice(t)
	down := true
	gw := o.open("a", bursar.NotifyFunc("shop", func(context.Context, bursar.Event) error {
		if down {
			return errDown
		}
		return nil
	}))
	for i := range 8 {
		o.tell("pay_"+string(rune('a'+i)), 1, 1, "shop")
		if i%3 == 2 {
			o.clock.advance(time.Second)
		}
	}
	more := 0
	for _, oldest := range []bool{true, false} {
		filter := bursar.DeliveryFilter{OldestFirst: oldest, Until: o.clock.Now().Add(time.Microsecond)}
		whole, err := gw.Deliveries(t.Context(), filter, 100, "")
		require.NoError(t, err)
		var seen []string
		for cursor := ""; ; {
			page, err := gw.Deliveries(t.Context(), filter, 2, cursor)
			require.NoError(t, err)
			seen = append(seen, ids(page.Items, deliveryName)...)
			if cursor = page.Next; cursor == "" {
				break
			}
			o.clock.advance(time.Minute)
			down = !down
			o.step(gw)
			more++
			o.tell("pay_new_"+strconv.Itoa(more), 1, 1, "shop")
		}
		require.Equal(t, ids(whole.Items, deliveryName), seen)
	}
}
