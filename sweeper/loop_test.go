package sweeper

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// running starts Run inside a synctest bubble and returns what ends it.
func running(x *bench) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.s.Run(ctx) }()
	return func() error {
		cancel()
		synctest.Wait()
		return <-done
	}
}

func TestRun_StepsAtIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t)
		stop := running(x)
		synctest.Wait()
		require.Equal(t, 1, x.w.count("Work"))
		time.Sleep(3*blockTime + time.Second)
		synctest.Wait()
		require.Equal(t, 4, x.w.count("Work"))
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

func TestRun_WakeCutsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t)
		stop := running(x)
		synctest.Wait()
		x.s.Wake()
		x.s.Wake()
		x.s.Wake()
		synctest.Wait()
		require.LessOrEqual(t, x.w.count("Work"), 3, "hints that wait are one")
		require.GreaterOrEqual(t, x.w.count("Work"), 2)
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

func TestRun_BacksOffAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t)
		x.w.fault = func(string, bool) error { return errLost }
		stop := running(x)
		synctest.Wait()
		x.s.Wake() // an outage is no reason to ask faster
		time.Sleep(blockTime - time.Second)
		synctest.Wait()
		require.Equal(t, 1, x.w.count("Work"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Less(t, x.w.count("Work"), 14, "12, 24, 48 and then 60 seconds apart")
		require.Greater(t, x.w.count("Work"), 9)
		x.w.mu.Lock()
		x.w.fault = never
		x.b.deposit(account("a"), native, 1000, true)
		x.w.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, x.w.count("Broadcast"))
		x.w.mu.Lock()
		x.w.fault = failing("Work", 1, false, errLost)
		x.w.mu.Unlock()
		calls := x.w.count("Work")
		time.Sleep(2*blockTime + time.Second)
		synctest.Wait()
		require.GreaterOrEqual(t, x.w.count("Work"), calls+2, "a new failure begins with a short pause")
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

func TestRun_EndedContextDoesNothing(t *testing.T) {
	x := newBench(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, x.s.Run(ctx), context.Canceled)
	require.Empty(t, x.w.calls)
}

// TestCall_Timeout: a signer that hangs costs its job one call timeout.
func TestCall_Timeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t)
		s, err := New(Config{Client: x.w.client(), Journal: x.b, Signer: hanging{}, Policy: x.p, Logger: quiet(), CallTimeout: time.Second})
		require.NoError(t, err)
		x.b.deposit(account("a"), native, 1000, true)
		start := time.Now()
		_, err = s.Step(context.Background())
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, x.b.jobs[0].cause[0], context.DeadlineExceeded)
	})
}

type hanging struct{}

func (hanging) Sign(ctx context.Context, _ []chain.SignRequest) ([][]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
