package bursar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

// What is told of one condition is bounded, so that a provider that comes and goes
// does not flood the outbox: conditionMost events within conditionPause, by the
// store's clock and whichever instance wrote them. What was held back is told
// afterwards, as it is then and with the number of times that it began.
const (
	conditionPause = 10 * time.Minute
	conditionMost  = 2
	// conditionBack is how many of a chain's newest events are looked through for
	// what was told.
	conditionBack = 1000
)

// conditionName tells conditions of a chain apart.
type conditionName struct {
	kind     chain.ConditionKind
	provider string
}

func nameOfCondition(c chain.Condition) conditionName { return conditionName{c.Kind, c.Provider} }

// toldCondition is what the outbox has of a condition.
type toldCondition struct {
	active bool
	// times is Condition.Times when it was told, of this process alone.
	times uint64
}

// toldConditions are those of a chain.
type toldConditions map[conditionName]toldCondition

// alarms are the conditions of a chain on their way to the operator.
type alarms struct {
	mu sync.Mutex
	// scanner are those that the scanner found, in the order it found them first.
	scanner []chain.Condition
	// told is nil until it was read from the store in this term of the lease: in
	// between, another instance may have told others.
	told toldConditions
	term int64
	// disputed is how often a dispute had begun at the last look, where it held
	// then; zero where it did not.
	disputed uint64
	failed   bool // the last attempt to tell did, which was logged
}

// hear notes a condition of the scanner.
func (a *alarms) hear(c scanner.Condition) {
	kind := map[scanner.ConditionKind]chain.ConditionKind{
		scanner.Failing: chain.ConditionFailing, scanner.Stalled: chain.ConditionStalled, scanner.FinalityStalled: chain.ConditionFinalityStalled,
	}[c.Kind]
	if kind == "" {
		return // how far behind it is, Health tells
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.scanner, func(o chain.Condition) bool { return o.Kind == kind })
	if i < 0 {
		i = len(a.scanner)
		a.scanner = append(a.scanner, chain.Condition{Kind: kind})
	}
	o := &a.scanner[i]
	if c.Active && !o.Active {
		o.Times++
		o.Reason = fmt.Sprintf("the newest block is still %d", c.Head)
		if c.Err != nil {
			o.Reason = shorten(c.Err.Error())
		} else if kind == chain.ConditionFinalityStalled {
			o.Reason = fmt.Sprintf("no new final block, the newest block is %d", c.Head)
		}
	}
	o.Active, o.Since = c.Active, c.At
}

// conditions are those of the client and of the scanner. No lock of ours is held
// while the client is asked.
func (n *network) conditions() (providers []chain.ProviderReport, all []chain.Condition) {
	if r, ok := chain.As[chain.Reporter](n.client); ok {
		report := r.Report()
		providers, all = report.Providers, slices.Clone(report.Conditions)
	}
	n.alarms.mu.Lock()
	defer n.alarms.mu.Unlock()
	return providers, append(all, n.alarms.scanner...)
}

// alarmed are the conditions that hold: as this instance sees them where it works on
// the chain, or else as they were told.
func (n *network) alarmed(told []chain.Condition) []chain.Condition {
	n.mu.Lock()
	mine := n.fence.Name != ""
	n.mu.Unlock()
	if !mine {
		return told
	}
	_, all := n.conditions()
	return slices.DeleteFunc(all, func(c chain.Condition) bool { return !c.Active })
}

// tellConditions writes what began and what ended into the outbox. It is called
// between two steps of the scanner and never by a client: nothing that reads the
// chain waits for the store. What fails now is told at the next step. The instance
// has the chain's lease: one whose own nodes are bad must not take it for this.
func (g *Gateway) tellConditions(ctx context.Context, net *network) {
	a := &net.alarms
	err := g.tellNews(ctx, net)
	a.mu.Lock()
	was := a.failed
	a.failed = err != nil && ctx.Err() == nil && !errors.Is(err, ErrLeaseHeld) && !errors.Is(err, ErrFenced)
	loud := a.failed && !was
	a.mu.Unlock()
	if loud {
		g.log.WarnContext(ctx, "conditions of the chain are not told yet", "chain", string(net.info.ID), "err", err)
	}
}

