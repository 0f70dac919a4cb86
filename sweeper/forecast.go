package sweeper

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// Waiting is a holding that waits to be collected, with what the cost of that depends
// on beside it.
type Waiting struct {
	Holding
	// Payments is how many transfers it consists of; below 1 counts as 1.
	Payments int
	// Delegates says that a batch has collected from the address before, so that it
	// need not sign for that again.
	Delegates bool
	// Used says that the address has sent something before, or has coin, so that it is
	// there on the chain. One that has received tokens alone is not.
	Used bool
}

// Forecast is what it takes to collect the holdings of one asset that go in the same
// way, for the same reason.
type Forecast struct {
	// Asset is what they hold.
	Asset chain.Asset `json:"asset"`
	// Amount is how much that is together, in base units. Where no amount holds the
	// sum it is the largest one.
	Amount chain.Amount `json:"amount"`
	// Addresses is how many there are; Delegating how many of them take part in a
	// batch without a new authorisation; Payments how many transfers they hold.
	Addresses  int `json:"addresses"`
	Delegating int `json:"delegating"` // Delegating need no authorisation.
	Payments   int `json:"payments"`   // Payments are transfers to the addresses.
	// Way is how they are collected; empty where they stay. Reason says why.
	Way    chain.CollectionWay `json:"way,omitempty"`
	Reason Reason              `json:"reason"` // Reason says why.
	// Ways are those that are possible for them: the chosen one first, others by what
	// they cost now.
	Ways []WayCost `json:"ways"`
}

// WayCost is what a way takes to collect everything of a Forecast at once.
type WayCost struct {
	Way chain.CollectionWay `json:"way"` // Way is which.
	// Transactions is how many there are, top-ups included.
	Transactions int `json:"transactions"`
	// Now is the cost under the present rules of the chain, Next under those that are
	// known to be coming, which Rules names: a projection, at the present price.
	Now   Cost   `json:"now"`
	Next  Cost   `json:"next"`            // Next is a projection.
	Rules string `json:"rules,omitempty"` // Rules names those of Next; empty where none are known.
}

// Cost is work and its price. All of it is zero where the client tells no work, what is
// in coin also where the price is not known or no amount holds it.
type Cost struct {
	// Gas is the work, or what the chain calls it; GasEach for each payment, rounded up.
	Gas     uint64 `json:"gas"`
	GasEach uint64 `json:"gas_each"` // GasEach is for one payment.
	// Fee is its price in base units of the native coin; FeeEach for each payment,
	// rounded up.
	Fee     chain.Amount `json:"fee"`
	FeeEach chain.Amount `json:"fee_each"` // FeeEach is for one payment.
	// Share is how much of Forecast.Amount the fee is, in hundredths of a percent,
	// rounded up. It is told of native coin alone: what a token is worth is not known.
	Share uint64 `json:"share,omitempty"`
}

// Forecasts says how holdings would be collected by a policy, why, and what each way
// that is possible for them takes, if all of it were done now and in full batches.
// price is what a unit of work costs, in base units of the native coin; work may be nil.
// It is pure: the same gives the same, ordered by asset, whatever the order of the
// holdings. What the treasury and the sponsor have is left out.
//
// The choice is that of Decide. A token whose address has coin for the fee already
// needs no top-up, and costs less than is told.
func Forecasts(waiting []Waiting, p Policy, work chain.WorkEstimator, price chain.Amount) []Forecast {
	groups := map[group][]Waiting{}
	var order []group
	for _, w := range waiting {
		if p.ours(w.Holding) {
			continue
		}
		g := group{asset: w.Asset.ID}
		g.way, g.reason = p.choose(w.Holding)
		g.possible, _ = p.way(w.Holding)
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], w)
	}
	slices.SortFunc(order, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.asset, b.asset), cmp.Compare(a.way, b.way), cmp.Compare(a.reason, b.reason), cmp.Compare(a.possible, b.possible))
	})
	out := make([]Forecast, 0, len(order))
	for _, g := range order {
		slices.SortStableFunc(groups[g], func(a, b Waiting) int { return byTurn(a.Holding, b.Holding) })
		out = append(out, p.forecast(g, groups[g], work, price))
	}
	return out
}

