package bursar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/sweeper"
)

// pricePatience bounds what SweepCosts asks of a node.
const pricePatience = 20 * time.Second

// SweepForecast is what it takes to sweep some holdings of one asset, in the way that
// is chosen for them and in others that are possible; see SweepCosts.
type SweepForecast = sweeper.Forecast

// SweepCosts is what waits to be swept on one chain, and what that would cost.
type SweepCosts struct {
	Chain ChainID   `json:"chain"` // Chain is the chain, as CAIP-2.
	Name  string    `json:"name"`  // Name is its short name.
	At    time.Time `json:"at"`    // At is when it was read, by the store's clock.
	// Coin is what fees are paid in.
	Coin chain.Asset `json:"coin"`
	// Off is true where nothing is swept: Chain.Sweep is SweepOff, or there is no
	// signer. Halted is why nothing is swept for now; empty while all is well.
	Off    bool   `json:"off,omitempty"`
	Halted string `json:"halted,omitempty"` // Halted is why nothing goes on.
	// Price is what a unit of gas, or the like, costs now, Usual the median of about the
	// last day, in base units of the coin. Zero: not known. Unpriced says why Price is not.
	Price    chain.Amount `json:"price"`
	Usual    chain.Amount `json:"usual"`              // Usual is that of the last day.
	Unpriced string       `json:"unpriced,omitempty"` // Unpriced is why Price is zero.
	// Waiting is what is final and neither swept nor in a payout under way, by asset and
	// by the way in which it goes: everything that waits at once, as if it were not to be
	// gathered or to wait for a cheaper hour.
	Waiting []SweepForecast `json:"waiting"`
}

// SweepCosts tells what waits to be swept on a chain, how it would be swept and why,
// and what each way that is possible for it costs: in gas and in coin, for a payment and
// for all, under the chain's present rules and, as a projection, under those that are
// coming. The choice is the sweeper's own. The figures are for ordinary tokens and
// without a fee for the layer below (see chain.WorkEstimator); what is not known is zero.
//
// The chain is named by its id or its short name: *FieldError where there is none. It
// writes nothing, reads one snapshot of the store, and asks the node for the price for at
// most 20 s; what that does not answer is told in SweepCosts.Unpriced. It works before
// Start and after Stop.
func (g *Gateway) SweepCosts(ctx context.Context, id ChainID) (SweepCosts, error) {
	net, err := g.chainNamed("SweepCosts.Chain", string(id))
	if err != nil {
		return SweepCosts{}, err
	}
	sponsor, err := net.book.sponsor()
	if err != nil {
		return SweepCosts{}, err
	}
	policy := net.cfg.sweepPolicy(sponsor.account(), nil, nil)
	policy.Offline = net.offline
	out := SweepCosts{Chain: net.info.ID, Name: net.info.Name, Coin: net.info.Native, Off: net.sweeper.WatchOnly()}
	if out.Off {
		policy.Treasury = "" // nobody chooses a way
	}
	var waiting []sweeper.Waiting
	err = g.read(ctx, func(r Reader) error {
		out.At = r.Now()
		st, err := r.Chain(ctx, net.info.ID)
		if err != nil {
			return err
		}
		if err := net.learn(st); err != nil {
			return err
		}
		out.Halted = st.Halted
		waiting, err = net.waiting(ctx, r)
		return err
	})
	if err != nil {
		return SweepCosts{}, err
	}
	if err := net.price(ctx, &out); err != nil {
		return SweepCosts{}, err
	}
	work, _ := chain.As[chain.WorkEstimator](net.client)
	out.Waiting = sweeper.Forecasts(waiting, policy, work, out.Price)
	return out, nil
}

// price asks the node. Only the end of ctx is an error.
func (n *network) price(ctx context.Context, out *SweepCosts) error {
	fees, ok := chain.As[chain.FeeEstimator](n.client)
	if !ok {
		out.Unpriced = "the client tells no prices"
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, pricePatience)
	defer cancel()
	m, err := fees.EstimateFees(limited)
	switch {
	case err == nil:
		out.Price, out.Usual = m.Now, m.Usual
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		out.Unpriced = fmt.Sprintf("the node did not answer within %s", pricePatience)
	default:
		out.Unpriced = err.Error()
	}
	return nil
}

// waiting are the holdings that can be swept, whether the chain is swept or not, with
// what the cost of it depends on. Unlike the sweeper's own list it needs no derived
// addresses: the rows of the store tell whose they are.
func (n *network) waiting(ctx context.Context, r Reader) ([]sweeper.Waiting, error) {
	rows, err := r.Transactions(ctx, TransactionQuery{Chain: n.info.ID, Sweepable: true})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	slices.SortFunc(rows, byPlace)
	var ids []string
	for _, t := range rows {
		ids = append(ids, t.AddressID)
	}
	if ids = distinct(ids); len(ids) == 0 {
		return nil, nil
	}
	addresses, err := r.Addresses(ctx, AddressQuery{IDs: ids})
	if err != nil {
		return nil, err
	}
	of := make(map[string]Address, len(addresses))
	for _, a := range addresses {
		if n.book.deposits(a) {
			of[a.ID] = a
		}
	}
	past, err := n.collected(ctx, r, ids)
	if err != nil {
		return nil, err
	}
	at, out := map[string]int{}, []sweeper.Waiting(nil)
	for _, t := range rows {
		asset, known := n.known().all[t.Asset]
		a, ours := of[t.AddressID]
		if !known || !ours || t.Suspense {
			continue // it stays in the ledger
		}
		name := t.AddressID + " " + string(t.Asset)
		i, begun := at[name]
		if !begun {
			i = len(out)
			at[name] = i
			out = append(out, sweeper.Waiting{
				Holding:   sweeper.Holding{Ref: name, Account: a.Account(), Asset: asset, Since: t.ConfirmedAt, Plain: !a.TokensOnly},
				Delegates: past[a.ID].delegates, Used: past[a.ID].used,
			})
		}
		w := &out[i]
		w.Payments++
		w.Amount, w.Missed = sum(w.Amount, uncovered(t)), max(w.Missed, t.Missed)
	}
	return out, nil
}

// deposits reports whether an address is one that customers pay to, of a wallet that is
// configured: what the gateway's own accounts have stays where it works.
func (b *book) deposits(a Address) bool {
	return slices.ContainsFunc(b.accounts, func(w *hdwallet.Account) bool { return poolName(w) == a.Pool })
}

// collection is what was done with an address before.
type collection struct{ used, delegates bool }

// collected tells, by the ids of addresses, which of them have given something, and
// which gave it in a batch, since when they delegate.
func (n *network) collected(ctx context.Context, r Reader, ids []string) (map[string]collection, error) {
	rows, err := r.Transactions(ctx, TransactionQuery{Chain: n.info.ID, AddressIDs: ids, Types: []TransactionType{TypeInternal}})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var payouts []string
	for _, t := range rows {
		payouts = append(payouts, t.PayoutID)
	}
	batches := map[string]bool{}
	if payouts = distinct(payouts); len(payouts) > 0 {
		found, err := r.Payouts(ctx, PayoutQuery{IDs: payouts})
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			batches[p.ID] = len(p.Sources) > 0
		}
	}
	out := map[string]collection{}
	for _, t := range rows {
		if !t.Live() {
			continue
		}
		c := out[t.AddressID]
		out[t.AddressID] = collection{used: true, delegates: c.delegates || batches[t.PayoutID]}
	}
	return out, nil
}

// distinct are the ids, each once, without empty ones: a query of none is one of all.
func distinct(ids []string) []string {
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return id == "" })
}
