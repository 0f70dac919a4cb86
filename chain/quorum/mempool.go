package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// mempool is chain.MempoolWatcher under the rules of the quorum.
type mempool struct{ q *Client }

// WatchMempool sends the sights of all providers that stream them: they are hints,
// of which one that lies makes a false one. A subscription that fails is begun again
// after Config.Cooldown. It returns when ctx ends, and chain.ErrUnsupported where no
// provider streams.
func (m mempool) WatchMempool(ctx context.Context, w chain.Watch, out chan<- chain.Sight) error {
	var wg sync.WaitGroup
	for _, p := range m.q.providers {
		if source, ok := chain.As[chain.MempoolWatcher](p.Client); ok {
			wg.Go(func() { m.listen(ctx, p, source, w, out) })
		}
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("quorum: %w: no provider streams pending transactions", chain.ErrUnsupported)
}

// listen keeps one subscription alive, unless its provider has none to give.
func (m mempool) listen(ctx context.Context, p *provider, source chain.MempoolWatcher, w chain.Watch, out chan<- chain.Sight) {
	for ctx.Err() == nil {
		_, err := contain(ctx, p, func(ctx context.Context, _ *provider) (struct{}, error) {
			return struct{}{}, source.WatchMempool(ctx, w, out)
		})
		if errors.Is(err, chain.ErrUnsupported) {
			return
		}
		timer := time.NewTimer(m.q.cfg.Cooldown)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// Fates asks all providers what became of transactions, since a mempool is each
// node's own: one that has it waiting outweighs all that do not know it. That it is
// in a block, or that another one replaced it, counts where Config.Agree distinct
// operators tell alike; where some tell so and too few, it counts as waiting, and is
// asked for again.
func (m mempool) Fates(ctx context.Context, final chain.BlockHash, of ...chain.Waiting) ([]chain.Fate, error) {
	q := m.q
	if len(of) == 0 {
		return nil, ctx.Err()
	}
	if err := q.settleGenesis(ctx); err != nil {
		return nil, err
	}
	list, _ := q.order(mFates, q.View().Head.Latest.Height)
	call := capable(func(ctx context.Context, c chain.MempoolWatcher) ([]chain.Fate, error) {
		out, err := c.Fates(ctx, final, of...)
		if err == nil && len(out) != len(of) {
			err = faulty(FaultIncoherent, "%d fates, asked for %d", len(out), len(of))
		}
		return out, err
	})
	answers, faults := gather(ctx, q, mFates, list, plan{want: len(list), patience: true, need: q.cfg.Agree}, call,
		func([]answer[[]chain.Fate]) bool { return false }) // whoever answers is heard
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A definite error, such as a block that a node does not have, is no answer.
	answers = slices.DeleteFunc(answers, func(a answer[[]chain.Fate]) bool { return a.err != nil })
	if got := operators(answers); got < q.cfg.Agree {
		return nil, q.unavailable(mFates, q.cfg.Agree, got, faults)
	}
	out := make([]chain.Fate, len(of))
	for i := range out {
		each := make([]answer[chain.Fate], len(answers))
		for k, a := range answers {
			each[k] = answer[chain.Fate]{by: a.by, place: a.place, value: a.value[i]}
		}
		out[i] = q.fate(each)
	}
	return out, nil
}

// fate merges what providers say of one transaction.
func (q *Client) fate(all []answer[chain.Fate]) chain.Fate {
	says := func(is func(chain.Fate) bool) []answer[chain.Fate] {
		return slices.DeleteFunc(slices.Clone(all), func(a answer[chain.Fate]) bool { return !is(a.value) })
	}
	mined := says(func(f chain.Fate) bool { return f.State == chain.TxIncluded || f.State == chain.TxFailed })
	replaced := says(func(f chain.Fate) bool { return f.State == chain.TxUnknown && f.Replaced })
	waits := chain.Fate{State: chain.TxPending}
	switch {
	case len(mined) > 0:
		best, ok := winner(tally(mined, func(f chain.Fate) string { return fmt.Sprint(f.State, f.Block.Hash) }), q.cfg.Agree)
		if !ok {
			return waits
		}
		f := best.members[0].value
		return chain.Fate{State: f.State, Block: f.Block}
	case len(says(func(f chain.Fate) bool { return f.State == chain.TxPending })) > 0:
		return waits
	case operators(replaced) >= q.cfg.Agree:
		out := chain.Fate{State: chain.TxUnknown, Replaced: true}
		known := slices.DeleteFunc(replaced, func(a answer[chain.Fate]) bool { return a.value.By == "" })
		if best, ok := winner(tally(known, func(f chain.Fate) string { return string(f.By) }), q.cfg.Agree); ok {
			out.By = best.members[0].value.By
		}
		return out
	}
	return chain.Fate{State: chain.TxUnknown}
}