func (g *Gateway) tellNews(ctx context.Context, net *network) error {
	providers, list := net.conditions()
	net.mu.Lock()
	term := net.term
	net.mu.Unlock()
	list, told := net.alarms.look(list, term)
	gone := func(told toldConditions) []chain.Condition {
		return told.outlived(list, providers, !net.scanner.Progress().Stepped.IsZero())
	}
	if told != nil && !told.anyNews(append(gone(told), list...)) {
		return nil
	}
	fence, err := g.lease(ctx, net)
	if err != nil {
		return err
	}
	var news []chain.Condition
	var next toldConditions
	err = g.store.Write(ctx, func(tx Tx) error {
		d, err := newDesk(ctx, g, net, tx)
		if err != nil {
			return err
		}
		past, err := tx.Events(ctx, conditionEvents(d.state))
		if err != nil {
			return err
		}
		if next = maps.Clone(told); next == nil {
			next = readTold(past, list)
		}
		if news = next.choose(append(gone(next), list...), past, d.now); len(news) == 0 {
			return nil
		}
		for _, c := range news {
			d.chainEvent(conditionEvent(c), fmt.Sprintf("%s %s %d", c.Kind, c.Provider, d.state.Seq), d.conditionData(c))
		}
		b := d.batch()
		b.Fences = append(b.Fences, fence)
		return tx.Apply(ctx, b)
	})
	if err != nil {
		net.dropFence(fence, err)
		return err
	}
	net.alarms.took(next, term)
	for _, c := range news {
		g.logCondition(ctx, net, c)
	}
	if len(news) > 0 {
		g.wakePump()
	}
	return nil
}

// look takes notice of the conditions of now, and returns those that are worth
// telling with what was told; nil where that is not known. Two providers on two
// sides of a fresh block dispute for a moment, which is the network's own: a
// dispute is told once it holds at two looks.
func (a *alarms) look(list []chain.Condition, term int64) ([]chain.Condition, toldConditions) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.term != term {
		a.told, a.term = nil, term
	}
	before := a.disputed
	a.disputed = 0
	var out []chain.Condition
	for _, c := range list {
		switch {
		case conditionEvent(c) == "":
			continue
		case c.Kind == chain.ConditionDiverged && c.Active:
			if a.disputed = c.Times; c.Times != before && !a.told[nameOfCondition(c)].active {
				continue
			}
		}
		out = append(out, c)
	}
	return out, a.told
}

// took notes what the outbox has now, unless that was another term.
func (a *alarms) took(told toldConditions, term int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.term == term {
		a.told = told
	}
}

// standing are the conditions that hold by what was told, in an order of their
// own.
func standing(past []Event) (out []chain.Condition) {
	last := map[conditionName]chain.Condition{}
	for _, e := range past {
		if c := e.Data.Condition; c != nil {
			last[conditionName{c.Kind, c.Provider}] = chain.Condition{
				Kind: c.Kind, Provider: c.Provider, Operator: c.Operator, Fault: c.Fault, Active: conditionBegins(e.Kind), Since: e.Time, Reason: e.Data.Reason,
			}
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(last), compareConditions) {
		if last[name].Active {
			out = append(out, last[name])
		}
	}
	return out
}

// readTold works out from the newest events what was told. What holds and was told
// by another process is no news of this one.
func readTold(past []Event, list []chain.Condition) toldConditions {
	out := toldConditions{}
	for _, c := range standing(past) {
		out[nameOfCondition(c)] = toldCondition{active: true}
	}
	for _, c := range list {
		if name := nameOfCondition(c); c.Active && out[name].active {
			out[name] = toldCondition{active: true, times: c.Times}
		}
	}
	return out
}

// news reports whether the outbox has something else of a condition. A dispute
// that came and went between two looks was the network's own.
func (t toldConditions) news(c chain.Condition) bool {
	was := t[nameOfCondition(c)]
	return c.Active != was.active || c.Times > was.times && (c.Active || c.Kind != chain.ConditionDiverged)
}

func (t toldConditions) anyNews(list []chain.Condition) bool {
	return slices.ContainsFunc(list, t.news)
}

// outlived are conditions that were told to hold, of which nothing is known any
// more: the process is another one, or the provider is not configured any more.
// They end as soon as it is known that they do not hold.
func (t toldConditions) outlived(list []chain.Condition, providers []chain.ProviderReport, stepped bool) (out []chain.Condition) {
	for _, name := range slices.SortedFunc(maps.Keys(t), compareConditions) {
		i := slices.IndexFunc(providers, func(p chain.ProviderReport) bool { return p.Name == name.provider })
		known := slices.ContainsFunc(list, func(c chain.Condition) bool { return nameOfCondition(c) == name })
		switch {
		case known || !t[name].active:
			continue
		case name.provider == "" && !stepped, i >= 0 && (providers[i].Aside || providers[i].Head.Hash == ""):
			continue // it may hold still
		}
		c := chain.Condition{Kind: name.kind, Provider: name.provider, Reason: "not seen any more"}
		if i >= 0 {
			c.Operator = providers[i].Operator
		}
		out = append(out, c)
	}
	return out
}

func compareConditions(a, b conditionName) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.provider, b.provider))
}

