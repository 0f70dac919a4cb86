package bursar_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
	"github.com/bursar-go/bursar/webhook"
	"github.com/bursar-go/bursar/webhook/send"
)

// open starts a gateway on a simulated chain. On a real one the client is
// evm.New's, the store a database, and nothing is Manual.
func open(notify ...bursar.Notifier) (*bursar.Gateway, *chaintest.Chain) {
	gw, network, _ := openWithStore(notify...)
	return gw, network
}

func openWithStore(notify ...bursar.Notifier) (*bursar.Gateway, *chaintest.Chain, bursar.Store) {
	network := chaintest.New(chaintest.Options{})
	usdc := network.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	network.Mine(1)
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	if err != nil {
		panic(err)
	}
	store := memory.NewWith(memory.Options{Now: network.Now})
	gw, err := bursar.New(bursar.Config{
		Store:  store,
		Wallet: wallet,
		Chains: []bursar.Chain{{Client: network.Client(), Assets: []chain.Asset{usdc}, Treasury: network.Payer("treasury")}},
		Notify: notify,
		// Whoever approves refunds keeps the other half of this key elsewhere.
		Approvers: []ed25519.PublicKey{approverKey().Public().(ed25519.PublicKey)},
		Manual:    true, // the examples decide when something happens
		Rand:      rand.NewChaCha8(sha256.Sum256([]byte("example"))),
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	if err := gw.Start(context.Background()); err != nil {
		panic(err)
	}
	return gw, network, store
}

// mine makes blocks and lets the gateway see them.
func mine(gw *bursar.Gateway, network *chaintest.Chain, blocks int) {
	network.Mine(blocks)
	if err := gw.Step(context.Background()); err != nil {
		panic(err)
	}
}

func ExampleGateway_CreatePayment() {
	ctx := context.Background()
	gw, _ := open()
	defer gw.Stop(ctx)

	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{
		Asset:          "local/USDC",
		Amount:         decimal.RequireFromString("25.00"),
		TTL:            time.Hour,
		Metadata:       map[string]string{"order": "1001"},
		IdempotencyKey: "order-1001",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Status, p.Asset.Format(p.Amount), p.Asset.Symbol)
	fmt.Println("to", p.Address, "until", p.ExpiresAt.Format(time.DateTime))

	// The same call again, after a time-out for example, is the same payment.
	again, err := gw.CreatePayment(ctx, bursar.PaymentRequest{
		Asset:          "local/USDC",
		Amount:         decimal.RequireFromString("25.00"),
		TTL:            time.Hour,
		Metadata:       map[string]string{"order": "1001"},
		IdempotencyKey: "order-1001",
	})
	fmt.Println(again.ID == p.ID, err)

	// A bad field is named.
	_, err = gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/USDC", Amount: decimal.RequireFromString("0.0000001")})
	var field *bursar.FieldError
	if errors.As(err, &field) {
		fmt.Println(field.Field, field.Code)
	}
	// Output:
	// pending 25 USDC
	// to 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 until 2024-01-01 01:00:12
	// true <nil>
	// PaymentRequest.Amount INVALID
}

func ExampleNotifyFunc() {
	ctx := context.Background()
	shipped := map[string]bool{}
	orders := bursar.NotifyFunc("orders", func(_ context.Context, e bursar.Event) error {
		fmt.Println(e.Seq, e.Kind, e.Data.Confirmed, "of", e.Data.Amount)
		// An event may come twice, and a reorg may confirm a payment again: what
		// is done for it is done once.
		if e.Kind == bursar.PaymentConfirmed && !shipped[e.Data.PaymentID] {
			shipped[e.Data.PaymentID] = true
			fmt.Println("ship order", e.Data.Metadata["order"])
		}
		return nil
	})
	gw, network := open(orders)
	defer gw.Stop(ctx)

	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{
		Asset: "local/ETH", Amount: decimal.RequireFromString("0.5"), Metadata: map[string]string{"order": "7"},
	})
	if err != nil {
		panic(err)
	}
	network.Pay("customer", p.Address, p.Asset, p.Amount)
	mine(gw, network, 1)
	mine(gw, network, 2)
	// Output:
	// 1 payment.created 0 of 0.5
	// 2 transaction.detected 0 of 0.5
	// 3 payment.detected 0 of 0.5
	// 4 transaction.confirmed 0.5 of 0.5
	// 5 payment.confirmed 0.5 of 0.5
	// ship order 7
}

// The order and its payment are there together, or neither is. Here the store is
// in memory; with a database the host begins the transaction, and the store's
// package makes a Tx of it.
func ExampleGateway_CreatePaymentTx() {
	ctx := context.Background()
	gw, _, store := openWithStore()
	defer gw.Stop(ctx)

	order := func(id string, inStock bool) error {
		return store.Write(ctx, func(tx bursar.Tx) error {
			p, err := gw.CreatePaymentTx(ctx, tx, bursar.PaymentRequest{
				Asset: "local/ETH", Amount: decimal.RequireFromString("0.5"), IdempotencyKey: id,
			})
			// A *RetryTxError says: roll back and begin again. Store.Write does so by
			// itself, a host's own transaction needs a loop.
			if err != nil {
				return err
			}
			// Here the host inserts its order, with p.ID.
			fmt.Println(id, "is to be paid to", p.Address)
			if !inStock {
				return errors.New("sold out")
			}
			return nil
		})
	}
	for _, id := range []string{"order-1", "order-2"} {
		err := order(id, id == "order-1")
		page, _ := gw.Payments(ctx, bursar.PaymentFilter{IdempotencyKey: id}, 0, "")
		fmt.Println("committed with:", err, "payments:", len(page.Items))
	}
	gw.Wake() // a hint after the commit, never needed
	// Output:
	// order-1 is to be paid to 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
	// committed with: <nil> payments: 1
	// order-2 is to be paid to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
	// committed with: sold out payments: 0
}

// A customer has sent a token that the shop accepts only since today.
func ExampleGateway_Rescan() {
	ctx := context.Background()
	gw, network := open(bursar.NotifyFunc("orders", func(_ context.Context, e bursar.Event) error {
		if e.Kind == bursar.TransactionDetected && e.Data.Customer != "" {
			fmt.Println(e.Data.Customer, "sent", e.Data.Amount, e.Data.TokenID)
		}
		return nil
	}))
	defer gw.Stop(ctx)
	dai := network.DeployToken(chaintest.TokenSpec{Symbol: "DAI", Decimals: 18, Unlisted: true})
	deposit, err := gw.CreateAddress(ctx, bursar.AddressRequest{Chain: "eip155:1337", Customer: "ann"})
	if err != nil {
		panic(err)
	}
	three, _ := dai.Parse("3")
	network.Pay("ann", deposit.Address, dai, three)
	network.Mine(1)
	_ = gw.Step(ctx) // the block is scanned, and the token means nothing

	if err := gw.AddAsset(ctx, "local", dai); err != nil {
		panic(err)
	}
	done, err := gw.Rescan(ctx, bursar.RescanRequest{Chain: "local", From: 1})
	fmt.Println(len(done.Found), "found in blocks", done.From, "to", done.To, err)
	_ = gw.Step(ctx) // tells
	// Output:
	// 1 found in blocks 1 to 2 <nil>
	// ann sent 3 DAI
}

// An order that was not paid in time gets one more attempt, in the transaction
// that marks the event as delivered: whatever fails, there is exactly one.
func ExampleNotifyTx() {
	ctx := context.Background()
	var gw *bursar.Gateway
	failures := 1
	gw, network := open(bursar.NotifyTx("orders", func(ctx context.Context, tx bursar.Tx, e bursar.Event) error {
		if e.Kind != bursar.PaymentExpired {
			return nil
		}
		next, err := gw.RenewPaymentTx(ctx, tx, e.Subject)
		if err != nil {
			return err
		}
		// Here the host changes its order, by the SQL transaction behind tx.
		fmt.Println("attempt", next.Attempt)
		if failures--; failures >= 0 {
			return errors.New("the shop is closed")
		}
		return nil
	}))
	defer gw.Stop(ctx)
	_, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("1"), TTL: time.Hour})
	if err != nil {
		panic(err)
	}
	network.AdvanceTime(time.Hour)
	for range 2 {
		mine(gw, network, 4)
		page, err := gw.Payments(ctx, bursar.PaymentFilter{}, 0, "")
		fmt.Println("payments:", len(page.Items), err)
	}
	// Output:
	// attempt 2
	// payments: 1 <nil>
	// attempt 2
	// payments: 2 <nil>
}

