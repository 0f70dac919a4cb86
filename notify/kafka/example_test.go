package kafka_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/notify/kafka"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/webhook"
)

func Example() {
	ctx := context.Background()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "payments"))
	must(err)
	defer cluster.Close()

	// Without options about producing a client is idempotent and waits for all
	// in-sync replicas.
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	must(err)
	defer client.Close() // after the gateway has stopped

	to, err := kafka.New(kafka.Config{Name: "kafka", Client: client, Topic: "payments"})
	must(err)
	gw := open(to)
	defer gw.Stop(ctx)
	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("1")})
	must(err)
	_, err = gw.CancelPayment(ctx, p.ID)
	must(err)
	must(gw.Step(ctx))

	// The consumer, in another program: package webhook reads the body.
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("payments"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err)
	defer consumer.Close()
	for n := 0; n < 2; {
		consumer.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			e, err := webhook.Parse(r.Value)
			must(err)
			if string(r.Key) == p.ID {
				fmt.Println(e.Seq, e.Event, header(r, kafka.HeaderID) == e.ID)
				n++
			}
		})
	}
	// Output:
	// 1 payment.created true
	// 2 payment.canceled true
}

// open starts a gateway on a simulated chain.
func open(to bursar.Notifier) *bursar.Gateway {
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	must(err)
	network := chaintest.New(chaintest.Options{})
	network.Mine(1)
	gw, err := bursar.New(bursar.Config{
		Store: memory.New(), Wallet: wallet, Manual: true, Logger: slog.New(slog.DiscardHandler),
		Chains: []bursar.Chain{{Client: network.Client(), Treasury: network.Payer("treasury")}},
		Notify: []bursar.Notifier{to},
	})
	must(err)
	must(gw.Start(context.Background()))
	return gw
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
