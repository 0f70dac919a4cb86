package bursar_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// TestThreat_D13_ARestoredBackupIssuesNoAddressTwice: a backup, another day, and
// the backup again on another machine.
func TestThreat_D13_ARestoredBackupIssuesNoAddressTwice(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	before := r.issue(300)
	r.Pay(before)
	r.Mine(3)
	backup := r.place.snapshot()
	lost := r.issue(700) // two more blocks of indexes, which the backup does not know
	for range 12 {
		r.AdvanceTime(2 * time.Hour)
	}

	r.place.restore(backup)
	r.place.become("b")
	mark := r.mark()
	require.NoError(t, r.begin(), "nobody is up at three in the morning to say that it may")
	require.Equal(t, "b", r.place.written)
	skipped := r.alarm(bursar.SkipMoved)
	require.Equal(t, mark, skipped.From)
	require.Equal(t, skipped.To, r.mark())
	require.GreaterOrEqual(t, skipped.To, mark+shortSkip)
	data := r.alarms()[0].Data.Restore
	require.Equal(t, []string{"a", "b"}, []string{data.Written, data.Here})
	require.True(t, r.logs.has("indexes are left out"))

	fresh := r.issue(700)
	require.GreaterOrEqual(t, r.index(fresh), skipped.To)
	// What was forgotten is watched all the same.
	r.Pay(lost)
	r.Pay(fresh)
	r.Mine(4)
	require.Equal(t, bursar.StatusConfirmed, r.Payment(fresh).Status)
	row, err := r.Gateway.Address(t.Context(), string(lost.Address))
	require.NoError(t, err)
	require.Equal(t, bursar.RoleUnissued, row.Role)
	require.Empty(t, r.Gateway.Health(t.Context()).Chains[0].IssuanceHalted)
	require.Equal(t, 1, r.count(bursar.AlertStoreRestored, ""), "it is delivered")

	require.NoError(t, r.begin())
	require.Len(t, r.alarms(), 1, "once is enough")
}

func TestThreat_D13_TwoRestorations(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	r.issue(10)
	backup := r.place.snapshot()
	r.issue(600)
	for _, here := range []string{"b", "c"} {
		r.place.restore(backup)
		r.place.become(here)
		require.NoError(t, r.beginWith(farSkip))
		r.issue(600)
	}
	// The second place, set back to before it was settled, has no name that would
	// differ; chance does.
	r.place.restore(backup)
	r.place.become(r.place.here)
	require.NoError(t, r.beginWith(farSkip))
	r.issue(100)
}

// TestThreat_D13_TheSkipGoesFarBeyond: as far as it really goes, and not to the
// same place from two copies.
func TestThreat_D13_TheSkipGoesFarBeyond(t *testing.T) {
	r := newRestored(t, true)
	r.issue(1)
	mark, backup := r.mark(), r.place.snapshot()
	var at []uint32
	for _, here := range []string{"b", "c"} {
		r.place.restore(backup)
		r.place.become(here)
		require.NoError(t, r.beginWith(farSkip))
		p := r.issue(1) // at once, whatever the scanner has still to derive
		at = append(at, r.index(p))
		require.GreaterOrEqual(t, at[len(at)-1], mark+farSkip)
		require.Less(t, at[len(at)-1], mark+2*farSkip)
	}
	gap := max(at[0], at[1]) - min(at[0], at[1])
	require.Greater(t, gap, uint32(100), "copies go on in different ranges")
}

