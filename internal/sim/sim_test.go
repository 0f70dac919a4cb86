package sim_test

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/sim"
	"github.com/bursar-go/bursar/internal/sim/oracle"
)

var (
	seeds  = flag.Int("sim.seeds", 10, "how many seeds to run")
	blocks = flag.Int("sim.blocks", 100, "how many blocks each seed lives through")
	first  = flag.Uint64("sim.first", 1, "the first of the seeds")
	seed   = flag.Uint64("sim.seed", 0, "run this seed alone")
	skip   = flag.String("sim.skip", "", "numbers of faults to leave out, with -sim.seed")
	twice  = flag.Int("sim.twice", 100, "run every so many seeds a second time, which must be the same")
	every  = flag.Int("sim.every", 90, "cut the scenarios after every so many effects")
	marks  = flag.Bool("sim.marks", false, "fail where something that can be reached never was")
	trace  = flag.Bool("sim.trace", false, "print every step")
)

// bubble makes one run in a bubble of its own.
func bubble(t *testing.T, o sim.Options) (r sim.Result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		o.Rest = synctest.Wait
		r = sim.Run(o)
	})
	return r
}

// known are the seeds that once found something: "seed blocks # what it found".
func known(t *testing.T) (out []sim.Options) {
	t.Helper()
	f, err := os.Open("testdata/seeds")
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		var o sim.Options
		_, err := fmt.Sscan(text, &o.Seed, &o.Blocks)
		require.NoError(t, err, lines.Text())
		out = append(out, o)
	}
	return out
}

// left reads -sim.skip.
func left(t *testing.T) map[int]bool {
	t.Helper()
	out := map[int]bool{}
	for _, text := range strings.FieldsFunc(*skip, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		out[n] = true
	}
	return out
}

// list are the runs that were asked for.
func list(t *testing.T) (out []sim.Options) {
	t.Helper()
	if *seed != 0 {
		return []sim.Options{{Seed: *seed, Blocks: *blocks, Skip: left(t)}}
	}
	if testing.Short() {
		*seeds, *blocks = min(*seeds, 4), min(*blocks, 60)
	}
	if *seeds >= 100 { // they live long, and what is run at each change is short
		out = known(t)
	}
	for n := range *seeds {
		out = append(out, sim.Options{Seed: *first + uint64(n), Blocks: *blocks})
	}
	return out
}

// TestSim runs gateways through years of chain and crash. A failure names the one
// command that repeats it, with the faults that matter.
func TestSim(t *testing.T) {
	var sum summary
	t.Run("seeds", func(t *testing.T) {
		for n, o := range list(t) {
			t.Run(fmt.Sprintf("%d of %d blocks", o.Seed, o.Blocks), func(t *testing.T) {
				t.Parallel()
				if *trace {
					o.Trace = func(line string) { fmt.Fprintln(os.Stderr, line) }
				}
				r := bubble(t, o)
				sum.add(r)
				if r.Err != nil {
					explain(t, o, r)
				}
				if n%*twice == 0 {
					o.Trace = nil
					require.Equal(t, r.Hash, bubble(t, o).Hash, "the same seed gives another run")
				}
			})
		}
	})
	t.Log(sum.text())
	if *marks {
		require.Empty(t, sum.missing(), "never reached")
	}
}

// missing are the marks that no run reached: transitions, events and postings,
// kinds of faults, effects.
func (s *summary) missing() (out []string) {
	all := oracle.AllMarks()
	for _, f := range sim.Kinds() {
		all = append(all, "fault "+string(f))
	}
	for _, label := range sim.Labels() {
		all = append(all, "gate "+label)
	}
	for _, m := range all {
		if s.marks[m] == 0 {
			out = append(out, m)
		}
	}
	return out
}

// A steady trade without faults is what the figure sim_rate measures.
func TestSteadyLoad(t *testing.T) {
	r := bubble(t, sim.Options{Seed: 1, Blocks: 100, Instances: 1, Calm: true, Load: sim.Load{Open: 20, Transfers: 2}})
	require.NoError(t, r.Err)
	require.Empty(t, r.Faults)
	for _, mark := range []string{"event payment.settled", "payment detected->confirmed", "gate rpc/Broadcast"} {
		require.NotZero(t, r.Marks[mark], mark)
	}
	require.GreaterOrEqual(t, r.Marks["gate tell/orders"], 100*2*5, "five events of each payment")
}

// explain fails a test with what is needed to repeat it.
func explain(t *testing.T, o sim.Options, r sim.Result) {
	t.Helper()
	o.Trace = nil
	leave, less := r, o.Skip
	if *seed == 0 {
		less, leave = sim.Minimise(r, 60, func(skip map[int]bool) sim.Result {
			o.Skip = skip
			return bubble(t, o)
		})
	}
	text := "go test ./internal/sim -run 'TestSim$' -sim.seed=" + fmt.Sprint(o.Seed) + " -sim.blocks=" + fmt.Sprint(o.Blocks)
	if len(less) > 0 {
		text += " -sim.skip=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(slices.Sorted(maps.Keys(less))), " ", ","), "[]")
	}
	for _, f := range leave.Faults {
		t.Logf("fault %s", f)
	}
	t.Fatalf("%v\nwith %d of %d faults: %v\nrepeat it, with -sim.trace for every step:\n%s", r.Err, len(leave.Faults), len(r.Faults), leave.Err, text)
}

// summary adds runs up.
type summary struct {
	mu      sync.Mutex
	runs    int
	failed  int
	steps   int
	blocks  int
	elapsed time.Duration
	marks   map[string]int
}

func (s *summary) add(r sim.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks == nil {
		s.marks = map[string]int{}
	}
	s.runs++
	if r.Err != nil {
		s.failed++
	}
	s.steps, s.blocks, s.elapsed = s.steps+r.Steps, s.blocks+r.Blocks, s.elapsed+r.Elapsed
	for m, n := range r.Marks {
		s.marks[m] += n
	}
}

func (s *summary) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs, %d failed, %d blocks, %d steps, %.1f simulated days\n", s.runs, s.failed, s.blocks, s.steps, s.elapsed.Hours()/24)
	for _, m := range slices.Sorted(maps.Keys(s.marks)) {
		fmt.Fprintf(&b, "  %-60s %d\n", m, s.marks[m])
	}
	return b.String()
}
