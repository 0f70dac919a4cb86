package clocktest_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/clocktest"
)

const day = 24 * time.Hour

// wall is the difference of two times by the wall clock alone.
func wall(from, to time.Time) time.Duration { return to.Round(0).Sub(from.Round(0)) }

func TestJump(t *testing.T) {
	begin := time.Now()
	for _, by := range []time.Duration{day, -day, 0, 400 * day, time.Second} {
		clocktest.Jump(t, by)
		now := time.Now()
		require.InDelta(t, by, wall(begin, now), float64(time.Minute), "the wall clock")
		require.InDelta(t, 0, now.Sub(begin), float64(time.Minute), "the monotonic one")
	}
}

func TestTheClockIsSetRightAfterwards(t *testing.T) {
	begin := time.Now()
	t.Run("a test", func(t *testing.T) { clocktest.Jump(t, -day) })
	require.InDelta(t, 0, wall(begin, time.Now()), float64(time.Minute))
}

func TestTimersGoOn(t *testing.T) {
	timer := time.NewTimer(10 * time.Millisecond)
	clocktest.Jump(t, -day)
	<-timer.C
	<-time.After(time.Millisecond)
}

// TestWhileOthersLook: the clock may be read at any time.
func TestWhileOthersLook(t *testing.T) {
	begin := time.Now()
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				off := wall(begin, time.Now()).Abs()
				if off > time.Minute && (off-day).Abs() > time.Minute {
					t.Errorf("the clock is off by %s", off)
					return
				}
			}
		})
	}
	for range 50 {
		clocktest.Jump(t, day)
		clocktest.Jump(t, -day)
	}
	close(done)
	wg.Wait()
}

func TestParallelTestsCannotJump(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { clocktest.Jump(t, day) })
}
