package sim_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/sim"
)

var (
	replay = flag.Bool("sim.replay", false, "build every planted bug and run the seed that found it")
	search = flag.Bool("sim.bugs", false, "search seeds that find the planted bugs, and record them")
	which  = flag.String("sim.bug", "", "with -sim.replay or -sim.bugs: only bugs whose names begin like this")
	most   = flag.Int("sim.most", 1000, "with -sim.bugs: how many seeds a bug may live through")
	hunt   = flag.Int("sim.hunt", 0, "run up to so many seeds and stop at the first that fails: what a planted bug is run with")
	story  = flag.String("sim.story", "", "with -sim.hunt: not seeds but the scenario of that name; *: one after the other")
)

// root is the module's directory, as seen from here.
const root = "../.."

// lifetime is how long one seed may take that a bug keeps from its end.
const lifetime = 10 * time.Minute

// edit replaces one text of one file, which must be there exactly once.
type edit struct{ file, old, new string }

// bug is a mistake that somebody could have made. Its file in testdata/bugs reads
//
//	what it is, in one line
//	found: seed 17, 60 blocks, by S4
//	found: scenario two halves, by S4
//	@@ decide.go
//	the old text
//	==>
//	the new text
//
// with one of the two lines at most, and as many edits as it takes.
type bug struct {
	name, what string
	edits      []edit
	catch
	blocks int
	number int // in the binary, see present; 0: none
}

// catch is what finds a bug: a seed, or else a scenario.
type catch struct {
	seed  uint64
	story string
	rule  string // empty where nothing was found
	says  string
}

var (
	found = regexp.MustCompile(`^found: seed (\d+), (\d+) blocks, by (.+)$`)
	shown = regexp.MustCompile(`^found: scenario (.+), by (.+)$`)
)

func parse(name, text string) (b bug, err error) {
	head, rest, _ := strings.Cut(text, "\n@@ ")
	lines := strings.Split(head, "\n")
	b.name, b.what = name, lines[0]
	for _, line := range lines[1:] {
		if m := shown.FindStringSubmatch(line); m != nil {
			b.story, b.rule = m[1], m[2]
			continue
		}
		m := found.FindStringSubmatch(line)
		if m == nil {
			return b, fmt.Errorf("%s: %q is no line of a planted bug", name, line)
		}
		b.seed, _ = strconv.ParseUint(m[1], 10, 64) // digits, see found
		b.blocks, _ = strconv.Atoi(m[2])
		b.rule = m[3]
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(rest, "\n"), "\n@@ ") {
		file, body, ok := strings.Cut(part, "\n")
		before, after, arrow := strings.Cut(body+"\n", "\n==>\n")
		if !ok || !arrow {
			return b, fmt.Errorf("%s: an edit of %q without a text or an arrow", name, file)
		}
		b.edits = append(b.edits, edit{file, before, strings.TrimSuffix(after, "\n")})
	}
	return b, nil
}

func (b bug) text() string {
	var out strings.Builder
	fmt.Fprintln(&out, b.what)
	switch {
	case b.seed > 0:
		fmt.Fprintf(&out, "found: seed %d, %d blocks, by %s\n", b.seed, b.blocks, b.rule)
	case b.story != "":
		fmt.Fprintf(&out, "found: scenario %s, by %s\n", b.story, b.rule)
	}
	for _, e := range b.edits {
		fmt.Fprintf(&out, "@@ %s\n%s\n==>\n", e.file, e.old)
		if e.new != "" {
			fmt.Fprintln(&out, e.new)
		}
	}
	return out.String()
}

func (b bug) path() string { return filepath.Join("testdata", "bugs", b.name+".txt") }

// planted reads all bugs, in the order of their names.
func planted(t *testing.T) (out []bug) {
	t.Helper()
	paths, err := filepath.Glob("testdata/bugs/*.txt")
	require.NoError(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		b, err := parse(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		require.NoError(t, err)
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b bug) int { return cmp.Compare(a.name, b.name) })
	return out
}

