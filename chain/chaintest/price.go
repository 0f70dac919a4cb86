package chaintest

import (
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// price is what a transaction offers for a unit of gas.
type price struct {
	tip, cap chain.Amount
	// floor is the least cap with which it would still be mined in the next
	// block after one whose base fee rose.
	floor chain.Amount
	// exact keeps the tip as high as the cap, so that the cap is what is paid.
	exact bool
}

// ordinary leaves room for the base fee to double.
func (f Fees) ordinary() price {
	double := f.part(2, 1)
	return price{tip: f.Tip, cap: f.plusTip(double), floor: f.plusTip(f.part(9, 8))}
}

// emptying is the price of a transaction that takes everything: what it may
// cost is what it does cost, and nothing stays behind.
func (f Fees) emptying() price {
	all := f.plusTip(f.part(5, 4))
	return price{tip: all, cap: all, floor: f.plusTip(f.part(9, 8)), exact: true}
}

func (f Fees) part(num, den uint64) chain.Amount {
	out, err := f.BaseFee.MulDiv(chain.NewAmount(num), chain.NewAmount(den))
	if err != nil {
		panic(fmt.Sprintf("chaintest: Fees.BaseFee %s: %v", f.BaseFee, err))
	}
	return out
}

func (f Fees) plusTip(base chain.Amount) chain.Amount {
	out, err := base.Add(f.Tip)
	if err != nil {
		panic(fmt.Sprintf("chaintest: Fees.Tip %s: %v", f.Tip, err))
	}
	return out
}

// outbid raises p to what replaces old: at least an eighth more in both prices.
func (p price) outbid(old *tx) price {
	least := raised(old.cap)
	p.cap, p.floor, p.tip = larger(p.cap, least), larger(p.floor, least), larger(p.tip, raised(old.tip))
	return p
}

// raised returns nine eighths, rounded up; what would overflow stays.
func raised(a chain.Amount) chain.Amount {
	more, err := a.MulDiv(chain.NewAmount(9), chain.NewAmount(8))
	if err != nil {
		return a
	}
	if more, err = more.Add(chain.NewAmount(1)); err != nil {
		return a
	}
	return more
}

func larger(a, b chain.Amount) chain.Amount {
	if a.Less(b) {
		return b
	}
	return a
}

// bidding is the offer of a bid: from the floor, which is the least that is mined
// and outbids what is replaced, up to what the budget allows.
func (p price) bidding(at chain.Bid, gas uint64, budget chain.Amount) price {
	most, err := budget.MulDiv(chain.NewAmount(1), chain.NewAmount(gas))
	if err != nil || !p.floor.Less(most) {
		return p
	}
	rise, err := most.SubFloor(p.floor).MulDiv(chain.NewAmount(at.Part), chain.NewAmount(at.Of))
	if err != nil {
		return p
	}
	if tip, err := p.tip.Add(rise); err == nil {
		p.tip = tip
	}
	p.cap = p.floor
	if more, err := p.cap.Add(rise); err == nil {
		p.cap = more
	}
	return p
}

// within lowers the cap until gas units cost at most the budget, where a zero
// budget is none. What would not be mined at such a price is refused.
func (p price) within(gas uint64, budget chain.Amount) (price, chain.Amount, error) {
	if !budget.IsZero() {
		units := chain.NewAmount(gas)
		affordable, err := budget.MulDiv(chain.NewAmount(1), units)
		if err != nil {
			return p, chain.Amount{}, err
		}
		if affordable.Less(p.floor) {
			least, err := p.floor.Mul(gas)
			if err != nil {
				return p, chain.Amount{}, err
			}
			return p, chain.Amount{}, &chain.FeeTooHighError{Fee: least, Cap: budget}
		}
		p.cap = p.cap.Min(affordable)
	}
	p.tip = p.tip.Min(p.cap)
	if p.exact {
		p.tip = p.cap
	}
	fee, err := p.cap.Mul(gas)
	return p, fee, err
}
