package quorum

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// Prepare has up to three operators, and at least Config.Agree, draft the same
// intent, and returns one of the drafts that most of them, and at least
// Config.Agree, made with the same locks: a node that is behind would reuse a
// spent nonce, a lying one leave a gap.
//
// Among these, a draft is taken whose Fee is within Config.FeeRatio of their
// median, the lower one of two. A draft that stands alone, because nobody else
// answered, is not compared: Intent.MaxFee bounds it.
func (q *Client) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	return q.draft(ctx, mPrepare, func(ctx context.Context, p *provider) (chain.Draft, error) { return p.Client.Prepare(ctx, in) })
}

// bumper is chain.FeeBumper under the rules of the quorum.
type bumper struct{ q *Client }

// Bump has the replacement drafted under the same rules as Prepare.
func (b bumper) Bump(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
	return b.q.draft(ctx, mBump, capable(func(ctx context.Context, c chain.FeeBumper) (chain.Draft, error) { return c.Bump(ctx, in, old) }))
}

// batcher is chain.Batcher of clients that agree.
type batcher struct{ bound chain.Batching }

// Batching says what all of them say.
func (b batcher) Batching() chain.Batching { return b.bound }

// batching asks all clients, whatever their operators: it is their configuration,
// which no node has a say in, and one that differs is a mistake of ours.
func batching(q *Client) (batcher, bool) {
	capable := all[chain.Batcher](q)
	if len(capable) == 0 {
		return batcher{}, false
	}
	bound := capable[0].Batching()
	for _, c := range capable[1:] {
		if c.Batching() != bound {
			return batcher{}, false
		}
	}
	return batcher{bound}, true
}

// workers is chain.WorkEstimator of all clients.
type workers []chain.WorkEstimator

// Work says what all of them say, each figure for itself. Where one says otherwise it
// is not known: their configurations differ.
func (w workers) Work(of chain.Collection) chain.Work {
	out := w[0].Work(of)
	for _, other := range w[1:] {
		got := other.Work(of)
		if got.Now != out.Now {
			out.Now = 0
		}
		if got.Next != out.Next || got.Rules != out.Rules {
			out.Next, out.Rules = 0, ""
		}
	}
	return out
}

// estimator is chain.FeeEstimator under the rules of the quorum.
type estimator struct{ q *Client }

// EstimateFees has up to three operators, and at least Config.Agree, tell the
// price, and returns the median of each figure, the lower one of two. Markets are
// no facts that could be voted on, and nobody is put aside for another view of them.
func (e estimator) EstimateFees(ctx context.Context) (chain.FeeMarket, error) {
	q := e.q
	if err := q.settleGenesis(ctx); err != nil {
		return chain.FeeMarket{}, err
	}
	want := max(q.cfg.Agree, drafters)
	answers, faults := gather(ctx, q, mEstimate, q.upToDate(mEstimate), plan{want: want, distinct: true, patience: true, need: q.cfg.Agree},
		capable(func(ctx context.Context, c chain.FeeEstimator) (chain.FeeMarket, error) { return c.EstimateFees(ctx) }),
		func(a []answer[chain.FeeMarket]) bool { return operators(a) >= want })
	if err := ctx.Err(); err != nil {
		return chain.FeeMarket{}, err
	}
	var now, usual []chain.Amount
	told := slices.DeleteFunc(answers, func(a answer[chain.FeeMarket]) bool { return a.err != nil })
	for _, a := range told {
		now, usual = append(now, a.value.Now), append(usual, a.value.Usual)
	}
	if n := operators(told); n < q.cfg.Agree || n == 0 {
		return chain.FeeMarket{}, q.unavailable(mEstimate, q.cfg.Agree, n, faults)
	}
	return chain.FeeMarket{Now: middle(now), Usual: middle(usual)}, nil
}

// middle is the median of at least one amount, the lower one of two.
func middle(of []chain.Amount) chain.Amount {
	slices.SortFunc(of, chain.Amount.Cmp)
	return of[(len(of)-1)/2]
}

// drafters is how many operators draft an intent where one would be believed:
// with three, one who asks an absurd price is outvoted.
const drafters = 3

func (q *Client) draft(ctx context.Context, m method, call func(context.Context, *provider) (chain.Draft, error)) (chain.Draft, error) {
	if err := q.settleGenesis(ctx); err != nil {
		return chain.Draft{}, err
	}
	votes, want := q.cfg.Agree, max(q.cfg.Agree, drafters)
	answers, faults := gather(ctx, q, m, q.upToDate(m), plan{want: want, distinct: true, patience: true, need: votes}, call,
		func(a []answer[chain.Draft]) bool {
			best, _ := plurality(tally(a, draftKey))
			return operators(a) >= want && best.operators >= votes
		})
	if err := ctx.Err(); err != nil {
		return chain.Draft{}, err
	}
	groups := tally(answers, draftKey)
	best, tie := plurality(groups)
	switch {
	case best.operators == 0, best.operators < votes && len(groups) == 1:
		return chain.Draft{}, q.unavailable(m, votes, best.operators, faults)
	case best.operators < votes || tie && votes > 1:
		return chain.Draft{}, q.diverged(&DivergenceError{What: "draft", Want: votes, Said: said(groups, draftText)})
	}
	if err := best.members[0].err; err != nil {
		return chain.Draft{}, err
	}
	return q.priced(best), nil
}

