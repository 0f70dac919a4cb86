package scanner_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/scanner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// elapse lets virtual time pass, and then whatever begins at its end.
func elapse(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// run starts the loop and returns what stops it.
func run(t *testing.T, sc *scanner.Scanner) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sc.Run(ctx) }()
	return func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	}
}

func TestRunPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNode(30), newSink(t)
		s.start = 5
		stop := run(t, newScanner(t, n, s))
		synctest.Wait()
		follows(t, n, s) // caught up without a pause
		heads := count(n.calls, "Head")
		n.mine("a", 1)
		elapse(n.info.BlockTime)
		follows(t, n, s)
		require.Equal(t, heads+1, count(n.calls, "Head"), "one look a block")
		stop()
	})
}

func TestWakeCutsThePollShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNode(5), newSink(t)
		sc := newScanner(t, n, s)
		stop := run(t, sc)
		synctest.Wait()
		begin := time.Now()
		n.mine("a", 1)
		sc.Wake()
		sc.Wake() // never blocks
		sc.Wake()
		synctest.Wait()
		require.Zero(t, time.Since(begin))
		follows(t, n, s)
		stop()
	})
}

// Hints of a fast chain must not hammer a node that is down.
func TestThreat_C6_WakeDoesNotCutABackoffShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNode(5), newSink(t)
		n.hook = func(string, uint64, uint64) error { return errNode }
		sc := newScanner(t, n, s)
		stop := run(t, sc)
		for range 1000 {
			sc.Wake()
			elapse(10 * time.Millisecond)
		}
		require.Less(t, count(n.calls, "Head"), 8, "10 s of hints")
		stop()
	})
}

// Days without any node, then one with everything that was missed.
func TestThreat_C17_AllProvidersDownForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNode(30), newSink(t)
		sc := newScanner(t, n, s)
		stop := run(t, sc)
		synctest.Wait()
		n.mu.Lock()
		n.hook = func(string, uint64, uint64) error { return errNode }
		n.mu.Unlock()
		elapse(72 * time.Hour)
		n.mu.Lock()
		asked := len(n.calls)
		n.hook = nil
		n.mu.Unlock()
		require.Less(t, asked, 3*24*60*2+100, "never more often than MaxBackoff allows")
		require.Greater(t, asked, 3*24*60-100, "and never given up")
		require.GreaterOrEqual(t, sc.Progress().Failures, scanner.DefaultFailAfter)
		require.Equal(t, []bool{false, true}, s.reported(scanner.Failing))
		for _, c := range s.reports {
			if c.Active && c.Kind == scanner.Failing {
				require.ErrorIs(t, c.Err, errNode)
			}
		}

		n.mine("a", 5000)
		elapse(scanner.DefaultMaxBackoff)
		follows(t, n, s)
		require.Zero(t, sc.Progress().Failures)
		require.Equal(t, []bool{false, true, false}, s.reported(scanner.Failing))
		stop()
	})
}

func TestThreat_A13_StalledAndFinalityStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNode(9), newSink(t)
		n.final = 2
		cfg := config(n, s)
		cfg.StallAfter, cfg.FinalityStallAfter = 10*time.Minute, 30*time.Minute
		sc, err := scanner.New(cfg)
		require.NoError(t, err)
		stop := run(t, sc)
		elapse(10*time.Minute - time.Second)
		require.Equal(t, []bool{false}, s.reported(scanner.Stalled))
		elapse(5 * time.Second)
		require.Equal(t, []bool{false, true}, s.reported(scanner.Stalled))
		require.Equal(t, []bool{false}, s.reported(scanner.FinalityStalled))
		n.mine("a", 100) // the burst
		elapse(5 * time.Second)
		require.Equal(t, []bool{false, true, false}, s.reported(scanner.Stalled))
		elapse(20 * time.Minute)
		require.Equal(t, []bool{false, true}, s.reported(scanner.FinalityStalled))
		n.mu.Lock()
		n.final = 50
		n.mu.Unlock()
		elapse(5 * time.Second)
		require.Equal(t, []bool{false, true, false}, s.reported(scanner.FinalityStalled))
		stop()
	})
}

func TestChainsOnDemandNeverStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNode(9), newSink(t)
		n.info.OnDemandBlocks, n.final = true, 3
		stop := run(t, newScanner(t, n, s))
		elapse(24 * time.Hour)
		require.Empty(t, s.reported(scanner.Stalled))
		require.Empty(t, s.reported(scanner.FinalityStalled))
		stop()
	})
}

func TestLaggingEndsAtHalf(t *testing.T) {
	n, s := newNode(60), newSink(t)
	s.start = 1
	cfg := config(n, s)
	cfg.LagBlocks = 40
	sc, err := scanner.New(cfg)
	require.NoError(t, err)
	var lags []uint64
	for range 15 {
		step(t, sc)
		if len(s.reported(scanner.Lagging)) != len(lags) {
			lags = append(lags, sc.Progress().Lag)
		}
	}
	require.Equal(t, []bool{true, false}, s.reported(scanner.Lagging))
	require.Equal(t, []uint64{55, 19}, lags)
}

func TestFailedReportIsMadeAgain(t *testing.T) {
	n, s := newNode(9), newSink(t)
	broken := true
	s.hook = func(call string, _ *scanner.Step) error {
		if call == "Report" && broken {
			return errStore
		}
		return nil
	}
	sc := newScanner(t, n, s)
	settle(t, sc)
	follows(t, n, s) // never on the money path
	require.Empty(t, s.reports)
	broken = false
	settle(t, sc)
	require.Equal(t, []bool{false}, s.reported(scanner.Halted))
	require.Equal(t, []bool{false}, s.reported(scanner.Lagging))
	c := s.reports[0]
	require.Equal(t, n.info.ID, c.Chain)
	require.EqualValues(t, 8, c.Head)
	require.EqualValues(t, 8, c.Tip)
	require.NoError(t, c.Err)
	require.False(t, c.At.IsZero())
}

func TestBackoffGrowsToItsCap(t *testing.T) {
	n, s := newNode(9), newSink(t)
	n.hook = func(string, uint64, uint64) error { return errNode }
	cfg := config(n, s)
	cfg.Poll, cfg.MaxBackoff = time.Second, 20*time.Second
	sc, err := scanner.New(cfg)
	require.NoError(t, err)
	for _, most := range []time.Duration{1, 2, 4, 8, 16, 20, 20, 20} {
		wait, err := sc.Step(t.Context())
		require.ErrorIs(t, err, errNode)
		require.GreaterOrEqual(t, wait, most*time.Second/2)
		require.LessOrEqual(t, wait, most*time.Second)
	}
	n.hook = nil
	settle(t, sc)
	n.hook = func(string, uint64, uint64) error { return errNode }
	wait, err := sc.Step(t.Context())
	require.Error(t, err)
	require.LessOrEqual(t, wait, time.Second, "a success begins anew")
}

// Two scanners with the same source of randomness do the same: a simulation
// can replay them.
func TestJitterComesFromRand(t *testing.T) {
	waits := func(seed uint64) (out []time.Duration) {
		n, s := newNode(9), newSink(t)
		n.hook = func(string, uint64, uint64) error { return errNode }
		cfg := config(n, s)
		cfg.Rand = rand.NewPCG(seed, seed)
		sc, err := scanner.New(cfg)
		require.NoError(t, err)
		for range 6 {
			wait, _ := sc.Step(t.Context())
			out = append(out, wait)
		}
		return out
	}
	require.Equal(t, waits(1), waits(1))
	require.NotEqual(t, waits(1), waits(2))
}

func TestEndedContextIsNoFailure(t *testing.T) {
	n, s := newNode(9), newSink(t)
	ctx, cancel := context.WithCancel(t.Context())
	n.hook = func(string, uint64, uint64) error { cancel(); return fmt.Errorf("node: %w", ctx.Err()) }
	sc := newScanner(t, n, s)
	_, err := sc.Step(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, sc.Progress().Failures)
	require.Empty(t, s.reports)
	require.ErrorIs(t, sc.Run(ctx), context.Canceled, "an ended context runs nothing")
}

