package scanner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Bounds and defaults of a Config.
const (
	// MinPoll and MaxPoll bound the default of Config.Poll.
	MinPoll = 250 * time.Millisecond
	MaxPoll = 15 * time.Second
	// DefaultMaxBackoff is the default of Config.MaxBackoff.
	DefaultMaxBackoff = time.Minute
	// DefaultFailAfter is the default of Config.FailAfter.
	DefaultFailAfter = 5
	// DefaultFinalityStallAfter is the default of Config.FinalityStallAfter.
	DefaultFinalityStallAfter = time.Hour
)

// Config is what a Scanner needs. New copies it.
type Config struct {
	// Client reads the chain. Required. Its Info must have an ID, and PageBlocks
	// and MaxReorg of at least 1.
	Client chain.Reader
	// Sink takes the findings. Required.
	Sink Sink
	// Poll is the pause between two looks at the head while there is nothing to
	// catch up with. Default: Info.BlockTime, at least MinPoll and at most
	// MaxPoll. It must not be negative.
	Poll time.Duration
	// MaxBackoff caps the pause after errors, which begins at Poll and doubles
	// with each one in a row. Default: DefaultMaxBackoff; never below Poll.
	MaxBackoff time.Duration
	// FailAfter is how many errors in a row are reported as Failing. Default:
	// DefaultFailAfter.
	FailAfter int
	// LagBlocks is how far the tip may be behind the head before Lagging is
	// reported; it ends at half of that. Default: five minutes of blocks, at
	// least 20.
	LagBlocks uint64
	// StallAfter is how long the head may stand still before Stalled is
	// reported. Default: 20 times Info.BlockTime, at least a minute. It is not
	// used where Info.OnDemandBlocks.
	StallAfter time.Duration
	// FinalityStallAfter is the same for the final block. Default:
	// DefaultFinalityStallAfter.
	FinalityStallAfter time.Duration
	// Logger gets what happens beside the money path. Default: slog.Default().
	Logger *slog.Logger
	// Rand spreads the pauses after errors. Default: seeded by the runtime. It
	// is used by one goroutine at a time.
	Rand rand.Source
}

// withDefaults checks a configuration and fills what was left out.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Client == nil:
		return c, &ConfigError{Field: "Client", Reason: "missing"}
	case c.Sink == nil:
		return c, &ConfigError{Field: "Sink", Reason: "missing"}
	case c.Poll < 0, c.MaxBackoff < 0, c.StallAfter < 0, c.FinalityStallAfter < 0:
		return c, &ConfigError{Field: "Poll, MaxBackoff, StallAfter, FinalityStallAfter", Reason: "negative duration"}
	case c.FailAfter < 0:
		return c, &ConfigError{Field: "FailAfter", Reason: "negative"}
	}
	info := c.Client.Info()
	switch {
	case info.ID == "":
		return c, &ConfigError{Field: "Client", Reason: "its Info has no ID"}
	case info.PageBlocks < 1:
		return c, &ConfigError{Field: "Client", Reason: "its Info has PageBlocks 0, want at least 1"}
	case info.MaxReorg < 1 || info.MaxReorg > 1<<20:
		return c, &ConfigError{Field: "Client", Reason: fmt.Sprintf("its Info has MaxReorg %d, want 1 to 2^20", info.MaxReorg)}
	}
	c.Poll = fallback(c.Poll, min(max(info.BlockTime, MinPoll), MaxPoll))
	c.MaxBackoff = max(fallback(c.MaxBackoff, DefaultMaxBackoff), c.Poll)
	c.FailAfter = fallback(c.FailAfter, DefaultFailAfter)
	c.LagBlocks = fallback(c.LagBlocks, max(20, uint64(5*time.Minute/max(info.BlockTime, time.Millisecond))))
	c.StallAfter = fallback(c.StallAfter, max(20*info.BlockTime, time.Minute))
	c.FinalityStallAfter = fallback(c.FinalityStallAfter, DefaultFinalityStallAfter)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Rand == nil {
		c.Rand = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	return c, nil
}