// plant returns the edited files by their paths in the module.
func (b bug) plant() (map[string]string, error) {
	out := map[string]string{}
	for _, e := range b.edits {
		text, ok := out[e.file]
		if !ok {
			raw, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			text = string(raw)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s: %s holds the old text %d times", b.name, e.file, n)
		}
		out[e.file] = strings.Replace(text, e.old, e.new, 1)
		if _, err := parser.ParseFile(token.NewFileSet(), e.file, out[e.file], 0); err != nil {
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return out, nil
}

// TestPlantedBugsFit: each bug can be planted in the code as it is.
func TestPlantedBugsFit(t *testing.T) {
	t.Parallel()
	all := planted(t)
	whats := map[string]bool{}
	g := garden{texts: map[string]string{}, bodies: map[string]map[int][]body{}}
	for _, b := range all {
		files, err := b.plant()
		require.NoError(t, err)
		require.NoError(t, g.add(1, files), b.name)
		require.False(t, whats[b.what], "%s: told twice", b.what)
		whats[b.what] = true
		text, err := os.ReadFile(b.path())
		require.NoError(t, err)
		require.Equal(t, b.text(), string(text))
	}
}

// stories are the scenarios that a hunt is about, as runs without a crash.
func stories(name string) (out []sim.Options) {
	for _, s := range sim.Scenarios() {
		if name == "*" || name == s.Name {
			out = append(out, told(s))
		}
	}
	return out
}

func told(s sim.Scenario) sim.Options {
	return sim.Options{Seed: 1, Blocks: s.Blocks, Calm: true, Scenario: &s}
}

// TestHunt is what runs in a binary with a planted bug: seed by seed, or scenario by
// scenario, until one fails.
func TestHunt(t *testing.T) {
	if *hunt == 0 {
		t.Skip("a part of TestPlantedBugs")
	}
	all := stories(*story)
	for n := 0; *story == "" && n < *hunt; n++ {
		all = append(all, sim.Options{Seed: *first + uint64(n), Blocks: *blocks})
	}
	for _, o := range all {
		if o.Scenario != nil {
			fmt.Printf("hunt: scenario %s\n", o.Scenario.Name)
		} else {
			fmt.Printf("hunt: seed %d\n", o.Seed)
		}
		late := time.AfterFunc(lifetime, func() {
			fmt.Println("hunt: no end")
			os.Exit(1) // whatever runs in the bubble: it cannot be ended
		})
		r := bubble(t, o)
		late.Stop()
		if r.Err != nil {
			text, _, _ := strings.Cut(r.Err.Error(), "\n")
			fmt.Printf("hunt: by %s\n", text)
			t.FailNow()
		}
	}
}

// TestPlantedBugs proves that the simulation finds mistakes: each bug is built
// into a binary, and the seed or scenario that is recorded with it must fail
// there, or one of the first few seeds where the code has moved on.
// With -sim.bugs it looks for that seed from the first one on.
func TestPlantedBugs(t *testing.T) {
	if !*replay && !*search {
		t.Skip("it takes minutes: -sim.replay, or -sim.bugs to search afresh")
	}
	all := slices.DeleteFunc(planted(t), func(b bug) bool { return !strings.HasPrefix(b.name, *which) })
	bin := build(t, all)
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		none := bug{name: "none", blocks: *blocks}
		require.Empty(t, none.run(t, bin, "", 1, 3).says, "fails without any bug")
	})
	for i, b := range all {
		b.number = i + 1
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if !*search {
				require.NotEmpty(t, b.rule, "nothing has found it yet")
			}
			if *search {
				b.blocks = *blocks
				b.search(t, bin)
				return
			}
			b.replay(t, bin)
		})
	}
}

// retries is how many seeds may do what the recorded one did before a change of the
// code moved everything that follows from a seed.
const retries = 120

// replay runs what found the bug.
func (b bug) replay(t *testing.T, bin string) {
	t.Helper()
	c := b.run(t, bin, b.story, b.seed, 1)
	if c.rule == "" && b.story == "" {
		c = b.run(t, bin, "", 1, retries)
		t.Logf("seed %d does not find it any more, seed %d does by %s; record it with -sim.bugs -sim.bug=%s", b.seed, c.seed, c.rule, b.name)
	}
	require.NotEmpty(t, c.rule, "neither seed %d %s nor the first %d find it any more", b.seed, b.story, retries)
}

