package bursar_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// A merchant adds a receiver of its own while the gateway runs.
func ExampleGateway_AddEndpoint() {
	ctx := context.Background()
	var handler http.Handler // of the merchant, who has no secret yet
	merchant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	defer merchant.Close()

	// Keep the key where the other secrets are. Plain HTTP and private addresses are
	// for tests alone.
	key, err := bursar.NewEndpointKey(rand.NewChaCha8([32]byte{}))
	if err != nil {
		panic(err)
	}
	sim := chaintest.New(chaintest.Options{})
	sim.Mine(1)
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	if err != nil {
		panic(err)
	}
	gw, err := bursar.New(bursar.Config{
		Store: memory.NewWith(memory.Options{Now: sim.Now}), Wallet: wallet, Manual: true, Logger: slog.New(slog.DiscardHandler),
		Chains: []bursar.Chain{{Client: sim.Client(), Treasury: sim.Payer("treasury")}},
		Endpoints: &bursar.Endpoints{
			Keys:   []bursar.EndpointKey{key},
			Sender: send.Config{AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		},
	})
	if err != nil {
		panic(err)
	}
	if err := gw.Start(ctx); err != nil {
		panic(err)
	}
	defer gw.Stop(ctx)

	endpoint, secret, err := gw.AddEndpoint(ctx, bursar.EndpointRequest{
		ID: "merchant-7", URL: merchant.URL + "/hooks", Customers: []string{"merchant 7"}, Kinds: []bursar.Kind{"payment.*"},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(endpoint.ID, endpoint.Status)

	// What the merchant does with the secret, which it is told once.
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		panic(err)
	}
	handler = webhook.Handler(verifier, webhook.HandlerOptions{}, func(_ context.Context, e webhook.Event) error {
		fmt.Println("received", e.Seq, e.Event)
		return nil
	})
	ping, err := gw.PingEndpoint(ctx, endpoint.ID)
	fmt.Println(ping.Code, ping.Err, err)

	for _, customer := range []string{"merchant 7", "merchant 8"} {
		_, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("1"), Customer: customer})
		if err != nil {
			panic(err)
		}
	}
	fmt.Println(gw.Step(ctx))
	// Output:
	// merchant-7 enabled
	// received 1 endpoint.ping
	// 204 <nil> <nil>
	// received 1 payment.created
	// <nil>
}
