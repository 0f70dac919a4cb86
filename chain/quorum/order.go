package quorum

import (
	"slices"
	"time"
)

// rank is how willingly a provider is asked; the lower the sooner.
type rank int

const (
	rankLeader  rank = iota // gave the head that the caller goes by
	rankHealthy             // nothing against it
	rankBroke               // its budget is spent for the moment
	rankFailing             // it failed such a call a moment ago
	rankBehind              // it does not have that height yet, as far as known
	rankBack                // its cool-down is over; it has to prove itself first
	rankAside               // not to be asked
)

// order lists who is to be asked a question about a height, best first. Equals
// stay in the order of the configuration, so that the same history gives the
// same order. The first ready of them are those to ask; behind them come those who
// were away, and not wrong, and may be tried before their cool-down is over where
// the others fail: after an outage of all of them work goes on within
// Config.Cooldown.
func (q *Client) order(m method, need uint64) (list []*provider, ready int) {
	now := time.Now()
	leader := q.leader()
	ranks := make([]rank, len(q.providers))
	var early []*provider
	for i, p := range q.providers {
		p.mu.Lock()
		ranks[i] = q.rank(p, m, need, now, p == leader)
		if ranks[i] == rankAside && p.mayTry(now, q.cfg.Cooldown) {
			early = append(early, p)
		}
		p.mu.Unlock()
		if ranks[i] != rankAside {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b *provider) int { return int(ranks[a.index] - ranks[b.index]) })
	if ready = len(list); ready == 0 {
		ready = len(early)
	}
	return append(list, early...), ready
}

// rank judges one provider. The caller holds its mu.
func (q *Client) rank(p *provider, m method, need uint64, now time.Time, leads bool) rank {
	switch {
	case p.aside && now.Before(p.until):
		return rankAside
	case p.aside:
		return rankBack
	case p.head.Hash != "" && p.head.Height < need:
		return rankBehind
	case p.failures[m] > 0 && now.Sub(p.failed[m]) < q.cfg.Cooldown:
		return rankFailing
	case p.broke(now):
		return rankBroke
	case leads:
		return rankLeader
	}
	return rankHealthy
}

// leader is the provider whose head is gone by, where one alone is believed: a
// step of a scanner then reads one branch, although two may stand for a moment.
func (q *Client) leader() *provider {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.view.leader
}
