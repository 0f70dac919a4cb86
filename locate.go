package bursar

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// locator finds the blocks in which balances grew beyond what the ledger has. It
// asks for a block's balances once, for all addresses that are looked for.
type locator struct {
	*expectation
	reader chain.BalanceReader

	grown []chain.Address // those with more than is expected at the end
	read  map[int]map[chain.Address]*big.Int
	open  map[chain.Address]bool // put off to the next page
	leaps []leap
}

// leap is an unexplained increase in one block, or, where its begin is not known,
// up to one block.
type leap struct {
	to     chain.Address
	at     int // the place in the line
	begun  bool
	amount *big.Int
}

// compare asks for the balances at the end and locates what is too much.
func (l *locator) compare(ctx context.Context) error {
	l.read, l.open = map[int]map[chain.Address]*big.Int{}, map[chain.Address]bool{}
	l.grown = l.order
	end := len(l.line) - 1
	have, err := l.balances(ctx, end)
	if err != nil {
		return err
	}
	l.grown = slices.DeleteFunc(slices.Clone(l.order), func(a chain.Address) bool { return have[a].Cmp(l.last[a]) <= 0 })
	if len(l.grown) == 0 {
		return nil
	}
	if err := l.locate(ctx, end); err != nil {
		// They are told again by the next page; whoever has exactly what is expected
		// needs no location.
		for _, a := range l.grown {
			l.open[a] = true
		}
		l.leaps = nil
		return err
	}
	return nil
}

// balances reads what the addresses that are looked for have at a block.
func (l *locator) balances(ctx context.Context, at int) (map[chain.Address]*big.Int, error) {
	if known := l.read[at]; known != nil {
		return known, nil
	}
	of := make([]chain.Holding, len(l.grown))
	for i, a := range l.grown {
		of[i] = chain.Holding{Address: a, Asset: l.native}
	}
	amounts, err := l.reader.Balances(ctx, l.line[at].Hash, of)
	if err == nil && len(amounts) != len(of) {
		err = fmt.Errorf("%w: %d balances for %d questions", chain.ErrTransient, len(amounts), len(of))
	}
	if err != nil {
		return nil, err
	}
	out := make(map[chain.Address]*big.Int, len(of))
	for i, a := range l.grown {
		out[a] = amounts[i].Big()
	}
	l.read[at] = out
	return out, nil
}

// locate finds the leaps of all that have grown.
func (l *locator) locate(ctx context.Context, end int) error {
	low, err := l.oldest(ctx, l.base, end)
	if err != nil {
		return err
	}
	have, err := l.balances(ctx, low)
	if err != nil {
		return err
	}
	var young, old []chain.Address
	for _, a := range l.grown {
		if low == l.base && have[a].Cmp(l.expected(a, l.line[low].Height)) > 0 {
			old = append(old, a)
		} else {
			young = append(young, a)
		}
	}
	for _, a := range young {
		if err := l.search(ctx, a, low, end); err != nil {
			return err
		}
	}
	return l.lookBack(ctx, old, end)
}

// lookBack searches the committed blocks too.
func (l *locator) lookBack(ctx context.Context, old []chain.Address, end int) error {
	if len(old) == 0 {
		return nil
	}
	low, err := l.oldest(ctx, 0, l.base)
	if err != nil {
		return err
	}
	for i, a := range old {
		if i >= probeLocate {
			l.open[a] = true
			continue
		}
		if err := l.recall(a); err != nil {
			return err
		}
		if err := l.search(ctx, a, low, end); err != nil {
			return err
		}
	}
	return nil
}

// oldest is the oldest place from low on whose state the node still has, high
// being one that it has.
func (l *locator) oldest(ctx context.Context, low, high int) (int, error) {
	for low < high {
		// The oldest one first: usually it is there.
		at := low
		_, err := l.balances(ctx, at)
		switch {
		case err == nil:
			return at, nil
		case !errors.Is(err, chain.ErrNotFound) || errors.Is(err, chain.ErrTransient):
			return 0, err
		}
		middle := (low + high) / 2
		_, err = l.balances(ctx, middle)
		switch {
		case err == nil:
			low, high = low+1, middle
		case !errors.Is(err, chain.ErrNotFound) || errors.Is(err, chain.ErrTransient):
			return 0, err
		default:
			low = middle + 1
		}
	}
	return high, nil
}

// search finds the leaps of one address between two places. What is there at the
// lower one came at a time that nobody knows. Together they are exactly what the
// address has too much at the higher one, whatever the node says of the blocks in
// between: the ledger never gets ahead of the chain.
func (l *locator) search(ctx context.Context, a chain.Address, low, high int) error {
	most, err := l.excess(ctx, a, high)
	if err != nil {
		return err
	}
	there, err := l.excess(ctx, a, low)
	if err != nil {
		return err
	}
	there = clamp(there, new(big.Int), most)
	if there.Sign() > 0 {
		// The block before the window is known by its hash only: nothing can be
		// booked in it.
		l.leaps = append(l.leaps, leap{to: a, at: max(low, 1), amount: there})
	}
	return l.split(ctx, a, low, high, there, most)
}

// split halves a range until each increase has its block.
func (l *locator) split(ctx context.Context, a chain.Address, low, high int, from, to *big.Int) error {
	if from.Cmp(to) >= 0 {
		return nil
	}
	if high-low == 1 {
		l.leaps = append(l.leaps, leap{to: a, at: high, begun: true, amount: new(big.Int).Sub(to, from)})
		return nil
	}
	middle := (low + high) / 2
	between, err := l.excess(ctx, a, middle)
	if err != nil {
		return err
	}
	between = clamp(between, from, to)
	if err := l.split(ctx, a, low, middle, from, between); err != nil {
		return err
	}
	return l.split(ctx, a, middle, high, between, to)
}

