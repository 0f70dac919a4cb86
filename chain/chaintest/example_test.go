package chaintest_test

import (
	"context"
	"fmt"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// A customer pays 25 of a token, the block is replaced, and the payment is
// found again in another one.
func Example() {
	ctx := context.Background()
	sim := chaintest.New(chaintest.Options{})
	usdc := sim.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	client := sim.Client()
	shop := chaintest.NewSigner(client.Codec(), "example").Account("shop").Address
	watch := chaintest.NewWatch(client.Codec(), []chain.Asset{usdc}, shop)

	sim.Pay("alice", shop, usdc, chain.NewAmount(25_000_000))
	sim.Mine(1)
	page, err := client.Transfers(ctx, 1, 1, watch)
	if err != nil {
		fmt.Println(err)
		return
	}
	before := page.Transfers[0]
	fmt.Println(usdc.Format(before.Amount), usdc.Symbol, "in block", before.Block)

	sim.Reorg(1, chaintest.ReorgOptions{Delay: 1})
	page, err = client.Transfers(ctx, 1, 2, watch)
	if err != nil {
		fmt.Println(err)
		return
	}
	after := page.Transfers[0]
	fmt.Println("now in block", after.Block, "same transfer:", after.ID == before.ID)
	// Output:
	// 25 USDC in block 1
	// now in block 2 same transfer: true
}

// An answer is lost after the node took the transaction: the gateway cannot
// know, and sends the same bytes again.
func ExampleFaults_FailNextAfter() {
	sim := chaintest.New(chaintest.Options{})
	client := sim.Client()
	client.FailNextAfter(chaintest.MethodHead, chain.ErrTransient, 1)
	_, err := client.Head(context.Background())
	fmt.Println(err)
	_, err = client.Head(context.Background())
	fmt.Println(err)
	// Output:
	// chain: transient failure
	// <nil>
}
