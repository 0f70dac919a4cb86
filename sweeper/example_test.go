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
