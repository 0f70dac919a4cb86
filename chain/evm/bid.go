package evm

import (
	"fmt"

	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// bid is the price of an intent with a budget and with time. Where there is much
// of it the offer is the least that still pays the next block, with the tip that
// the cheapest were mined for; at the end it is most, all that the budget allows.
// What is offered beyond the least goes to the block's maker, so that a dearer bid
// is a better one and not only a higher cap.
//
// It never falls with the bid, is never below the least, and most is reached
// exactly. Where even the least is above most, it is the least: price.within
// refuses it and says both.
func (q quote) bid(most *uint256.Int, at chain.Bid) price {
	p := price{Tip: q.LowTip}
	p.Floor.Add(&q.Base, fraction(&q.Base, 8))
	p.Floor.Add(&p.Floor, &q.LowTip)
	p.Cap = p.Floor
	if !p.Floor.Lt(most) {
		return p
	}
	// Neither overflows: prices have at most priceBits and a few, a part 64.
	rise := new(uint256.Int).Sub(most, &p.Floor)
	rise.Mul(rise, uint256.NewInt(at.Part))
	rise.Div(rise, uint256.NewInt(at.Of))
	p.Cap.Add(&p.Cap, rise)
	p.Tip.Add(&p.Tip, rise)
	return p
}

// bidden is p, or the price of the intent's bid where it has one. For a
// replacement it is raised as p is.
func (b *builder) bidden(p price) (price, error) {
	at := b.in.Bid
	switch {
	case at == nil:
		return p, nil
	case at.Of == 0 || at.Part > at.Of:
		return price{}, badIntent("bid", fmt.Sprintf("%d of %d", at.Part, at.Of), "is no part of a whole")
	case b.in.MaxFee.IsZero():
		return price{}, badIntent("bid", fmt.Sprintf("%d of %d", at.Part, at.Of), "without a MaxFee there is no budget")
	}
	most, _ := limits{Budget: b.in.MaxFee, Below: b.below, Highest: b.highest}.most(uint256.NewInt(b.tx.Gas))
	out := b.quote.bid(&most, *at)
	out.Exact = p.Exact
	if b.old != nil {
		out = out.raise(&b.old.TipCap, &b.old.FeeCap)
	}
	return out, nil
}

// ample is what an account that lacks coin is to have in the end: at least the
// usual price, within the budget, so that a cheap bid does not buy gas that the
// next dearer one finds too little.
func (b *builder) ample(fee chain.Amount) chain.Amount {
	if b.in.Bid == nil {
		return fee
	}
	p, err := b.quote.ordinary().within(b.tx.Gas, limits{Budget: b.in.MaxFee, Below: b.below, Highest: b.highest})
	if err != nil {
		return fee
	}
	usual, err := times(&p.Cap, uint256.NewInt(b.tx.Gas)).Add(b.below)
	if err != nil || usual.Less(fee) {
		return fee
	}
	return usual
}
