package bursar_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// allHandlers has each handler set to one that notes its own name.
func allHandlers(note func(field string)) (h bursar.Handlers) {
	v := reflect.ValueOf(&h).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		v.Field(i).Set(reflect.ValueOf(func(context.Context, bursar.Event) error { note(name); return nil }))
	}
	return h
}

// expected is the handler of a kind, by the names alone: payment.late is OnLate, and
// the kinds of another group share the group's.
func expected(k bursar.Kind) string {
	group, what, _ := strings.Cut(string(k), ".")
	if group != "payment" {
		return "On" + strings.ToUpper(group[:1]) + group[1:]
	}
	name := "On"
	for part := range strings.SplitSeq(what, "_") {
		name += strings.ToUpper(part[:1]) + part[1:]
	}
	return name
}

func TestEveryKindHasItsHandler(t *testing.T) {
	var called []string
	h := allHandlers(func(field string) { called = append(called, field) })
	used := map[string]bool{"OnOther": true}
	for _, k := range bursar.EventKinds() {
		called = nil
		require.NoError(t, h.Handle(t.Context(), bursar.Event{Kind: k}))
		require.Equal(t, []string{expected(k)}, called, k)
		used[expected(k)] = true
		// Without its own the other one is called, and without both nobody.
		called = nil
		without := h
		reflect.ValueOf(&without).Elem().FieldByName(expected(k)).SetZero()
		require.NoError(t, without.Handle(t.Context(), bursar.Event{Kind: k}))
		require.Equal(t, []string{"OnOther"}, called, k)
		called = nil
		without.OnOther = nil
		require.NoError(t, without.Handle(t.Context(), bursar.Event{Kind: k}))
		require.Empty(t, called, k)
	}
	require.Len(t, used, reflect.TypeFor[bursar.Handlers]().NumField(), "a handler that no kind calls")
	called = nil
	require.NoError(t, h.Handle(t.Context(), bursar.Event{Kind: "invoice.sent"}))
	require.Equal(t, []string{"OnOther"}, called)
}

// E15: handlers have the guarantees of the outbox: in order, again after an error or
// a panic, free to call the gateway; what nobody handles is done at once.
func TestThreat_E15_HandlersAreCalledByTheOutbox(t *testing.T) {
	o := newOffice(t)
	var gw *bursar.Gateway
	var seen []int64
	gw = o.open("a", bursar.On("shop", bursar.Handlers{OnDetected: func(ctx context.Context, e bursar.Event) error {
		page, err := gw.Deliveries(ctx, bursar.DeliveryFilter{Subject: e.Subject}, 0, "")
		require.NoError(t, err)
		require.NotEmpty(t, page.Items)
		seen = append(seen, e.Seq)
		switch len(seen) {
		case 1:
			return errDown
		case 2:
			panic("oh")
		}
		return nil
	}}))
	o.tell("pay_1", 1, 2, "shop")
	for range 4 {
		o.step(gw)
		o.clock.advance(time.Minute)
	}
	require.Equal(t, []int64{1, 1, 1, 2}, seen)
	_, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.NoError(t, err)
	o.step(gw)
	for id, d := range o.rows("shop") {
		require.Equal(t, bursar.DeliveryDone, d.Status, id)
		require.Equal(t, d.Kind == bursar.PaymentCreated || d.Seq == 2, d.Attempts == 1, id)
	}
}
