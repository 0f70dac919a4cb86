package cutproxy_test

import (
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/internal/cutproxy"
)

func TestPasses(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{})
	c := login(t, p)
	c.query("begin")
	c.query("commit")
	c.says(message('X', ""))
	c.ended()
	require.Equal(t, []string{"Q begin", "Q commit"}, f.all(t, 1))
	require.Eventually(t, func() bool { return p.Stats().Open == 0 }, waitFor, tick)
	require.Equal(t, cutproxy.Stats{Accepted: 1, Commits: 1, Committed: 1}, p.Stats())
}

// extended is a COMMIT by the extended protocol, under names of the client.
func extended(statement, portal string) []byte {
	var out []byte
	for _, m := range [][]byte{
		message('P', statement+"\x00commit\x00\x00\x00"),
		message('B', portal+"\x00"+statement+"\x00\x00\x00\x00\x00\x00\x00"),
		message('D', "P"+portal+"\x00"),
		message('E', portal+"\x00\x00\x00\x00\x00"),
		message('S', ""),
	} {
		out = append(out, m...)
	}
	return out
}

func TestCuts(t *testing.T) {
	for _, commit := range []struct {
		name  string
		bytes []byte
		last  string // what the server hears last, if it hears the commit
		until []string
	}{
		{"simple", query("COMMIT;"), "Q COMMIT;", nil},
		{"extended", extended("", ""), "E ", []string{"P ", "B ", "D P"}},
		{"named", extended("s1", "p1"), "E p1", []string{"P s1", "B p1", "D Pp1"}},
	} {
		for _, plan := range []struct {
			name  string
			plan  func(cutproxy.Pick) cutproxy.Plan
			heard bool
		}{
			{"after", cutproxy.AfterCommit, true},
			{"before", cutproxy.BeforeCommit, false},
			{"answer", cutproxy.OnAnswer, true},
		} {
			for _, reset := range []bool{false, true} {
				t.Run(commit.name+"/"+plan.name+"/reset="+strconv.FormatBool(reset), func(t *testing.T) {
					f := serve(t)
					p := proxied(t, f, cutproxy.Options{Plan: plan.plan(cutproxy.Always), Reset: reset})
					// Many times: an answer that is quicker than the cut must not get through.
					const times = 30
					for range times {
						c := login(t, p)
						c.query("insert")
						c.says(commit.bytes)
						c.ended()
					}
					want := append([]string{"Q insert"}, commit.until...)
					if plan.heard {
						want = append(want, commit.last)
					}
					var all []string
					for range times {
						all = append(all, want...)
					}
					heard := f.all(t, times)
					if plan.name == "answer" {
						// What follows the commit in the same write may be quicker than
						// the server's answer.
						heard = without(heard, "S ")
					}
					require.ElementsMatch(t, all, heard)
					require.EqualValues(t, times, p.Stats().Cut)
					require.EqualValues(t, times, p.Stats().Commits)
				})
			}
		}
	}
}

func without(list []string, what string) (out []string) {
	for _, s := range list {
		if s != what {
			out = append(out, s)
		}
	}
	return out
}

func TestCutResets(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{Plan: cutproxy.AfterCommit(cutproxy.Always), Reset: true})
	c := login(t, p)
	c.says(query("commit"))
	_, err := c.conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// What follows a commit in the same write does not reach the server.
func TestCutAfterEndsThere(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{Plan: cutproxy.AfterCommit(cutproxy.Always)})
	c := login(t, p)
	c.says(query("insert"), query("commit"), query("delete"))
	require.Equal(t, []string{"Q insert", "Q commit"}, f.all(t, 1))
}

func TestPlansPick(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{Plan: cutproxy.BeforeCommit(cutproxy.Every(3))})
	cuts := 0
	for i := 1; i <= 9; i++ {
		c := login(t, p)
		c.query("insert")
		c.says(query("commit"))
		if i%3 == 0 {
			c.ended()
			cuts++
		} else {
			c.hears("C", "Z")
		}
		c.conn.Close()
	}
	require.EqualValues(t, cuts, p.Stats().Cut)

	p.SetPlan(cutproxy.AfterMessages(2))
	for range 2 {
		c := login(t, p)
		c.query("one")
		c.says(query("two"))
		c.ended()
	}
	p.SetPlan(nil)
	login(t, p).query("commit")
}