// excess is what an address has beyond the ledger at a place.
func (l *locator) excess(ctx context.Context, a chain.Address, at int) (*big.Int, error) {
	have, err := l.balances(ctx, at)
	if err != nil {
		return nil, err
	}
	return new(big.Int).Sub(have[a], l.expected(a, l.line[at].Height)), nil
}

func clamp(n, low, high *big.Int) *big.Int {
	switch {
	case n.Cmp(low) < 0:
		return low
	case n.Cmp(high) > 0:
		return high
	}
	return n
}

// transfers turns the leaps into transfers: by the trace of their block, where the
// node can give one that agrees with the balances, else one for each leap.
func (l *locator) transfers(ctx context.Context, g *Gateway, net *network) []chain.Transfer {
	slices.SortStableFunc(l.leaps, func(a, b leap) int { return a.at - b.at })
	var out []chain.Transfer
	for i := 0; i < len(l.leaps); {
		n := i
		for n < len(l.leaps) && l.leaps[n].at == l.leaps[i].at {
			n++
		}
		out = append(out, l.explain(l.internal(ctx, g, net, l.leaps[i:n]), l.leaps[i:n])...)
		i = n
	}
	return out
}

// traceTries is how often a trace is asked for before the increase is booked
// without: it is the same money, only less is known of it.
const traceTries = 3

// internal asks for what contracts did in a block.
func (l *locator) internal(ctx context.Context, g *Gateway, net *network, leaps []leap) (got chain.Internals) {
	tracer, ok := chain.As[chain.Tracer](net.client)
	block := l.line[leaps[0].at]
	var to []chain.Address
	for _, p := range leaps {
		if p.begun && !slices.Contains(to, p.to) {
			to = append(to, p.to)
		}
	}
	if !ok || len(to) == 0 {
		return got
	}
	var err error
	for range traceTries {
		if got, err = tracer.Internal(ctx, block, to); err == nil || !errors.Is(err, chain.ErrTransient) {
			break
		}
	}
	if err != nil {
		g.log.DebugContext(ctx, "a block was not traced", "chain", string(net.info.ID), "block", block.Height, "err", err)
		return chain.Internals{}
	}
	return got
}

// explain divides the leaps of one block among what its trace says.
func (l *locator) explain(told chain.Internals, leaps []leap) (out []chain.Transfer) {
	block := l.line[leaps[0].at]
	for _, p := range leaps {
		rest := p.amount
		if p.begun {
			news, sum := l.told(told, block, p.to)
			// A trace that says more than the balance is not believed.
			if sum.Cmp(rest) <= 0 {
				out, rest = append(out, news...), new(big.Int).Sub(rest, sum)
			}
		}
		if rest.Sign() > 0 {
			out = append(out, l.delta(p, rest, told.Beneficiary == p.to && p.begun))
		}
	}
	return out
}

// told are the internal transfers to an address that nothing has booked yet.
func (l *locator) told(all chain.Internals, block chain.BlockRef, to chain.Address) (out []chain.Transfer, sum *big.Int) {
	sum = new(big.Int)
	for _, t := range all.Transfers {
		_, ours := l.net.book.own(t.From)
		if t.To != to || t.Asset != l.native.ID || t.Hash != block.Hash || l.ids[t.ID] || ours || t.Amount.IsZero() {
			continue
		}
		l.ids[t.ID] = true
		t.Block = block.Height
		out, sum = append(out, t), sum.Add(sum, t.Amount.Big())
	}
	return out, sum
}

// delta is the transfer of an increase that no transaction shows. An earlier one of
// the same block, from when its balance was told otherwise, keeps its name.
func (l *locator) delta(p leap, n *big.Int, reward bool) chain.Transfer {
	block := l.line[p.at]
	amount, err := chain.AmountFromBig(n)
	if err != nil {
		amount = maxAmount() // a balance has no more
	}
	t := chain.Transfer{Asset: l.native.ID, To: p.to, Amount: amount, Block: block.Height, Hash: block.Hash, Via: chain.ViaDelta}
	if reward {
		t.Via = chain.ViaProtocol
	}
	from, to := block.Height, block.Height
	if !p.begun {
		from = 0
	}
	for {
		t.ID.Ordinal = deltaOrdinal(p.to, from, to)
		if !l.ids[t.ID] {
			l.ids[t.ID] = true
			return t
		}
		if from == 0 {
			to++
		} else {
			from--
		}
	}
}

func deltaOrdinal(a chain.Address, from, to uint64) string {
	return fmt.Sprintf("b:%s:%d-%d", a, from, to)
}

// deltaSpan reads the blocks out of the name that delta gives.
func deltaSpan(id chain.TransferID, a chain.Address) (from, to uint64, ok bool) {
	text, ok := strings.CutPrefix(id.Ordinal, "b:"+string(a)+":")
	if !ok {
		return 0, 0, false
	}
	first, last, ok := strings.Cut(text, "-")
	from, err := strconv.ParseUint(first, 10, 64)
	to, bad := strconv.ParseUint(last, 10, 64)
	return from, to, ok && err == nil && bad == nil
}

// balanced reports whether a transfer is booked already by what the balance told of
// its block: whatever came in it that was not known then is in there.
func (f *file) balanced(t chain.Transfer) bool {
	return slices.ContainsFunc(f.txs, func(row Transaction) bool {
		from, to, ok := deltaSpan(row.Transfer, t.To)
		return ok && row.Live() && row.Asset == t.Asset && from <= t.Block && t.Block <= to
	})
}

// sinceEver reports whether a transfer is an increase of which nobody knows when
// it came.
func sinceEver(t chain.TransferID, a chain.Address) bool {
	return strings.HasPrefix(t.Ordinal, "b:"+string(a)+":0-")
}
