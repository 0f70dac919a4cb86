package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// sale is an order of a merchant's: what the host asked for and got.
type sale struct {
	req     bursar.PaymentRequest
	asset   chain.Asset
	payment bursar.Payment
	known   bool
}

// open has merchants sell and strangers pay, as long as the chaos lasts.
func (w *world) open() {
	w.after(w.while(100/w.params.orderEvery), w.sell)
	w.after(w.while(10), w.stranger)
	w.after(w.while(5), w.poke)
	if w.params.steers {
		w.after(w.params.blockTime, w.steer)
	}
	if w.params.refunds && w.o.Scenario == nil {
		w.after(w.params.blockTime, w.refunds)
	}
}

// while is about so many blocks of time.
func (w *world) while(blocks int) time.Duration {
	return time.Duration(1 + w.dice.Int64N(int64(2*w.params.blockTime)*int64(blocks)))
}

func (w *world) assets() []chain.Asset { return []chain.Asset{w.eth, w.usdc, w.usdt} }

// sell makes a new order.
func (w *world) sell() {
	if w.healing {
		return
	}
	a := w.assets()[w.dice.IntN(3)]
	if a.Native() && w.params.batches.on && w.dice.IntN(2) == 0 {
		a = w.usdc
	}
	policy := bursar.AmountPolicy{}
	if w.dice.IntN(4) == 0 {
		policy.ToleranceBps = 500
	}
	if w.dice.IntN(4) == 0 {
		policy.Grace = 20 * time.Minute
	}
	s := &sale{asset: a, req: bursar.PaymentRequest{
		Asset: string(a.ID), Amount: decimal.New(int64(1+w.dice.IntN(500)), -2), Policy: &policy,
		TTL:            time.Duration(2+w.dice.IntN(60)) * time.Minute,
		IdempotencyKey: fmt.Sprintf("order-%d", len(w.orders)+1),
	}}
	w.orders = append(w.orders, s)
	w.create(s)
	w.after(w.while(100/w.params.orderEvery), w.sell)
}

// create asks for the payment of an order until there is an answer. Whatever
// happened to an earlier try, the same key means the same payment.
func (w *world) create(s *sale) {
	again := func() { w.after(time.Duration(1+w.sched.IntN(10))*time.Second, func() { w.create(s) }) }
	p := w.any()
	if p == nil {
		again()
		return
	}
	cancel := w.call("create", func(ctx context.Context) func() {
		got, err := p.gw.CreatePayment(ctx, s.req)
		return func() {
			if err != nil {
				w.note("%s no payment for %s: %v", p.name, s.req.IdempotencyKey, err)
				w.mayFail(err)
				again()
				return
			}
			w.sold(p, s, got)
		}
	})
	w.mayCancel(cancel)
}

// mayCancel has a host give up a call some time later.
func (w *world) mayCancel(cancel context.CancelFunc) {
	if w.hostCancel && !w.healing {
		w.hostCancel = false
		w.after(time.Duration(w.dice.IntN(int(time.Minute))), cancel)
	}
}

// mayFail judges an error that a host got: it must be one that can be.
func (w *world) mayFail(err error) {
	var field *bursar.FieldError
	if errors.As(err, &field) || errors.Is(err, bursar.ErrInvariant) || errors.Is(err, bursar.ErrIdempotencyConflict) {
		w.judge(fmt.Errorf("a good request was refused: %w", err))
	}
}

func (w *world) sold(p *process, s *sale, got bursar.Payment) {
	w.note("%s %s is %s at %s until %s", p.name, s.req.IdempotencyKey, got.ID, got.Address, got.ExpiresAt.Sub(w.begun))
	w.judge(w.oracle.Issued(got.ID, got.Address))
	if s.known {
		return
	}
	s.payment, s.known = got, true
	if w.o.Load.Open == 0 && w.o.Scenario == nil {
		w.customer(s)
	}
}

// customer pays as customers do.
func (w *world) customer(s *sale) {
	late := time.Until(s.payment.ExpiresAt) + w.while(4)
	soon := w.while(3)
	pay := func(d time.Duration, num, den uint64) {
		w.after(d, func() {
			n, err := s.payment.Amount.MulDiv(chain.NewAmount(num), chain.NewAmount(den))
			if err == nil && !n.IsZero() {
				w.pay(s.payment.Address, s.asset, n, true)
			}
		})
	}
	switch w.dice.IntN(10) {
	case 0: // never
	case 1:
		pay(late, 1, 1)
	case 2:
		pay(soon, 1, 2)
	case 3:
		pay(soon, 1, 2)
		pay(soon+w.while(4), 1, 2)
	case 4:
		pay(soon, 2, 1)
	case 5:
		pay(soon, 1, 2)
		pay(late, 1, 2)
	default:
		pay(soon, 1, 1)
	}
}

// pay sends money from somebody who pays this once, so that no transaction that
// is dropped holds up another one. looked says that coin is found at the address
// that no transaction shows: not where a payment in another asset has it.
func (w *world) pay(to chain.Address, a chain.Asset, n chain.Amount, looked bool) {
	w.calls++
	name := fmt.Sprintf("payer %d", w.calls)
	how := w.dice.IntN(14)
	switch {
	case how == 0:
		id := w.chain.PayFailed(name, to, a, n)
		w.note("%s fails to pay %s %s to %s: %s", name, n, a.Symbol, to, id[:10])
	case how == 1 && !a.Native():
		half := chaintest.Payment{To: to, Asset: a, Amount: n}
		id := w.chain.PayMany(name, half, half)
		w.note("%s pays twice %s %s to %s: %s", name, n, a.Symbol, to, id[:10])
	case how < 7 && a.Native() && looked && !n.IsZero():
		w.contract(how, name, to, n)
	default:
		id := w.chain.Pay(name, to, a, n)
		w.mayRegret(id)
		w.note("%s pays %s %s to %s: %s", name, n, a.Symbol, to, id[:10])
	}
}

