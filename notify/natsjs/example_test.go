package natsjs_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/notify/natsjs"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/webhook"
)

func Example() {
	ctx := context.Background()
	url, stop := startServer()
	defer stop()

	// The connection reconnects for ever. The stream keeps what it acknowledged, and
	// knows an event again for 20 minutes.
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	must(err)
	defer nc.Close() // after the gateway has stopped
	js, err := jetstream.New(nc)
	must(err)
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "PAYMENTS", Subjects: []string{"bursar.>"}, Storage: jetstream.FileStorage, Duplicates: 20 * time.Minute,
	})
	must(err)

	to, err := natsjs.New(natsjs.Config{Name: "nats", JetStream: js, Stream: "PAYMENTS"})
	must(err)
	gw := open(to)
	defer gw.Stop(ctx)
	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("1")})
	must(err)
	_, err = gw.CancelPayment(ctx, p.ID)
	must(err)
	must(gw.Step(ctx))

	// The consumer, in another program: package webhook reads the body.
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "orders", FilterSubject: "bursar.payment.>"})
	must(err)
	batch, err := consumer.Fetch(2)
	must(err)
	for m := range batch.Messages() {
		e, err := webhook.Parse(m.Data())
		must(err)
		fmt.Println(e.Seq, e.Event, m.Headers().Get(nats.MsgIdHdr) == e.ID)
		must(m.Ack())
	}
	// Output:
	// 1 payment.created true
	// 2 payment.canceled true
}

// startServer runs a JetStream server in this process.
func startServer() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "natsjs")
	must(err)
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	must(err)
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		panic("no server")
	}
	return s.ClientURL(), func() {
		s.Shutdown()
		s.WaitForShutdown()
		must(os.RemoveAll(dir))
	}
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