func ExampleGateway_CancelPayment() {
	ctx := context.Background()
	gw, network := open()
	defer gw.Stop(ctx)
	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("1")})
	if err != nil {
		panic(err)
	}
	p, err = gw.CancelPayment(ctx, p.ID)
	fmt.Println(p.Status, err)

	// The customer pays all the same. The money is held, and the host decides.
	network.Pay("customer", p.Address, p.Asset, p.Amount)
	mine(gw, network, 3)
	p, err = gw.Payment(ctx, p.ID)
	fmt.Println(p.Status, "holds", p.Asset.Format(p.Held), err)
	p, err = gw.AcceptPayment(ctx, p.ID, "decision-1")
	fmt.Println(p.Status, "has", p.Asset.Format(p.Confirmed), err)

	_, err = gw.CancelPayment(ctx, p.ID)
	fmt.Println(errors.Is(err, bursar.ErrPaymentHasFunds))
	// Output:
	// canceled <nil>
	// canceled holds 1 <nil>
	// confirmed has 1 <nil>
	// true
}

func approverKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("the approver's, on another machine"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// A customer has paid in and wants a part of it back.
func ExampleGateway_Withdraw() {
	ctx := context.Background()
	gw, network := open()
	defer gw.Stop(ctx)
	deposit, err := gw.CreateAddress(ctx, bursar.AddressRequest{Chain: network.Info().ID, Customer: "ann"})
	if err != nil {
		panic(err)
	}
	float, err := gw.Float(network.Info().ID)
	if err != nil {
		panic(err)
	}
	network.Pay("ann", deposit.Address, network.Info().Native, chain.NewAmount(5e17))
	network.Pay("owner", float, network.Info().Native, chain.NewAmount(2e18))
	for range 20 {
		mine(gw, network, 2)
	}

	out, err := gw.Withdraw(ctx, bursar.WithdrawRequest{
		Customer: "ann", Asset: "local/ETH", To: string(network.Payer("ann's wallet")), Amount: decimal.RequireFromString("0.2"), Key: "withdrawal-4",
	})
	if err != nil {
		panic(err)
	}
	approval := chain.Approval{Payout: out.ID, Asset: out.Asset.ID, To: out.To, Amount: out.Amount, NotAfter: time.Now().Add(time.Hour)}
	approval.Signature = ed25519.Sign(approverKey(), approval.Message()) // elsewhere
	if _, err := gw.ApprovePayout(ctx, out.ID, approval); err != nil {
		panic(err)
	}
	for range 20 {
		mine(gw, network, 2)
	}
	fmt.Println(network.BalanceOf(out.To, network.Info().Native))

	_, err = gw.Withdraw(ctx, bursar.WithdrawRequest{
		Customer: "ann", Asset: "local/ETH", To: string(out.To), Amount: decimal.RequireFromString("0.4"), Key: "withdrawal-5",
	})
	fmt.Println(err)
	// Output:
	// 200000000000000000
	// bursar: WithdrawRequest.Amount: 0.4 is more than the 0.3 ETH that are final and not withdrawn
}

// A customer sends goods back: the host asks for a refund to an address that the
// customer gave, somebody approves it with a key that the host does not have, and the
// float pays.
func ExampleGateway_Refund() {
	ctx := context.Background()
	gw, network := open()
	defer gw.Stop(ctx)
	payment, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("0.5")})
	if err != nil {
		panic(err)
	}
	float, err := gw.Float(network.Info().ID)
	if err != nil {
		panic(err)
	}
	network.Pay("customer", payment.Address, network.Info().Native, payment.Amount)
	network.Pay("owner", float, network.Info().Native, chain.NewAmount(2e18))
	for range 20 {
		mine(gw, network, 2)
	}

	refund, err := gw.Refund(ctx, payment.ID, bursar.RefundRequest{
		To: string(network.Payer("customer's wallet")), Amount: decimal.RequireFromString("0.2"), Key: "return-17",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(refund.Status)

	// Elsewhere: the approver looks at what it is, and signs exactly that.
	approval := chain.Approval{
		Payout: refund.ID, Asset: refund.Asset.ID, To: refund.To, Amount: refund.Amount, NotAfter: time.Now().Add(time.Hour),
	}
	approval.Signature = ed25519.Sign(approverKey(), approval.Message())

	if _, err := gw.ApprovePayout(ctx, refund.ID, approval); err != nil {
		panic(err)
	}
	for range 20 {
		mine(gw, network, 2)
	}
	payment, err = gw.Payment(ctx, payment.ID)
	if err != nil {
		panic(err)
	}
	fmt.Println(payment.Status, payment.Asset.Format(payment.Refunded), payment.Asset.Symbol)
	fmt.Println(network.BalanceOf(refund.To, network.Info().Native))
	// Output:
	// awaiting_approval
	// settled 0.2 ETH
	// 200000000000000000
}

func ExampleGateway_RenewPayment() {
	ctx := context.Background()
	gw, network := open()
	defer gw.Stop(ctx)
	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("1"), TTL: time.Hour})
	if err != nil {
		panic(err)
	}
	_, err = gw.RenewPayment(ctx, p.ID)
	fmt.Println(errors.Is(err, bursar.ErrNotRenewable))

	network.AdvanceTime(time.Hour)
	mine(gw, network, 4)
	next, err := gw.RenewPayment(ctx, p.ID)
	fmt.Println(next.Status, "attempt", next.Attempt, "of the same order:", next.Previous == p.ID, err)
	// Output:
	// true
	// pending attempt 2 of the same order: true <nil>
}

