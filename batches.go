package bursar

import (
	"context"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/sweeper"
)

// A batch is a sweep of many addresses: a payout with Sources. What it moved is
// counted by source.

// codeDivided is why a batch is canceled in whose place its parts were planned.
const codeDivided = "DIVIDED"

// tokensOnly are the addresses, by their ids, that nobody is asked to pay coin to.
func (j *journal) tokensOnly(ctx context.Context, r Reader, groups map[string][]Transaction) (map[string]bool, error) {
	if j.net.batches == 0 {
		return nil, nil
	}
	var ids []string
	for _, group := range groups {
		if t := group[0]; t.Asset != j.net.info.Native.ID {
			ids = append(ids, t.AddressID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	slices.Sort(ids)
	rows, err := r.Addresses(ctx, AddressQuery{IDs: slices.Compact(ids)})
	out := make(map[string]bool, len(rows))
	for _, a := range rows {
		out[a.ID] = a.TokensOnly
	}
	return out, err
}

// intent is what a payout is to do on the chain.
func (p Payout) intent() chain.Intent {
	in := chain.Intent{Purpose: purposeOf(p.Kind), MaxFee: p.MaxFee, Approval: p.Approval}
	if len(p.Sources) == 0 {
		in.Moves = []chain.Move{{From: p.From, To: p.To, Own: p.Own, Asset: p.Asset, Amount: p.Amount, All: p.LessFee}}
		return in
	}
	in.FeePayer = p.From
	for _, s := range p.Sources {
		in.Moves = append(in.Moves, chain.Move{From: s.Account, To: p.To, Asset: p.Asset, Amount: s.Amount})
	}
	return in
}

// Divide implements sweeper.Journal.
func (j *journal) Divide(ctx context.Context, jobID string, parts []sweeper.Plan, cause error) error {
	return j.write(ctx, func(d *desk) error {
		if d.state.Halted != "" {
			return fmt.Errorf("bursar: chain %s is halted: %s", d.net.info.ID, d.state.Halted)
		}
		p, err := d.job(jobID)
		switch {
		case err != nil:
			return err
		case !p.unsigned():
			return fmt.Errorf("%w: payout %s is %s by now", ErrConflict, p.ID, p.Status)
		case !p.partedBy(parts):
			return fmt.Errorf("%w: the parts of payout %s are not what it is", ErrInvariant, p.ID)
		}
		for _, plan := range parts {
			if err := j.part(d, p, plan); err != nil {
				return err
			}
		}
		// What it covered is what its parts cover: nothing is freed.
		p.FailureCode, p.FailureReason = codeDivided, shorten(cause.Error())
		return d.move(p, payoutSignedOff, "divided")
	})
}

// partedBy reports whether parts have every source of a batch exactly once, with its
// amount, and nothing else.
func (p *payoutFile) partedBy(parts []sweeper.Plan) bool {
	left := make(map[chain.Account]chain.Amount, len(p.Sources))
	for _, s := range p.Sources {
		left[s.Account] = s.Amount
	}
	for _, part := range parts {
		if part.Intent.FeePayer.Address == "" && len(part.Intent.Moves) != 1 || kindOf(part.Intent.Purpose) != p.Kind {
			return false
		}
		for _, m := range part.Intent.Moves {
			amount, ours := left[m.From]
			if !ours || amount != m.Amount || m.All || m.To != p.To || m.Asset.ID != p.Asset.ID {
				return false
			}
			delete(left, m.From)
		}
	}
	return len(left) == 0 && len(p.Sources) > 0
}

// part records a part of a batch: it takes over what the batch covers of its sources.
func (j *journal) part(d *desk, of *payoutFile, plan sweeper.Plan) error {
	p, err := j.planned(d, plan)
	if err != nil {
		return err
	}
	sources := map[chain.Address]bool{}
	for _, m := range plan.Intent.Moves {
		sources[m.From.Address] = true
	}
	for _, it := range of.Items {
		if !sources[it.From] {
			continue
		}
		if it.FeeShare = (chain.Amount{}); len(p.Sources) == 0 {
			it.From = ""
		}
		p.Items = append(p.Items, it)
	}
	return d.begin(p)
}

// count notes what of a payout arrived, by its transaction's transfers, and reports
// whether all of it did.
func (p *payoutFile) count(transfers []chain.Transfer) (whole bool) {
	arrived := map[chain.Address]chain.Amount{}
	for _, t := range transfers {
		if t.Asset == p.Asset.ID && t.To == p.To {
			arrived[t.From] = sum(arrived[t.From], t.Amount)
		}
	}
	if len(p.Sources) == 0 {
		p.Moved = arrived[p.From.Address]
		return p.LessFee || !p.Moved.Less(p.Amount)
	}
	p.Moved, whole = chain.Amount{}, true
	p.Sources = slices.Clone(p.Sources)
	for i := range p.Sources {
		s := &p.Sources[i]
		s.Moved = arrived[s.Account.Address]
		p.Moved = sum(p.Moved, s.Moved)
		whole = whole && !s.Moved.Less(s.Amount)
	}
	return whole
}

// movements are what arrived, by who gave it.
func (p *payoutFile) movements() []PayoutSource {
	if len(p.Sources) == 0 {
		return []PayoutSource{{Account: p.From, Amount: p.Amount, Moved: p.Moved}}
	}
	return p.Sources
}

// uncount forgets what arrived.
func (p *payoutFile) uncount() {
	p.Moved, p.Sources = chain.Amount{}, slices.Clone(p.Sources)
	for i := range p.Sources {
		p.Sources[i].Moved = chain.Amount{}
	}
}

// discharges are how much of each item a payout discharges: what arrived of its source,
// first in first out. Where the fee came out of it, all of it, on the payers' account.
func (p Payout) discharges() []chain.Amount {
	left := map[chain.Address]chain.Amount{}
	for _, s := range (&payoutFile{Payout: p}).movements() {
		left[s.Account.Address] = s.Moved
	}
	if p.LessFee {
		left[p.From.Address] = p.Amount
	}
	out := make([]chain.Amount, len(p.Items))
	for i, it := range p.Items {
		from := it.From
		if from == "" {
			from = p.From.Address
		}
		out[i] = it.Amount.Min(left[from])
		left[from] = left[from].SubFloor(out[i])
	}
	return out
}

// missed reports whether a batch that discharges part of an item was to move more of it.
func (it PayoutItem) missed(part chain.Amount) bool { return it.From != "" && part.Less(it.Amount) }
