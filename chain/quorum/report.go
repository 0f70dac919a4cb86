package quorum

import (
	"github.com/bursar-go/bursar/chain"
)

var _ chain.Reporter = (*Client)(nil)

// Report implements chain.Reporter: the providers in the order of the Config, and
// those that were ever put aside, and a dispute, as conditions. How old the head is
// whoever follows the chain sees for itself.
func (q *Client) Report() chain.Report {
	out := chain.Report{Providers: make([]chain.ProviderReport, len(q.providers))}
	for i, p := range q.providers {
		var fell chain.Condition
		out.Providers[i], fell = p.report()
		if fell.Times > 0 {
			out.Conditions = append(out.Conditions, fell)
		}
	}
	q.mu.Lock()
	f := q.flags[Diverged]
	q.mu.Unlock()
	if f.times > 0 {
		out.Conditions = append(out.Conditions, chain.Condition{
			Kind: chain.ConditionDiverged, Active: f.active, Since: f.since.Round(0).UTC(), Times: f.times, Reason: f.reason,
		})
	}
	return out
}

// report tells how one provider is doing, and of the last time it was put aside.
func (p *provider) report() (chain.ProviderReport, chain.Condition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := chain.ProviderReport{
		Name: p.Name, Operator: p.Operator, Aside: p.aside, Fault: string(p.fault), Reason: p.reason,
		Head: p.head, Final: p.final, Latency: p.overall,
		Calls: p.counts.Calls, Failures: p.counts.Failures, ErrorRate: uint32(p.errorRate / 1000),
	}
	fell := chain.Condition{
		Kind: chain.ConditionProviderDown, Provider: p.Name, Operator: p.Operator, Active: p.aside, Since: p.changed.Round(0).UTC(),
		Times: p.falls, Fault: string(p.fell.Fault), Reason: p.fell.Reason,
	}
	if p.aside {
		out.Until = p.until.Round(0).UTC()
		fell.Until = out.Until
	}
	return out, fell
}