// TestThreat_D13_ACrashWhilePoolsAreMoved: at each of its calls, before and
// after. The next start makes it good, and moves nothing twice.
func TestThreat_D13_ACrashWhilePoolsAreMoved(t *testing.T) {
	for _, call := range []string{"write", "reserve", "settle"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %t", call, after), func(t *testing.T) {
				r := newRestored(t, true)
				require.NoError(t, r.begin())
				r.issue(5)
				backup := r.place.snapshot()
				r.issue(300)
				r.place.restore(backup)
				r.place.become("b")
				mark := r.mark()
				r.place.fault = func(c string, a bool) error {
					if c == call && a == after {
						return errPlace
					}
					return nil
				}
				require.ErrorIs(t, r.begin(), errPlace)
				if call != "settle" || !after {
					require.Equal(t, "a", r.place.written, "not settled before the pools are moved")
				}
				for range 3 { // a supervisor starts it again and again
					_ = r.begin()
				}
				r.place.fault = nil
				require.NoError(t, r.begin())
				require.Equal(t, "b", r.place.written)
				skipped := r.alarm(bursar.SkipMoved)
				require.Equal(t, skipped.To, r.mark(), "moved once")
				require.Equal(t, mark, skipped.From)
				require.GreaterOrEqual(t, skipped.To, mark+shortSkip)
				r.issue(300)
				require.NoError(t, r.begin())
				require.Len(t, r.alarms(), 1)
			})
		}
	}
}

// TestThreat_D9_WhatThePlaceRemembersIsNotIssuedAgain: the same place, which
// knows of reservations that the data lost.
func TestThreat_D9_WhatThePlaceRemembersIsNotIssuedAgain(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	r.issue(5)
	backup := r.place.snapshot()
	r.issue(600)
	then := r.mark()
	r.place.restore(backup)
	require.NoError(t, r.begin())
	skipped := r.alarm(bursar.SkipLost)
	require.Equal(t, then, skipped.To, "exactly as far as is known")
	require.Equal(t, then, r.mark())
	r.issue(300)
	require.NoError(t, r.begin())
	require.Len(t, r.alarms(), 1)
}

// TestThreat_D9_AStandbyTakesOver: it lacks the last commits, and the gateway
// does not even notice that the connection was lost.
func TestThreat_D9_AStandbyTakesOver(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	r.issue(5)
	standby := r.place.snapshot()
	r.issue(600)
	r.place.restore(standby)
	r.place.become("a, second timeline")
	r.issue(600)
	require.Equal(t, r.place.here, r.place.written)
	r.alarm(bursar.SkipMoved)
	require.True(t, r.Gateway.Health(t.Context()).Ready)
}

// TestThreat_D9_AStoreThatCannotTell is found out by what it hands out.
func TestThreat_D9_AStoreThatCannotTell(t *testing.T) {
	r := newRestored(t, false)
	require.NoError(t, r.begin())
	r.issue(5)
	standby := r.place.snapshot()
	r.issue(600)
	then := r.mark()
	r.place.restore(standby)
	r.issue(600)
	skipped := r.alarm(bursar.SkipRewound)
	require.GreaterOrEqual(t, skipped.To, then+shortSkip, "beyond what this process had seen")
}

// TestAStoreThatNeverSettles is refused, and its pool is not used up by that.
func TestAStoreThatNeverSettles(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	r.issue(1)
	r.place.become("b")
	r.place.stuck = true
	require.ErrorIs(t, r.begin(), bursar.ErrInvariant)
	mark := r.mark()
	require.ErrorIs(t, r.begin(), bursar.ErrInvariant)
	require.Equal(t, mark, r.mark())
	r.place.stuck = false
	require.NoError(t, r.begin())
	r.place.become("c")
	r.place.stuck = true
	for range 600 { // what is in stock is of the place before
		if _, err := r.Gateway.CreatePayment(t.Context(), request("USDC", "1")); err != nil {
			require.ErrorIs(t, err, bursar.ErrIssuanceHalted)
			return
		}
	}
	t.Fatal("issued on from a store that does not know where it is")
}

// TestARestorationLooksAtTheChain: money above the mark shows how far the lost
// time had gone.
func TestARestorationLooksAtTheChain(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	r.issue(1)
	backup := r.place.snapshot()
	for _, index := range []uint32{300, 450, 640} { // each within the window after the one before
		r.Chain.Pay("payer", r.address(0, index), r.ETH, chain.NewAmount(1))
	}
	r.Chain.Mine(1)
	r.place.restore(backup)
	r.place.become("b")
	require.NoError(t, r.begin())
	require.GreaterOrEqual(t, r.alarm(bursar.SkipMoved).To, uint32(641+shortSkip))

	// A node that cannot tell does not keep the gateway from starting.
	r.place.restore(backup)
	r.place.become("c")
	r.Chain.Fail(func(c chaintest.Call) error {
		if c.Method == chaintest.MethodBalances {
			return errNode
		}
		return nil
	})
	require.NoError(t, r.begin())
	r.issue(1)
}

