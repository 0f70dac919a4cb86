package quorum

import (
	"context"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// Headers returns the blocks that Config.Agree distinct operators tell alike, as
// far as they do. Who has not reached from is asked last.
func (q *Client) Headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	if to < from {
		return nil, &chain.FormatError{What: "block range", Text: fmt.Sprintf("%d-%d", from, to), Reason: "it ends before it begins"}
	}
	if err := q.settleGenesis(ctx); err != nil {
		return nil, err
	}
	votes := q.cfg.Agree
	list, _ := q.order(mHeaders, from)
	answers, faults := gather(ctx, q, mHeaders, list, plan{want: votes, distinct: votes > 1},
		func(ctx context.Context, p *provider) (reading, error) { return q.headersOf(ctx, p, from, to) },
		func(a []answer[reading]) bool {
			return unanimous(a, votes) || len(above(a)) == 0 && operators(a) >= votes
		})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := refusal(answers); err != nil {
		return nil, err
	}
	if got := operators(answers); got < votes {
		return nil, q.unavailable(mHeaders, votes, got, faults)
	}
	n, best := longest(answers, votes)
	if n == 0 {
		none := slices.DeleteFunc(slices.Clone(answers), func(a answer[reading]) bool { return len(a.value.prefix) > 0 })
		if operators(none) >= votes {
			return nil, nil // enough of them have no such block yet
		}
		e := dispute(above(answers), votes)
		e.What = "headers"
		return nil, q.diverged(e)
	}
	q.condemn(answers, best, n)
	return best.members[0].value.page.Blocks[:n:n], nil
}

// above leaves out those who have no block at the height asked for.
func above(answers []answer[reading]) []answer[reading] {
	return slices.DeleteFunc(slices.Clone(answers), func(a answer[reading]) bool { return len(a.value.prefix) == 0 })
}

// headersOf asks one provider. No blocks are an answer only as long as nobody has
// told a head above them.
func (q *Client) headersOf(ctx context.Context, p *provider, from, to uint64) (reading, error) {
	refs, err := p.Client.Headers(ctx, from, to)
	if err != nil {
		return reading{}, err
	}
	if len(refs) == 0 {
		err := faulty(FaultBehind, "%s has no block %d", p.Name, from)
		if told := q.missed(p, from, err); classify(told) != FaultBehind {
			return reading{}, told
		}
		if q.View().Head.Latest.Height >= from {
			return reading{}, err
		}
	}
	if err := checkRefs(refs, from, to); err != nil {
		return reading{}, err
	}
	r := reading{page: chain.Page{Blocks: refs}}
	var before sum
	for _, b := range refs {
		c := newCanon()
		c.h.Write(before[:])
		c.block(b)
		before = c.done()
		r.prefix = append(r.prefix, before)
	}
	return r, nil
}
