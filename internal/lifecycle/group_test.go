package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/lifecycle"
)

// until is a lane that works until its context ends.
func until(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// journal collects failures.
type journal struct {
	mu   sync.Mutex
	list []lifecycle.Failure
}

func (j *journal) add(_ context.Context, f lifecycle.Failure) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, f)
}

func (j *journal) all() []lifecycle.Failure {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]lifecycle.Failure(nil), j.list...)
}

func TestNewStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := lifecycle.New(lifecycle.Config{Lanes: []lifecycle.Lane{{Name: "a", Run: func(context.Context) error {
			t.Error("it ran")
			return nil
		}}}})
		synctest.Wait()
		require.Equal(t, lifecycle.StateNew, g.State())
		require.ErrorIs(t, g.Go(lifecycle.Lane{Name: "b", Run: until}), lifecycle.ErrNotRunning)
		require.NoError(t, g.Stop(t.Context()))
	})
}

func TestStartRunsLanesUntilStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alive atomic.Int32
		var names sync.Map
		run := func(ctx context.Context) error {
			names.Store(lifecycle.Name(ctx), true)
			alive.Add(1)
			defer alive.Add(-1)
			return until(ctx)
		}
		j := &journal{}
		g := lifecycle.New(lifecycle.Config{Name: "gw", Lanes: []lifecycle.Lane{{Name: "a", Run: run}, {Name: "b", Run: run}}, Report: j.add})

		start, cancel := context.WithCancel(t.Context())
		require.NoError(t, g.Start(start, nil))
		cancel() // it bounds the start alone
		require.NoError(t, g.Go(lifecycle.Lane{Name: "c", Run: run}))
		synctest.Wait()
		require.EqualValues(t, 3, alive.Load())
		for _, name := range []string{"gw/a", "gw/b", "gw/c"} {
			_, ok := names.Load(name)
			require.True(t, ok, name)
		}
		require.Equal(t, lifecycle.StateRunning, g.State())
		require.ErrorIs(t, g.Start(t.Context(), nil), lifecycle.ErrStarted)

		require.NoError(t, g.Stop(t.Context()))
		require.Zero(t, alive.Load(), "Stop waits for all of them")
		require.Equal(t, lifecycle.StateStopped, g.State())
		require.ErrorIs(t, g.Start(t.Context(), nil), lifecycle.ErrStopped)
		require.ErrorIs(t, g.Go(lifecycle.Lane{Name: "d", Run: run}), lifecycle.ErrStopped)
		require.NoError(t, g.Stop(t.Context()), "twice")
		<-g.Ended()
		require.Empty(t, j.all(), "an end that was asked for is no failure")
	})
}

func TestStopBeforeStart(t *testing.T) {
	g := lifecycle.New(lifecycle.Config{Lanes: []lifecycle.Lane{{Name: "a", Run: until}}})
	require.NoError(t, g.Stop(t.Context()))
	require.ErrorIs(t, g.Start(t.Context(), nil), lifecycle.ErrStopped)
}

func TestSetup(t *testing.T) {
	failure := errors.New("database is down")
	var ran atomic.Int32
	g := lifecycle.New(lifecycle.Config{Lanes: []lifecycle.Lane{{Name: "a", Run: func(ctx context.Context) error {
		ran.Add(1)
		return until(ctx)
	}}}})

	require.ErrorIs(t, g.Start(t.Context(), func(context.Context) error { return failure }), failure)
	require.Equal(t, lifecycle.StateNew, g.State())
	var p *lifecycle.PanicError
	require.ErrorAs(t, g.Start(t.Context(), func(context.Context) error { panic("bad") }), &p)
	require.Zero(t, ran.Load(), "no lane runs after a failed setup")

	require.NoError(t, g.Start(t.Context(), func(ctx context.Context) error {
		require.Equal(t, lifecycle.StateStarting, g.State())
		require.ErrorIs(t, g.Start(ctx, nil), lifecycle.ErrStarted)
		require.ErrorIs(t, g.Go(lifecycle.Lane{Name: "early", Run: until}), lifecycle.ErrNotRunning)
		return nil
	}), "a failed start can be repeated")
	require.NoError(t, g.Stop(t.Context()))
}

