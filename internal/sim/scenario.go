package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// Scenario is a short story without chance, told the same way again and again: each
// time the process dies after another one of its effects.
type Scenario struct {
	// Name says what happens.
	Name string
	// Instances are how many gateways there are; 0 is one.
	Instances int
	// Acts are what happens before the block of that number, from 1 on.
	Acts map[int]func(*Stage)
	// Blocks is its length, before the world heals.
	Blocks int
	// Refunds gives the float what Stage.Refund pays.
	Refunds bool
	// Batches has tokens of many addresses swept by one transaction, which has room for
	// BatchGas; 0 is a lot.
	Batches  bool
	BatchGas uint64
}

// Stage is what a scenario can do.
type Stage struct{ w *world }

// Crash is where a run of a scenario is cut: after the N-th effect that outlives a
// process, counted from 1. With 0 nothing is cut.
type Crash struct{ N int }

// lasting reports whether an effect outlives the process that has it.
func lasting(label string) bool {
	switch label {
	case "store/commit", "store/reserve", "store/acquire", "store/settle", "rpc/Broadcast":
		return true
	}
	return label == "tell/orders" || label == "tell/books"
}

// Scenarios are the stories whose every crash point is tried.
func Scenarios() []Scenario {
	const eth, usdc, usdt = 0, 1, 2
	sell := func(asset int) func(*Stage) { return func(s *Stage) { s.Sell(asset, 20*time.Minute, 0) } }
	pay := func(num, den uint64) func(*Stage) { return func(s *Stage) { s.Pay(0, num, den) } }
	story := func(name string, blocks int, acts map[int]func(*Stage)) Scenario {
		return Scenario{Name: name, Blocks: blocks, Acts: acts}
	}
	return append([]Scenario{
		story("coin paid in full", 16, map[int]func(*Stage){2: sell(eth), 4: pay(1, 1)}),
		story("token paid in full", 18, map[int]func(*Stage){2: sell(usdc), 4: pay(1, 1)}),
		story("token without a return value", 18, map[int]func(*Stage){2: sell(usdt), 4: pay(1, 1)}),
		story("two halves", 18, map[int]func(*Stage){2: sell(usdc), 4: pay(1, 2), 6: pay(1, 2)}),
		story("overpaid", 16, map[int]func(*Stage){2: sell(eth), 4: pay(2, 1)}),
		story("underpaid", 20, map[int]func(*Stage){2: sell(usdt), 4: pay(1, 2)}),
		story("never paid", 10, map[int]func(*Stage){2: sell(eth)}),
		story("paid late and held", 60, map[int]func(*Stage){2: sell(usdc), 50: pay(1, 1)}),
		story("paid late and accepted", 62, map[int]func(*Stage){2: sell(eth), 50: pay(1, 1), 58: func(s *Stage) { s.Accept(0) }}),
		story("paid within the grace", 60, map[int]func(*Stage){
			2: func(s *Stage) { s.Sell(eth, 20*time.Minute, time.Hour) }, 50: pay(1, 1),
		}),
		story("canceled, then paid", 18, map[int]func(*Stage){2: sell(eth), 4: func(s *Stage) { s.Cancel(0) }, 6: pay(1, 1)}),
		story("expired, renewed and paid", 64, map[int]func(*Stage){
			2: sell(usdc), 48: func(s *Stage) { s.Renew(0) }, 52: func(s *Stage) { s.Pay(1, 1, 1) },
		}),
		story("a reorg before the confirmation", 20, map[int]func(*Stage){2: sell(usdc), 4: pay(1, 1), 6: func(s *Stage) { s.Reorg(2, false) }}),
		story("a reorg that loses the payment", 20, map[int]func(*Stage){2: sell(eth), 4: pay(1, 1), 6: func(s *Stage) { s.Reorg(2, true) }}),
		story("a reorg deeper than the confirmations", 26, map[int]func(*Stage){2: sell(eth), 4: pay(1, 1), 9: func(s *Stage) { s.Reorg(5, false) }}),
		story("a branch that returns", 22, map[int]func(*Stage){
			2: sell(usdt), 4: pay(1, 1), 6: func(s *Stage) { s.Reorg(2, false) }, 7: func(s *Stage) { s.Back() },
		}),
		story("a sweep that a reorg takes back", 26, map[int]func(*Stage){2: sell(eth), 4: pay(1, 1), 13: func(s *Stage) { s.Reorg(2, true) }}),
		story("the wrong asset", 18, map[int]func(*Stage){2: sell(usdc), 4: func(s *Stage) { s.PayWith(0, usdt) }}),
		story("one transaction pays two", 20, map[int]func(*Stage){2: func(s *Stage) { s.Sell(usdc, 20*time.Minute, 0); s.Sell(usdc, 20*time.Minute, 0) }, 4: func(s *Stage) { s.PayBoth() }}),
		story("a failed transaction, then a good one", 18, map[int]func(*Stage){2: sell(usdc), 4: func(s *Stage) { s.Fail(0) }, 6: pay(1, 1)}),
		story("a permanent address", 20, map[int]func(*Stage){
			2: func(s *Stage) { s.Address() }, 5: func(s *Stage) { s.Deposit() }, 7: func(s *Stage) { s.Deposit() },
		}),
		story("gas that grows dear while a sweep waits", 24, map[int]func(*Stage){2: sell(eth), 4: pay(1, 1), 11: func(s *Stage) { s.Dear(50, 6) }}),
		story("a stuck sweep that is canceled", 34, map[int]func(*Stage){
			2: sell(eth), 4: pay(1, 1), 10: func(s *Stage) { s.Dear(50, 8) }, 13: func(s *Stage) { s.CallOff() },
		}),
		story("a top-up that is canceled", 34, map[int]func(*Stage){2: sell(usdc), 4: pay(1, 1), 10: func(s *Stage) { s.Dear(50, 6) }, 12: func(s *Stage) { s.CallOff() }}),
		story("a mempool that forgets", 24, map[int]func(*Stage){2: sell(usdc), 4: pay(1, 1), 11: func(s *Stage) { s.Evict() }, 13: func(s *Stage) { s.Evict() }}),
		story("a receiver that is down", 20, map[int]func(*Stage){2: func(s *Stage) { s.Down(); s.Sell(eth, 20*time.Minute, 0) }, 4: pay(1, 1)}),
		story("accepted while a part is unconfirmed", 64, map[int]func(*Stage){
			2: sell(eth), 50: pay(1, 2), 52: pay(1, 2), 53: func(s *Stage) { s.Accept(0) },
		}),
		story("renewed twice", 64, map[int]func(*Stage){
			2: sell(usdc), 48: func(s *Stage) { s.Renew(0) }, 50: func(s *Stage) { s.Renew(0) }, 52: func(s *Stage) { s.Pay(1, 1, 1) },
		}),
		story("canceled while a reorg keeps the money away", 20, map[int]func(*Stage){
			2: sell(eth), 4: pay(1, 1), 5: func(s *Stage) { s.Reorg(1, true); s.Cancel(0) }, 6: func(s *Stage) { s.Back() },
		}),
		story("a remainder that is not worth a sweep", 36, map[int]func(*Stage){2: sell(eth), 4: pay(999, 1000), 24: pay(1, 1000)}),
		story("a sweep that fails, and one that a reorg takes back", 40, map[int]func(*Stage){
			2: sell(usdc), 4: pay(1, 1), 11: func(s *Stage) { s.Pause(usdc, true) }, 12: func(s *Stage) { s.Pause(usdc, false) },
			21: func(s *Stage) { s.Reorg(2, false) },
		}),
		story("a final sweep that a reorg takes back", 40, map[int]func(*Stage){2: sell(eth), 4: pay(1, 1), 20: func(s *Stage) { s.Reorg(10, false) }}),
		story("a deposit that is lost while its sweep waits", 40, map[int]func(*Stage){
			2: sell(eth), 4: pay(1, 1), 9: func(s *Stage) { s.Dear(15_000, 12) }, 14: func(s *Stage) { s.Reorg(11, true) },
		}),
		story("a backup is restored", 24, map[int]func(*Stage){
			2: func(s *Stage) { s.Backup() }, 3: sell(eth), 8: func(s *Stage) { s.Restore() }, 10: sell(usdc), 14: func(s *Stage) { s.Pay(1, 1, 1) },
		}),
		{Name: "money given back", Blocks: 30, Refunds: true, Acts: map[int]func(*Stage){2: sell(usdc), 4: pay(1, 1), 11: func(s *Stage) { s.Refund(0) }}},
		{Name: "money paid out to a customer", Blocks: 30, Refunds: true, Acts: map[int]func(*Stage){
			2: func(s *Stage) { s.Address() }, 5: func(s *Stage) { s.Deposit() }, 14: func(s *Stage) { s.Withdraw("first") }, 17: func(s *Stage) { s.Deposit(); s.Withdraw("second") },
		}},
		{Name: "a deposit that was paid out is lost", Blocks: 30, Refunds: true, Acts: map[int]func(*Stage){
			2: func(s *Stage) { s.Address() }, 5: func(s *Stage) { s.Deposit() }, 14: func(s *Stage) { s.Withdraw("all") }, 16: func(s *Stage) { s.Reorg(12, true) },
		}},
		{Name: "a backup of before a refund is restored", Blocks: 36, Refunds: true, Acts: map[int]func(*Stage){
			2: sell(usdc), 4: pay(1, 1), 11: func(s *Stage) { s.Refund(0) }, 20: func(s *Stage) { s.Unsign() },
		}},
		{Name: "two instances", Blocks: 18, Instances: 2, Acts: map[int]func(*Stage){2: sell(usdc), 4: pay(1, 1)}},
	}, batchScenarios()...)
}

