package chain

import "time"

// Reporter is a client that knows how the nodes behind it are doing, such as one
// that stands for several providers.
type Reporter interface {
	// Report tells what is known of the providers, and what is wrong. It asks no
	// node, waits for no call that is under way, and may be called at any time.
	Report() Report
}

// Report is how the nodes behind a client are doing.
type Report struct {
	// Providers are the nodes, in an order that does not change.
	Providers []ProviderReport
	// Conditions are what is or was wrong, in an order that depends on nothing but
	// what it tells: each kind of each provider once. What never happened is
	// missing.
	Conditions []Condition
}

// ProviderReport is how one node is doing.
type ProviderReport struct {
	// Name and Operator are what the configuration calls it and who runs it.
	Name, Operator string
	// Aside says that it is not asked, for Fault and Reason, until Until.
	Aside  bool
	Fault  string    // Fault is the class of what it did, in a word.
	Reason string    // Reason is that in a sentence, without secrets.
	Until  time.Time // Until is when it is tried again, at the earliest.
	// Head is the newest block that it told, Final the newest that it ever called
	// final; zero where it told none.
	Head, Final BlockRef
	// Latency is the smoothed time of its answers.
	Latency time.Duration
	// Calls are those that ended, Failures those among them without an answer,
	// both since the client was made. ErrorRate is how many of a thousand calls
	// failed of late.
	Calls, Failures uint64
	ErrorRate       uint32 // ErrorRate is how many of a thousand calls failed of late.
}

// ConditionKind is what a condition is about.
type ConditionKind string

// The kinds of conditions: the first two are those of a Reporter, the others of
// whoever follows a chain by way of it. A client may have others of its own, which
// are shown and logged as they are.
const (
	// ConditionProviderDown: a provider is not asked.
	ConditionProviderDown ConditionKind = "provider_down"
	// ConditionDiverged: providers contradict each other and nobody can decide, so
	// that nothing of what is in dispute is believed.
	ConditionDiverged ConditionKind = "diverged"
	// ConditionFailing: several steps of whoever follows the chain failed in a row:
	// the node is away, or too few providers answer.
	ConditionFailing ConditionKind = "failing"
	// ConditionStalled: the newest block has been the newest for too long.
	ConditionStalled ConditionKind = "stalled"
	// ConditionFinalityStalled: the same of the final block.
	ConditionFinalityStalled ConditionKind = "finality_stalled"
)

// Condition is something that operators should know.
type Condition struct {
	// Kind and Provider name it; Provider is empty where it concerns none alone.
	Kind     ConditionKind
	Provider string // Provider is whom it concerns.
	// Active says that it holds, Since is when it began or ended.
	Active bool
	Since  time.Time // Since is when it began or ended.
	// Times counts how often it began since the client was made, so that one that
	// came and went between two looks is seen.
	Times uint64
	// Operator, Fault and Until are those of the provider.
	Operator string
	Fault    string    // Fault is the class of what the provider did.
	Until    time.Time // Until is when the provider is tried again.
	// Reason is what happened, in words and without secrets. It stays when the
	// condition ends.
	Reason string
}