func TestPlanSeesMessages(t *testing.T) {
	f := serve(t)
	var mu sync.Mutex
	var seen []string
	p := proxied(t, f, cutproxy.Options{Plan: func(m cutproxy.Message) cutproxy.Decision {
		mu.Lock()
		defer mu.Unlock()
		if m.Dir == cutproxy.ToServer {
			text := strings.TrimRight(string(m.Payload), "\x00")
			seen = append(seen, strings.Join([]string{strconv.FormatInt(m.Conn, 10), strconv.FormatInt(m.N, 10), string(m.Type), text}, " "))
		}
		return cutproxy.Pass
	}})
	first, second := login(t, p), login(t, p)
	first.query("a")
	second.query("b")
	first.query("c")
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"1 1 Q a", "2 1 Q b", "1 2 Q c"}, seen)
}

func TestStall(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{})
	c := login(t, p)
	p.Stall()
	c.says(query("one"), query("commit"))
	late := dial(t, p)
	late.first(3<<16, "\x00")
	require.Eventually(t, func() bool { return p.Stats().Open == 2 }, waitFor, tick)
	require.Empty(t, f.all(t, 0))
	p.Resume()
	c.hears("C", "Z", "C", "Z")
	late.hears("R", "Z")
	require.Equal(t, []string{"Q one", "Q commit"}, f.all(t, 0), "nothing was lost")
}

func TestStallCommit(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{Plan: cutproxy.StallCommit(cutproxy.Always)})
	c, other := login(t, p), login(t, p)
	c.query("insert")
	c.says(query("commit"))
	require.Eventually(t, func() bool { return p.Stats().Held == 1 }, waitFor, tick)
	other.query("others go on")
	require.NotContains(t, f.all(t, 0), "Q commit")
	p.Resume()
	c.hears("C", "Z")
	require.Contains(t, f.all(t, 0), "Q commit")
}

// A statement that is held when its connection is cut goes nowhere, not even when
// the stall ends.
func TestCutWhileStalled(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{Plan: cutproxy.StallCommit(cutproxy.Always)})
	c := login(t, p)
	c.says(query("commit"))
	require.Eventually(t, func() bool { return p.Stats().Held == 1 }, waitFor, tick)
	require.Equal(t, 1, p.CutAll())
	c.ended()
	require.Empty(t, f.all(t, 1))
	p.Resume()
	require.Equal(t, 0, p.CutAll())
}

func TestCloseWhileStalled(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{})
	c := login(t, p)
	p.Stall()
	c.says(query("commit"))
	require.NoError(t, p.Close())
	c.ended()
	require.NoError(t, p.Close())
	require.Empty(t, f.all(t, 1))
}

func TestRefuse(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{MaxConns: 2})
	first := login(t, p)
	p.Refuse(true)
	dial(t, p).ended()
	first.query("goes on")
	p.Refuse(false)
	login(t, p)
	dial(t, p).ended() // the third
	require.EqualValues(t, 2, p.Stats().Refused)
	require.EqualValues(t, 2, p.Stats().Open)
}

func TestServerEnds(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{})
	c := login(t, p)
	f.mu.Lock()
	for conn := range f.conns {
		conn.Close()
	}
	f.mu.Unlock()
	c.ended()
	f.listener.Close()
	dial(t, p).ended()
	require.Zero(t, p.Stats().Cut, "the proxy has cut nothing")
}

