package quorum

import (
	"context"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// Transfers returns a page as far as Config.Agree distinct operators tell the
// same of it: the same blocks, transfers and spends. It may be shorter than what
// any of them told. Where they agree on nothing it is a *DivergenceError and
// never a page, so that nothing is credited on the word of too few.
//
// Whoever a larger number of operators contradicts is put aside: at once where
// the block is the same and its contents differ, and where it built on a block
// that the others do not have.
//
// With Config.Sample, some pages are read by a second operator although one is
// believed, and pages in dispute are so until it is settled.
func (q *Client) Transfers(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
	switch {
	case to < from:
		return chain.Page{}, &chain.FormatError{What: "block range", Text: fmt.Sprintf("%d-%d", from, to), Reason: "it ends before it begins"}
	case w == nil:
		return chain.Page{}, &chain.FormatError{What: "watch", Reason: "nil"}
	}
	if to-from >= q.info.PageBlocks {
		to = from + q.info.PageBlocks - 1
	}
	if err := q.settleGenesis(ctx); err != nil {
		return chain.Page{}, err
	}
	votes, firm := q.votes(from)
	list, _ := q.order(mTransfers, from)
	answers, faults := gather(ctx, q, mTransfers, list, plan{want: votes, distinct: votes > 1},
		func(ctx context.Context, p *provider) (reading, error) {
			page, err := p.Client.Transfers(ctx, from, to, w)
			if err != nil {
				return reading{}, q.missed(p, from, err)
			}
			return newReading(page, from, to)
		}, func(a []answer[reading]) bool { return unanimous(a, votes) })
	if err := ctx.Err(); err != nil {
		return chain.Page{}, err
	}
	if err := refusal(answers); err != nil {
		return chain.Page{}, err
	}
	if got := operators(answers); got < votes {
		if firm || got == 0 {
			return chain.Page{}, q.unavailable(mTransfers, votes, got, faults)
		}
		// A sample that nobody could take holds nothing up.
		q.count(func(s *Sampling) { s.Missed++ })
		return answers[0].value.page, nil
	}
	return q.decide(answers, votes, firm)
}

// decide takes the longest page that enough operators stand by.
func (q *Client) decide(answers []answer[reading], votes int, firm bool) (chain.Page, error) {
	n, best := longest(answers, votes)
	if n == 0 {
		q.mu.Lock()
		for _, a := range answers {
			q.suspect = max(q.suspect, a.value.page.Last().Height)
		}
		q.mu.Unlock()
		return chain.Page{}, q.diverged(dispute(answers, votes))
	}
	q.condemn(answers, best, n)
	page := best.members[0].value.cut(n)
	if votes > 1 {
		q.agreed()
	}
	if q.cfg.Agree == 1 && votes > 1 {
		q.mu.Lock()
		if page.Last().Height >= q.suspect {
			q.suspect = 0
		}
		q.mu.Unlock()
		if !firm {
			q.count(func(s *Sampling) { s.Compared++ })
		}
	}
	return page, nil
}

// votes is how many operators must agree on a page from a height; firm says that
// fewer will not do.
func (q *Client) votes(from uint64) (n int, firm bool) {
	if q.cfg.Agree > 1 {
		return q.cfg.Agree, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.suspect > 0 && from <= q.suspect:
		return 2, true
	case q.cfg.Sample > 0 && q.rnd.Uint64N(q.cfg.Sample) == 0:
		return 2, false
	}
	return 1, true
}

func (q *Client) count(change func(*Sampling)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change(&q.sampled)
}

// missed turns a provider's word that it has no such block into a failure where
// it told a higher head before: a balancer sent us to a node that is behind.
func (q *Client) missed(p *provider, height uint64, err error) error {
	if classify(err) != FaultBehind {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.head.Hash != "" && p.head.Height >= height {
		return faulty(FaultIncoherent, "%s told its head %d and has no block %d: %v", p.Name, p.head.Height, height, err)
	}
	return err
}

// refusal is the definite error that all answers are, if they are.
func refusal[T any](answers []answer[T]) error {
	for _, a := range answers {
		if a.err == nil {
			return nil
		}
	}
	if len(answers) == 0 {
		return nil
	}
	return answers[0].err
}

// unanimous reports whether enough operators told the same, as far as the
// shortest of their pages goes, and nobody else.
func unanimous(answers []answer[reading], votes int) bool {
	if operators(answers) < votes || refusal(answers) != nil {
		return refusal(answers) != nil && operators(answers) >= votes
	}
	shortest := -1
	for _, a := range answers {
		if n := len(a.value.prefix); shortest < 0 || n < shortest {
			shortest = n
		}
	}
	for _, a := range answers {
		if shortest < 1 || a.value.prefix[shortest-1] != answers[0].value.prefix[shortest-1] {
			return false
		}
	}
	return true
}

// at groups answers by what they say up to the n-th block; shorter ones say
// nothing of it.
func at(answers []answer[reading], n int) []group[reading] {
	long := slices.DeleteFunc(slices.Clone(answers), func(a answer[reading]) bool { return len(a.value.prefix) < n })
	return tally(long, func(r reading) string { return string(r.prefix[n-1][:]) })
}

// longest is the greatest number of blocks that enough operators agree on, and
// who they are.
func longest(answers []answer[reading], votes int) (int, group[reading]) {
	most := 0
	for _, a := range answers {
		most = max(most, len(a.value.prefix))
	}
	for n := most; n > 0; n-- {
		if best, ok := winner(at(answers, n), votes); ok {
			return n, best
		}
	}
	return 0, group[reading]{}
}

// condemn puts aside those who contradict the winners about one of its first n
// blocks and are fewer than they are.
func (q *Client) condemn(answers []answer[reading], best group[reading], n int) {
	right := best.members[0].value
	for _, a := range answers {
		if a.err != nil {
			continue
		}
		i := firstDifference(a.value, right, n)
		if i < 0 {
			continue
		}
		b, fault := a.value.page.Blocks[i], FaultFork
		if b == right.page.Blocks[i] {
			fault = FaultContradicted
		}
		a.by.mu.Lock()
		fresh := fault == FaultFork && a.by.head.Height < b.Height+tipDepth
		a.by.mu.Unlock()
		against := group[reading]{members: []answer[reading]{a}, operators: 1}
		for _, g := range at(answers, i+1) {
			if slices.ContainsFunc(g.members, func(m answer[reading]) bool { return m.by == a.by }) {
				against.operators = g.operators
			}
		}
		if !fresh {
			outvoted(q, []group[reading]{against}, best, fault, "page", b.Height)
		}
	}
}

// firstDifference is the place of the first of n blocks in which two readings
// differ, or -1.
func firstDifference(a, b reading, n int) int {
	for i := range min(n, len(a.prefix), len(b.prefix)) {
		if a.prefix[i] != b.prefix[i] {
			return i
		}
	}
	return -1
}

// dispute tells what a first block is said to be.
func dispute(answers []answer[reading], votes int) *DivergenceError {
	groups := at(slices.DeleteFunc(slices.Clone(answers), func(a answer[reading]) bool { return a.err != nil }), 1)
	e := &DivergenceError{What: "page", Want: votes, Said: said(groups, func(r reading) string {
		p := r.cut(1)
		return fmt.Sprintf("block %d %s with %d transfers and %d spends, %x", p.Blocks[0].Height, p.Blocks[0].Hash, len(p.Transfers), len(p.Spends), r.prefix[0][:4])
	})}
	if len(groups) > 0 {
		e.Height = groups[0].members[0].value.page.Blocks[0].Height
	}
	return e
}
