package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Bounds and defaults of a Config.
const (
	// MinInterval and MaxInterval bound the default of Config.Interval.
	MinInterval = 250 * time.Millisecond
	MaxInterval = 15 * time.Second
	// DefaultCallTimeout is the default of Config.CallTimeout.
	DefaultCallTimeout = time.Minute
	// maxPasses is how often one step looks again at what it has just planned:
	// a sweep, its top-up, and the top-up's own transaction.
	maxPasses = 3
	// nodeDownAfter is after how many failures of the node in one step no more
	// jobs are prepared in it.
	nodeDownAfter = 3
)

// Config is what a Sweeper needs. New copies it.
type Config struct {
	// Client reaches the chain. Required.
	Client chain.Client
	// Journal is where the work comes from. Required.
	Journal Journal
	// Signer signs. Without one the Sweeper only watches: it plans and signs
	// nothing, and sends what others signed.
	Signer chain.Signer
	// Policy says where money goes and what that may cost.
	Policy Policy
	// Holds is asked right before each signature and each broadcast whether the
	// work is still this worker's, by the same authority that decides about the
	// journal's writes. Any error ends the round, with nothing signed or sent after
	// it; one that wraps ErrLost says that the work is another one's. Nil: there
	// never is another worker.
	Holds func(ctx context.Context) error
	// Known is asked right before a draft that pays a stranger is signed for the
	// first time, whether all that the paying account has done is known to the
	// journal, see chain.Draft.After. Its error defers the job; one that wraps
	// ErrUnknownPast is no failure. Nil: it always is.
	Known func(ctx context.Context, d chain.Draft) error
	// Interval is the longest pause between two steps. Default: Info.BlockTime,
	// at least MinInterval and at most MaxInterval.
	Interval time.Duration
	// CallTimeout bounds each call to client and signer. Default:
	// DefaultCallTimeout.
	CallTimeout time.Duration
	// Logger gets what happens beside the journal. Default: slog.Default().
	Logger *slog.Logger
}

// Sweeper collects the holdings of one chain. Step and Run are not for
// concurrent use with each other; Wake is safe at any time.
type Sweeper struct {
	client   chain.Client
	bumper   chain.FeeBumper
	fees     chain.FeeEstimator
	journal  Journal
	signer   chain.Signer
	holds    func(context.Context) error
	known    func(context.Context, chain.Draft) error
	policy   Policy
	info     chain.Info
	interval time.Duration
	timeout  time.Duration
	log      *slog.Logger
	busy     atomic.Bool
	wake     chan struct{}
}

// New checks cfg and returns a Sweeper. It starts nothing and calls nobody but
// Client.Info. A field that cannot be used is a *ConfigError.
func New(cfg Config) (*Sweeper, error) {
	switch {
	case cfg.Client == nil:
		return nil, &ConfigError{"Client", "required"}
	case cfg.Journal == nil:
		return nil, &ConfigError{"Journal", "required"}
	case cfg.Interval < 0:
		return nil, &ConfigError{"Interval", "negative"}
	case cfg.CallTimeout < 0:
		return nil, &ConfigError{"CallTimeout", "negative"}
	}
	info := cfg.Client.Info()
	if info.ID == "" {
		return nil, &ConfigError{"Client", "Info has no chain id"}
	}
	orDefault(&cfg.Interval, min(max(info.BlockTime, MinInterval), MaxInterval))
	orDefault(&cfg.CallTimeout, DefaultCallTimeout)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Policy = cfg.Policy.withDefaults(info.BlockTime)
	if err := cfg.Policy.validate(cfg.Signer != nil); err != nil {
		return nil, err
	}
	s := &Sweeper{
		client: cfg.Client, journal: cfg.Journal, signer: cfg.Signer, holds: cfg.Holds, known: cfg.Known, policy: cfg.Policy, info: info,
		interval: cfg.Interval, timeout: cfg.CallTimeout,
		log: cfg.Logger.With("component", "sweeper", "chain", string(info.ID)), wake: make(chan struct{}, 1),
	}
	s.bumper, _ = chain.As[chain.FeeBumper](cfg.Client)
	if s.bumper == nil && cfg.Signer != nil && cfg.Policy.Deadline > 0 {
		return nil, &ConfigError{"Policy.Deadline", "the client replaces nothing, so that no bid can rise"}
	}
	s.fees, _ = chain.As[chain.FeeEstimator](cfg.Client)
	if s.fees == nil && cfg.Signer != nil && cfg.Policy.waits() {
		return nil, &ConfigError{"Policy.LowFee", "the client tells no prices to wait for"}
	}
	if err := s.checkBatching(); err != nil {
		return nil, err
	}
	return s, nil
}