func TestEncryption(t *testing.T) {
	for _, code := range []uint32{80877103, 80877104} {
		f := serve(t)
		p := proxied(t, f, cutproxy.Options{})
		c := dial(t, p)
		c.first(code, "")
		answer := make([]byte, 1)
		_, err := c.conn.Read(answer)
		require.NoError(t, err)
		require.Equal(t, "N", string(answer))
		c.first(3<<16, "\x00")
		c.hears("R", "Z")
		c.query("commit")

		f.mu.Lock()
		f.encrypts = 'S'
		f.mu.Unlock()
		c = dial(t, p)
		c.first(code, "")
		c.ended()
		require.Eventually(t, func() bool { return p.Stats().Encrypted == 1 }, waitFor, tick)
	}
}

func TestCancel(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{})
	c := dial(t, p)
	c.first(80877102, "12345678")
	c.ended()
	require.Equal(t, []string{"cancel"}, f.all(t, 1))
}

func TestBroken(t *testing.T) {
	for name, bytes := range map[string]string{
		"TLS at once": "\x16\x03\x01\x02\x00\x01\x00\x00",
		"too short":   "\x00\x00\x00\x04\x00\x03\x00\x00",
		"no length":   "\x00\x00\x00\x09\x00\x03\x00\x00\x00Q\x00\x00\x00\x00",
		"negative":    "\x00\x00\x00\x09\x00\x03\x00\x00\x00Q\xff\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			p := proxied(t, serve(t), cutproxy.Options{})
			c := dial(t, p)
			c.says([]byte(bytes))
			require.Eventually(t, func() bool { s := p.Stats(); return s.Broken == 1 && s.Open == 0 }, waitFor, tick)
		})
	}
}

// Data beyond MaxPayload passes without being held.
func TestLong(t *testing.T) {
	f := serve(t)
	long := strings.Repeat("x", cutproxy.MaxPayload+100_000)
	var shown int
	p := proxied(t, f, cutproxy.Options{Plan: func(m cutproxy.Message) cutproxy.Decision {
		if m.Dir == cutproxy.ToServer {
			shown = max(shown, len(m.Payload))
		}
		return cutproxy.Pass
	}})
	c := login(t, p)
	c.query(long) // and the fake says it back
	c.query("short")
	require.Equal(t, []string{"Q " + long, "Q short"}, f.all(t, 0))
	require.Equal(t, cutproxy.MaxPayload, shown)
}

func TestStorm(t *testing.T) {
	f := serve(t)
	p := proxied(t, f, cutproxy.Options{Plan: cutproxy.AfterCommit(cutproxy.OneIn(3, 1))})
	var clients sync.WaitGroup
	for range 8 {
		c := login(t, p)
		clients.Go(func() {
			for range 20 {
				if _, err := c.conn.Write(query("commit")); err != nil {
					return
				}
				for range 2 {
					if _, _, err := receive(c.conn); err != nil {
						return
					}
				}
			}
		})
	}
	p.Stall()
	p.Resume()
	clients.Wait()
	require.EqualValues(t, 8, p.Stats().Cut)
	require.EqualValues(t, p.Stats().Commits, len(f.all(t, 8)), "each of them reached the server")
}

func TestOptions(t *testing.T) {
	_, err := cutproxy.New(cutproxy.Options{})
	require.ErrorContains(t, err, "Options.Server")
	_, err = cutproxy.New(cutproxy.Options{Server: "x:1", MaxConns: -1})
	require.ErrorContains(t, err, "Options.MaxConns")
}

func TestPicks(t *testing.T) {
	picked := func(pick cutproxy.Pick) (out []int) {
		for i := range 12 {
			if pick() {
				out = append(out, i+1)
			}
		}
		return out
	}
	require.Equal(t, []int{4}, picked(cutproxy.Nth(4)))
	require.Equal(t, []int{5, 10}, picked(cutproxy.Every(5)))
	require.Len(t, picked(cutproxy.Always), 12)
	require.Equal(t, picked(cutproxy.OneIn(2, 7)), picked(cutproxy.OneIn(2, 7)))
	require.NotEqual(t, picked(cutproxy.OneIn(2, 7)), picked(cutproxy.OneIn(2, 8)))
	require.Len(t, picked(cutproxy.OneIn(1, 9)), 12)
}
