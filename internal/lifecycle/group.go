package lifecycle

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Sentinels of a Group.
var (
	// ErrStarted: Start was called before.
	ErrStarted = errors.New("lifecycle: started already")
	// ErrStopped: Stop was called before, or during Start.
	ErrStopped = errors.New("lifecycle: stopped")
	// ErrNotRunning: a lane was added before Start had returned.
	ErrNotRunning = errors.New("lifecycle: not running")
)

// DefaultPause is the default of Config.Pause.
const DefaultPause = time.Second

// Policy says what becomes of a lane that failed: it panicked, or returned an
// error while its context was alive. Either way the failure is reported.
type Policy int

const (
	// Restart runs the lane again after Config.Pause.
	Restart Policy = iota
	// Quit leaves it ended. It is for lanes whose own invariant may be broken.
	Quit
)

// Lane is one background activity of a Group.
type Lane struct {
	// Name is unique in its group and must not be empty.
	Name string
	// Run works until its context ends. A nil before that ends the lane for
	// good.
	Run func(ctx context.Context) error
	// OnFailure says what happens when it fails.
	OnFailure Policy
}

// Failure is a lane that failed.
type Failure struct {
	// Lane is its name in the group.
	Lane string
	// Err is what it returned, or a *PanicError.
	Err error
	// Restarts says whether it runs again after the pause.
	Restarts bool
}

// Config is what a Group needs. New copies it.
type Config struct {
	// Name stands before the names of the lanes. It may be empty.
	Name string
	// Lanes start with the group, in this order.
	Lanes []Lane
	// Pause is how long a failed lane waits. Default: DefaultPause.
	Pause time.Duration
	// Report is told of each failure, in the goroutine of the lane. A panic of
	// its own is dropped: there is nobody left to tell. It may be nil.
	Report func(ctx context.Context, f Failure)
}

// State is where a Group is in its life.
type State int

// The states of a group, in their order.
const (
	StateNew State = iota
	StateStarting
	StateRunning
	StateStopped
)

// Group is a set of lanes that start and stop together. All methods may be
// called concurrently.
type Group struct {
	cfg Config

	mu    sync.Mutex
	state State
	// cancel ends what runs at present: the setup or the lanes.
	cancel context.CancelFunc
	// ctx is the context of the lanes, once running.
	ctx context.Context
	// left counts what must end before the group has stopped; ended is closed
	// then.
	left  int
	ended chan struct{}
}

// New returns a group. It starts nothing.
func New(cfg Config) *Group {
	cfg.Lanes = append([]Lane(nil), cfg.Lanes...)
	if cfg.Pause <= 0 {
		cfg.Pause = DefaultPause
	}
	return &Group{cfg: cfg, ended: make(chan struct{})}
}

// State returns where the group is in its life.
func (g *Group) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// Start calls setup, which may be nil, and starts the lanes where it returns
// nil. ctx bounds the setup; the lanes outlive it and keep its values only.
//
// Where setup fails, Start returns its error, nothing runs, and Start may be
// called again. It returns ErrStarted while starting or running, and ErrStopped
// after Stop; a Stop during the setup ends the setup's context.
func (g *Group) Start(ctx context.Context, setup func(ctx context.Context) error) error {
	ctx, setupCtx, err := g.enter(ctx)
	if err != nil {
		return err
	}
	defer g.leave()
	if setup != nil {
		err = Guard(setupCtx, setup)
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	g.cancel()
	switch {
	case g.state == StateStopped:
		return ErrStopped
	case err != nil:
		g.state = StateNew
		return err
	}
	g.state = StateRunning
	g.ctx, g.cancel = context.WithCancel(ctx)
	for _, lane := range g.cfg.Lanes {
		g.launch(lane)
	}
	return nil
}

// enter begins a start: the context of the lanes to be, and that of the setup.
func (g *Group) enter(ctx context.Context) (lanes, setup context.Context, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case StateStarting, StateRunning:
		return nil, nil, ErrStarted
	case StateStopped:
		return nil, nil, ErrStopped
	}
	if g.cfg.Name != "" {
		ctx = WithName(ctx, g.cfg.Name)
	}
	g.state = StateStarting
	g.left++
	setup, g.cancel = context.WithCancel(ctx)
	return context.WithoutCancel(ctx), setup, nil
}

// Go adds a lane to a running group. It returns ErrNotRunning before the group
// runs and ErrStopped after Stop.
func (g *Group) Go(lane Lane) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case StateRunning:
		g.launch(lane)
		return nil
	case StateStopped:
		return ErrStopped
	}
	return ErrNotRunning
}

// Stop ends the context of every lane and waits for all of them. It may be
// called at any time, again and again: before Start, during it, twice at once.
// Where ctx ends first, Stop returns its error; the lanes still end, and
// another Stop waits for them again.
//
// A lane that stops its own group must not wait for itself: with its own
// context, which Stop ends, it gets context.Canceled at once.
func (g *Group) Stop(ctx context.Context) error {
	g.mu.Lock()
	if g.state != StateStopped {
		g.state = StateStopped
		if g.cancel != nil {
			g.cancel()
		}
		if g.left == 0 {
			close(g.ended)
		}
	}
	g.mu.Unlock()

	select {
	case <-g.ended:
		return nil
	case <-ctx.Done():
	}
	// Both may have been ready: that everything ended is the better news.
	select {
	case <-g.ended:
		return nil
	default:
		return ctx.Err()
	}
}

// Ended is closed when Stop was called and everything has ended.
func (g *Group) Ended() <-chan struct{} { return g.ended }

// launch starts a lane. The caller holds the lock; nothing in here blocks or
// calls code of others.
func (g *Group) launch(lane Lane) {
	g.left++
	Go(g.ctx, lane.Name, func(ctx context.Context) error { return g.tend(ctx, lane) }, func(err error) {
		defer g.leave()
		if err != nil {
			g.report(g.ctx, Failure{Lane: lane.Name, Err: err})
		}
	})
}

// tend runs a lane until it is finished.
func (g *Group) tend(ctx context.Context, lane Lane) error {
	for {
		err := Guard(ctx, lane.Run)
		var panicked *PanicError
		switch {
		case err == nil, ctx.Err() != nil && !errors.As(err, &panicked):
			return nil
		case lane.OnFailure == Quit, ctx.Err() != nil:
			return err
		}
		g.report(ctx, Failure{Lane: lane.Name, Err: err, Restarts: true})
		timer := time.NewTimer(g.cfg.Pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// report tells the host, whose own panic must not end the lane.
func (g *Group) report(ctx context.Context, f Failure) {
	if g.cfg.Report != nil {
		_ = Guard(ctx, func(ctx context.Context) error { g.cfg.Report(ctx, f); return nil })
	}
}

// leave notes that one thing ended.
func (g *Group) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left--; g.left == 0 && g.state == StateStopped {
		close(g.ended)
	}
}