// up is an instance, or nil.
func (s *Stage) up() *process { return s.w.any() }

// Sell asks for the payment of an order, until there is an answer.
func (s *Stage) Sell(asset int, ttl, grace time.Duration) {
	w := s.w
	it := &sale{asset: w.assets()[asset], req: bursar.PaymentRequest{
		Asset: string(w.assets()[asset].ID), Amount: decimal.New(50, -2), TTL: ttl, Policy: &bursar.AmountPolicy{Grace: grace},
		IdempotencyKey: fmt.Sprintf("order-%d", len(w.orders)+1),
	}}
	w.orders = append(w.orders, it)
	w.create(it)
}

// when does something with an order once its payment is known: a crash may have
// kept the answer back.
func (s *Stage) when(order int, do func(*sale)) {
	if order < len(s.w.orders) && s.w.orders[order].known {
		do(s.w.orders[order])
		return
	}
	s.w.after(5*time.Second, func() { s.when(order, do) })
}

// Pay pays a part of an order.
func (s *Stage) Pay(order int, num, den uint64) {
	s.when(order, func(it *sale) {
		if n, err := it.payment.Amount.MulDiv(chain.NewAmount(num), chain.NewAmount(den)); err == nil {
			s.send(it.payment.Address, it.asset, n)
		}
	})
}

