package quorum

import "time"

// ConditionKind is what a condition is about.
type ConditionKind string

// The kinds of conditions. Each begins (Active) and ends.
const (
	// ProviderAside: a provider is not asked, for Fault and Reason.
	ProviderAside ConditionKind = "provider_aside"
	// Diverged: operators contradict each other and nobody can decide. What is in
	// dispute is not answered, so that nothing is credited. It ends with the next
	// page that enough of them agree on.
	Diverged ConditionKind = "diverged"
	// HeadStale: the head has not risen for Config.HeadAge. It is not reported for
	// chains that make blocks on demand.
	HeadStale ConditionKind = "head_stale"
)

// Condition is something an operator should know of a quorum.
type Condition struct {
	// Kind is what it is about; Active is false where it ended.
	Kind   ConditionKind
	Active bool // Active is false where it ended.
	// Provider is whom it concerns; empty where that is the quorum.
	Provider string
	// Fault is the class of a ProviderAside.
	Fault Fault
	// Reason is what happened, in words and without secrets.
	Reason string
	// Until is when a provider will be tried again, at the earliest.
	Until time.Time
	// At is when it was noticed.
	At time.Time
}

// tell hands conditions to the hook. The caller holds no lock.
func (q *Client) tell(conditions ...Condition) {
	for _, c := range conditions {
		q.tellOne(c)
	}
}

func (q *Client) tellOne(c Condition) {
	if q.cfg.OnCondition == nil || c.Kind == "" {
		return
	}
	// Foreign code: its panic must not end a call that has an answer already.
	defer func() { _ = recover() }()
	q.cfg.OnCondition(c)
}

// flagged is a condition of the quorum as a whole.
type flagged struct {
	active bool
	times  uint64
	since  time.Time
	reason string // of its last begin
}

// flag notes whether a condition of the quorum holds, and tells a change. text is
// asked for only where there is one.
func (q *Client) flag(kind ConditionKind, active bool, text func() string) {
	q.mu.Lock()
	was := q.flags[kind].active
	q.mu.Unlock()
	if was == active {
		return
	}
	// Made without the lock: it may look at the quorum itself.
	c := Condition{Kind: kind, Active: active, Reason: shorten(text()), At: time.Now()}
	q.mu.Lock()
	f := q.flags[kind]
	changed := f.active != active
	if changed {
		f.active, f.since = active, c.At
		if active {
			f.times, f.reason = f.times+1, c.Reason
		}
		q.flags[kind] = f
	}
	q.mu.Unlock()
	if changed {
		q.tell(c)
	}
}
