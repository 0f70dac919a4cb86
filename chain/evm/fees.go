package evm

import (
	"context"
	"fmt"

	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

const (
	gwei = 1_000_000_000
	// transferGas is the fixed price of a transfer that runs no code. It is
	// only compared with, never assumed: a receiver may have code, and rollups
	// add their own share.
	transferGas = 21_000
	// maxGas is the most gas one transaction may have since EIP-7825. A higher
	// estimate is a trap or a mistake.
	maxGas = 1 << 24
	// absurdPrice is a price of gas, in wei, that no chain in use has ever had.
	// Whatever a node says, no transaction offers more: it bounds the damage of
	// a lying or broken one where nobody set a tighter cap.
	absurdPrice = 50_000 * gwei
	// priceBits bounds the prices a node may name, so that no product of a
	// price and gas can overflow.
	priceBits = 128
)

// quote is what gas costs at the head of the chain, in wei per unit.
type quote struct {
	// Dynamic is true on chains with EIP-1559.
	Dynamic bool
	// Base is the head's base fee; zero on chains without.
	Base uint256.Int
	// Tip goes to the block's maker on top; without EIP-1559 the whole price.
	Tip uint256.Int
	// LowTip is at most Tip: what still was enough lately, for who has time.
	LowTip uint256.Int
}

// price is what a transaction offers: at most Cap, of that at most Tip to the
// block's maker.
type price struct {
	Tip, Cap uint256.Int
	// Floor is the least Cap with which it would still be mined.
	Floor uint256.Int
	// Exact makes within set the tip as high as the cap in the end, so that the
	// cap is what is paid.
	Exact bool
}

// market asks for the price of gas.
func (w writer) market(ctx context.Context) (quote, error) {
	var head *struct {
		BaseFee *hexNumber `json:"baseFeePerGas"`
	}
	if !w.legacy {
		if err := w.ask(ctx, "eth_getBlockByNumber", &head, "latest", false); err != nil {
			return quote{}, err
		}
		if head == nil {
			return quote{}, fmt.Errorf("evm: the node has no head: %w", chain.ErrTransient)
		}
	}
	if head == nil || head.BaseFee == nil {
		t, err := w.tips(ctx, "eth_gasPrice")
		if err != nil {
			return quote{}, err
		}
		return sane(quote{Tip: t.Usual, LowTip: t.Low})
	}
	t, err := w.tips(ctx, "eth_maxPriorityFeePerGas")
	if err != nil {
		return quote{}, err
	}
	q, err := sane(quote{Dynamic: true, Base: head.BaseFee.v, Tip: t.Usual, LowTip: t.Low})
	if err != nil {
		return quote{}, err
	}
	// A node's suggestion follows what others pay and can run away with them.
	// The ceiling leaves room for chains whose minimum tip lies far above a low
	// base fee.
	ceiling := new(uint256.Int).Mul(&q.Base, uint256.NewInt(2))
	ceiling.AddUint64(ceiling, 100*gwei)
	q.Tip, q.LowTip = *smaller(&q.Tip, ceiling), *smaller(&q.LowTip, ceiling)
	return q, nil
}

// sane refuses prices that are no prices. A zero tip becomes one wei: pools
// refuse zero even where blocks are empty.
func sane(q quote) (quote, error) {
	if q.Base.BitLen() > priceBits || q.Tip.BitLen() > priceBits {
		return quote{}, fmt.Errorf("evm: the node names an absurd gas price: %w", chain.ErrTransient)
	}
	if q.Tip.IsZero() {
		q.Tip.SetOne()
	}
	if q.LowTip.IsZero() {
		q.LowTip.SetOne()
	}
	return q, nil
}

// tips asks what was paid in the last blocks, and where they do not tell, what
// the node suggests: a suggestion is a figure without a source, and follows
// whatever its node makes of one odd block. Not every node knows the question
// either; on a chain without any traffic nobody knows an answer, and one gwei is
// as good as any.
func (w writer) tips(ctx context.Context, suggestion string) (tips, error) {
	paid, err := w.history(ctx, recentBlocks, "latest")
	if err != nil {
		return tips{}, err
	}
	if t, ok := paid.market(); ok {
		return t, nil
	}
	one, err := w.number(ctx, suggestion)
	if _, refused := refusal(err); refused && suggestion != "eth_gasPrice" {
		one = *uint256.NewInt(gwei)
	} else if err != nil {
		return tips{}, err
	}
	return tips{Low: one, Usual: one}, nil
}

// ordinary is the price of a transaction that fixes its amount. A cap of twice
// the base fee stays valid for at least six full blocks, and what is not used
// is never paid.
func (q quote) ordinary() price {
	p := price{Tip: q.Tip, Floor: q.floor()}
	if !q.Dynamic {
		p.Cap = q.Tip
		return p
	}
	p.Cap.Lsh(&q.Base, 1)
	p.Cap.Add(&p.Cap, &q.Tip)
	return p
}

// exact is the price of a transaction that empties an account. Its amount is
// the balance less gas times cap, so whatever the cap exceeds the price paid
// stays behind, in an account that may never be worth another sweep. With a
// tip as high as the cap the price is the cap, always, and nothing is left; the
// price for it is that the margin goes to the block's maker, so it is a quarter
// of the base fee only, good for one or two full blocks.
func (q quote) exact() price {
	p := price{Tip: q.Tip, Floor: q.floor(), Exact: true}
	p.Cap.Add(&q.Base, fraction(&q.Base, 4))
	p.Cap.Add(&p.Cap, &q.Tip)
	return p
}

// floor still pays the next block, whose base fee is at most an eighth higher.
func (q quote) floor() (out uint256.Int) {
	out.Add(&q.Base, fraction(&q.Base, 8))
	out.Add(&out, &q.Tip)
	return out
}

// fraction returns n/d rounded up.
func fraction(n *uint256.Int, d uint64) *uint256.Int {
	up := new(uint256.Int).AddUint64(n, d-1)
	return up.Div(up, uint256.NewInt(d))
}

// raise makes p a valid replacement of a transaction with that tip and cap:
// pools want both at least an eighth higher.
func (p price) raise(tip, cap *uint256.Int) price {
	least := new(uint256.Int).Add(cap, fraction(cap, 8))
	p.Cap = *larger(&p.Cap, least)
	p.Floor = *larger(&p.Floor, least)
	p.Tip = *larger(&p.Tip, new(uint256.Int).Add(tip, fraction(tip, 8)))
	return p
}

func larger(a, b *uint256.Int) *uint256.Int {
	if a.Lt(b) {
		return b
	}
	return a
}

// limits bound what a transaction may cost.
type limits struct {
	// Budget is for the whole fee; zero is no bound.
	Budget chain.Amount
	// Below is the part of the fee that goes to the layer below.
	Below chain.Amount
	// Highest is the highest price of gas that is ever offered.
	Highest uint256.Int
}

// within lowers the cap into the limits for a transaction of that much gas.
// What would not be mined at such a price is a *chain.FeeTooHighError, which
// names the least that would do and what is allowed.
func (p price) within(gas uint64, l limits) (price, error) {
	units := uint256.NewInt(gas)
	limit, allowed := l.most(units)
	if p.Floor.Gt(&limit) {
		least, err := times(&p.Floor, units).Add(l.Below)
		if err != nil {
			return price{}, err
		}
		return price{}, &chain.FeeTooHighError{Fee: least, Cap: allowed}
	}
	if p.Cap.Gt(&limit) {
		p.Cap = limit
	}
	if p.Exact || p.Tip.Gt(&p.Cap) {
		p.Tip = p.Cap
	}
	return p, nil
}

// most is the highest price that the limits leave for so many units of gas, and
// the fee that it comes from.
func (l limits) most(units *uint256.Int) (limit uint256.Int, allowed chain.Amount) {
	limit, allowed = l.Highest, times(&l.Highest, units)
	if !l.Budget.IsZero() {
		affordable := new(uint256.Int).Div(fromAmount(l.Budget.SubFloor(l.Below)), units)
		if affordable.Lt(&limit) {
			limit, allowed = *affordable, l.Budget
		}
	}
	return limit, allowed
}

// times cannot overflow: prices have at most priceBits and a few, gas 25.
func times(price, gas *uint256.Int) chain.Amount {
	return amountOf(new(uint256.Int).Mul(price, gas))
}

// gas asks how much gas a call needs. Where the answer is exactly that of a
// plain transfer, it is certain. Any code may need more in a later block, so
// there a quarter is added.
func (w writer) gas(ctx context.Context, from, to chain.Address, value *uint256.Int, data []byte) (uint64, error) {
	estimate, err := w.number(ctx, "eth_estimateGas", callArgs(from, to, value, data))
	if err != nil {
		return 0, asRevert(err)
	}
	if !estimate.IsUint64() || estimate.Uint64() > maxGas {
		return 0, &chain.RevertError{Reason: fmt.Sprintf("needs %s gas, a transaction has at most %d", estimate.Dec(), maxGas)}
	}
	gas := estimate.Uint64()
	switch {
	case gas < transferGas:
		return 0, fmt.Errorf("evm: the node estimates %d gas, less than any transaction needs: %w", gas, chain.ErrTransient)
	case gas == transferGas:
		return gas, nil
	}
	return min(gas+gas/4, maxGas), nil
}

// hexNumber reads a JSON-RPC quantity, without leading zeros.
type hexNumber struct{ v uint256.Int }

func (n *hexNumber) UnmarshalText(text []byte) error { return n.v.SetFromHex(string(text)) }

// ask makes a call that reads. See readError.
func (w writer) ask(ctx context.Context, method string, out any, params ...any) error {
	if err := w.node.call(ctx, method, out, params...); err != nil {
		return readError(err)
	}
	return nil
}

// number makes a call that returns one quantity.
func (w writer) number(ctx context.Context, method string, params ...any) (uint256.Int, error) {
	var n *hexNumber
	if err := w.ask(ctx, method, &n, params...); err != nil {
		return uint256.Int{}, err
	}
	if n == nil {
		return uint256.Int{}, fmt.Errorf("evm: %s returned nothing: %w", method, chain.ErrTransient)
	}
	return n.v, nil
}

func fromAmount(a chain.Amount) *uint256.Int {
	b := a.Bytes32()
	return new(uint256.Int).SetBytes32(b[:])
}
