package quorum

import (
	"context"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// merge finds the head that enough operators have.
func (q *Client) merge(ctx context.Context, answers []answer[chain.Head]) (chain.Head, []answer[chain.Head], error) {
	if q.cfg.Agree == 1 {
		a := q.choose(answers)
		return a.value, []answer[chain.Head]{a}, nil
	}
	height, _ := kth(answers, q.cfg.Agree, func(h chain.Head) (uint64, bool) { return h.Latest.Height, true })
	var dispute *DivergenceError
	for range siblings {
		groups, err := q.refsAt(ctx, height, answers)
		if err != nil {
			return chain.Head{}, nil, err
		}
		if best, ok := winner(groups, q.cfg.Agree); ok {
			if len(groups) > 1 && height >= tipDepth {
				// Whoever differs further down as well is on a branch of its own.
				if groups, err = q.refsAt(ctx, height-tipDepth, answers); err != nil {
					return chain.Head{}, nil, err
				}
				q.punishForks(groups, height-tipDepth)
			}
			final, err := q.mergeFinal(ctx, answers)
			return chain.Head{Latest: best.members[0].value, Finalized: final}, among(answers, best), err
		}
		if dispute == nil {
			dispute = &DivergenceError{What: "head", Height: height, Want: q.cfg.Agree, Said: said(groups, refText)}
		}
		if height == 0 {
			break
		}
		height--
	}
	return chain.Head{}, nil, q.diverged(dispute)
}

// siblings is at how many heights a common block is looked for: two miners may
// find the newest block at once, and nodes agree on the one before.
const siblings = 2

// kth is the k-th highest height that distinct operators reach.
func kth(answers []answer[chain.Head], k int, of func(chain.Head) (uint64, bool)) (uint64, bool) {
	best := map[string]uint64{}
	for _, a := range answers {
		if h, ok := of(a.value); ok {
			best[a.by.Operator] = max(best[a.by.Operator], h)
		}
	}
	heights := make([]uint64, 0, len(best))
	for _, h := range best {
		heights = append(heights, h)
	}
	slices.Sort(heights)
	if len(heights) < k {
		return 0, false
	}
	return heights[len(heights)-k], true
}

// refsAt finds out which block those that reach a height have there.
func (q *Client) refsAt(ctx context.Context, height uint64, answers []answer[chain.Head]) ([]group[chain.BlockRef], error) {
	var refs []answer[chain.BlockRef]
	var above []*provider
	place := map[*provider]int{}
	for _, a := range answers {
		place[a.by] = a.place
		switch f := a.value.Finalized; {
		case a.value.Latest.Height == height:
			refs = append(refs, answer[chain.BlockRef]{by: a.by, place: a.place, value: a.value.Latest})
		case f != nil && f.Height == height:
			refs = append(refs, answer[chain.BlockRef]{by: a.by, place: a.place, value: *f})
		case a.value.Latest.Height > height:
			above = append(above, a.by)
		}
	}
	more, _ := gather(ctx, q, mHeaders, above, plan{want: len(above), need: q.cfg.Agree, patience: true},
		func(ctx context.Context, p *provider) (chain.BlockRef, error) {
			found, err := p.Client.Headers(ctx, height, height)
			switch {
			case err != nil:
				return chain.BlockRef{}, err
			case len(found) != 1 || found[0].Height != height || found[0].Hash == "":
				return chain.BlockRef{}, faulty(FaultIncoherent, "%s told its head and not block %d below", p.Name, height)
			}
			return found[0], nil
		}, func(a []answer[chain.BlockRef]) bool { return len(a) == len(above) })
	for _, m := range more {
		if m.err == nil {
			m.place = place[m.by]
			refs = append(refs, m)
		}
	}
	slices.SortFunc(refs, func(a, b answer[chain.BlockRef]) int { return a.place - b.place })
	return tally(refs, refKey), ctx.Err()
}

func refKey(b chain.BlockRef) string {
	return fmt.Sprintf("%d %s %s %d", b.Height, b.Hash, b.Parent, b.Time.UnixNano())
}

func refText(b chain.BlockRef) string { return fmt.Sprintf("block %d %s", b.Height, b.Hash) }

// among returns the answers of those who are in a group.
func among(answers []answer[chain.Head], g group[chain.BlockRef]) []answer[chain.Head] {
	return slices.DeleteFunc(slices.Clone(answers), func(a answer[chain.Head]) bool {
		return !slices.ContainsFunc(g.members, func(m answer[chain.BlockRef]) bool { return m.by == a.by })
	})
}

// tipDepth is how deep below a provider's own head a block must be before being
// outvoted on it counts against the provider: nodes differ for a moment about
// what was found last.
const tipDepth = 2

// punishForks puts aside who is outvoted on a block that it has built upon.
func (q *Client) punishForks(groups []group[chain.BlockRef], height uint64) {
	best, ok := winner(groups, q.cfg.Agree)
	if !ok {
		return
	}
	for i := range groups {
		groups[i].members = slices.DeleteFunc(slices.Clone(groups[i].members), func(m answer[chain.BlockRef]) bool {
			m.by.mu.Lock()
			defer m.by.mu.Unlock()
			return m.by.head.Height < height+tipDepth
		})
	}
	outvoted(q, groups, best, FaultFork, "head", height)
}

// mergeFinal finds the highest final block of enough operators. Where they do not
// agree it is what it was; nil is returned only where enough have no finality of
// their own, because nil sends the gateway to count blocks instead.
func (q *Client) mergeFinal(ctx context.Context, answers []answer[chain.Head]) (*chain.BlockRef, error) {
	q.mu.Lock()
	floor := q.view.head.Finalized
	q.mu.Unlock()
	height, ok := kth(answers, q.cfg.Agree, func(h chain.Head) (uint64, bool) {
		if h.Finalized == nil {
			return 0, false
		}
		return h.Finalized.Height, true
	})
	if !ok {
		without := slices.DeleteFunc(slices.Clone(answers), func(a answer[chain.Head]) bool { return a.value.Finalized != nil })
		if floor != nil || operators(without) >= q.cfg.Agree {
			return floor, nil
		}
		return nil, q.unavailable(mHead, q.cfg.Agree, operators(answers)-operators(without), nil)
	}
	if floor != nil && height <= floor.Height {
		return floor, nil
	}
	groups, err := q.refsAt(ctx, height, answers)
	if err != nil {
		return nil, err
	}
	best, ok := winner(groups, q.cfg.Agree)
	if !ok {
		return nil, q.diverged(&DivergenceError{What: "final block", Height: height, Want: q.cfg.Agree, Said: said(groups, refText)})
	}
	q.punishForks(groups, height)
	return &best.members[0].value, nil
}