// choose picks the news that may be told now, and notes them as told.
func (t toldConditions) choose(list []chain.Condition, past []Event, now time.Time) (out []chain.Condition) {
	recent := map[conditionName]int{}
	for _, e := range past {
		if c := e.Data.Condition; c != nil && now.Sub(e.Time) < conditionPause {
			recent[conditionName{c.Kind, c.Provider}]++
		}
	}
	for _, c := range list {
		name := nameOfCondition(c)
		if t.news(c) && recent[name] < conditionMost {
			out = append(out, c)
			recent[name]++
			t[name] = toldCondition{c.Active, c.Times}
		}
	}
	return out
}

// conditionKinds are the kinds of events about conditions.
func conditionKinds() []Kind {
	return []Kind{ChainProviderDown, ChainProviderBack, ChainDiverged, ChainFailing, ChainStalled, ChainFinalityStalled, ChainRecovered}
}

// conditionEvents asks for what was told of a chain's conditions lately.
func conditionEvents(st ChainState) EventQuery {
	return EventQuery{Subject: string(st.Chain), AfterSeq: max(0, st.Seq-conditionBack), Kinds: conditionKinds()}
}

// conditionBegins reports whether an event of a kind tells a begin.
func conditionBegins(k Kind) bool { return k != ChainProviderBack && k != ChainRecovered }

// conditionEvent is the event of a condition; empty for a kind that is a client's
// own, which Health shows.
func conditionEvent(c chain.Condition) Kind {
	begin := map[chain.ConditionKind]Kind{
		chain.ConditionProviderDown: ChainProviderDown, chain.ConditionDiverged: ChainDiverged, chain.ConditionFailing: ChainFailing,
		chain.ConditionStalled: ChainStalled, chain.ConditionFinalityStalled: ChainFinalityStalled,
	}[c.Kind]
	switch {
	case c.Active || begin == "":
		return begin
	case c.Kind == chain.ConditionProviderDown:
		return ChainProviderBack
	}
	return ChainRecovered
}

// conditionData is a condition as events have it.
func (d *desk) conditionData(c chain.Condition) EventData {
	return EventData{Reason: shorten(c.Reason), Height: d.state.Tip().Height, Condition: &ConditionData{
		Kind: c.Kind, Provider: c.Provider, Operator: c.Operator, Fault: c.Fault, Since: stamp(c.Since), Until: stamp(c.Until), Times: c.Times,
	}}
}

// stamp writes a time for an event; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return when(t)
}

// logCondition logs what the client told; what the scanner did is logged as it comes.
func (g *Gateway) logCondition(ctx context.Context, net *network, c chain.Condition) {
	if c.Kind != chain.ConditionProviderDown && c.Kind != chain.ConditionDiverged {
		return
	}
	level := slog.LevelInfo
	if c.Active {
		level = slog.LevelWarn
	}
	g.log.Log(ctx, level, "chain condition", "chain", string(net.info.ID), "kind", string(c.Kind), "active", c.Active,
		"provider", c.Provider, "fault", c.Fault, "times", c.Times, "reason", shorten(c.Reason))
}
