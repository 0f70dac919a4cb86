package quorum

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// view is the head that the quorum goes by. It is guarded by Client.mu.
type view struct {
	head   chain.Head
	leader *provider   // who told it, where one alone is believed
	lags   int         // how often in a row the leader was not the highest
	voters []*provider // who stood by it last
	rose   time.Time   // when its height rose
	heard  time.Time   // when it was confirmed
	turn   uint64      // counts the changes
}

// Head asks every provider that is in for its head, and merges what they say.
//
// The newest block is the highest that Config.Agree operators have, and stays
// where it is while the providers that have it are away: it falls only where
// they themselves went back, or nobody stood by it for Config.HeadAge. The final
// block is the highest that as many call final. It never falls.
//
// A provider that takes back a final block is put aside, and one that is more
// than Config.MaxBehind behind is too.
func (q *Client) Head(ctx context.Context) (chain.Head, error) {
	if err := q.settleGenesis(ctx); err != nil {
		return chain.Head{}, err
	}
	q.mu.Lock()
	turn := q.view.turn
	q.mu.Unlock()
	list, ready := q.order(mHead, 0)
	list, ready = q.affordable(list, ready)
	answers, faults := gather(ctx, q, mHead, list, plan{want: ready, need: q.cfg.Agree, patience: true}, q.headOf,
		func(a []answer[chain.Head]) bool { return len(a) >= ready })
	if err := ctx.Err(); err != nil {
		return chain.Head{}, err
	}
	answers = slices.DeleteFunc(answers, func(a answer[chain.Head]) bool { return a.err != nil })
	answers, faults = q.aboveFinal(answers, faults)
	if got := operators(answers); got < q.cfg.Agree {
		q.age()
		return chain.Head{}, q.unavailable(mHead, q.cfg.Agree, got, faults)
	}
	head, by, err := q.merge(ctx, answers)
	if err != nil {
		q.age()
		return chain.Head{}, err
	}
	head = q.settle(head, by, answers, turn)
	q.stragglers(answers)
	q.age()
	return head, nil
}

// affordable leaves out those whose budget is spent, as long as enough others are
// left: heads are asked for all the time, and waiting for them helps nobody.
func (q *Client) affordable(list []*provider, ready int) (left []*provider, leftReady int) {
	now := time.Now()
	rich := slices.DeleteFunc(slices.Clone(list[:ready]), func(p *provider) bool { return p.broke(now) })
	seen := map[string]bool{}
	for _, p := range rich {
		seen[p.Operator] = true
	}
	if len(seen) < q.cfg.Agree {
		return list, ready
	}
	return append(rich, list[ready:]...), len(rich)
}

// headOf asks one provider, and holds what it says against what it had said when
// it was asked: of two calls at once, the older answer may come last.
func (q *Client) headOf(ctx context.Context, p *provider) (chain.Head, error) {
	p.mu.Lock()
	before := p.final
	p.mu.Unlock()
	h, err := p.Client.Head(ctx)
	if err != nil {
		return h, err
	}
	f := h.Finalized
	switch {
	case h.Latest.Hash == "":
		return h, faulty(FaultIncoherent, "%s told a head without a hash", p.Name)
	case f != nil && (f.Hash == "" || f.Height > h.Latest.Height):
		return h, faulty(FaultIncoherent, "%s calls block %d final, its newest is %d", p.Name, f.Height, h.Latest.Height)
	}
	q.mu.Lock()
	floor := q.view.head.Finalized
	q.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case f == nil:
	case f.Height < before.Height:
		return h, faulty(FaultFinality, "%s took finality back from block %d to %d", p.Name, before.Height, f.Height)
	case f.Height == before.Height && before.Hash != "" && f.Hash != before.Hash:
		return h, faulty(FaultFinality, "%s exchanged the final block %d", p.Name, f.Height)
	case floor != nil && f.Height == floor.Height && f.Hash != floor.Hash:
		return h, faulty(FaultFinality, "%s calls %s final at height %d, it was %s", p.Name, f.Hash, f.Height, floor.Hash)
	case f.Height > p.final.Height || p.final.Hash == "":
		p.final = *f
	}
	p.head = h.Latest
	return h, nil
}

// aboveFinal leaves out who has not even reached what is final.
func (q *Client) aboveFinal(answers []answer[chain.Head], faults []ProviderFault) ([]answer[chain.Head], []ProviderFault) {
	q.mu.Lock()
	floor := q.view.head.Finalized
	q.mu.Unlock()
	if floor == nil {
		return answers, faults
	}
	return slices.DeleteFunc(answers, func(a answer[chain.Head]) bool {
		below := a.value.Latest.Height < floor.Height
		if below {
			faults = append(faults, ProviderFault{a.by.Name, FaultBehind, fmt.Sprintf("its head is %d, block %d is final", a.value.Latest.Height, floor.Height)})
		}
		return below
	}), faults
}

