package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// startTimeout is how long a node may take to listen.
const startTimeout = time.Minute

// process is a child process that prints where it listens.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
}

// start runs a program until its output matches listening, whose first group is
// host:port. The process ends with stop, or with this one.
func start(listening *regexp.Regexp, path string, args ...string) (p *process, url string, err error) {
	// It outlives the test that starts it, so no test's context bounds it.
	cmd := exec.CommandContext(context.Background(), path, args...)
	dieWithParent(cmd)
	cmd.WaitDelay = 5 * time.Second // a grandchild may keep the output open
	output, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	p = &process{cmd: cmd, done: make(chan struct{})}
	found, tail := make(chan string, 1), &tail{}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // it is killed in the end; how it ended says nothing
		_ = writer.Close()
	}()
	go func() {
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			tail.add(lines.Text())
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
		// A line too long ends the scanner; the process must not block on that.
		_, _ = io.Copy(io.Discard, output)
	}()
	select {
	case address := <-found:
		return p, "http://" + address, nil
	case <-p.done:
		return nil, "", fmt.Errorf("%s ended: %s", path, tail)
	case <-time.After(startTimeout):
		p.stop()
		return nil, "", fmt.Errorf("%s does not listen after %s: %s", path, startTimeout, tail)
	}
}

// stop kills this very process and waits until it is gone.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // an error means that it is gone already
	<-p.done
}

// tail keeps the last lines of an output.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	t.lines = t.lines[max(0, len(t.lines)-20):]
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
