package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// price is what each payment is of, in millionths of the token.
const price = 25_000_000

// holding is what an account has that got so many payments, in base units of the token,
// and had some before.
func holding(before int64, payments int) chain.Amount {
	sum := big.NewInt(price)
	sum.Mul(sum, big.NewInt(int64(payments)))
	out, err := chain.AmountFromBig(sum.Add(sum, big.NewInt(before)))
	if err != nil {
		return chain.Amount{} // nobody has less than nothing
	}
	return out
}

// way is one way to get money to the treasury.
type way struct {
	name, about string
	// together has the gateway sweep many addresses in one transaction.
	together bool
	// again is for customers who paid to the same addresses before, which was swept.
	again bool
}

// ways are those that are compared, with the first one.
func ways() []way {
	return []way{
		{name: "classic", about: "the sponsor sends gas to each address, which then sends its tokens"},
		{name: "together, first", about: "all in one transaction of the sponsor; each address signed for it (EIP-7702)", together: true},
		{name: "together, again", about: "the same, at customers' permanent addresses that were swept before", together: true, again: true},
	}
}

// scene is one run.
type scene struct {
	payments int
	ways     []way
	log      io.Writer // of the gateways' errors
	// customers, where it is set, says whom the customers pay in place of the addresses
	// that they were shown.
	customers func(w way, shown []common.Address) []common.Address
}

// outcome is what became of the payments of one way, the last ones alone.
type outcome struct {
	way
	// asked and swept are payments; swept ones are final in the treasury, in whole.
	asked, swept int
	// txs, gas and fee are what the gateway says of its transactions that swept them, in
	// numbers, units of gas and base units of the coin.
	txs int
	gas uint64
	fee chain.Amount
	// minedTxs and minedGas are what the blocks say.
	minedTxs int
	minedGas uint64
	// before is what the treasury had before these payments, after what it has now, by the
	// chain, and due what it must have, in base units of the token.
	before, after, due chain.Amount
	// next is the gas that the client expects of the same payments under the rules of the
	// coming fork.
	next uint64
	// left is what the addresses have of the coin.
	left chain.Amount
	// audit is the gateway's own, of its books and of the chain.
	audit bursar.Report
}

// play makes the payments in each way, on one chain.
func (s *scene) play(ctx context.Context) (all []outcome, err error) {
	c, err := newLocalChain(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.backend.Close()) }()
	for _, w := range s.ways {
		o, err := s.try(ctx, c, w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		all = append(all, o)
	}
	return all, nil
}

// try does it in one way.
func (s *scene) try(ctx context.Context, c *localChain, w way) (o outcome, err error) {
	t, err := openTill(ctx, c, w.together, s.log)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	shown, err := s.addresses(ctx, t, w)
	if err != nil {
		return o, err
	}
	to := shown
	if s.customers != nil {
		to = s.customers(w, shown)
	}
	earlier := 0
	if w.again {
		if earlier, err = s.collect(ctx, t, shown, s.payments); err != nil {
			return o, fmt.Errorf("the deposits before: %w", err)
		}
	}
	o = outcome{way: w, asked: s.payments, due: holding(opening, s.payments)}
	if w.again {
		o.due = holding(opening, 2*s.payments)
	}
	if o.before, err = t.has(ctx, c.token, t.treasury); err != nil {
		return o, err
	}
	sent, err := t.payouts(ctx)
	if err != nil {
		return o, err
	}
	start, err := c.backend.Client().BlockNumber(ctx)
	if err != nil {
		return o, err
	}
	swept, err := s.collect(ctx, t, to, earlier+s.payments)
	if err != nil {
		return o, err
	}
	o.swept = swept - earlier
	if o.minedTxs, o.minedGas, err = c.spent(ctx, start); err != nil {
		return o, err
	}
	return o, t.tell(ctx, &o, len(sent), shown)
}

// addresses are where the customers are shown to pay, one each.
func (s *scene) addresses(ctx context.Context, t *till, w way) (out []common.Address, err error) {
	show := t.fresh
	if w.again {
		show = t.permanent
	}
	for i := range s.payments {
		at, err := show(ctx, i)
		if err != nil {
			return nil, err
		}
		out = append(out, at)
	}
	return out, nil
}

// maxBlocks bounds the wait for what is swept one by one; idle is how many blocks may
// pass while nothing is under way, before what was not swept is given up.
const (
	maxBlocks = 2000
	idle      = 20
)

// collect has the customers pay, and mines until so many payments were swept for good,
// or nothing goes on any more. It returns how many were.
func (s *scene) collect(ctx context.Context, t *till, to []common.Address, want int) (swept int, err error) {
	if err := t.chain.pay(ctx, t.chain.deposits(price, to)...); err != nil {
		return 0, fmt.Errorf("the customers pay: %w", err)
	}
	// Final money waits for company, unless there is as much as fits.
	for range local().Info.FinalityDepth {
		if err := t.block(ctx); err != nil {
			return 0, err
		}
	}
	t.pass(gather)
	for quiet, blocks := 0, 0; quiet < idle && blocks < maxBlocks; blocks++ {
		if err := t.block(ctx); err != nil {
			return 0, err
		}
		open, err := t.busy(ctx)
		if err != nil {
			return 0, err
		}
		if quiet++; open {
			quiet = 0
			continue
		}
		if swept, err = t.swept(ctx); err != nil || swept >= want {
			return swept, err
		}
	}
	return swept, nil
}

// collection is what is swept in that way.
func (o *outcome) collection(token chain.Asset) chain.Collection {
	of := chain.Collection{Asset: token, Way: chain.WayTopUp, First: o.asked}
	if o.together {
		of.Way = chain.WayBatch
	}
	if o.again {
		of.First, of.Again = 0, o.asked
	}
	return of
}

// busy reports whether something is to be sent, or not final yet.
func (t *till) busy(ctx context.Context) (bool, error) {
	rows, err := t.gateway.Payouts(ctx, bursar.PayoutQuery{Open: true, Limit: 1})
	return len(rows) > 0, err
}

// tell fills in what the gateway says of what it sent, but for the first so many
// payouts, and what the chain says that treasury and addresses have.
func (t *till) tell(ctx context.Context, o *outcome, earlier int, shown []common.Address) error {
	all, err := t.payouts(ctx)
	if err != nil {
		return err
	}
	for _, p := range all[earlier:] {
		if p.Status != bursar.PayoutConfirmed {
			continue
		}
		o.txs, o.gas = o.txs+1, o.gas+p.GasUsed
		if o.fee, err = o.fee.Add(p.Fee); err != nil {
			return err
		}
	}
	if o.after, err = t.has(ctx, t.chain.token, t.treasury); err != nil {
		return err
	}
	if o.left, err = t.has(ctx, local().Info.Native, shown...); err != nil {
		return err
	}
	o.next = t.client.Work(o.collection(t.chain.token)).Next
	o.audit, err = t.gateway.Verify(ctx)
	return err
}