// leadSlack is how much chain time, and at least one block, the leader may be
// behind the highest head, maxLags times in a row, before another one leads: a
// block takes a moment to reach all nodes, and each change of the leader may be
// one of the branch.
const (
	leadSlack = 10 * time.Second
	maxLags   = 3
)

// choose picks the one to go by where any one is believed: the leader while it
// keeps up, or else the first of those that have the highest block.
func (q *Client) choose(answers []answer[chain.Head]) answer[chain.Head] {
	best := answers[0]
	for _, a := range answers[1:] {
		if a.value.Latest.Height > best.value.Latest.Height {
			best = a
		}
	}
	highest := best.value.Latest.Height
	slack := min(q.cfg.MaxBehind, max(1, uint64(leadSlack/max(q.info.BlockTime, time.Millisecond))))
	q.mu.Lock()
	defer q.mu.Unlock()
	v := &q.view
	for _, a := range answers {
		h := a.value.Latest.Height
		if a.by != v.leader || h < v.head.Latest.Height || highest-h > slack {
			continue
		}
		if h == highest {
			v.lags = 0
		} else if v.lags++; v.lags > maxLags {
			break
		}
		return preferred(answers, a)
	}
	v.lags = 0
	return preferred(answers, best)
}

// preferred is the first of the configuration among those who tell just what the
// chosen one does: to change between them changes nothing.
func preferred(answers []answer[chain.Head], chosen answer[chain.Head]) answer[chain.Head] {
	for _, a := range answers {
		same := a.value.Latest == chosen.value.Latest && (a.value.Finalized == nil) == (chosen.value.Finalized == nil)
		if same && a.by.index < chosen.by.index && (a.value.Finalized == nil || *a.value.Finalized == *chosen.value.Finalized) {
			chosen = a
		}
	}
	return chosen
}

// settle makes a merged head the view where it may be, and returns the view. turn
// is the view's when the providers were asked: where it has changed since, what
// they said then takes nothing back.
func (q *Client) settle(head chain.Head, by, answers []answer[chain.Head], turn uint64) chain.Head {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	v := &q.view
	old := v.head
	if f := old.Finalized; f != nil && (head.Finalized == nil || head.Finalized.Height < f.Height) {
		head.Finalized = f
	}
	if head.Latest.Height < old.Latest.Height && (v.turn != turn || !v.abandoned(answers, q.cfg.Agree, now.Add(-q.cfg.HeadAge))) {
		// Those who have the newest block are away. What became final is news.
		if f := head.Finalized; f != nil && f.Height <= old.Latest.Height {
			v.head.Finalized = f
		}
		return v.head
	}
	if old.Latest.Hash == "" || head.Latest.Height > old.Latest.Height {
		v.rose = now
	}
	v.head, v.heard, v.leader, v.voters = head, now, nil, v.voters[:0]
	v.turn++
	for _, a := range by {
		v.voters = append(v.voters, a.by)
	}
	if q.cfg.Agree == 1 {
		v.leader = by[0].by
	}
	return head
}

// abandoned reports whether too few operators can still be thought to have the
// view's newest block, or none has confirmed it since a moment.
func (v *view) abandoned(answers []answer[chain.Head], k int, since time.Time) bool {
	if v.heard.Before(since) {
		return true
	}
	stand := map[string]bool{}
	for _, p := range v.voters {
		stand[p.Operator] = true
	}
	for _, a := range answers {
		// Who voted for it and now tells less has left it.
		if a.value.Latest.Height < v.head.Latest.Height {
			delete(stand, a.by.Operator)
		}
	}
	for _, a := range answers {
		if a.value.Latest.Height >= v.head.Latest.Height {
			stand[a.by.Operator] = true
		}
	}
	return len(stand) < k
}

// stragglers puts aside who is far behind. The measure is the second highest
// head of distinct operators, so that one who tells an absurd one harms nobody.
func (q *Client) stragglers(answers []answer[chain.Head]) {
	height, ok := kth(answers, 2, func(h chain.Head) (uint64, bool) { return h.Latest.Height, true })
	if !ok {
		return
	}
	for _, a := range answers {
		if h := a.value.Latest.Height; h+q.cfg.MaxBehind < height {
			q.putAside(a.by, FaultBehind, fmt.Sprintf("its head is %d, others have %d", h, height), 0)
		}
	}
}

// age tells when the head has stood still for too long.
func (q *Client) age() {
	if q.info.OnDemandBlocks {
		return
	}
	q.mu.Lock()
	rose, height := q.view.rose, q.view.head.Latest.Height
	q.mu.Unlock()
	if rose.IsZero() {
		return
	}
	old := time.Since(rose)
	q.flag(HeadStale, old > q.cfg.HeadAge, func() string { return fmt.Sprintf("height %d, %s old", height, old.Round(time.Second)) })
}
