package sweeper

import (
	"cmp"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// place is one asset at one address.
type place struct {
	account chain.Address
	asset   chain.AssetID
}

// Decide says which jobs to begin. It is pure: the same work and policy give
// the same plans in the same order, the longest waiting holding first.
//
//   - Nothing is planned while the work is halted, nor beyond Policy.MaxOpen.
//   - A holding below its asset's SweepMinimum stays; so does one of zero.
//   - One asset at one address has at most one open job.
//   - Native coin waits for the tokens at its address, which use it as gas,
//     unless their job is in quarantine.
//   - The sponsor and the treasury are never swept.
//   - Where Policy.MaxBatch says so, tokens are gathered and go together, one asset at
//     a time, in a transaction that the sponsor pays for. Addresses at which a job is
//     under way are left out, since all others would have to wait for it.
//   - An address whose key is offline has batches or nothing: where others go alone it
//     has one of its own, of its token; what no batch moves waits for the key.
//
// A token is moved by its exact amount. Native coin gives up at most the
// holding's amount, fee included: a deposit that is not final yet stays.
func Decide(w Work, p Policy) []Plan {
	if w.Halted || p.Treasury == "" {
		return nil
	}
	p = p.withDefaults(0)
	open, tokens, busy := p.survey(w.Jobs)
	gathering, engaged := p.gathering(w.Jobs), p.engaged(w.Jobs)
	holdings := p.eligible(w.Holdings, open)
	for _, h := range holdings {
		if !h.Asset.Native() {
			tokens[h.Account.Address] = true
		}
	}
	var plans []Plan
	for i, h := range holdings {
		if busy+len(plans) >= p.MaxOpen {
			break
		}
		here := place{h.Account.Address, h.Asset.ID}
		switch {
		case open[here] || h.Asset.Native() && tokens[h.Account.Address]:
		case p.joins(h):
			if gathering[h.Asset.ID] {
				continue
			}
			if plan, ok := p.batch(holdings[i:], engaged, w.Now); ok {
				plans = append(plans, plan)
			}
			// What is left of the asset goes with the next one.
			gathering[h.Asset.ID] = true
		default:
			open[here] = true
			if way, _ := p.way(h); way == chain.WayBatch {
				plans = append(plans, p.batchOf([]Holding{h}))
				continue
			}
			plans = append(plans, p.sweep(h))
		}
	}
	return plans
}

// survey finds what the open jobs hold up: the places that have a job, the
// addresses where a token's job may want the native coin, and the number of
// jobs that count against MaxOpen. What pays strangers does not count: nobody plans
// it here, and it must not hold sweeps up.
func (p Policy) survey(jobs []Job) (open map[place]bool, tokens map[chain.Address]bool, busy int) {
	open, tokens = map[place]bool{}, map[chain.Address]bool{}
	for _, j := range jobs {
		lame := p.quarantined(j)
		if !lame && j.State != Included && !paysStranger(j.Intent) {
			busy++
		}
		for _, m := range j.Intent.Moves {
			open[place{m.From.Address, m.Asset.ID}] = true
			if !m.Asset.Native() && !lame {
				tokens[m.From.Address] = true
			}
		}
	}
	return open, tokens, busy
}

// eligible returns the holdings that are worth a job, in the order of planning.
func (p Policy) eligible(all []Holding, open map[place]bool) []Holding {
	var out []Holding
	for _, h := range all {
		way, _ := p.choose(h)
		if way != "" && !p.ours(h) && !open[place{h.Account.Address, h.Asset.ID}] {
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, byTurn)
	return out
}

// ours reports whether a holding is where it is to be: the sponsor's and the treasury's
// are never swept.
func (p Policy) ours(h Holding) bool {
	return h.Account.Address == p.Treasury || h.Account.Address == p.Sponsor.Address
}

// byTurn is the order of planning: the longest waiting comes first.
func byTurn(a, b Holding) int {
	return cmp.Or(
		a.Since.Compare(b.Since),
		cmp.Compare(a.Account.Address, b.Account.Address),
		cmp.Compare(a.Asset.ID, b.Asset.ID),
		cmp.Compare(a.Ref, b.Ref),
	)
}

// sweep plans the transfer of one holding to the treasury.
func (p Policy) sweep(h Holding) Plan {
	fee := p.feeCap(h.Asset.MaxSweepFee)
	if h.Asset.Native() {
		// MulDiv cannot overflow: the share is at most 100 of 100.
		share, _ := h.Amount.MulDiv(chain.NewAmount(p.MaxFeeShare), chain.NewAmount(100))
		if share.IsZero() {
			// A cap of zero would mean none.
			share = chain.NewAmount(1)
		}
		fee = lowerCap(fee, share)
	}
	return Plan{
		Key: "sweep:" + h.Ref,
		Intent: chain.Intent{
			Purpose: chain.PurposeCollection,
			Moves: []chain.Move{{
				From: h.Account, To: p.Treasury, Asset: h.Asset, Amount: h.Amount, All: h.Asset.Native(),
			}},
			MaxFee: fee,
		},
		Covers: []string{h.Ref},
	}
}

// topUps plans the gas that a job's draft says is missing, from the sponsor to
// the job's own sources and nowhere else. The key holds the number of top-ups
// that ended before: while one is open, or when the answer to a write got lost,
// the same key comes out and the journal passes it over.
func (p Policy) topUps(j Job, needs []chain.Need, now time.Time) ([]Plan, error) {
	if p.Sponsor.Address == "" {
		return nil, ErrNoSponsor
	}
	if j.TopUps >= p.MaxTopUps && now.Before(j.ToppedUp.Add(p.TopUpPause)) {
		return nil, ErrTopUpLimit
	}
	limit := p.topUpCap(j)
	var plans []Plan
	for _, n := range needs {
		own := n.Account.Key
		switch {
		case !n.Asset.Native():
			return nil, refuse("need.asset", string(n.Asset.ID), "only native coin is topped up")
		case n.Amount.IsZero():
			return nil, refuse("need.amount", "0", "needs nothing")
		case n.Account.Address == p.Sponsor.Address:
			return nil, &chain.InsufficientFundsError{Account: n.Account.Address, Asset: n.Asset, Required: n.Amount}
		case n.Account.Address == "" || n.Account != accountOf(j, n.Account.Address):
			return nil, refuse("need.account", string(n.Account.Address), "is no source of the job")
		case !limit.IsZero() && limit.Less(n.Amount):
			return nil, &chain.FeeTooHighError{Fee: n.Amount, Cap: limit}
		}
		plans = append(plans, Plan{
			Key: topUpKey(j, n.Account.Address),
			Intent: chain.Intent{
				Purpose: chain.PurposeTopUp,
				Moves:   []chain.Move{{From: p.Sponsor, To: n.Account.Address, Own: &own, Asset: n.Asset, Amount: n.Amount}},
				MaxFee:  p.feeCap(j.Intent.MaxFee),
			},
			Parent: j.ID,
		})
	}
	return plans, nil
}
