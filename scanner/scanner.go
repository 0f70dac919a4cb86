package scanner

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar/chain"
)

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
	// told is the head of the last step that surely was committed.
	told chain.Head
	// failures counts errors in a row.
	failures int
	// moments are what Progress.Rate is worked out from; said is when it was logged.
	moments  samples
	said     time.Time
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
	// After an error, or a panic in somebody else's code, the next step begins
	// with what the store has.
	clean := false
	defer func() { s.loaded = s.loaded && clean }()

	behind, err := s.step(ctx)
	switch {
	case err == nil:
		clean, s.failures = true, 0
		s.update(func(p *Progress) { p.Err, p.Failures, p.Stepped = nil, 0, time.Now().UTC() })
		if !behind {
			wait = s.cfg.Poll
		}
	case ctx.Err() != nil:
		return 0, ctx.Err()
	default:
		s.failures++
		s.update(func(p *Progress) { p.Err, p.Failures = err, s.failures })
		wait = s.backoff()
	}
	s.report(ctx, err)
	return wait, err
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

// commit hands a step to the sink and, once that is done, stands on its window.
func (s *Scanner) commit(ctx context.Context, step Step, window Follower) error {
	// A final block that the window contradicts is of another branch than the
	// one that was read.
	if f := step.Head.Finalized; f != nil {
		if ours, ok := window.At(f.Height); ok && ours.Hash != f.Hash {
			return &IncoherentError{What: "head", Height: f.Height, Reason: fmt.Sprintf("final is %s, the branch has %s", f.Hash, ours.Hash)}
		}
	}
	step.Base, _ = s.window.Tip()
	step.Recent = window.Recent()
	if err := s.cfg.Sink.Commit(ctx, step); err != nil {
		return s.failed("Commit", err)
	}
	s.window, s.told = window, step.Head
	tip, _ := window.Tip()
	s.moments = s.moments.add(sample{time.Now(), tip.Height, step.Head.Latest.Height})
	s.update(func(p *Progress) { p.Tip = tip; p.Rate, p.Left = s.moments.pace() })
	s.say(ctx)
	return nil
}

// say logs how the catching up goes, now and then.
func (s *Scanner) say(ctx context.Context) {
	p, now := s.Progress(), time.Now()
	if p.Lag <= s.cfg.LagBlocks || now.Sub(s.said) < span/2 {
		return
	}
	s.said = now
	s.log.InfoContext(ctx, "catching up", "tip", p.Tip.Height, "head", p.Head.Latest.Height, "blocks_per_minute", p.Rate, "left", p.Left.Round(time.Second))
}

// failed names the call that an error came from.
func (s *Scanner) failed(call string, err error) error {
	return &CallError{Chain: s.info.ID, Call: call, Err: err}
}