// Withdraw pays out what is left of the permanent address's USDC, once for each key.
func (s *Stage) Withdraw(key string) {
	if len(s.w.deposits) == 0 {
		s.w.after(5*time.Second, func() { s.Withdraw(key) })
		return
	}
	s.w.payOut(key)
}

// Refund gives all of an order back.
func (s *Stage) Refund(order int) { s.when(order, s.w.giveBack) }

func (s *Stage) send(to chain.Address, a chain.Asset, n chain.Amount) {
	s.w.calls++
	s.w.chain.Pay(fmt.Sprintf("payer %d", s.w.calls), to, a, n)
}

// PayWith pays an order in another asset.
func (s *Stage) PayWith(order, asset int) {
	s.when(order, func(it *sale) { s.send(it.payment.Address, s.w.assets()[asset], it.payment.Amount) })
}

// PayBoth pays the first two orders in one transaction.
func (s *Stage) PayBoth() {
	s.when(0, func(a *sale) {
		s.when(1, func(b *sale) {
			s.w.chain.PayMany("exchange", chaintest.Payment{To: a.payment.Address, Asset: a.asset, Amount: a.payment.Amount},
				chaintest.Payment{To: b.payment.Address, Asset: b.asset, Amount: b.payment.Amount})
		})
	})
}

// Fail sends a payment whose transaction fails.
func (s *Stage) Fail(order int) {
	s.when(order, func(it *sale) { s.w.chain.PayFailed("clumsy", it.payment.Address, it.asset, it.payment.Amount) })
}

// Address asks for a permanent address, until there is an answer.
func (s *Stage) Address() {
	w := s.w
	if len(w.deposits) > 0 {
		return
	}
	if p := s.up(); p != nil {
		w.permanent(p)
	}
	w.after(10*time.Second, s.Address)
}

// Deposit pays the permanent address.
func (s *Stage) Deposit() {
	if len(s.w.deposits) == 0 {
		s.w.after(5*time.Second, s.Deposit)
		return
	}
	s.send(s.w.deposits[0], s.w.usdc, chain.NewAmount(3_000_000))
}

// verb has a host call a verb until it is answered.
func (s *Stage) verb(order int, call func(context.Context, *bursar.Gateway, string) (bursar.Payment, error)) {
	s.when(order, func(it *sale) { s.try(it, call) })
}

