package quorum

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Client is several providers of one chain as one chain.Client. It is safe for
// concurrent use, has no goroutine of its own and nothing to close.
type Client struct {
	cfg       Config
	info      chain.Info
	providers []*provider
	// identifies: enough operators can tell their genesis to settle it.
	identifies bool

	mu      sync.Mutex
	pinned  chain.BlockHash // the genesis that each provider must have
	view    view
	rnd     *rand.Rand
	suspect uint64 // pages up to this height are compared; 0: none
	flags   map[ConditionKind]flagged
	sampled Sampling
}

var _ chain.Client = (*Client)(nil)

// New checks the configuration and returns a client. It does not talk to any
// provider: that happens at the first call, and again as Config.Recheck says.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	q := &Client{info: cfg.Providers[0].Client.Info(), pinned: cfg.Genesis, flags: map[ConditionKind]flagged{}}
	q.cfg = cfg.paced(q.info)
	q.rnd = rand.New(cfg.Rand)
	for i, p := range cfg.Providers {
		q.providers = append(q.providers, newProvider(p, i))
		q.info.PageBlocks = min(q.info.PageBlocks, p.Client.Info().PageBlocks)
	}
	q.identifies = capableOf[chain.Identifier](q) >= q.cfg.Agree
	return q, nil
}

// Info describes the chain, as all providers do; PageBlocks is the least of theirs.
func (q *Client) Info() chain.Info { return q.info }

// Codec returns the first provider's codec. A codec asks no node.
func (q *Client) Codec() chain.Codec { return q.providers[0].Client.Codec() }

// String tells who is asked, without any client.
func (q *Client) String() string { return fmt.Sprintf("quorum.Client{%s}", q.cfg) }

// Format prints String for every verb: clients may hold keys.
func (q *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, q.String()) }

// As hands out a capability where enough operators for Config.Agree have it,
// wrapped so that the rules of the quorum hold for it too. A chain.Batcher there is
// where all clients are one and say the same: whoever drafts, the first one signs. A
// chain.WorkEstimator is there where all are one.
func (q *Client) As(target any) bool {
	switch t := target.(type) {
	case *chain.BalanceReader:
		return grant[chain.BalanceReader](q, t, balances{q})
	case *chain.Tracer:
		return grant[chain.Tracer](q, t, tracer{q})
	case *chain.Identifier:
		return grant[chain.Identifier](q, t, identifier{q})
	case *chain.TokenInspector:
		return grant[chain.TokenInspector](q, t, inspector{q})
	case *chain.DryRunner:
		return grant[chain.DryRunner](q, t, dryRunner{q})
	case *chain.FeeBumper:
		return grant[chain.FeeBumper](q, t, bumper{q})
	case *chain.FeeEstimator:
		return grant[chain.FeeEstimator](q, t, estimator{q})
	case *chain.Reporter:
		*t = q
		return true
	case *chain.MempoolWatcher:
		return grant[chain.MempoolWatcher](q, t, mempool{q})
	case *chain.Batcher:
		b, ok := batching(q)
		if ok {
			*t = b
		}
		return ok
	case *chain.WorkEstimator:
		if capable := all[chain.WorkEstimator](q); len(capable) > 0 {
			*t = workers(capable)
			return true
		}
	case *chain.HeadSubscriber:
		// Heads that are pushed are hints: one provider is enough.
		for _, p := range q.providers {
			if _, ok := chain.As[chain.HeadSubscriber](p.Client); ok {
				*t = subscriber{q}
				return true
			}
		}
	}
	return false
}

func grant[T any](q *Client, target *T, wrapped T) bool {
	if capableOf[T](q) < q.cfg.Agree {
		return false
	}
	*target = wrapped
	return true
}

// capableOf counts the operators that have a capability.
func capableOf[T any](q *Client) int {
	have := map[string]bool{}
	for _, p := range q.providers {
		if _, ok := chain.As[T](p.Client); ok {
			have[p.Operator] = true
		}
	}
	return len(have)
}

// all are the providers' capability, whatever their operators; none where one lacks it.
func all[T any](q *Client) []T {
	var out []T
	for _, p := range q.providers {
		c, ok := chain.As[T](p.Client)
		if !ok {
			return nil
		}
		out = append(out, c)
	}
	return out
}

// capable makes a provider's call of an optional capability.
func capable[C, T any](call func(context.Context, C) (T, error)) func(context.Context, *provider) (T, error) {
	return func(ctx context.Context, p *provider) (T, error) {
		c, ok := chain.As[C](p.Client)
		if !ok {
			var none T
			return none, faulty(FaultUnsupported, "%s cannot do that", p.Name)
		}
		return call(ctx, c)
	}
}

// diverged notes a dispute that nobody could decide, and returns it.
func (q *Client) diverged(err *DivergenceError) error {
	q.flag(Diverged, true, err.Error)
	return err
}

// agreed notes that operators agree again.
func (q *Client) agreed() {
	q.flag(Diverged, false, func() string { return "operators agree again" })
}

// Counters count what happened to a provider since New.
type Counters struct {
	// Calls are those that ended, Failures those among them without an answer.
	Calls, Failures uint64
	// Limited are the refusals for too many calls, Aside how often it was put
	// aside.
	Limited, Aside uint64
}

// ProviderStatus is what is known of a provider.
type ProviderStatus struct {
	// Name and Operator are those of the Config.
	Name, Operator string
	// Aside says that it is not asked, for Fault and Reason, before Until; after
	// that it is tried again.
	Aside  bool
	Fault  Fault     // Fault is the class of what it did.
	Reason string    // Reason is that in words, without secrets.
	Until  time.Time // Until is when its cool-down ends.
	// Latency is the smoothed time of its answers, of all kinds of calls.
	Latency time.Duration
	// Head is its newest block as it told last, Final the newest that it ever
	// called final; zero where it told none.
	Head, Final chain.BlockRef
	// Checked is when its chain id, genesis and checkpoints were right last.
	Checked time.Time
	// Counters count its calls.
	Counters Counters
}

// Providers tells how each provider is doing, in the order of the Config. It
// asks none of them.
func (q *Client) Providers() []ProviderStatus {
	out := make([]ProviderStatus, len(q.providers))
	for i, p := range q.providers {
		p.mu.Lock()
		out[i] = ProviderStatus{
			Name: p.Name, Operator: p.Operator, Aside: p.aside, Fault: p.fault, Reason: p.reason, Until: p.until,
			Latency: p.overall, Head: p.head, Final: p.final, Checked: p.checked, Counters: p.counts,
		}
		p.mu.Unlock()
	}
	return out
}

// Sampling counts the pages that a second operator should have read, where one
// alone is believed.
type Sampling struct {
	// Compared were read by a second one, too; Missed could not be, because no
	// second one answered.
	Compared, Missed uint64
}

// View is what the quorum as a whole goes by.
type View struct {
	// Head is what Head returned last; zero before.
	Head chain.Head
	// Rose is when its height rose last, by our clock.
	Rose time.Time
	// Diverged says that operators contradict each other; see the condition.
	Diverged bool
	// Sampling counts compared pages.
	Sampling Sampling
}

// View tells what the quorum goes by. It asks no provider.
func (q *Client) View() View {
	q.mu.Lock()
	defer q.mu.Unlock()
	return View{Head: q.view.head, Rose: q.view.rose, Diverged: q.flags[Diverged].active, Sampling: q.sampled}
}