// checkBatching checks that the client can make the batches of the policy, and that
// they go where the policy says.
func (s *Sweeper) checkBatching() error {
	if s.policy.MaxBatch == 0 || s.signer == nil {
		return nil
	}
	batcher, ok := chain.As[chain.Batcher](s.client)
	if !ok || batcher.Batching().MaxMoves == 0 {
		return &ConfigError{"Policy.MaxBatch", "the client makes no transactions of many moves"}
	}
	bound := batcher.Batching()
	switch {
	case bound.Treasury != s.policy.Treasury:
		return &ConfigError{"Policy.Treasury", "the client's batches pay " + string(bound.Treasury)}
	case bound.FeePayer != s.policy.Sponsor.Address:
		return &ConfigError{"Policy.Sponsor", "the client's batches are sent by " + string(bound.FeePayer) + ", the sponsor is " + string(s.policy.Sponsor.Address)}
	case bound.MaxMoves < s.policy.MaxBatch:
		return &ConfigError{"Policy.MaxBatch", "the client has room for " + strconv.Itoa(bound.MaxMoves)}
	}
	return nil
}

// WatchOnly reports whether there is no signer, so that nothing is swept.
func (s *Sweeper) WatchOnly() bool { return s.signer == nil }

// Step does one round of work and says how long to wait for the next one. It
// sends what is due, then prepares, signs, records and sends planned jobs one
// after the other, and then plans new ones.
//
// What goes wrong with one job is recorded with the journal, is no error here
// and holds up no other job. An error means that the journal itself failed, for
// one job (*JobError) or altogether, or holds something that cannot be. One that
// wraps ErrLost ended the round on the spot: the work is another worker's now.
// A second Step at the same time is ErrBusy.
func (s *Sweeper) Step(ctx context.Context) (next time.Duration, err error) {
	if !s.busy.CompareAndSwap(false, true) {
		return s.interval, ErrBusy
	}
	defer s.busy.Store(false)

	r := &round{
		Sweeper: s, taken: map[chain.Lock]bool{}, tried: map[string]bool{},
		drawn: map[chain.Address]bool{}, unsure: map[chain.Address]bool{},
	}
	if err := r.load(ctx); err != nil {
		return s.interval, err
	}
	plans := r.resend(ctx)
	for range maxPasses {
		if s.WatchOnly() || r.work.Halted || r.ended(ctx) {
			break
		}
		plans = append(plans, r.advanceAll(ctx)...)
		plans = append(plans, Decide(r.work, s.policy)...)
		if len(plans) == 0 && !r.again || r.ended(ctx) {
			break
		}
		if len(plans) > 0 {
			if err := guard("Journal.Plan", func() error { return s.journal.Plan(ctx, plans) }); err != nil {
				r.errs = append(r.errs, fmt.Errorf("sweeper: Plan: %w", err))
				break
			}
		}
		if err := r.load(ctx); err != nil {
			r.errs = append(r.errs, err)
			break
		}
		plans, r.again = nil, false
	}
	r.errs = append(r.errs, r.over, ctx.Err())
	return r.next(), errors.Join(r.errs...)
}

// call runs fn under the call timeout and turns a panic into an error.
func (s *Sweeper) call(ctx context.Context, name string, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return guard(name, func() error { return fn(ctx) })
}

// guard turns a panic of foreign code into an error: it costs one job its turn
// and not the host its process.
func guard(name string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Call: name, Value: fmt.Sprint(v), Stack: debug.Stack()}
		}
	}()
	return fn()
}