// run hunts in a binary: in scenarios where one is named, or all (*), else in seeds.
func (b bug) run(t *testing.T, bin, story string, from uint64, seeds int) (c catch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-test.run=^TestHunt$", "-test.timeout=0", fmt.Sprint("-sim.hunt=", seeds),
		fmt.Sprint("-sim.first=", from), fmt.Sprint("-sim.blocks=", b.blocks), "-sim.story="+story)
	cmd.Env = append(os.Environ(), fmt.Sprint(present, "=", b.number))
	out, err := cmd.Output()
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		line := lines.Text()
		if text, ok := strings.CutPrefix(line, "hunt: seed "); ok {
			c.seed, _ = strconv.ParseUint(text, 10, 64) // our own line
		}
		if text, ok := strings.CutPrefix(line, "hunt: scenario "); ok {
			c.story = text
		}
		if text, ok := strings.CutPrefix(line, "hunt: by "); ok {
			c.says, c.rule = text, ruleOf(text)
		}
		if line == "hunt: no end" {
			t.Fatalf("seed %d %s of %s has no end", c.seed, c.story, b.name)
		}
		if strings.HasPrefix(line, "panic: ") && c.rule == "" {
			c.says, c.rule = line, "panic"
		}
	}
	var exit *exec.ExitError
	if err != nil && c.rule == "" {
		if errors.As(err, &exit) && strings.Contains(string(exit.Stderr), "panic: ") {
			_, c.says, _ = strings.Cut(string(exit.Stderr), "panic: ")
			c.says, _, _ = strings.Cut(c.says, "\n")
			c.rule = "panic"
			return c
		}
		t.Fatalf("%s: %v\n%s", b.name, err, out)
	}
	return c
}

var rules = regexp.MustCompile(`^([SQ]\d+)\b`)

// ruleOf names who found a bug: a rule of the oracle, the gateway's own
// invariants, or a call of the host that failed without a reason.
func ruleOf(text string) string {
	switch {
	case rules.MatchString(text):
		return rules.FindString(text)
	case strings.HasPrefix(text, "a gateway says"):
		return "the gateway's invariants"
	case strings.HasPrefix(text, "a good request"), strings.HasPrefix(text, "Start says"):
		return "the host's calls"
	}
	return "the run"
}

// search looks for the first seed that fails with the bug and not without it, or
// else for the first scenario, and records it.
func (b bug) search(t *testing.T, bin string) {
	t.Helper()
	began := time.Now()
	for from := uint64(1); from <= uint64(*most); {
		c := b.run(t, bin, "", from, *most-int(from)+1)
		if c.rule == "" {
			break
		}
		if r := bubble(t, sim.Options{Seed: c.seed, Blocks: *blocks}); r.Err != nil {
			t.Logf("seed %d fails without the bug: %v", c.seed, r.Err)
			from = c.seed + 1
			continue
		}
		t.Logf("%s: found by seed %d of %d blocks in %.0f s: %s", b.name, c.seed, *blocks, time.Since(began).Seconds(), c.says)
		b.record(t, c)
		return
	}
	if c := b.run(t, bin, "*", 1, 1); c.rule != "" {
		t.Logf("%s: found by the scenario %s in %.0f s: %s", b.name, c.story, time.Since(began).Seconds(), c.says)
		b.record(t, c)
		return
	}
	b.record(t, catch{})
	t.Errorf("%s: %d seeds of %d blocks do not find it (%.0f s)", b.name, *most, *blocks, time.Since(began).Seconds())
}

// record writes down what has found a bug.
func (b bug) record(t *testing.T, c catch) {
	t.Helper()
	to := bug{name: b.name, what: b.what, edits: b.edits, catch: c, blocks: *blocks}
	require.NoError(t, os.WriteFile(to.path(), []byte(to.text()), 0o600))
}

const (
	page  = root + "/docs/simulation.md"
	above = "<!-- planted bugs: made by go test ./internal/sim -run Bug -sim.bugs -->\n"
	below = "<!-- end of planted bugs -->\n"
)

// TestBugTable: the page lists what is planted, and what has found it.
func TestBugTable(t *testing.T) {
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(raw), above)
	require.True(t, ok)
	_, tail, ok := strings.Cut(rest, below)
	require.True(t, ok)
	want := head + above + table(planted(t)) + below + tail
	if *search {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.True(t, want == string(raw), "%s is out of date: make it anew with -run TestBugTable -sim.bugs", page)
}

func table(all []bug) string {
	var out strings.Builder
	out.WriteString("| bug | planted in | what it is | seed, blocks or scenario | found by |\n|---|---|---|---|---|\n")
	for _, b := range all {
		files := ""
		for _, e := range b.edits {
			if !strings.Contains(files, e.file) {
				files += "`" + e.file + "` "
			}
		}
		where := b.story
		switch {
		case b.seed > 0:
			where = fmt.Sprintf("%d, %d", b.seed, b.blocks)
		case where == "":
			b.rule = "not found yet"
		}
		fmt.Fprintf(&out, "| %s | %s| %s | %s | %s |\n", b.name, files, b.what, where, b.rule)
	}
	return out.String()
}
