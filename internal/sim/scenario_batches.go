package sim

import (
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// batchScenarios are stories of tokens that are swept together.
func batchScenarios() []Scenario {
	three := func(s *Stage) {
		for range 3 {
			s.Sell(1, 20*time.Minute, 0)
		}
	}
	paid := func(s *Stage) {
		for i := range 3 {
			s.Pay(i, 1, 1)
		}
	}
	story := func(name string, blocks int, more map[int]func(*Stage)) Scenario {
		acts := map[int]func(*Stage){2: three, 4: paid}
		for at, act := range more {
			acts[at] = act
		}
		return Scenario{Name: name, Blocks: blocks, Batches: true, Acts: acts}
	}
	small := story("a batch that does not fit is divided", 24, nil)
	small.BatchGas = 290_000
	return []Scenario{
		story("a batch of three of which one is frozen", 34, map[int]func(*Stage){
			8: func(s *Stage) { s.Freeze(1, true) }, 22: func(s *Stage) { s.Freeze(1, false) },
		}),
		story("a batch all of which is frozen once it is signed", 30, map[int]func(*Stage){
			11: func(s *Stage) { s.FreezeAll(true) }, 13: func(s *Stage) { s.FreezeAll(false) },
		}),
		story("a batch leaves the chain and comes back", 24, map[int]func(*Stage){
			13: func(s *Stage) { s.Reorg(2, true) }, 14: func(s *Stage) { s.Back() },
		}),
		story("a final batch of which one was frozen leaves the chain", 36, map[int]func(*Stage){
			11: func(s *Stage) { s.Freeze(1, true) }, 19: func(s *Stage) { s.Freeze(1, false) }, 20: func(s *Stage) { s.Reorg(10, false) },
		}),
		story("a batch and the sweep of what it left behind leave the chain", 38, map[int]func(*Stage){
			11: func(s *Stage) { s.Freeze(1, true) }, 14: func(s *Stage) { s.Freeze(1, false) }, 22: func(s *Stage) { s.Reorg(12, false) },
		}),
		story("a batch that is stuck and replaced", 40, map[int]func(*Stage){11: func(s *Stage) { s.Dear(50, 26) }}),
		story("a batch that is canceled", 40, map[int]func(*Stage){11: func(s *Stage) { s.Dear(50, 8) }, 13: func(s *Stage) { s.CallOff() }}),
		story("a stranger takes the authorisations of a batch", 22, map[int]func(*Stage){11: func(s *Stage) { s.FrontRun() }}),
		story("a deposit is lost while its batch waits", 32, map[int]func(*Stage){
			9:  func(s *Stage) { s.Dear(15_000, 12) },
			14: func(s *Stage) { s.Lose(11, 2) },
		}),
		small,
	}
}

// Freeze has the owner of USDC refuse the address of an order, or take it again.
func (s *Stage) Freeze(order int, on bool) {
	s.when(order, func(it *sale) { s.w.setFrozen(it.payment.Address, on) })
}

// FreezeAll does so for all orders.
func (s *Stage) FreezeAll(on bool) {
	for i := range s.w.orders {
		s.Freeze(i, on)
	}
}

// FrontRun has a stranger use up what sources have signed, in each transaction that
// waits.
func (s *Stage) FrontRun() {
	for _, id := range s.w.chain.Mempool() {
		s.w.frontRun(id)
	}
}

// Lose replaces the newest blocks, and what paid one of the orders is lost.
func (s *Stage) Lose(depth, order int) {
	lost := s.w.sentTo(order)
	s.reorg(depth, func(id chain.TxID) bool { return slices.Contains(lost, id) })
}

// sentTo are the transactions of the chain that paid an order.
func (w *world) sentTo(order int) (out []chain.TxID) {
	for h := range w.chain.Head().Height + 1 {
		for _, tx := range w.chain.Transactions(h) {
			if slices.ContainsFunc(tx.Transfers, func(t chain.Transfer) bool { return t.To == w.orders[order].payment.Address }) {
				out = append(out, tx.ID)
			}
		}
	}
	return out
}
