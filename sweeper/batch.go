package sweeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// gathering are the assets of which a planned batch waits to be signed: what else there
// is of them waits for the next one, instead of going in a small one of its own.
func (p Policy) gathering(jobs []Job) map[chain.AssetID]bool {
	out := map[chain.AssetID]bool{}
	for _, j := range jobs {
		if j.batch() && j.State == Planned && !j.started() && !p.quarantined(j) {
			out[j.Intent.Moves[0].Asset.ID] = true
		}
	}
	return out
}

// engaged are the addresses at which a job is under way, for which a batch would have
// to wait with all its other sources.
func (p Policy) engaged(jobs []Job) map[chain.Address]bool {
	out := map[chain.Address]bool{}
	for _, j := range jobs {
		if j.State == Included || p.quarantined(j) || j.Intent.Purpose == chain.PurposeTopUp {
			continue
		}
		for _, a := range j.sources() {
			out[a] = true
		}
	}
	return out
}

// batch plans one transaction for the first of some eligible holdings and those of its
// asset after it. ok is false while more may come: until the oldest has waited for
// Policy.Gather, or there are as many as fit.
func (p Policy) batch(holdings []Holding, engaged map[chain.Address]bool, now time.Time) (plan Plan, ok bool) {
	var members []Holding
	taken := maps.Clone(engaged)
	for _, h := range holdings {
		if h.Asset.ID == holdings[0].Asset.ID && p.joins(h) && !taken[h.Account.Address] && len(members) < p.MaxBatch {
			members, taken[h.Account.Address] = append(members, h), true
		}
	}
	if len(members) == 0 || len(members) < p.MaxBatch && now.Before(members[0].Since.Add(p.Gather)) {
		return Plan{}, false
	}
	maps.Copy(engaged, taken)
	return p.batchOf(members), true
}

// batchOf plans one transaction for holdings of one asset.
func (p Policy) batchOf(members []Holding) (plan Plan) {
	name := sha256.New()
	plan.Intent = chain.Intent{Purpose: chain.PurposeCollection, FeePayer: p.Sponsor}
	for _, h := range members {
		plan.Covers = append(plan.Covers, h.Ref)
		plan.Intent.Moves = append(plan.Intent.Moves, chain.Move{From: h.Account, To: p.Treasury, Asset: h.Asset, Amount: h.Amount})
		_, _ = name.Write([]byte(h.Ref + "\n"))
	}
	plan.Key = "batch:" + hex.EncodeToString(name.Sum(nil))
	plan.Intent.MaxFee = p.batchCap(plan.Intent.Moves)
	return plan
}

// batchCap is what the sweep of each move may cost, for all of them, and at most what a
// transaction may. Zero: no cap.
func (p Policy) batchCap(moves []chain.Move) chain.Amount {
	// A sum that overflows is no cap.
	all, err := moves[0].Asset.MaxSweepFee.Mul(uint64(len(moves)))
	if err != nil {
		all = chain.Amount{}
	}
	return p.feeCap(all)
}

// parts plans the moves of a batch that cannot go on as it is anew, in its place: nil
// where it is to be tried again as it is.
//
//   - Sources that are in the way of the others go by themselves. If every one of them
//     reverts it is the asset that is at fault, and nothing is gained.
//   - So does one whose key the signer refuses. Where it refuses the sponsor's, or does
//     not say which, the batch waits as it is.
//   - Where the client makes no batches, any more or of these, each goes by itself.
//   - What does not fit one transaction is divided, and so is a batch that has been too
//     dear for long: the cap on a transaction's fee may be too low for so many. What is
//     left of one source goes by itself, which takes less than a batch of one.
func (p Policy) parts(j Job, cause error) (parts []Plan) {
	moves := j.Intent.Moves
	if len(moves) == 1 && p.offline(moves[0].From) {
		return nil
	}
	var sources *chain.SourcesError
	var many *chain.TooManyMovesError
	var dear *chain.FeeTooHighError
	var refused *chain.PolicyError
	switch {
	case !j.batch() || j.State != Planned || j.started():
		return nil
	case errors.As(cause, &sources):
		return p.without(j, sources)
	case errors.As(cause, &refused) && refused.Rule == ruleOffline:
		return nil // nothing was signed before for any of them
	case errors.As(cause, &refused):
		return p.without(j, refusedSource(j, refused))
	case errors.Is(cause, chain.ErrUnsupported):
		if !slices.ContainsFunc(moves, func(m chain.Move) bool { return !p.offline(m.From) }) {
			return nil
		}
		for _, m := range moves {
			parts = append(parts, p.alone(j, m))
		}
		return parts
	case errors.As(cause, &many) && len(moves) == 1:
		return []Plan{p.alone(j, moves[0])}
	case errors.As(cause, &many):
		fit := min(max(many.Fit, 1), len(moves)-1)
		return []Plan{p.part(j, moves[:fit]), p.part(j, moves[fit:])}
	case !errors.As(cause, &dear) || j.Failures+1 < p.QuarantineAfter:
	case len(moves) == 1:
		return []Plan{p.alone(j, moves[0])}
	default:
		return []Plan{p.part(j, moves[:len(moves)/2]), p.part(j, moves[len(moves)/2:])}
	}
	return nil
}

