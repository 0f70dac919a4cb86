package quorum

import (
	"context"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// Status asks what became of transactions. That one is in a block counts where
// Config.Agree distinct operators tell the same of it, fee and transfers
// included; that it waits, where at least one does and too few tell of a block
// for there to be a dispute. Otherwise it is a *DivergenceError.
func (q *Client) Status(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	if err := q.settleGenesis(ctx); err != nil {
		return nil, err
	}
	votes := q.cfg.Agree
	call := func(ctx context.Context, p *provider) ([]chain.TxStatus, error) {
		out, err := p.Client.Status(ctx, ids...)
		if err == nil && !slices.EqualFunc(out, ids, func(s chain.TxStatus, id chain.TxID) bool { return s.ID == id }) {
			err = faulty(FaultIncoherent, "%s told of other transactions than it was asked for", p.Name)
		}
		return out, err
	}
	list, _ := q.order(mStatus, q.View().Head.Latest.Height)
	answers, faults := gather(ctx, q, mStatus, list, plan{want: votes, distinct: votes > 1}, call,
		func(a []answer[[]chain.TxStatus]) bool {
			_, at := q.statuses(a, len(ids))
			return at < 0 && operators(a) >= votes
		})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := refusal(answers); err != nil {
		return nil, err
	}
	if got := operators(answers); got < votes {
		return nil, q.unavailable(mStatus, votes, got, faults)
	}
	out, at := q.statuses(answers, len(ids))
	if at >= 0 {
		groups := tally(pick(answers, at), statusKey)
		return nil, q.diverged(&DivergenceError{What: "status of " + string(ids[at]), Want: votes, Said: said(groups, statusText)})
	}
	return out, nil
}

// pick is what each answer says of one of the transactions.
func pick(answers []answer[[]chain.TxStatus], i int) []answer[chain.TxStatus] {
	var out []answer[chain.TxStatus]
	for _, a := range answers {
		if a.err == nil {
			out = append(out, answer[chain.TxStatus]{by: a.by, place: a.place, value: a.value[i]})
		}
	}
	return out
}

func statusKey(s chain.TxStatus) string {
	c := newCanon()
	c.status(s)
	d := c.done()
	return string(d[:])
}

func statusText(s chain.TxStatus) string {
	if !mined(s) {
		return "in no block"
	}
	return fmt.Sprintf("%s in block %d %s", s.State, s.Block.Height, s.Block.Hash)
}

// statuses merges answers; disputed is the first transaction that they do not
// agree on, or -1.
func (q *Client) statuses(answers []answer[[]chain.TxStatus], n int) (out []chain.TxStatus, disputed int) {
	for i := range n {
		each := pick(answers, i)
		best, ok := winner(tally(each, statusKey), q.cfg.Agree)
		if !ok {
			return nil, i
		}
		s := best.members[0].value
		for _, m := range best.members[1:] {
			// Of those who know no block, one that has it waiting knows more.
			if !mined(s) && m.value.State == chain.TxPending {
				s = m.value
			}
		}
		out = append(out, s)
	}
	return out, -1
}

// balances is chain.BalanceReader under the rules of the quorum.
type balances struct{ q *Client }

// Balances returns amounts that Config.Agree distinct operators tell alike. The
// newest block is then that of Head, so that all of them speak of one block.
func (b balances) Balances(ctx context.Context, at chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
	q := b.q
	if at == "" && q.cfg.Agree > 1 {
		head, err := q.Head(ctx)
		if err != nil {
			return nil, err
		}
		at = head.Latest.Hash
	}
	text := func(list []chain.Amount) string { return fmt.Sprint(list) }
	return ask(ctx, q, poll[[]chain.Amount]{
		m: mBalances, need: q.View().Head.Latest.Height, votes: q.cfg.Agree, what: "balances", strict: at != "", key: text, text: text,
		call: capable(func(ctx context.Context, r chain.BalanceReader) ([]chain.Amount, error) {
			out, err := r.Balances(ctx, at, of)
			if err == nil && len(out) != len(of) {
				err = faulty(FaultIncoherent, "%d balances, asked for %d", len(out), len(of))
			}
			return out, err
		}),
	})
}

// tracer is chain.Tracer under the rules of the quorum.
type tracer struct{ q *Client }

// Internal returns what Config.Agree distinct operators tell alike of the inside of
// a block. Who cannot look so deep is no liar: where too few can, there is no answer.
func (t tracer) Internal(ctx context.Context, block chain.BlockRef, to []chain.Address) (chain.Internals, error) {
	key := func(in chain.Internals) string {
		c := newCanon()
		c.text(string(in.Beneficiary))
		for _, x := range in.Transfers {
			c.transfer(x)
		}
		d := c.done()
		return string(d[:])
	}
	return ask(ctx, t.q, poll[chain.Internals]{
		m: mInternal, need: block.Height, votes: t.q.cfg.Agree, what: "inside of block " + string(block.Hash), key: key,
		text: func(in chain.Internals) string { return fmt.Sprintf("%d transfers", len(in.Transfers)) },
		call: capable(func(ctx context.Context, c chain.Tracer) (chain.Internals, error) { return c.Internal(ctx, block, to) }),
	})
}

// identifier is chain.Identifier under the rules of the quorum.
type identifier struct{ q *Client }

// Identify returns what the providers that are in say of their chain, and
// chain.ErrWrongChain where all of them serve another one.
func (i identifier) Identify(ctx context.Context) (chain.Identity, error) {
	text := func(id chain.Identity) string { return fmt.Sprint(id.ID, " ", id.Genesis) }
	return ask(ctx, i.q, poll[chain.Identity]{
		m: mIdentify, votes: i.q.cfg.Agree, what: "chain's identity", key: text, text: text,
		call: func(ctx context.Context, p *provider) (chain.Identity, error) {
			id, ok := chain.As[chain.Identifier](p.Client)
			if !ok {
				return chain.Identity{}, faulty(FaultUnsupported, "%s cannot tell its chain", p.Name)
			}
			return i.q.identify(ctx, p, id)
		},
	})
}

// inspector is chain.TokenInspector under the rules of the quorum.
type inspector struct{ q *Client }

// Inspect returns what Config.Agree distinct operators tell alike of a token: a
// pin on its code is worth what those are worth who tell its hash.
func (i inspector) Inspect(ctx context.Context, a chain.Asset) (chain.Token, error) {
	text := func(t chain.Token) string {
		return fmt.Sprintf("%q, %d decimals, code %s", t.Symbol, t.Decimals, t.CodeHash)
	}
	return ask(ctx, i.q, poll[chain.Token]{
		m: mInspect, need: i.q.View().Head.Latest.Height, votes: i.q.cfg.Agree, what: "token " + string(a.ID), key: text, text: text,
		call: capable(func(ctx context.Context, c chain.TokenInspector) (chain.Token, error) { return c.Inspect(ctx, a) }),
	})
}

// dryRunner is chain.DryRunner under the rules of the quorum.
type dryRunner struct{ q *Client }

// DryRun returns nil where Config.Agree distinct operators say that the moves
// would succeed.
func (d dryRunner) DryRun(ctx context.Context, in chain.Intent) error {
	done := func(struct{}) string { return "succeeds" }
	_, err := ask(ctx, d.q, poll[struct{}]{
		m: mDryRun, need: d.q.View().Head.Latest.Height, votes: d.q.cfg.Agree, what: "dry run", key: done, text: done,
		call: capable(func(ctx context.Context, c chain.DryRunner) (struct{}, error) { return struct{}{}, c.DryRun(ctx, in) }),
	})
	return err
}

// subscriber is chain.HeadSubscriber under the rules of the quorum.
type subscriber struct{ q *Client }

// SubscribeHeads listens to all providers that push heads, and wakes whenever one
// does. It returns when ctx ends; a subscription that fails is begun again after
// Config.Cooldown.
func (s subscriber) SubscribeHeads(ctx context.Context, wake chan<- struct{}) error {
	return s.q.subscribe(ctx, wake)
}
