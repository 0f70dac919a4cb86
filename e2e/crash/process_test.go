//go:build unix

package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is one life of a host.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{} // closed once it is gone
	err    error         // what its end was, once exited
}

// fleet are the hosts of a world, by name.
type fleet struct {
	t   *testing.T
	dir string

	mu     sync.Mutex
	lives  map[string]*process
	kills  int
	stops  int
	starts int
	seed   uint64
	doing  string // what a failure would be about
}

// stage notes what is waited for or checked.
func (f *fleet) stage(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doing = what
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t, dir: t.TempDir(), lives: map[string]*process{}}
	t.Cleanup(func() {
		for _, name := range f.names() {
			f.end(name)
		}
		if t.Failed() {
			f.tell()
		}
	})
	return f
}

// start begins a life of a host, unless it lives.
func (f *fleet) start(c hostConfig) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lives[c.Instance] != nil {
		return
	}
	text, err := json.Marshal(c)
	require.NoError(f.t, err)
	self, err := os.Executable()
	require.NoError(f.t, err)
	log, err := os.OpenFile(filepath.Join(f.dir, c.Instance+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(f.t, err)
	defer log.Close() // the host has it
	// It outlives whatever asks for it; clean-up ends it.
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hostVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, dieWithParent()
	stdin, err := cmd.StdinPipe()
	require.NoError(f.t, err)
	require.NoError(f.t, cmd.Start())
	p := &process{cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	f.lives[c.Instance] = p
	f.starts++
}

func (f *fleet) names() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.lives {
		out = append(out, name)
	}
	return out
}

func (f *fleet) life(name string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lives[name]
}

// end takes a host's life at once, and returns when it is gone.
func (f *fleet) end(name string) bool {
	p := f.life(name)
	if p == nil {
		return false
	}
	_ = p.cmd.Process.Kill() // an error means that it is gone
	<-p.exited
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lives[name] == p {
		delete(f.lives, name)
	}
	return true
}

// kill is end as a fault.
func (f *fleet) kill(name string) {
	if f.end(name) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.kills++
	}
}

// freeze stops a host in the middle of whatever it does; thaw lets it go on.
func (f *fleet) freeze(name string) {
	if p := f.life(name); p != nil {
		_ = p.cmd.Process.Signal(syscall.SIGSTOP) // an error means that it is gone
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stops++
	}
}

func (f *fleet) thaw(name string) {
	if p := f.life(name); p != nil {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // as above
	}
}

// stop ends a host in order: it must leave by itself, and without complaint.
func (f *fleet) stop(name string) {
	f.t.Helper()
	p := f.life(name)
	require.NotNil(f.t, p, "%s is not there", name)
	require.NoError(f.t, p.stdin.Close())
	select {
	case <-p.exited:
	case <-time.After(soon):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its stacks tell what it waits for
		<-p.exited
	}
	require.NoError(f.t, p.err, "%s", name)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.lives, name)
}

// gone returns the hosts that died by themselves.
func (f *fleet) gone() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, p := range f.lives {
		select {
		case <-p.exited:
			out = append(out, fmt.Sprintf("%s: %v", name, p.err))
		default:
		}
	}
	return out
}

// logs reads what all lives of all hosts have logged.
func (f *fleet) logs() map[string][]byte {
	out := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(f.dir, "*.log"))
	require.NoError(f.t, err)
	for _, path := range files {
		text, err := os.ReadFile(path)
		require.NoError(f.t, err)
		out[filepath.Base(path)] = text
	}
	return out
}

// complaints are the lines of the logs that must not be there: broken rules of
// the gateway, panics, races, and errors but for those of a sweeper that could not
// reach the database. That it leads no longer is no error.
func (f *fleet) complaints() (out []string) {
	for name, text := range f.logs() {
		for line := range bytes.Lines(text) {
			excused := names(line, "journal failed") && !names(line, "lease")
			if names(line, "invariant", "panic", "DATA RACE") || names(line, "level=ERROR") && !excused {
				out = append(out, name+": "+short(line))
			}
		}
	}
	return out[:min(len(out), mostLines)]
}

const (
	mostLines = 20  // mostLines of each log are shown.
	mostBytes = 400 // mostBytes of each line are.
)

func short(line []byte) string {
	text := string(bytes.TrimSpace(line))
	if len(text) > mostBytes {
		text = text[:mostBytes] + "…"
	}
	return text
}

func names(line []byte, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return bytes.Contains(line, []byte(word)) })
}

// tell shows the end of each log, and last of all what failed: all that is needed
// is in the last hundred lines.
func (f *fleet) tell() {
	logs := f.logs()
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		lines := bytes.Split(bytes.TrimSpace(logs[name]), []byte("\n"))
		lines = lines[max(0, len(lines)-mostLines):]
		var end strings.Builder
		for _, line := range lines {
			end.WriteString("\n  " + short(line))
		}
		f.t.Logf("the end of %s:%s", name, end.String())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.t.Logf("%s failed at %q; BURSAR_CRASH_SEED=%d; %d starts, %d kills, %d freezes", f.t.Name(), f.doing, f.seed, f.starts, f.kills, f.stops)
}
