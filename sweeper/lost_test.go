package sweeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// refusing fails every journal write from the nth call of that name on, as one
// that belongs to another worker, and counts what else is done meanwhile.
func (x *bench) refusing(call string, nth int) (after *[]string) {
	after = &[]string{}
	seen := 0
	x.w.fault = func(c string, done bool) error {
		if done {
			return nil
		}
		if seen >= nth {
			*after = append(*after, c)
			return nil
		}
		if c == call {
			if seen++; seen == nth {
				return fmt.Errorf("%w: epoch 2, not 1", ErrLost)
			}
		}
		return nil
	}
	return after
}

// TestThreat_D6_LostWorkEndsTheRound: the first write that another worker's
// presence refuses is the last thing that a round does, whichever it is.
func TestThreat_D6_LostWorkEndsTheRound(t *testing.T) {
	for _, call := range []string{"Work", "Plan", "Signed", "Sent", "Defer"} {
		t.Run(call, func(t *testing.T) {
			x := newBench(t)
			// The first one needs gas, for which a plan is at hand when the end comes.
			x.b.deposit(account("a"), usdc, 1000, true)
			for i := range 3 {
				x.b.deposit(account(fmt.Sprint("a", i)), native, 1000, true)
			}
			if call == "Defer" {
				x.k.fail = func() error { return errors.New("no key") }
			}
			var log bytes.Buffer
			x.s.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
			after := x.refusing(call, 1)
			_, err := x.s.Step(context.Background())
			require.ErrorIs(t, err, ErrLost)
			require.Empty(t, *after)
			require.Empty(t, log.String(), "nothing has failed")
			x.w.fault, x.k.fail = never, nil
			x.w.now = x.w.now.Add(DefaultRetryCap)
			x.rounds(6)
		})
	}
}

// TestThreat_D6_LostWhileSendingAgain: nothing older is sent, and nothing dearer
// is made, once the journal refused to hear of the first broadcast.
func TestThreat_D6_LostWhileSendingAgain(t *testing.T) {
	x := newBench(t)
	for i := range 3 {
		x.b.deposit(account(fmt.Sprint("a", i)), native, 1000, true)
	}
	x.step()
	x.step()
	x.w.now = x.w.now.Add(x.s.policy.BumpAfter + x.s.policy.ResendCap)
	after := x.refusing("Sent", 1)
	_, err := x.s.Step(context.Background())
	require.ErrorIs(t, err, ErrLost)
	require.Empty(t, *after)
}

// asked is a round of three jobs in which the nth question whether the work is
// still ours is refused, with all that was done in it, in order.
func asked(t *testing.T, refuse int) (trail []string, err error) {
	x := newBench(t)
	for i := range 3 {
		x.b.deposit(account(fmt.Sprint("a", i)), native, 1000, true)
	}
	x.w.fault = func(call string, after bool) error {
		if !after {
			trail = append(trail, call)
		}
		return nil
	}
	x.s.holds = func(context.Context) error {
		trail = append(trail, "holds")
		if refuse--; refuse == 0 {
			return errLost
		}
		return nil
	}
	_, err = x.s.Step(context.Background())
	return trail, err
}

// TestThreat_F3_HoldsBeforeSigningAndSending: each signature and each broadcast
// is preceded by the question whether the work is still ours; a no, or no answer,
// ends the round.
func TestThreat_F3_HoldsBeforeSigningAndSending(t *testing.T) {
	trail, err := asked(t, 0)
	require.NoError(t, err)
	questions := 0
	for i, call := range trail {
		if call == "Sign" || call == "Broadcast" {
			questions++
			require.Equal(t, "holds", trail[i-1], "%v", trail)
		}
	}
	require.Equal(t, 6, questions, "three signatures and three broadcasts")
	for n := 1; n <= questions; n++ {
		trail, err := asked(t, n)
		require.ErrorIs(t, err, errLost)
		require.Equal(t, "holds", trail[len(trail)-1], "%v", trail)
	}
}