func (s *Stage) try(it *sale, call func(context.Context, *bursar.Gateway, string) (bursar.Payment, error)) {
	w, again := s.w, func() { s.w.after(5*time.Second, func() { s.try(it, call) }) }
	p := s.up()
	if p == nil {
		again()
		return
	}
	w.call("verb", func(ctx context.Context) func() {
		got, err := call(ctx, p.gw, it.payment.ID)
		return func() {
			switch {
			case err != nil && w.healing:
			case err != nil:
				w.mayFail(err)
				again()
			case got.ID != it.payment.ID:
				w.orders = append(w.orders, &sale{asset: it.asset, payment: got, known: true})
				w.judge(w.oracle.Issued(got.ID, got.Address))
			default:
				w.judge(w.oracle.Seen(p.name, got))
			}
		}
	})
}

// Cancel cancels an order's payment.
func (s *Stage) Cancel(order int) {
	s.verb(order, func(ctx context.Context, g *bursar.Gateway, id string) (bursar.Payment, error) {
		return g.CancelPayment(ctx, id)
	})
}

// Accept books what an order's payment holds.
func (s *Stage) Accept(order int) {
	s.verb(order, func(ctx context.Context, g *bursar.Gateway, id string) (bursar.Payment, error) {
		return g.AcceptPayment(ctx, id, "once")
	})
}

// Renew renews an order's payment.
func (s *Stage) Renew(order int) {
	s.verb(order, func(ctx context.Context, g *bursar.Gateway, id string) (bursar.Payment, error) {
		return g.RenewPayment(ctx, id)
	})
}

// Reorg replaces the newest blocks; drop loses what they held.
func (s *Stage) Reorg(depth int, drop bool) {
	s.reorg(depth, func(chain.TxID) bool { return drop })
}

func (s *Stage) reorg(depth int, drop func(chain.TxID) bool) {
	w := s.w
	waited := map[chain.TxID]bool{}
	for _, id := range w.chain.Mempool() {
		waited[id] = true
	}
	w.abandoned = append(w.abandoned, w.chain.Head().Hash)
	w.chain.Rewind(depth)
	for _, id := range w.chain.Mempool() {
		if !waited[id] && drop(id) {
			w.chain.Drop(id)
		}
	}
	at := w.chain.Head().Time
	for i := range depth {
		w.block(at.Add(time.Duration(i+1) * time.Second))
	}
}

// Back makes the branch that was left win again.
func (s *Stage) Back() { s.w.goBack() }

// Dear makes gas cost so many billionths of a coin for some blocks.
func (s *Stage) Dear(gwei uint64, blocks int) {
	fees := s.w.fees
	fees.BaseFee = chain.NewAmount(gwei * 1e9)
	s.w.chain.SetFees(fees)
	s.w.after(time.Duration(blocks)*s.w.params.blockTime, func() { s.w.chain.SetFees(s.w.fees) })
}

// Pause has a token refuse every transfer, or take them again.
func (s *Stage) Pause(asset int, paused bool) { s.w.chain.Pause(s.w.assets()[asset], paused) }

// Backup is what Restore goes back to. An empty database has nothing that tells
// that it is another one: the first mark of its place comes before.
func (s *Stage) Backup() {
	if s.w.db.written == "" {
		s.w.after(time.Second, s.Backup)
		return
	}
	s.w.backup = len(s.w.db.journal)
}

// Restore has the store forget all since the backup, while no process is up.
func (s *Stage) Restore() {
	for _, p := range s.w.processes {
		if p != nil && !p.dead.Load() {
			s.w.kill(p)
		}
	}
	if s.w.backup > 0 {
		s.w.rewind(len(s.w.db.journal) - s.w.backup)
	}
}

// Unsign has the store forget the first refund that was signed, and all since then,
// while no process is up.
func (s *Stage) Unsign() {
	s.w.backup = slices.IndexFunc(s.w.db.journal, func(r record) bool {
		return slices.ContainsFunc(r.batches, func(b bursar.Batch) bool {
			return len(b.Attempts) > 0 && slices.ContainsFunc(b.Payouts, func(p bursar.Payout) bool { return p.Kind == bursar.PayoutRefund })
		})
	})
	s.Restore()
}

// Evict empties the mempool.
func (s *Stage) Evict() { s.w.chain.Drop(s.w.chain.Mempool()...) }

// Down keeps the receiver down for ten minutes.
func (s *Stage) Down() {
	for _, name := range s.w.params.endpoints {
		s.w.down[name] = time.Now().Add(10 * time.Minute)
	}
}