func TestSetupEndsWithItsContext(t *testing.T) {
	g := lifecycle.New(lifecycle.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, g.Start(ctx, until), context.Canceled)
	require.NoError(t, g.Stop(t.Context()))
}

func TestThreat_G9_StopDuringStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var setupEnded atomic.Bool
		g := lifecycle.New(lifecycle.Config{Lanes: []lifecycle.Lane{{Name: "a", Run: func(context.Context) error {
			t.Error("it ran after Stop")
			return nil
		}}}})
		started := make(chan error, 1)
		go func() {
			started <- g.Start(t.Context(), func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Minute) // virtual: a setup that ends slowly
				setupEnded.Store(true)
				return nil
			})
		}()
		synctest.Wait()
		require.NoError(t, g.Stop(t.Context()))
		require.True(t, setupEnded.Load(), "Stop waits for the setup")
		require.ErrorIs(t, <-started, lifecycle.ErrStopped)
	})
}

func TestThreat_G9_StopAfterTimedOutContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := lifecycle.New(lifecycle.Config{Lanes: []lifecycle.Lane{{Name: "slow", Run: func(ctx context.Context) error {
			<-ctx.Done()
			<-release
			return nil
		}}}})
		require.NoError(t, g.Start(t.Context(), nil))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, g.Stop(ctx), context.DeadlineExceeded)
		require.ErrorIs(t, g.Stop(ctx), context.DeadlineExceeded, "it still runs")
		select {
		case <-g.Ended():
			t.Fatal("it has not ended")
		default:
		}
		close(release)
		require.NoError(t, g.Stop(t.Context()), "a later Stop waits again")
		require.NoError(t, g.Stop(ctx), "once all has ended, an old context does not matter")
	})
}

func TestStopFromInsideALane(t *testing.T) {
	var g *lifecycle.Group
	got := make(chan error, 1)
	g = lifecycle.New(lifecycle.Config{Lanes: []lifecycle.Lane{{Name: "suicidal", Run: func(ctx context.Context) error {
		got <- g.Stop(ctx)
		return nil
	}}}})
	require.NoError(t, g.Start(t.Context(), nil))
	require.ErrorIs(t, <-got, context.Canceled)
	require.NoError(t, g.Stop(t.Context()))
}

func TestFailedLaneRestartsAfterThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		j := &journal{}
		g := lifecycle.New(lifecycle.Config{Pause: 3 * time.Second, Report: j.add, Lanes: []lifecycle.Lane{{Name: "a", Run: func(ctx context.Context) error {
			at = append(at, time.Since(begin))
			switch len(at) {
			case 1:
				panic("first")
			case 2:
				return errors.New("second")
			}
			return until(ctx)
		}}}})
		require.NoError(t, g.Start(t.Context(), nil))
		time.Sleep(time.Minute) // virtual
		require.NoError(t, g.Stop(t.Context()))

		require.Equal(t, []time.Duration{0, 3 * time.Second, 6 * time.Second}, at)
		failures := j.all()
		require.Len(t, failures, 2)
		require.True(t, failures[0].Restarts)
		require.EqualError(t, failures[0].Err, "lifecycle: panic in a: first")
		require.Equal(t, "a", failures[1].Lane)
		require.EqualError(t, failures[1].Err, "second")
	})
}

func TestStopEndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		g := lifecycle.New(lifecycle.Config{Pause: time.Hour, Lanes: []lifecycle.Lane{{Name: "a", Run: func(context.Context) error {
			runs.Add(1)
			return errors.New("no")
		}}}})
		require.NoError(t, g.Start(t.Context(), nil))
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, g.Stop(t.Context()))
		require.Zero(t, time.Since(begin))
		require.EqualValues(t, 1, runs.Load())
	})
}

func TestQuitStaysEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs, others atomic.Int32
		j := &journal{}
		g := lifecycle.New(lifecycle.Config{Report: j.add, Lanes: []lifecycle.Lane{
			{Name: "broken", OnFailure: lifecycle.Quit, Run: func(context.Context) error { runs.Add(1); panic("invariant") }},
			{Name: "other", Run: func(ctx context.Context) error { others.Add(1); return until(ctx) }},
		}})
		require.NoError(t, g.Start(t.Context(), nil))
		time.Sleep(time.Hour) // virtual
		require.EqualValues(t, 1, runs.Load())
		require.EqualValues(t, 1, others.Load(), "one lane's failure is no other's")
		failures := j.all()
		require.Len(t, failures, 1)
		require.False(t, failures[0].Restarts)
		require.Equal(t, "broken", failures[0].Lane)
		require.NoError(t, g.Stop(t.Context()))
	})
}

func TestPanicWhileStoppingIsReported(t *testing.T) {
	j := &journal{}
	g := lifecycle.New(lifecycle.Config{Report: j.add, Lanes: []lifecycle.Lane{{Name: "a", Run: func(ctx context.Context) error {
		<-ctx.Done()
		panic("on the way out")
	}}}})
	require.NoError(t, g.Start(t.Context(), nil))
	require.NoError(t, g.Stop(t.Context()))
	require.Len(t, j.all(), 1)
	require.False(t, j.all()[0].Restarts)
}

func TestThreat_G10_PanicInReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		g := lifecycle.New(lifecycle.Config{
			Report: func(context.Context, lifecycle.Failure) { panic("the host's own") },
			Lanes: []lifecycle.Lane{{Name: "a", Run: func(context.Context) error {
				runs.Add(1)
				return errors.New("no")
			}}},
		})
		require.NoError(t, g.Start(t.Context(), nil))
		time.Sleep(2500 * time.Millisecond) // virtual
		require.EqualValues(t, 3, runs.Load(), "it restarts all the same")
		require.NoError(t, g.Stop(t.Context()))
	})
}

func TestFinishedLaneIsNotRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		g := lifecycle.New(lifecycle.Config{Lanes: []lifecycle.Lane{{Name: "once", Run: func(context.Context) error { runs.Add(1); return nil }}}})
		require.NoError(t, g.Start(t.Context(), nil))
		time.Sleep(time.Hour) // virtual
		require.EqualValues(t, 1, runs.Load())
		require.NoError(t, g.Stop(t.Context()))
	})
}

func TestConfigIsCopied(t *testing.T) {
	lanes := []lifecycle.Lane{{Name: "a", Run: until}}
	g := lifecycle.New(lifecycle.Config{Lanes: lanes})
	lanes[0].Run = func(context.Context) error { t.Error("changed behind its back"); return nil }
	require.NoError(t, g.Start(t.Context(), nil))
	require.NoError(t, g.Stop(t.Context()))
}

// TestThreat_G9_Stress starts and stops at once, from many goroutines, and
// wants every lane joined whatever order they come in.
func TestThreat_G9_Stress(t *testing.T) {
	for round := range 50 {
		var alive atomic.Int32
		var lanes []lifecycle.Lane
		for i := range 4 {
			lanes = append(lanes, lifecycle.Lane{Name: fmt.Sprint(i), Run: func(ctx context.Context) error {
				alive.Add(1)
				defer alive.Add(-1)
				return until(ctx)
			}})
		}
		g := lifecycle.New(lifecycle.Config{Lanes: lanes})
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range 10 {
			all.Go(func() {
				<-begin
				switch i % 3 {
				case 0:
					err := g.Start(t.Context(), func(context.Context) error { return nil })
					if err != nil && !errors.Is(err, lifecycle.ErrStarted) && !errors.Is(err, lifecycle.ErrStopped) {
						assert.NoError(t, err)
					}
				case 1:
					_ = g.Go(lifecycle.Lane{Name: "more", Run: lanes[0].Run})
				default:
					ended, cancel := context.WithCancel(t.Context())
					if round%2 == 0 {
						cancel()
					}
					_ = g.Stop(ended)
					cancel()
				}
			})
		}
		close(begin)
		all.Wait()
		require.NoError(t, g.Stop(t.Context()))
		require.Zero(t, alive.Load(), "round %d", round)
		require.ErrorIs(t, g.Start(t.Context(), nil), lifecycle.ErrStopped)
	}
}