func ExampleGateway_CreateAddress() {
	ctx := context.Background()
	gw, network := open(bursar.NotifyFunc("topups", func(_ context.Context, e bursar.Event) error {
		fmt.Println(e.Kind, e.Data.Customer, e.Data.Transaction.Amount, e.Data.Transaction.TokenID)
		return nil
	}))
	defer gw.Stop(ctx)
	a, err := gw.CreateAddress(ctx, bursar.AddressRequest{Chain: "eip155:1337", Customer: "ann"})
	if err != nil {
		panic(err)
	}
	network.Pay("ann", a.Address, network.Info().Native, chain.NewAmount(2e18))
	mine(gw, network, 3)
	// Output:
	// transaction.detected ann 2 ETH
	// transaction.confirmed ann 2 ETH
}

func ExampleWebhooks() {
	ctx := context.Background()
	secret, err := webhook.NewSecret(rand.NewChaCha8([32]byte{}))
	if err != nil {
		panic(err)
	}

	// The receiver, in another program.
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		panic(err)
	}
	receiver := httptest.NewServer(webhook.Handler(verifier, webhook.HandlerOptions{}, func(_ context.Context, e webhook.Event) error {
		fmt.Println("received", e.Seq, e.Event)
		return nil
	}))
	defer receiver.Close()

	// The sender. Plain HTTP and private addresses are for tests alone.
	sender, err := send.New(send.Config{
		URL: receiver.URL, Secrets: []webhook.Secret{secret},
		AllowHTTP: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		panic(err)
	}
	defer sender.Close()
	gw, _ := open(bursar.Webhooks("shop", sender))
	defer gw.Stop(ctx)

	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("1")})
	if err != nil {
		panic(err)
	}
	if _, err := gw.CancelPayment(ctx, p.ID); err != nil {
		panic(err)
	}
	fmt.Println(gw.Step(ctx))
	// Output:
	// received 1 payment.created
	// received 2 payment.canceled
	// <nil>
}