// contract pays as exchanges and wallets do that are contracts, and now and then as
// the protocol does.
func (w *world) contract(how int, name string, to chain.Address, n chain.Amount) {
	part := chaintest.Payment{To: to, Asset: w.eth, Amount: n}
	var id chain.TxID
	switch how {
	case 1:
		w.chain.Withdraw(to, n)
		w.note("a withdrawal of %s ETH to %s", n, to)
		return
	case 2:
		id = w.chain.PayReverted(name, to, n)
	case 3:
		id = w.chain.PaySelfDestruct(name, to, n)
	case 4:
		id = w.chain.PayMany(name, part, part)
	default:
		id = w.chain.PayMany(name, part)
	}
	w.note("%s pays %s ETH to %s by a contract, in way %d: %s", name, n, to, how, id[:10])
}

// stranger pays what nobody asked for: to a permanent address, to any address, in
// another asset, nothing at all, or dust.
func (w *world) stranger() {
	if w.healing {
		return
	}
	defer w.after(w.while(10), w.stranger)
	a := w.assets()[w.dice.IntN(3)]
	to, ok := w.anyAddress()
	if !ok {
		return
	}
	n := chain.NewAmount(uint64(1 + w.dice.IntN(2_000_000)))
	if a.Native() {
		n = chain.NewAmount(uint64(1+w.dice.IntN(20)) * 1e15)
	}
	switch w.dice.IntN(6) {
	case 0:
		n = chain.NewAmount(1)
	case 1:
		n = chain.Amount{}
	}
	w.pay(to, a, n, slices.Contains(w.deposits, to))
}

func (w *world) anyAddress() (chain.Address, bool) {
	if len(w.deposits) > 0 && w.dice.IntN(2) == 0 {
		return w.deposits[w.dice.IntN(len(w.deposits))], true
	}
	if s := w.anySale(); s != nil {
		return s.payment.Address, true
	}
	return "", false
}

func (w *world) anySale() *sale {
	if len(w.orders) == 0 {
		return nil
	}
	if s := w.orders[w.dice.IntN(len(w.orders))]; s.known {
		return s
	}
	return nil
}

// poke has a host call something: look a payment up, cancel, accept or renew it,
// or ask for a permanent address.
func (w *world) poke() {
	if w.healing {
		return
	}
	defer w.after(w.while(5), w.poke)
	p := w.any()
	if p == nil {
		return
	}
	if w.dice.IntN(12) == 0 {
		w.permanent(p)
		return
	}
	s := w.anySale()
	if s == nil {
		return
	}
	id, key, verb := s.payment.ID, fmt.Sprint("accept-", w.dice.IntN(1000)), w.dice.IntN(8)
	w.mayCancel(w.call("host", func(ctx context.Context) func() {
		var got bursar.Payment
		var err error
		switch verb {
		case 0:
			got, err = p.gw.CancelPayment(ctx, id)
		case 1:
			got, err = p.gw.AcceptPayment(ctx, id, key)
		case 2:
			got, err = p.gw.RenewPayment(ctx, id)
		default:
			got, err = p.gw.Payment(ctx, id)
		}
		return func() { w.heard(p, s, verb, got, err) }
	}))
}

func (w *world) heard(p *process, s *sale, verb int, got bursar.Payment, err error) {
	w.note("%s verb %d on %s: %s %v", p.name, verb, s.payment.ID, got.Status, err)
	switch {
	case err != nil:
		w.mayFail(err)
	case verb != 2:
		w.judge(w.oracle.Seen(p.name, got))
	case got.ID != s.payment.ID:
		next := &sale{req: s.req, asset: s.asset}
		next.req.IdempotencyKey = got.ID // of which nobody asks again
		w.orders = append(w.orders, next)
		w.sold(p, next, got)
	}
}

func (w *world) permanent(p *process) {
	who := fmt.Sprint("customer-", w.dice.IntN(4))
	w.call("address", func(ctx context.Context) func() {
		a, err := p.gw.CreateAddress(ctx, bursar.AddressRequest{Chain: w.chain.Info().ID, Customer: who})
		return func() {
			if err != nil {
				w.mayFail(err)
				return
			}
			w.judge(w.oracle.Issued(who, a.Address))
			w.deposits = append(w.deposits, a.Address)
		}
	})
}

// trade is what a steady load does before each block: it pays some of the payments
// that wait, and asks for as many new ones.
func (w *world) trade() {
	waiting := 0
	for _, s := range w.orders[w.paid:] {
		if s.known && waiting < w.o.Load.Transfers {
			w.pays(s)
			waiting++
		}
	}
	w.paid += waiting
	for len(w.orders)-w.paid < w.o.Load.Open {
		a := w.assets()[len(w.orders)%3]
		s := &sale{asset: a, req: bursar.PaymentRequest{
			Asset: string(a.ID), Amount: decimal.New(25, -2), TTL: 24 * time.Hour, IdempotencyKey: fmt.Sprintf("order-%d", len(w.orders)+1),
		}}
		w.orders = append(w.orders, s)
		w.create(s)
	}
}

// pays sends the amount of an order.
func (w *world) pays(s *sale) {
	w.calls++
	w.chain.Pay(fmt.Sprintf("payer %d", w.calls%100), s.payment.Address, s.asset, s.payment.Amount)
}