// has reports whether a line holds the text.
func (l *logbook) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// TestThreat_D9_WhatOnlyTheLostRowsKnewIsWatchedBeforeAnyBlockIsRead: the
// database is set back under a running gateway, further than is watched ahead,
// and an address of the lost time is paid.
func TestThreat_D9_WhatOnlyTheLostRowsKnewIsWatchedBeforeAnyBlockIsRead(t *testing.T) {
	const lost = 1_500
	for name, test := range map[string]struct {
		canTell bool
		replace func(p *place)
		reason  string
	}{
		"at another place":        {true, func(p *place) { p.become("a, second timeline") }, bursar.SkipMoved},
		"the place remembers":     {true, func(*place) {}, bursar.SkipLost},
		"nobody remembers but we": {false, func(*place) {}, bursar.SkipRewound},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRestored(t, test.canTell)
			require.NoError(t, r.begin())
			r.issue(1)
			backup, mark, pool := r.place.snapshot(), r.mark(), r.pool().Name
			_, err := r.place.Reserve(t.Context(), pool, lost) // another instance does
			require.NoError(t, err)
			if !test.canTell {
				r.Mine(1) // this one learns of it
			}
			r.payIndex(mark + lost - 1)
			r.place.restore(backup)
			test.replace(r.place)
			r.Chain.Mine(1)
			if err := r.tryStep(); err != nil {
				require.ErrorIs(t, err, bursar.ErrFenced, "the lease is of the lost time too")
			}
			r.Mine(1)
			require.Len(t, r.incoming(), 2, "booked, as the sponsor's money is")
			skipped := r.alarm(test.reason)
			require.Equal(t, mark, skipped.From)
			require.GreaterOrEqual(t, skipped.To, mark+lost)
			require.True(t, r.Gateway.Health(t.Context()).Ready)
			r.issue(300)
			require.Len(t, r.alarms(), 1)
		})
	}
}

// TestThreat_D9_NoBlockIsReadBeforeThePoolsAreMoved: where that fails, the cursor
// waits, and goes on by itself.
func TestThreat_D9_NoBlockIsReadBeforeThePoolsAreMoved(t *testing.T) {
	r := newRestored(t, true)
	require.NoError(t, r.begin())
	r.issue(1)
	backup, mark := r.place.snapshot(), r.mark()
	r.payIndex(mark + 10) // nobody but another database can have told it
	r.place.fault = func(call string, after bool) error {
		if call == "reserve" && !after {
			return errPlace
		}
		return nil
	}
	r.Mine(1)
	require.Equal(t, bursar.SkipForeign, r.Gateway.Health(t.Context()).Chains[0].IssuanceHalted)
	tip := r.state().Tip()
	r.place.restore(backup)
	r.place.become("b")
	r.payIndex(mark + 1_500)
	r.Chain.Mine(1)
	require.ErrorIs(t, r.tryStep(), errPlace)
	require.ErrorIs(t, r.tryStep(), errPlace, "again and again")
	require.Less(t, r.state().Tip().Height, tip.Height, "as the backup has it")
	r.place.fault = nil
	require.ErrorIs(t, r.tryStep(), bursar.ErrFenced, "the lease is of the lost time too")
	r.Mine(1)
	require.Equal(t, bursar.RoleUnissued, r.row(mark+10).Role)
	require.Equal(t, bursar.RoleUnissued, r.row(mark+1_500).Role)
	require.GreaterOrEqual(t, r.alarm(bursar.SkipMoved).To, mark+11+shortSkip)
}

// row is the row of a deposit address.
func (r *restored) row(index uint32) bursar.Address {
	r.t.Helper()
	row, err := r.Gateway.Address(r.ctx(), string(r.address(0, index)))
	require.NoError(r.t, err)
	return row
}