// group is what the holdings of a Forecast have in common. possible is the way in which
// they would go if they went.
type group struct {
	asset    chain.AssetID
	way      chain.CollectionWay
	reason   Reason
	possible chain.CollectionWay
}

func (p Policy) forecast(g group, of []Waiting, work chain.WorkEstimator, price chain.Amount) Forecast {
	f := Forecast{Asset: of[0].Asset, Addresses: len(of), Way: g.way, Reason: g.reason}
	for _, w := range of {
		f.Payments += max(w.Payments, 1)
		if w.Delegates {
			f.Delegating++
		}
		f.Amount = addUp(f.Amount, w.Amount)
	}
	ways := []chain.CollectionWay{g.possible}
	if g.possible == chain.WayBatch && !slices.ContainsFunc(of, func(w Waiting) bool { return p.offline(w.Account) }) {
		ways = append(ways, chain.WayTopUp) // which is possible wherever the token's address can sign
	}
	for _, way := range ways {
		c := WayCost{Way: way}
		var done chain.Work
		c.Transactions, done = p.work(way, of, work)
		c.Rules, c.Now, c.Next = done.Rules, f.cost(done.Now, price), f.cost(done.Next, price)
		f.Ways = append(f.Ways, c)
	}
	if g.way == "" {
		slices.SortStableFunc(f.Ways, func(a, b WayCost) int { return cmp.Compare(a.Now.Gas, b.Now.Gas) })
	}
	return f
}

// work is what a way takes, and by how many transactions.
func (p Policy) work(way chain.CollectionWay, of []Waiting, work chain.WorkEstimator) (transactions int, sum chain.Work) {
	room, each := len(of), len(of)
	switch way {
	case chain.WayBatch:
		room, each = p.MaxBatch, 1
	case chain.WayTopUp:
		each = 2 * len(of)
	}
	known, next := work != nil, true
	for part := range slices.Chunk(of, room) {
		transactions += each
		c := chain.Collection{Asset: part[0].Asset, Way: way}
		for _, w := range part {
			if way == chain.WayBatch && w.Delegates || way != chain.WayBatch && w.Used {
				c.Again++
			} else {
				c.First++
			}
		}
		if !known {
			continue
		}
		done := work.Work(c)
		known, next = done.Now > 0, next && done.Next > 0
		sum.Now, sum.Next, sum.Rules = sum.Now+done.Now, sum.Next+done.Next, done.Rules
	}
	switch {
	case !known:
		return transactions, chain.Work{}
	case !next:
		sum.Next, sum.Rules = 0, ""
	}
	return transactions, sum
}

// cost prices the work of collecting everything.
func (f Forecast) cost(gas uint64, price chain.Amount) Cost {
	payments := uint64(f.Payments)
	c := Cost{Gas: gas, GasEach: (gas + payments - 1) / payments}
	fee, err := price.Mul(gas)
	if err != nil {
		return c
	}
	c.Fee, c.FeeEach = fee, portion(fee, 1, chain.NewAmount(payments))
	if f.Asset.Native() && !f.Amount.IsZero() {
		// What no number holds is a share as large as can be told.
		c.Share = math.MaxUint64
		if share := portion(fee, 10_000, f.Amount).Big(); share.IsUint64() {
			c.Share = share.Uint64()
		}
	}
	return c
}

// portion is n times num / den, rounded up; the largest amount where that is more.
func portion(n chain.Amount, num uint64, den chain.Amount) chain.Amount {
	whole, rest := new(big.Int).QuoRem(new(big.Int).Mul(n.Big(), new(big.Int).SetUint64(num)), den.Big(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	out, err := chain.AmountFromBig(whole)
	if err != nil {
		return largest()
	}
	return out
}

// addUp is a sum; the largest amount where it is more than that.
func addUp(a, b chain.Amount) chain.Amount {
	sum, err := a.Add(b)
	if err != nil {
		return largest()
	}
	return sum
}

func largest() chain.Amount {
	out, _ := chain.AmountFromBytes(bytes.Repeat([]byte{0xff}, 32)) // as many always fit
	return out
}