func ExampleGateway_Payments() {
	ctx := context.Background()
	gw, _ := open()
	defer gw.Stop(ctx)
	for i := range 5 {
		_, err := gw.CreatePayment(ctx, bursar.PaymentRequest{
			Asset: "local/USDC", Amount: decimal.NewFromInt(int64(i + 1)), Customer: "ann", Metadata: map[string]string{"shop": "north"},
		})
		if err != nil {
			panic(err)
		}
	}
	filter := bursar.PaymentFilter{Customer: "ann", Status: bursar.StatusPending, Metadata: map[string]string{"shop": "north"}}

	// A page at a time, for an API of the host's own.
	page, err := gw.Payments(ctx, filter, 3, "")
	fmt.Println(len(page.Items), page.Next != "", err)
	page, err = gw.Payments(ctx, filter, 3, page.Next)
	fmt.Println(len(page.Items), page.Next != "", err)

	// Or all of them.
	total := decimal.Zero
	for p, err := range gw.AllPayments(ctx, filter) {
		if err != nil {
			panic(err)
		}
		total = total.Add(decimal.RequireFromString(p.Asset.Format(p.Amount)))
	}
	fmt.Println(total)
	// Output:
	// 3 true <nil>
	// 2 false <nil>
	// 15
}

func ExampleGateway_Balances() {
	ctx := context.Background()
	gw, network := open()
	defer gw.Stop(ctx)
	p, err := gw.CreatePayment(ctx, bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.RequireFromString("1")})
	if err != nil {
		panic(err)
	}
	network.Pay("customer", p.Address, p.Asset, p.Amount)
	for _, blocks := range []int{1, 2} {
		mine(gw, network, blocks)
		balances, err := gw.Balances(ctx, p.Address)
		if err != nil {
			panic(err)
		}
		for _, b := range balances {
			fmt.Println(b.Asset, "unconfirmed", b.Unconfirmed, "confirmed", b.Confirmed, "final", b.Final)
		}
	}
	// Output:
	// eip155:1337/slip44:60 unconfirmed 1000000000000000000 confirmed 0 final 0
	// eip155:1337/slip44:60 unconfirmed 0 confirmed 1000000000000000000 final 0
}

func ExampleGateway_Health() {
	gw, network := open()
	defer gw.Stop(context.Background())
	mine(gw, network, 4)
	h := gw.Health(context.Background())
	fmt.Println("ready:", h.Ready)
	for _, c := range h.Chains {
		fmt.Println(c.Name, "at", c.Tip.Height, "behind by", c.Lag, "problem:", c.Problem)
	}
	// Output:
	// ready: true
	// local at 5 behind by 0 problem: <nil>
}

// A host's own test: what does the shop make of a payment that a reorg takes
// back?
func Example_hostTest() {
	_ = func(t *testing.T) {
		kit := bursartest.New(t, bursartest.Options{Notify: []bursar.Notifier{ /* the shop's handler */ }})
		p := kit.Create("USDC", "25")
		kit.Pay(p)
		kit.Mine(1)
		kit.Reorg(1, chaintest.ReorgOptions{DropAll: true})
		kit.WaitEvent(bursar.PaymentReverted, p.ID)
		if got := kit.Payment(p).Status; got != bursar.StatusPending {
			t.Errorf("status %s", got)
		}
	}
}