func TestConfig(t *testing.T) {
	n, s := newNode(3), newSink(t)
	for field, change := range map[string]func(*scanner.Config, *chain.Info){
		"Client: missing":                       func(c *scanner.Config, _ *chain.Info) { c.Client = nil },
		"Sink: missing":                         func(c *scanner.Config, _ *chain.Info) { c.Sink = nil },
		"negative duration":                     func(c *scanner.Config, _ *chain.Info) { c.Poll = -1 },
		"FailAfter: negative":                   func(c *scanner.Config, _ *chain.Info) { c.FailAfter = -1 },
		"Client: its Info has no ID":            func(_ *scanner.Config, i *chain.Info) { i.ID = "" },
		"Client: its Info has PageBlocks 0":     func(_ *scanner.Config, i *chain.Info) { i.PageBlocks = 0 },
		"Client: its Info has MaxReorg 0":       func(_ *scanner.Config, i *chain.Info) { i.MaxReorg = 0 },
		"Client: its Info has MaxReorg 9999999": func(_ *scanner.Config, i *chain.Info) { i.MaxReorg = 9999999 },
	} {
		t.Run(field, func(t *testing.T) {
			own := newNode(3)
			cfg := config(own, s)
			change(&cfg, &own.info)
			_, err := scanner.New(cfg)
			var bad *scanner.ConfigError
			require.ErrorAs(t, err, &bad)
			require.ErrorContains(t, err, field)
		})
	}
	for blockTime, poll := range map[time.Duration]time.Duration{
		0: scanner.MinPoll, time.Millisecond: scanner.MinPoll, 3 * time.Second: 3 * time.Second, time.Hour: scanner.MaxPoll,
	} {
		n.info.BlockTime = blockTime
		sc, err := scanner.New(scanner.Config{Client: n, Sink: newSink(t)})
		require.NoError(t, err)
		require.Equal(t, poll, step(t, sc))
	}
}

// TestAnyHistory plays random histories against restarts, errors and lost
// answers: in the end the view is the node's branch, and each payment on it was
// seen once.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, s := newNode(20), newSink(t)
		s.start = 3
		n.info.PageBlocks = rapid.Uint64Range(1, 9).Draw(rt, "page")
		n.info.MaxReorg = 64
		sc := newScanner(t, n, s)
		var old []chain.BlockRef
		for i := range rapid.IntRange(1, 30).Draw(rt, "acts") {
			switch rapid.IntRange(0, 7).Draw(rt, "act") {
			case 0:
				n.mine(fmt.Sprint("m", i, "x"), rapid.IntRange(1, 12).Draw(rt, "blocks"))
			case 1:
				old = n.branch()
				depth := rapid.IntRange(1, 6).Draw(rt, "depth")
				n.reorg(fmt.Sprint("r", i, "x"), depth, max(1, depth+rapid.IntRange(-1, 3).Draw(rt, "grow")))
			case 2:
				if old != nil {
					n.become(old)
				}
			case 3:
				// A few transactions that come again and again, on any branch.
				n.mine(fmt.Sprint("p", i, "x"), 1)
				if tx := fmt.Sprint("0xt", rapid.IntRange(1, 4).Draw(rt, "tx")); !slices.Contains(txs(n), tx) {
					n.pay(tx, 1)
				}
			case 4:
				sc = newScanner(t, n, s) // another process
			case 5:
				s.lost = rapid.Bool().Draw(rt, "lost")
			case 6:
				n.behind = rapid.IntRange(0, 3).Draw(rt, "behind")
			}
			_, err := sc.Step(rt.Context())
			if err != nil && !errors.Is(err, errStore) {
				rt.Fatalf("step: %v", err)
			}
		}
		// A head below our tip proves nothing; let the node's branch win.
		n.behind, s.lost = 0, false
		n.mine("end", 100)
		settle(t, sc)
		follows(t, n, s)
		require.Equal(t, len(txs(n)), len(s.seen), "each payment of the branch, and no other")
		for _, b := range s.view {
			for _, tr := range n.paid[b.Hash] {
				require.Equal(t, b.Hash, s.seen[tr.ID])
			}
		}
	})
}

// txs returns the transactions on the node's branch.
func txs(n *node) (out []string) {
	for _, b := range n.branch() {
		for _, tr := range n.paid[b.Hash] {
			out = append(out, string(tr.ID.Tx))
		}
	}
	return out
}
