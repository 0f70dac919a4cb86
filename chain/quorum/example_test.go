package quorum_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/quorum"
)

// One of three providers invents a deposit. The other two contradict it: the page
// does not have it, and the liar is put aside.
func Example() {
	ctx := context.Background()
	sim := chaintest.New(chaintest.Options{})
	own, spare, cheap := sim.Client(), sim.Client(), sim.Client()
	q, err := quorum.New(quorum.Config{
		Providers: []quorum.Provider{
			{Name: "cheap", Client: cheap, Rate: 10},
			{Name: "own", Client: own},
			{Name: "spare", Client: spare, Rate: 10},
		},
		Agree: 2,
		OnCondition: func(c quorum.Condition) {
			fmt.Println(c.Kind, c.Active, c.Provider, c.Reason)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	shop := chaintest.NewSigner(q.Codec(), "example").Account("shop").Address
	watch := chaintest.NewWatch(q.Codec(), nil, shop)
	sim.Pay("alice", shop, sim.Info().Native, chain.NewAmount(7))
	sim.Mine(1)
	cheap.Lie(chaintest.Inventing(chain.Transfer{
		ID: chain.TransferID{Tx: "0xdead", Ordinal: "n"}, Asset: sim.Info().Native.ID, To: shop, Amount: chain.NewAmount(1e18), Block: 1,
	}))

	page, err := q.Transfers(ctx, 1, 1, watch)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range page.Transfers {
		fmt.Println("received", t.Amount)
	}
	for _, p := range q.Providers() {
		fmt.Printf("%s put aside: %t %q\n", p.Name, p.Aside, p.Fault)
	}
	// Output:
	// provider_aside true cheap outvoted on the page at height 1 by own, spare
	// received 7
	// cheap put aside: true "contradicted"
	// own put aside: false ""
	// spare put aside: false ""
}

// With two providers that must agree, one who lies stops the work: nobody knows
// which one it is, and nothing is credited.
func ExampleDivergenceError() {
	sim := chaintest.New(chaintest.Options{})
	a, b := sim.Client(), sim.Client()
	q, err := quorum.New(quorum.Config{Agree: 2, Providers: []quorum.Provider{{Name: "a", Client: a}, {Name: "b", Client: b}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	shop := chaintest.NewSigner(q.Codec(), "example").Account("shop").Address
	id := sim.Pay("alice", shop, sim.Info().Native, chain.NewAmount(7))
	sim.Mine(1)
	b.Lie(chaintest.Hiding(id))

	_, err = q.Transfers(context.Background(), 1, 1, chaintest.NewWatch(q.Codec(), nil, shop))
	var dispute *quorum.DivergenceError
	if errors.As(err, &dispute) {
		fmt.Println(dispute.What, dispute.Height, dispute.Want)
		for _, s := range dispute.Said {
			fmt.Println(s.Providers)
		}
	}
	fmt.Println(errors.Is(err, chain.ErrTransient))
	// Output:
	// page 1 2
	// [a]
	// [b]
	// true
}