// without leaves sources out of a batch, each of which goes by itself.
func (p Policy) without(j Job, out *chain.SourcesError) (parts []Plan) {
	bad, reverting := map[chain.Address]error{}, 0
	for _, s := range out.Sources {
		if accountOf(j, s.Account).Address == "" {
			continue
		}
		bad[s.Account] = s
		if isRevert(s.Err) {
			reverting++
		}
	}
	var rest, unsigned []chain.Move
	for _, m := range j.Intent.Moves {
		switch cause := bad[m.From.Address]; {
		case cause == nil:
			rest = append(rest, m)
		case p.offline(m.From) && isRefusal(cause):
			unsigned = append(unsigned, m)
		default:
			parts = append(parts, p.alone(j, m))
		}
	}
	switch {
	case len(bad) == 0, len(unsigned) == len(j.Intent.Moves), len(rest) == 0 && reverting == len(bad) && len(bad) > 1:
		return nil
	case len(unsigned) > 0:
		parts = append(parts, p.part(j, unsigned))
	}
	if len(rest) > 0 {
		parts = append(parts, p.part(j, rest))
	}
	return parts
}

// refusedSource is the source whose key a signer refused, none where it is another key.
func refusedSource(j Job, refused *chain.PolicyError) *chain.SourcesError {
	out := &chain.SourcesError{}
	for _, m := range j.Intent.Moves {
		if m.From.Key == refused.Key && m.From.Key != j.Intent.FeePayer.Key {
			out.Sources = append(out.Sources, &chain.SourceError{Account: m.From.Address, Reason: refused.Error(), Err: refused})
		}
	}
	return out
}

// alone is a move of a batch by itself, which its source pays for if its key is there.
func (p Policy) alone(j Job, m chain.Move) Plan {
	if p.offline(m.From) {
		return p.part(j, []chain.Move{m})
	}
	in := chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{m}, MaxFee: p.feeCap(m.Asset.MaxSweepFee)}
	return Plan{Key: partKey(j, m), Intent: in}
}

// part is a batch of some moves of another one.
func (p Policy) part(j Job, moves []chain.Move) Plan {
	in := j.Intent
	in.Moves = slices.Clone(moves)
	in.MaxFee = p.batchCap(moves)
	return Plan{Key: partKey(j, moves[0]), Intent: in}
}

// partKey names a part by the first of its moves, which is in no other part.
func partKey(j Job, first chain.Move) string {
	return "part:" + j.ID + ":" + string(first.From.Address)
}

// divide puts parts in the place of a batch that cannot go on as it is. It reports
// whether it did, or tried to.
func (r *round) divide(ctx context.Context, j Job, cause error) bool {
	parts := r.policy.parts(j, cause)
	if len(parts) == 0 || ctx.Err() != nil {
		return false
	}
	r.log.WarnContext(ctx, "batch divided", "job", j.ID, "parts", len(parts), "err", cause)
	if err := guard("Journal.Divide", func() error { return r.journal.Divide(ctx, j.ID, parts, cause) }); err != nil {
		r.fail(ctx, j, "Divide", err)
		return true
	}
	r.again = true
	return true
}

// batch reports whether the job is one of many sources that another account pays for.
func (j Job) batch() bool {
	return j.Intent.Purpose == chain.PurposeCollection && j.Intent.FeePayer.Address != ""
}
