package sweeper_test

import (
	"fmt"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// Decide is pure: what would be collected can be shown without a chain.
func ExampleDecide() {
	ether := chain.Asset{ID: "eip155:1/slip44:60", Symbol: "ETH", Decimals: 18, SweepMinimum: chain.NewAmount(1_000_000)}
	work := sweeper.Work{Holdings: []sweeper.Holding{
		{Ref: "7f3a", Account: chain.Account{Address: "0xA11ce"}, Asset: ether, Amount: chain.NewAmount(5_000_000)},
		{Ref: "90c1", Account: chain.Account{Address: "0xB0b"}, Asset: ether, Amount: chain.NewAmount(999_999)},
	}}
	for _, p := range sweeper.Decide(work, sweeper.Policy{Treasury: "0x7rea5ury", MaxFeeShare: 10}) {
		m := p.Intent.Moves[0]
		fmt.Println(p.Key, m.From.Address, "gives up at most", m.Amount, "for a fee of at most", p.Intent.MaxFee)
	}
	// Output: sweep:7f3a 0xA11ce gives up at most 5000000 for a fee of at most 500000
}

// gas is what a client tells of work: here the figures of two ways, for one rule alone.
type gas struct{}

func (gas) Work(of chain.Collection) chain.Work {
	n := uint64(of.First + of.Again)
	if of.Way == chain.WayBatch {
		return chain.Work{Now: 29_505 + 28_949*n}
	}
	return chain.Work{Now: 50_242 * n}
}

// What a policy would do with what there is, and what each way costs, is told before
// anything is done.
func ExampleForecasts() {
	usdc := chain.Asset{ID: "eip155:1/erc20:0xc0", Symbol: "USDC", Decimals: 6, Contract: "0xc0"}
	var waiting []sweeper.Waiting
	for _, address := range []chain.Address{"0xA11ce", "0xB0b", "0xCar01"} {
		waiting = append(waiting, sweeper.Waiting{Payments: 1, Holding: sweeper.Holding{
			Ref: string(address), Account: chain.Account{Address: address}, Asset: usdc, Amount: chain.NewAmount(25_000_000),
		}})
	}
	policy := sweeper.Policy{Treasury: "0x7rea5ury", Sponsor: chain.Account{Address: "0x5p0n50r"}, MaxBatch: 100}
	for _, f := range sweeper.Forecasts(waiting, policy, gas{}, chain.NewAmount(1_000_000_000)) {
		fmt.Println(f.Asset.Format(f.Amount), f.Asset.Symbol, "go by", f.Way, "because:", f.Reason)
		for _, w := range f.Ways {
			fmt.Println(w.Way, "takes", w.Transactions, "transactions and", w.Now.GasEach, "gas a payment")
		}
	}
	// Output:
	// 75 USDC go by batch because: together
	// batch takes 1 transactions and 38784 gas a payment
	// topup takes 6 transactions and 50242 gas a payment
}
