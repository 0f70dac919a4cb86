//go:build unix

package crash

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fleetOf makes a world of several hosts on a database of the common server, and
// waits until one of them has the chain.
func fleetOf(t *testing.T, o options) *world {
	t.Helper()
	if o.hosts < 4 {
		long(t)
	}
	o.driver, o.dsn = "postgres", servers.Database(t, "")
	w := newWorld(t, o)
	w.await("nobody takes the chain", func() bool {
		who, _ := w.holder()
		return who != ""
	})
	return w
}

// someone is the host that has the chain, or any other one.
func (w *world) someone() (who string, leads bool) {
	holder, _ := w.holder()
	if w.dice.IntN(2) == 0 && holder != "" {
		return holder, true
	}
	who = w.all()[w.dice.IntN(w.hosts)]
	return who, who == holder
}

// strike does something to a host at one of its moments, and waits until its
// work has another owner, where it had the chain.
func (w *world) strike(do func(string)) (who string) {
	w.t.Helper()
	who, _ = w.someone()
	var since time.Time
	leads := false
	w.set(w.moment(who, func(who string) {
		holder, _ := w.holder()
		since, leads = time.Now(), holder == who
		do(who)
	}), 2*time.Second)
	if leads {
		w.takenOver(who, since)
	}
	return who
}

// TestThreat_D5_FourInstances: four hosts share a database; they are killed and
// frozen, the one that has the chain and the others, and get the same orders at
// a time. Nobody's work is lost or done twice.
func TestThreat_D5_FourInstances(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, options{hosts: 4, rate: 4})
	for i := range 14 {
		if i%3 == 2 {
			w.thaw(w.strike(w.freeze))
			continue
		}
		w.launch(w.strike(w.kill))
	}
	w.settle()
	w.promptly()
}

// promptly checks that whoever died was replaced in the time that is promised:
// within one lease. A busy machine gets another one on top, and some outliers, and
// does not count for the time in which it did not let the world look either.
func (w *world) promptly() {
	w.t.Helper()
	over := slices.Sorted(slices.Values(w.looked))
	require.NotEmpty(w.t, over)
	w.stage("take-overs in time")
	require.Less(w.t, over[len(over)/2], 2*lease, "%v, by the clock %v", over, w.over)
}

// TestThreat_D6_FrozenLeader: the host that has the chain stops in the middle of
// its work for longer than its lease, mostly between the choice of a
// write's fence and the write. When it goes on it takes nothing back and spoils
// nothing.
func TestThreat_D6_FrozenLeader(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, options{hosts: 2, rate: 3})
	for i := range 8 {
		var who string
		thaw := func() { w.thaw(who) }
		inWrite := i%4 < 3
		if inWrite {
			who, thaw = w.freezeInWrite()
		} else {
			who, _ = w.holder()
			w.set(w.moment(who, w.freeze), 2*time.Second)
		}
		since := time.Now()
		w.takenOver(who, since)
		next, epoch := w.holder()
		height := w.sim.Head().Height
		if !inWrite { // at once, before the other one has touched the same rows
			w.await("the other one scans", func() bool { return w.sim.Head().Height > height+3 })
		}
		thaw()
		height = w.sim.Head().Height
		w.await("both work", func() bool { return w.sim.Head().Height > height+7 })
		// On a machine that is too slow for the lease it changes hands again, and
		// then counts on; what the zombie had is never worth anything again.
		if still, same := w.holder(); still != next {
			require.Greater(t, number(t, same), number(t, epoch), "%s took the chain back from %s", still, next)
		}
	}
	w.settle()
}

// freezeInWrite stops whoever has the chain right before it records a broadcast.
// Nothing but the fence refuses that write later: it says what is true, of a row
// that nobody else need have changed.
func (w *world) freezeInWrite() (who string, thaw func()) {
	w.t.Helper()
	frozen, hold := make(chan string, 1), make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	w.t.Cleanup(release) // before the world's door is closed, which waits for it
	w.lay(&trap{at: point{pointSent, false}, do: func(who string) {
		w.freeze(who)
		frozen <- who
		<-hold
	}})
	w.await("nobody records a broadcast", func() bool {
		select {
		case who = <-frozen:
			return true
		default:
			return false
		}
	})
	return who, func() {
		release()
		w.thaw(who)
	}
}

// overtake ends the lease of whoever asks, and returns when another host has it.
func (w *world) overtake(who string) {
	mine := ""
	why := w.eventually(soon, func() string {
		next, epoch := w.holder()
		switch {
		case next == "":
			return "the holder is not known"
		case next != who:
			return ""
		case epoch != mine: // the first time, or it was faster than all others
			mine = epoch
			w.moveLease("-1 day")
		}
		return "nobody took the chain over from " + who
	})
	if why != "" {
		w.complain("%s", why)
	}
}

// TestThreat_F3_TwoLeaders: a lease ends long before its holder knows, as if the
// database's clock had jumped. For a while two hosts scan and sweep the same
// chain. Every third time the lease ends between the choice of a write's fence
// and the write.
func TestThreat_F3_TwoLeaders(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, options{hosts: 3, rate: 4})
	_, first := w.holder()
	for i := range 15 {
		who, before := w.holder()
		if i%3 == 0 {
			t := &trap{at: point{pointSent, false}, do: w.overtake}
			w.lay(t)
			w.await("nobody records a broadcast", t.over)
			continue
		}
		w.set(w.moment(who, func(string) { w.moveLease("-1 day") }), time.Second)
		w.await("nobody takes the chain", func() bool {
			_, epoch := w.holder()
			return epoch != "" && epoch != before
		})
	}
	_, last := w.holder()
	t.Logf("epochs %s to %s", first, last)
	w.settle()
}

// moveLease makes the lease end at another time, by the database's clock.
func (w *world) moveLease(by string) {
	_, err := w.db.ExecContext(context.Background(), "UPDATE bursar.leases SET until = now() + $1::interval", by)
	w.tryTo(err)
}

// TestThreat_D8_ClockGoesBack: the database's clock jumps back, so that the lease
// seems to hold for a day. Its holder sets it right with its next sign of life,
// and is replaced in time when it dies.
func TestThreat_D8_ClockGoesBack(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, options{hosts: 2, rate: 3})
	for range 3 {
		w.moveLease("1 day")
		w.await("the lease is set right", func() bool {
			rows, err := lines(t.Context(), w.db, "SELECT until < now() + interval '1 minute' FROM bursar.leases")
			return err == nil && len(rows) == 1 && rows[0][0] == "true"
		})
		who, _ := w.holder()
		since := time.Now()
		w.kill(who)
		w.takenOver(who, since)
		w.launch(who)
	}
	w.settle()
	w.promptly()
}

// TestThreat_G17_CancelAgainstMoney: hosts cancel while customers pay, and
// customers pay in the very seconds of the deadline.
func TestThreat_G17_CancelAgainstMoney(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, options{hosts: 2, rate: 5, calm: true, plans: map[string]int{"race": 2, "edge": 2, "exact": 1}})
	w.await("customers", func() bool { return w.confirmed() >= 80 })
	w.settle()
	outcomes := map[string]int{}
	for _, o := range w.orders {
		if o.way == "race" {
			outcomes[map[bool]string{true: "canceled", false: "paid"}[o.withdrawn.Canceled]]++
		}
	}
	t.Logf("races: %v", outcomes)
	require.Len(t, outcomes, 2, "the race was won by one side only: it was none")
}

// number reads an epoch.
func number(t *testing.T, epoch string) int {
	t.Helper()
	n, err := strconv.Atoi(epoch)
	require.NoError(t, err)
	return n
}
