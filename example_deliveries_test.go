package bursar_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/bursar-go/bursar"
)

// The dead letters: what a receiver never took, and why.
func ExampleGateway_Deliveries() {
	ctx := context.Background()
	gw, _ := open(bursar.NotifyFunc("orders", func(context.Context, bursar.Event) error {
		return &bursar.PermanentError{Err: errors.New("410 gone")}
	}))
	defer gw.Stop(ctx)
	if _, err := gw.CreatePayment(ctx, usdc("25")); err != nil {
		fmt.Println(err)
	}
	if err := gw.Step(ctx); err != nil {
		fmt.Println(err)
	}
	for d, err := range gw.AllDeliveries(ctx, bursar.DeliveryFilter{Status: bursar.DeliveryDead}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(d.Endpoint, d.Kind, d.Attempts, d.LastError)
	}
	// Output: orders payment.created 1 bursar: permanent: 410 gone
}

// All dead letters go out again, as many at a time as one transaction takes.
func ExampleGateway_Resend() {
	ctx := context.Background()
	down := true
	gw, _ := open(bursar.NotifyFunc("orders", func(_ context.Context, e bursar.Event) error {
		if down {
			return &bursar.PermanentError{Err: errors.New("410 gone")}
		}
		fmt.Println("heard of", e.Kind)
		return nil
	}))
	defer gw.Stop(ctx)
	if _, err := gw.CreatePayment(ctx, usdc("25")); err != nil {
		fmt.Println(err)
	}
	if err := gw.Step(ctx); err != nil {
		fmt.Println(err)
	}

	down = false
	request := bursar.ResendRequest{Statuses: []bursar.DeliveryStatus{bursar.DeliveryDead}}
	for more := true; more; more = request.After != "" {
		done, err := gw.Resend(ctx, request)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("resent:", done.Resent)
		request.After = done.Next
	}
	if err := gw.Step(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// resent: 1
	// heard of payment.created
}

// A shop that wants to know when to ship, and when not to. Handlers may be called
// again with the same event: what is done once is noted with its id.
func ExampleOn() {
	ctx := context.Background()
	shop := bursar.On("orders", bursar.Handlers{
		OnConfirmed: func(_ context.Context, e bursar.Event) error {
			fmt.Println("ship", e.Data.Metadata["order"])
			return nil
		},
		OnReverted: func(_ context.Context, e bursar.Event) error {
			fmt.Println("hold", e.Data.Metadata["order"])
			return nil
		},
	})
	gw, network := open(shop)
	defer gw.Stop(ctx)
	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("2"), Metadata: map[string]string{"order": "A-17"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	network.Pay("ann", p.Address, p.Asset, p.Amount)
	mine(gw, network, 20)
	// Output: ship A-17
}
