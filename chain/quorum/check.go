package quorum

import (
	"context"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// admit lets a call through to a provider that is in, having its chain checked
// where that is due. The check is also the single attempt by which a provider
// comes back after its cool-down.
func (q *Client) admit(ctx context.Context, p *provider, m method) error {
	for {
		now := time.Now()
		p.mu.Lock()
		if running := p.checking; running != nil {
			p.mu.Unlock()
			select {
			case <-running:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if p.aside && !p.mayTry(now, q.cfg.Cooldown) {
			err := p.asideError()
			p.mu.Unlock()
			return err
		}
		if !p.aside && !p.due && !p.checked.IsZero() && now.Sub(p.checked) < q.cfg.Recheck {
			p.mu.Unlock()
			return nil
		}
		done := make(chan struct{})
		p.checking, p.tried = done, now
		p.mu.Unlock()
		err := q.inspectChain(ctx, p, m)
		q.checked(p, done, err)
		return err
	}
}

// mayTry reports whether a provider that is put aside may be tried: after its
// cool-down, or earlier where order found nobody else. The caller holds mu.
func (s *standing) mayTry(now time.Time, cooldown time.Duration) bool {
	return !now.Before(s.until) || s.fault.mild() && now.Sub(s.tried) >= cooldown
}

// checked ends a check and lets those go on who wait for it.
func (q *Client) checked(p *provider, done chan struct{}, err error) {
	now := time.Now()
	var back Condition
	p.mu.Lock()
	if err == nil {
		if p.aside {
			back = Condition{Kind: ProviderAside, Provider: p.Name, Fault: p.fault, Reason: "its chain was checked again", At: now}
			p.aside, p.fault, p.reason, p.until, p.returned = false, "", "", time.Time{}, now
			p.failures, p.changed = [methods]int{}, now
		}
		p.checked, p.due = now, false
	}
	p.checking = nil
	p.mu.Unlock()
	close(done)
	q.tell(back)
}

// inspectChain asks a provider which chain it serves. A failure counts as one of
// the call that it was made for, and a failed attempt to come back puts aside at
// once.
func (q *Client) inspectChain(ctx context.Context, p *provider, m method) error {
	began := time.Now()
	_, err := contain(ctx, p, func(ctx context.Context, p *provider) (struct{}, error) { return struct{}{}, q.sameChain(ctx, p) })
	if err == nil {
		m = mIdentify // which says nothing of how that call will go
	}
	p.mu.Lock()
	again := p.aside
	p.mu.Unlock()
	q.record(ctx, p, m, time.Since(began), err)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if fault := classify(err); again && !fault.atOnce() {
		q.putAside(p, fault, err.Error(), retryDelay(err))
	}
	return err
}

// sameChain compares chain id, genesis and checkpoints with what they must be.
func (q *Client) sameChain(ctx context.Context, p *provider) error {
	if id, ok := chain.As[chain.Identifier](p.Client); ok {
		if err := p.spend(ctx); err != nil {
			return err
		}
		got, err := q.identify(ctx, p, id)
		if err != nil {
			return err
		}
		if want := q.genesis(); want != "" && got.Genesis != want {
			return faulty(FaultWrongChain, "%s has the genesis %s, want %s", p.Name, got.Genesis, want)
		}
	}
	for _, c := range q.cfg.Checkpoints {
		if err := p.spend(ctx); err != nil {
			return err
		}
		refs, err := p.Client.Headers(ctx, c.Height, c.Height)
		switch {
		case err != nil:
			return err
		case len(refs) == 0:
			return faulty(FaultTransport, "%s does not have the checkpoint at height %d yet", p.Name, c.Height)
		case refs[0].Height != c.Height || refs[0].Hash != c.Hash:
			return faulty(FaultWrongChain, "%s has block %s at height %d, the checkpoint is %s", p.Name, refs[0].Hash, c.Height, c.Hash)
		}
	}
	return nil
}

// identify asks one provider, and refuses another chain id.
func (q *Client) identify(ctx context.Context, p *provider, id chain.Identifier) (chain.Identity, error) {
	got, err := id.Identify(ctx)
	switch {
	case err != nil:
		return got, err
	case got.ID != q.info.ID:
		return got, faulty(FaultWrongChain, "%s serves chain %s, want %s", p.Name, got.ID, q.info.ID)
	case got.Genesis == "":
		return got, faulty(FaultIncoherent, "%s has no first block", p.Name)
	}
	return got, nil
}

func (q *Client) genesis() chain.BlockHash {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pinned
}

// settleGenesis finds out, once in a quorum's life, which first block its chain
// has, where the configuration does not say: what most of those who answer have.
// Later on, each provider is held to it.
func (q *Client) settleGenesis(ctx context.Context) error {
	if q.genesis() != "" || !q.identifies {
		return ctx.Err()
	}
	list, ready := q.order(mIdentify, 0)
	ask := plan{want: ready, need: q.cfg.Agree, distinct: true, patience: true}
	answers, faults := gather(ctx, q, mIdentify, list, ask,
		func(ctx context.Context, p *provider) (chain.Identity, error) {
			id, ok := chain.As[chain.Identifier](p.Client)
			if !ok {
				return chain.Identity{}, faulty(FaultUnsupported, "%s cannot tell its chain", p.Name)
			}
			return q.identify(ctx, p, id)
		}, func(a []answer[chain.Identity]) bool { return len(a) >= ready })
	if err := ctx.Err(); err != nil {
		return err
	}
	genesis := func(id chain.Identity) string { return string(id.Genesis) }
	groups := tally(answers, genesis)
	most, tie := plurality(groups)
	switch {
	case most.operators == 0, len(groups) == 1 && most.operators < q.cfg.Agree:
		return q.unavailable(mIdentify, q.cfg.Agree, most.operators, faults)
	case tie || most.operators < q.cfg.Agree:
		return q.diverged(&DivergenceError{What: "genesis", Want: q.cfg.Agree, Said: said(groups, genesis)})
	}
	q.mu.Lock()
	if q.pinned == "" {
		q.pinned = most.members[0].value.Genesis
	}
	pinned := q.pinned
	q.mu.Unlock()
	q.agreed()
	for _, a := range answers {
		if a.err == nil && a.value.Genesis != pinned {
			q.putAside(a.by, FaultWrongChain, fmt.Sprintf("it has the genesis %s, most have %s", a.value.Genesis, pinned), 0)
		}
	}
	return nil
}
