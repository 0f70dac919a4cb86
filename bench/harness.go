package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// bench is one run of the program: how thorough it is, and what its figures
// share.
type bench struct {
	quick  bool
	rounds int
	// slice is how long one side of a round works.
	slice time.Duration
	// many is the larger number of watched addresses.
	many uint32
	// listed is how many payments are listed.
	listed int

	watched *watchedSets // made by the first figure that needs it
	start   *loaded      // likewise

	busyBlocks int        // how many blocks the busy chain has
	chain      *busyChain // likewise
	caught     *caughtUp  // likewise
	anvilRuns  *anvilRuns // likewise
	sweeps     *sweeps    // likewise
	// ends are run at the end, the last one first.
	ends []func() error
}

func newBench(quick bool, rounds int) *bench {
	b := &bench{quick: quick, rounds: 9, slice: 400 * time.Millisecond, many: 1_000_000, listed: 1_000_000, busyBlocks: 500}
	if quick {
		b.rounds, b.slice, b.many, b.listed = 1, 5*time.Millisecond, 20_000, 20_000
		b.busyBlocks = 100
	}
	if rounds > 0 {
		b.rounds = rounds
	}
	return b
}

// close undoes what the figures left behind.
func (b *bench) close() error {
	var errs []error
	for _, end := range slices.Backward(b.ends) {
		errs = append(errs, end())
	}
	b.ends = nil
	return errors.Join(errs...)
}

// reading is a measured value and how it came about.
type reading struct {
	value float64
	how   string
}

// work prepares n units of a workload, which is not timed, and returns what
// does them, which is.
type work func(n int) (do func() error, err error)

// spent is what some work cost by two clocks.
type spent struct {
	// cpu is what the process used on all cores, in user and system mode.
	cpu time.Duration
	// wall is what passed.
	wall time.Duration
}

// clock picks one of the two.
type clock func(spent) time.Duration

func byCPU(s spent) time.Duration  { return s.cpu }
func byWall(s spent) time.Duration { return s.wall }

// cpuTime is what the process has used so far.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// time measures n units of w.
func (b *bench) time(w work, n int) (spent, error) {
	do, err := w(n)
	if err != nil {
		return spent{}, err
	}
	// Garbage of the side before is not to be collected at this one's cost.
	runtime.GC()
	cpu, err := cpuTime()
	if err != nil {
		return spent{}, err
	}
	begin := time.Now()
	if err := do(); err != nil {
		return spent{}, err
	}
	wall := time.Since(begin)
	end, err := cpuTime()
	return spent{cpu: end - cpu, wall: wall}, err
}

// maxUnits bounds the search for a number of units that takes long enough.
const maxUnits = 1 << 22

// calibrate finds how many units of w take about a slice.
func (b *bench) calibrate(c clock, w work) (int, error) {
	for n := 1; ; n *= 4 {
		cost, err := b.time(w, n)
		if err != nil {
			return 0, err
		}
		took := c(cost)
		if took >= b.slice/8 || n >= maxUnits {
			per := max(took/time.Duration(n), 1)
			return min(max(int(b.slice/per), 1), maxUnits), nil
		}
	}
}

// comparison is the outcome of compare: costs per unit, and their ratio.
type comparison struct {
	a, b   time.Duration
	ratio  float64
	rounds int
}

// per changes the unit of one side: n of the new units are one of the old.
func (c comparison) per(na, nb int) comparison {
	c.a, c.b = c.a/time.Duration(na), c.b/time.Duration(nb)
	c.ratio *= float64(nb) / float64(na)
	return c
}

func (c comparison) how(nameA, nameB string) string {
	return fmt.Sprintf("%d rounds, %s %s, %s %s", c.rounds, nameA, c.a.Round(10*time.Nanosecond), nameB, c.b.Round(10*time.Nanosecond))
}

// compare measures the cost per unit of two workloads by one clock.
func (b *bench) compare(c clock, wa, wb work) (comparison, error) {
	rounds, err := b.alternate(c, wa, wb)
	return rounds.by(c), err
}

// pair is one round: what a unit cost on either side.
type pair struct{ a, b spent }

// pairs are the rounds of a comparison.
type pairs []pair

// by evaluates the rounds by one clock. The ratio a/b is the median of the
// ratios of the rounds, not the ratio of medians: the two sides of one round
// saw the same machine.
func (p pairs) by(c clock) comparison {
	if len(p) == 0 {
		return comparison{}
	}
	var as, bs []time.Duration
	var ratios []float64
	for _, round := range p {
		a, b := max(c(round.a), 1), max(c(round.b), 1)
		as, bs = append(as, a), append(bs, b)
		ratios = append(ratios, float64(a)/float64(b))
	}
	return comparison{a: median(as), b: median(bs), ratio: median(ratios), rounds: len(p)}
}

// alternate measures two workloads, a round of each in turn. c tells how large
// a round is.
func (b *bench) alternate(c clock, wa, wb work) (pairs, error) {
	na, err := b.calibrate(c, wa)
	if err != nil {
		return nil, err
	}
	nb, err := b.calibrate(c, wb)
	if err != nil {
		return nil, err
	}
	out := make(pairs, b.rounds)
	for round := range out {
		sides := []func() error{
			func() error { return b.measure(wa, na, &out[round].a) },
			func() error { return b.measure(wb, nb, &out[round].b) },
		}
		if round%2 == 1 {
			// Who goes first must not matter.
			slices.Reverse(sides)
		}
		for _, side := range sides {
			if err := side(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// measure sets the cost of one unit of w.
func (b *bench) measure(w work, n int, to *spent) error {
	cost, err := b.time(w, n)
	*to = spent{cpu: cost.cpu / time.Duration(n), wall: cost.wall / time.Duration(n)}
	return err
}

// median returns the middle of values; of an even number, the lower middle.
func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