// upToDate lists those who have the newest block, or everybody where nobody has
// it: nonces and balances are those of a node's own head.
func (q *Client) upToDate(m method) []*provider {
	height := q.View().Head.Latest.Height
	list, _ := q.order(m, height)
	fresh := slices.DeleteFunc(slices.Clone(list), func(p *provider) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.head.Height < height || p.aside
	})
	if len(fresh) < q.cfg.Agree {
		return list
	}
	return fresh
}

// draftKey is what two drafts of one intent have in common whatever they cost.
func draftKey(d chain.Draft) string {
	return fmt.Sprint(d.Locks, len(d.Needs))
}

func draftText(d chain.Draft) string {
	return fmt.Sprintf("locks %v, %d needs, fee %s", d.Locks, len(d.Needs), d.Fee)
}

// priced picks the first draft whose price is near the median, and puts aside
// whom two others contradict by more than the ratio.
func (q *Client) priced(g group[chain.Draft]) chain.Draft {
	fees := make([]chain.Amount, len(g.members))
	for i, m := range g.members {
		fees[i] = m.value.Fee
	}
	median := middle(fees)
	far := func(fee chain.Amount) bool {
		return over(fee, median, q.cfg.FeeRatio) || over(median, fee, q.cfg.FeeRatio)
	}
	for _, m := range g.members {
		if g.operators >= drafters && far(m.value.Fee) {
			q.putAside(m.by, FaultPrice, fmt.Sprintf("its draft costs up to %s, the median is %s", m.value.Fee, median), 0)
		}
	}
	at := slices.IndexFunc(g.members, func(m answer[chain.Draft]) bool { return !far(m.value.Fee) })
	return g.members[at].value // the median itself is near
}

// over reports whether a is more than ratio times b.
func over(a, b chain.Amount, ratio uint64) bool {
	limit, err := b.Mul(ratio)
	return err == nil && limit.Less(a)
}

// Sign has the draft signed by the first provider's client. It asks no node, and
// is made once, whatever comes of it: a signer may be a person.
func (q *Client) Sign(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	return q.providers[0].Client.Sign(ctx, d, s)
}

// Broadcast hands the bytes to every provider that is in, and waits a moment for
// the slower ones after the first has taken them. One that takes them is success.
//
// Where nobody did, a refusal counts only where at least Config.Agree operators,
// and more than are of any other mind, refuse for the same reason. Whoever did
// not answer may have the transaction, and is of another mind: then the outcome
// is unknown, which is a *UnavailableError, and the same bytes may be sent again.
func (q *Client) Broadcast(ctx context.Context, s chain.Signed) error {
	if err := q.settleGenesis(ctx); err != nil {
		return err
	}
	list, ready := q.order(mBroadcast, 0)
	answers, faults := gather(ctx, q, mBroadcast, list, plan{want: ready, grace: q.cfg.HedgeLeast},
		func(ctx context.Context, p *provider) (struct{}, error) {
			return struct{}{}, p.Client.Broadcast(ctx, s)
		}, accepted)
	if accepted(answers) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	groups := tally(answers, func(struct{}) string { return "" })
	slices.SortStableFunc(groups, func(a, b group[struct{}]) int { return cmp.Compare(b.operators, a.operators) })
	unknown := map[string]bool{}
	for _, f := range faults {
		unknown[f.Provider] = f.Fault != FaultAside && f.Fault != FaultUnsupported && f.Fault != FaultWrongChain
	}
	others := len(slices.DeleteFunc(slices.Clone(faults), func(f ProviderFault) bool { return !unknown[f.Provider] }))
	if len(groups) == 0 || groups[0].operators < q.cfg.Agree || groups[0].operators <= others || len(groups) > 1 && groups[0].operators == groups[1].operators {
		for _, g := range groups {
			for _, m := range g.members {
				// What they said is told and not wrapped: nobody is to act upon it.
				faults = append(faults, ProviderFault{m.by.Name, FaultRefused, strings.TrimSpace(m.err.Error())})
			}
		}
		return q.unavailable(mBroadcast, q.cfg.Agree, 0, faults)
	}
	return groups[0].members[0].err
}

func accepted(answers []answer[struct{}]) bool {
	return slices.ContainsFunc(answers, func(a answer[struct{}]) bool { return a.err == nil })
}
