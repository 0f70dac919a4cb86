package contracts_test

import (
	"fmt"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// The contract of an installation: where it will be, and the transaction that
// puts it there.
func ExampleNew() {
	s, err := contracts.New(contracts.Params{Treasury: contracts.Address{0: 0xaa}, Owner: contracts.Address{0: 0xbb}})
	if err != nil {
		fmt.Println(err)
		return
	}
	to, data := s.Deployment()
	fmt.Printf("send %d bytes to %x\n", len(data), to)
	fmt.Printf("then %d bytes of code are at %x\n", len(s.Code()), s.Address())

	_, err = contracts.New(contracts.Params{Owner: contracts.Address{0: 0xbb}})
	fmt.Println(err)
	// Output:
	// send 1931 bytes to 4e59b44847b379578588920ca78fbf26c0b4956c
	// then 1887 bytes of code are at d49a66530ca52692aba2a15b73281297e5f4b8cb
	// contracts: Params.Treasury: is required
}

// Two accounts are swept in one transaction: a fixed amount of the one, all of
// the other.
func ExampleBatch_Encode() {
	batch := contracts.Batch{
		Op: contracts.OpSweep, Asset: contracts.Address{0: 0xcc}, Gas: 100_000,
		Entries: []contracts.Entry{
			{Account: contracts.Address{0: 1}, Amount: chain.NewAmount(25_000_000)},
			{Account: contracts.Address{0: 2}},
		},
	}
	data, err := batch.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	cost, err := contracts.CostOf(contracts.Reused, contracts.Plain)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(data), "bytes, gas limit", cost.Limit(len(batch.Entries), batch.Gas))
	fmt.Println("at most", cost.Fit(batch.Gas), "such entries in a transaction")
	// Output:
	// 96 bytes, gas limit 174925
	// at most 1458 such entries in a transaction
}
