package quorum

import (
	"context"
	"fmt"
	"strings"
)

// group is those who say the same.
type group[T any] struct {
	members   []answer[T]
	operators int // distinct ones among them
}

// names are the members' names.
func (g group[T]) names() []string {
	out := make([]string, len(g.members))
	for i, m := range g.members {
		out[i] = m.by.Name
	}
	return out
}

// tally groups answers by what they say, in the order of the first who says it.
func tally[T any](answers []answer[T], key func(T) string) []group[T] {
	var groups []group[T]
	index := map[string]int{}
	for _, a := range answers {
		// The space keeps refusals apart from values.
		k := " " + verdict(a.err)
		if a.err == nil {
			k = key(a.value)
		}
		i, ok := index[k]
		if !ok {
			i = len(groups)
			index[k], groups = i, append(groups, group[T]{})
		}
		groups[i].members = append(groups[i].members, a)
	}
	for i := range groups {
		groups[i].operators = operators(groups[i].members)
	}
	return groups
}

// operators counts distinct ones.
func operators[T any](answers []answer[T]) int {
	seen := map[string]bool{}
	for _, a := range answers {
		seen[a.by.Operator] = true
	}
	return len(seen)
}

// winner is the group of at least k operators, where there is exactly one: two
// camps of that size prove that somebody lies, and not who.
func winner[T any](groups []group[T], k int) (best group[T], ok bool) {
	for _, g := range groups {
		if g.operators >= k {
			if ok {
				return group[T]{}, false
			}
			best, ok = g, true
		}
	}
	return best, ok
}

// plurality is the largest group, the first of equals; tie says that there are
// several.
func plurality[T any](groups []group[T]) (best group[T], tie bool) {
	for _, g := range groups {
		switch {
		case g.operators > best.operators:
			best, tie = g, false
		case g.operators == best.operators:
			tie = true
		}
	}
	return best, tie
}

// said tells a dispute in words.
func said[T any](groups []group[T], text func(T) string) []Statement {
	out := make([]Statement, len(groups))
	for i, g := range groups {
		out[i] = Statement{Providers: g.names()}
		if first := g.members[0]; first.err != nil {
			out[i].Answer = verdict(first.err)
		} else {
			out[i].Answer = text(first.value)
		}
	}
	return out
}

// poll is a question that is answered alike by all providers that know enough.
type poll[T any] struct {
	m method
	// need is the height that a provider must have reached.
	need uint64
	// votes is how many operators must give the same answer.
	votes int
	// what names the answer in a dispute.
	what string
	call func(context.Context, *provider) (T, error)
	// key is what two answers have in common where they are the same; text tells
	// one to a person.
	key, text func(T) string
	// strict: whoever is outvoted is wrong, and not merely early or late.
	strict bool
}

// ask gets an answer that enough operators give.
func ask[T any](ctx context.Context, q *Client, p poll[T]) (T, error) {
	var none T
	if err := q.settleGenesis(ctx); err != nil {
		return none, err
	}
	list, _ := q.order(p.m, p.need)
	answers, faults := gather(ctx, q, p.m, list, plan{want: p.votes, distinct: p.votes > 1}, p.call,
		func(a []answer[T]) bool { _, ok := winner(tally(a, p.key), p.votes); return ok })
	if err := ctx.Err(); err != nil {
		return none, err
	}
	groups := tally(answers, p.key)
	best, ok := winner(groups, p.votes)
	switch {
	case !ok && len(groups) > 1:
		return none, q.diverged(&DivergenceError{What: p.what, Height: p.need, Want: p.votes, Said: said(groups, p.text)})
	case !ok:
		return none, q.unavailable(p.m, p.votes, operators(answers), faults)
	}
	if p.strict {
		outvoted(q, groups, best, FaultContradicted, p.what, p.need)
	}
	return best.members[0].value, best.members[0].err
}

// outvoted puts aside whom a larger group contradicts.
func outvoted[T any](q *Client, groups []group[T], best group[T], fault Fault, what string, height uint64) {
	for _, g := range groups {
		if g.operators >= best.operators {
			continue // the winner, or as many against as for it
		}
		for _, m := range g.members {
			q.putAside(m.by, fault, fmt.Sprintf("outvoted on the %s at height %d by %s", what, height, strings.Join(best.names(), ", ")), 0)
		}
	}
}
