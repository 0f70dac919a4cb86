package main

import (
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

	watched *watchedSets // made by the first figure that needs it
}

func newBench(quick bool, rounds int) *bench {
	b := &bench{quick: quick, rounds: 9, slice: 400 * time.Millisecond, many: 1_000_000}
	if quick {
		b.rounds, b.slice, b.many = 1, 5*time.Millisecond, 20_000
	}
	if rounds > 0 {
		b.rounds = rounds
	}
	return b
}

// reading is a measured value and how it came about.
type reading struct {
	value float64
	how   string
}

// work prepares n units of a workload, which is not timed, and returns what
// does them, which is.
type work func(n int) (do func() error, err error)

// clock tells elapsed time of some kind.
type clock func() (time.Duration, error)

// cpuTime is what the process has used so far, on all cores, in user and
// system mode.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// wallClock returns a clock that starts now.
func wallClock() clock {
	start := time.Now()
	return func() (time.Duration, error) { return time.Since(start), nil }
}

// time measures n units of w.
func (b *bench) time(c clock, w work, n int) (time.Duration, error) {
	do, err := w(n)
	if err != nil {
		return 0, err
	}
	// Garbage of the side before is not to be collected at this one's cost.
	runtime.GC()
	begin, err := c()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	end, err := c()
	return end - begin, err
}

// maxUnits bounds the search for a number of units that takes long enough.
const maxUnits = 1 << 22

// calibrate finds how many units of w take about a slice.
func (b *bench) calibrate(c clock, w work) (int, error) {
	for n := 1; ; n *= 4 {
		took, err := b.time(c, w, n)
		if err != nil {
			return 0, err
		}
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

func (c comparison) how(nameA, nameB string) string {
	return fmt.Sprintf("%d rounds, %s %s, %s %s", c.rounds, nameA, c.a.Round(10*time.Nanosecond), nameB, c.b.Round(10*time.Nanosecond))
}

// compare measures the cost per unit of two workloads, a round of each in turn.
// The ratio a/b is the median of the ratios of the rounds, not the ratio of
// medians: the two sides of one round saw the same machine.
func (b *bench) compare(c clock, wa, wb work) (comparison, error) {
	na, err := b.calibrate(c, wa)
	if err != nil {
		return comparison{}, err
	}
	nb, err := b.calibrate(c, wb)
	if err != nil {
		return comparison{}, err
	}
	var as, bs []time.Duration
	var ratios []float64
	for round := range b.rounds {
		sides := []func() error{
			func() error { return b.measure(c, wa, na, &as) },
			func() error { return b.measure(c, wb, nb, &bs) },
		}
		if round%2 == 1 {
			// Who goes first must not matter.
			slices.Reverse(sides)
		}
		for _, side := range sides {
			if err := side(); err != nil {
				return comparison{}, err
			}
		}
		ratios = append(ratios, float64(as[round])/float64(bs[round]))
	}
	return comparison{a: median(as), b: median(bs), ratio: median(ratios), rounds: b.rounds}, nil
}

// measure appends the cost of one unit of w.
func (b *bench) measure(c clock, w work, n int, to *[]time.Duration) error {
	took, err := b.time(c, w, n)
	*to = append(*to, max(took/time.Duration(n), 1))
	return err
}

// median returns the middle of values; of an even number, the lower middle.
func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