// fallback returns v, or other where v is zero.
func fallback[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// Scanner follows one chain. Step and Run are for one goroutine; Wake and
// Progress may be called from any.
type Scanner struct {
	cfg  Config
	info chain.Info
	log  *slog.Logger
	rnd  *rand.Rand
	wake chan struct{}
	busy atomic.Bool

	// The fields below belong to the goroutine in Step.

	// window and start are the sink's cursor; loaded says whether they are.
	window Follower
	start  uint64
	loaded bool
	// told is the head of the last commit, zero after an error.
	told chain.Head
	// failures counts errors in a row.
	failures int
	watchdog watchdog

	mu       sync.Mutex
	progress Progress
}

// New returns a scanner that has not done anything yet. A configuration that
// cannot work is a *ConfigError.
func New(cfg Config) (*Scanner, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	info := cfg.Client.Info()
	return &Scanner{
		cfg: cfg, info: info,
		log:      cfg.Logger.With("chain", string(info.ID)),
		rnd:      rand.New(cfg.Rand),
		wake:     make(chan struct{}, 1),
		progress: Progress{Chain: info.ID},
	}, nil
}

// Progress is how far a scanner is.
type Progress struct {
	// Chain is the chain that is followed.
	Chain chain.ID
	// Head is what the node told last; Tip the newest block that was committed.
	// Both are zero until known.
	Head chain.Head
	Tip  chain.BlockRef
	// Lag is how many blocks Tip is behind Head, 0 where the node is behind.
	Lag uint64
	// Stepped is when the last step without an error ended, in UTC.
	Stepped time.Time
	// Err is the error of the last step, nil where it had none; Failures is the
	// number of errors in a row.
	Err      error
	Failures int
}

// Halted reports whether the scanner waits for an operator.
func (p Progress) Halted() bool { return errors.Is(p.Err, ErrNoCommonAncestor) }

// Progress returns how far the scanner is.
func (s *Scanner) Progress() Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

// update changes the progress that others see.
func (s *Scanner) update(change func(*Progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.progress)
	p := &s.progress
	p.Lag = 0
	if p.Tip.Hash != "" && p.Head.Latest.Height > p.Tip.Height {
		p.Lag = p.Head.Latest.Height - p.Tip.Height
	}
}

// Step does one unit of work and returns how long to wait before the next: 0
// while there is more to do, Config.Poll at the head, and a growing pause after
// an error. It returns ctx's error once ctx ends, without counting it as a
// failure; and ErrBusy where another Step is at work.
//
// Errors are *CallError, *IncoherentError or *DeepReorgError. None of them
// has moved the cursor, except that a failed Commit may have.
func (s *Scanner) Step(ctx context.Context) (wait time.Duration, err error) {
	if !s.busy.CompareAndSwap(false, true) {
		return s.cfg.Poll, ErrBusy
	}
	defer s.busy.Store(false)

	behind, err := s.step(ctx)
	switch {
	case err == nil:
		s.failures = 0
		s.update(func(p *Progress) { p.Err, p.Failures, p.Stepped = nil, 0, time.Now().UTC() })
		if !behind {
			wait = s.cfg.Poll
		}
	case ctx.Err() != nil:
		s.forget()
		return 0, ctx.Err()
	default:
		s.forget()
		s.failures++
		s.update(func(p *Progress) { p.Err, p.Failures = err, s.failures })
		wait = s.backoff()
	}
	s.report(ctx, err)
	return wait, err
}

// forget drops what was loaded, so that the next step begins with what the
// store has.
func (s *Scanner) forget() {
	s.loaded, s.told = false, chain.Head{}
}

// step does the work of Step; behind is whether more of it is at hand.
func (s *Scanner) step(ctx context.Context) (behind bool, err error) {
	if err := s.load(ctx); err != nil {
		return false, err
	}
	head, err := s.head(ctx)
	if err != nil {
		return false, err
	}
	tip, ok := s.window.Tip()
	if !ok {
		return s.begin(ctx, head)
	}
	forked, err := s.forked(ctx, tip, head)
	switch {
	case err != nil:
		return false, err
	case forked:
		return s.rewind(ctx, head)
	case head.Latest.Height < tip.Height:
		// A node behind us, on our branch as far as can be told. It has nothing
		// to say, not even that something is final.
		return false, nil
	case head.Latest.Height == tip.Height:
		return false, s.idle(ctx, head)
	}
	return s.extend(ctx, head, tip)
}

// load reads the cursor where it is not known.
func (s *Scanner) load(ctx context.Context) error {
	if s.loaded {
		return nil
	}
	cursor, err := s.cfg.Sink.Cursor(ctx)
	if err != nil {
		return s.failed("Cursor", err)
	}
	window, err := NewFollower(cursor.Recent, int(s.info.MaxReorg))
	if err != nil {
		return s.failed("Cursor", err)
	}
	s.window, s.start, s.loaded = window, cursor.Start, true
	tip, _ := window.Tip()
	s.update(func(p *Progress) { p.Tip = tip })
	return nil
}

// head asks the node for its head. A final block above the newest one comes
// from two nodes that do not agree; it is replaced by what was told before, and
// never by nil: nil would say that the chain has no finality of its own.
func (s *Scanner) head(ctx context.Context) (chain.Head, error) {
	head, err := s.cfg.Client.Head(ctx)
	if err != nil {
		return head, s.failed("Head", err)
	}
	if err := checkHead(head); err != nil {
		return head, err
	}
	if f := head.Finalized; f != nil && f.Height > head.Latest.Height {
		if head.Finalized = s.told.Finalized; head.Finalized == nil {
			return head, &IncoherentError{What: "head", Height: head.Latest.Height, Reason: fmt.Sprintf("the final block %d is above it", f.Height)}
		}
		s.log.WarnContext(ctx, "the node's final block is above its newest one", "final", f.Height, "head", head.Latest.Height)
	}
	s.update(func(p *Progress) { p.Head = head })
	s.watchdog.saw(head, time.Now())
	return head, nil
}

// forked reports whether the node's branch is another one than ours. A lower
// head, or one that the window does not reach, proves nothing.
func (s *Scanner) forked(ctx context.Context, tip chain.BlockRef, head chain.Head) (bool, error) {
	switch latest := head.Latest; {
	case latest.Height <= tip.Height:
		ours, known := s.window.At(latest.Height)
		return known && ours.Hash != latest.Hash, nil
	case latest.Height == tip.Height+1:
		return latest.Parent != tip.Hash, nil
	}
	refs, err := s.headers(ctx, tip.Height, tip.Height)
	if err != nil {
		return false, err
	}
	return refs[0].Hash != tip.Hash, nil
}

// idle tells the sink a head at our tip, where it says more than the last one.
func (s *Scanner) idle(ctx context.Context, head chain.Head) error {
	old, now := s.told.Finalized, head.Finalized
	newer := now != nil && (old == nil || now.Height > old.Height)
	if s.told.Latest.Hash == head.Latest.Hash && !newer {
		return nil
	}
	return s.commit(ctx, Step{Head: head}, s.window)
}

// begin connects the first blocks of a fresh chain. The window also gets the
// headers before them: a reorg that reaches below the first block then finds
// an ancestor instead of halting a chain of which nothing older was ever used.
func (s *Scanner) begin(ctx context.Context, head chain.Head) (bool, error) {
	from := fallback(s.start, head.Latest.Height)
	if from > head.Latest.Height {
		return false, nil
	}
	page, err := s.transfers(ctx, from, head)
	if err != nil {
		return false, err
	}
	var older []chain.BlockRef
	if room := min(from, s.info.MaxReorg-1); room > 0 {
		if older, err = s.headers(ctx, from-room, from-1); err != nil {
			return false, err
		}
	}
	window, err := NewFollower(older, int(s.info.MaxReorg))
	if err == nil {
		window, err = window.Connect(page.Blocks)
	}
	if err != nil {
		return false, s.failed("Transfers", fmt.Errorf("%w: %w", chain.ErrReorg, err))
	}
	s.log.InfoContext(ctx, "chain begun", "height", from)
	return page.Last().Height < head.Latest.Height, s.commit(ctx, Step{Head: head, Connect: page}, window)
}

// extend connects the blocks after the tip. A page that does not follow it is
// no gap to be jumped but a branch that changed since it was checked.
func (s *Scanner) extend(ctx context.Context, head chain.Head, tip chain.BlockRef) (bool, error) {
	page, err := s.transfers(ctx, tip.Height+1, head)
	if err != nil {
		return false, err
	}
	window, err := s.window.Connect(page.Blocks)
	if err != nil {
		return s.rewind(ctx, head)
	}
	return page.Last().Height < head.Latest.Height, s.commit(ctx, Step{Head: head, Connect: page}, window)
}

// transfers reads a page that begins at from, with the watched set as it is now.
func (s *Scanner) transfers(ctx context.Context, from uint64, head chain.Head) (chain.Page, error) {
	watch, err := s.cfg.Sink.Watch(ctx)
	if err == nil && watch == nil {
		err = errors.New("no watched set")
	}
	if err != nil {
		return chain.Page{}, s.failed("Watch", err)
	}
	to := head.Latest.Height
	if to-from >= s.info.PageBlocks {
		to = from + s.info.PageBlocks - 1
	}
	page, err := s.cfg.Client.Transfers(ctx, from, to, watch)
	if err != nil {
		return chain.Page{}, s.failed("Transfers", err)
	}
	return page, checkPage(page, from, to)
}

// rewind finds the newest block that both branches have and disconnects what
// is above it in ours.
func (s *Scanner) rewind(ctx context.Context, head chain.Head) (bool, error) {
	depth, err := s.depth(ctx, head)
	if err != nil {
		return false, err
	}
	if depth == 0 {
		// The tip is on the node's branch after all: what did not follow it was
		// read from another one.
		return false, s.failed("Headers", chain.ErrReorg)
	}
	window, gone := s.window.Disconnect(depth)
	s.log.InfoContext(ctx, "reorg", "depth", depth, "from", gone[len(gone)-1].Height, "to", gone[0].Height)
	return true, s.commit(ctx, Step{Head: head, Disconnect: gone}, window)
}

// depth returns how many blocks of the window are not on the node's branch. It
// walks back in batches that double, because most reorgs are shallow.
func (s *Scanner) depth(ctx context.Context, head chain.Head) (int, error) {
	oldest, tip := s.window.recent[0], s.window.recent[len(s.window.recent)-1]
	to := min(tip.Height, head.Latest.Height)
	var above []chain.BlockRef
	for size := uint64(4); ; size *= 2 {
		from := oldest.Height
		if to-from >= size {
			from = to - size + 1
		}
		refs, err := s.headers(ctx, from, to)
		if err != nil {
			return 0, err
		}
		last := refs[len(refs)-1]
		switch {
		case len(above) > 0 && !follows(last, above[0]), last.Height == head.Latest.Height && last.Hash != head.Latest.Hash:
			return 0, s.failed("Headers", chain.ErrReorg)
		}
		if depth, ok := s.window.Depth(refs); ok {
			return depth, nil
		}
		if from == oldest.Height {
			return 0, &DeepReorgError{Chain: s.info.ID, Oldest: oldest, Tip: tip, Other: refs[0]}
		}
		above, to = refs, from-1
	}
}

// headers returns exactly the blocks from to to of the node's branch.
func (s *Scanner) headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	var out []chain.BlockRef
	for next := from; next <= to; next = out[len(out)-1].Height + 1 {
		refs, err := s.cfg.Client.Headers(ctx, next, to)
		if err != nil {
			return nil, s.failed("Headers", err)
		}
		switch {
		case len(refs) == 0:
			// The head was above: another node answered, one that is behind.
			return nil, s.failed("Headers", fmt.Errorf("height %d: %w", next, chain.ErrNotFound))
		case refs[0].Height != next:
			return nil, &IncoherentError{What: "headers", Height: next, Reason: fmt.Sprintf("they begin at %d", refs[0].Height)}
		case refs[len(refs)-1].Height > to:
			return nil, &IncoherentError{What: "headers", Height: refs[len(refs)-1].Height, Reason: fmt.Sprintf("asked for blocks up to %d", to)}
		}
		if len(out) > 0 && !follows(out[len(out)-1], refs[0]) {
			return nil, s.failed("Headers", chain.ErrReorg)
		}
		if err := checkLinks("headers", refs); err != nil {
			return nil, err
		}
		out = append(out, refs...)
	}
	return out, nil
}

// commit hands a step to the sink and, once that is done, stands on its window.
func (s *Scanner) commit(ctx context.Context, step Step, window Follower) error {
	// A final block that the window contradicts is of another branch than the
	// one that was read.
	if f := step.Head.Finalized; f != nil {
		if ours, ok := window.At(f.Height); ok && ours.Hash != f.Hash {
			return &IncoherentError{What: "head", Height: f.Height, Reason: fmt.Sprintf("final is %s, the branch has %s", f.Hash, ours.Hash)}
		}
	}
	step.Recent = window.Recent()
	if err := s.cfg.Sink.Commit(ctx, step); err != nil {
		return s.failed("Commit", err)
	}
	s.window, s.told = window, step.Head
	tip, _ := window.Tip()
	s.update(func(p *Progress) { p.Tip = tip })
	return nil
}

// failed names the call that an error came from.
func (s *Scanner) failed(call string, err error) error {
	return &CallError{Chain: s.info.ID, Call: call, Err: err}
}
