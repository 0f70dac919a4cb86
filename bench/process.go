package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// running is a node that was started for a measurement.
type running struct {
	cmd  *exec.Cmd
	done chan struct{}
	url  string

	mu   sync.Mutex
	said []string
}

// says reports whether a line that the node has printed has a text in it.
func (r *running) says(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.said, func(line string) bool { return strings.Contains(line, text) })
}

// startTimeout is how long a node may take to listen.
const startTimeout = time.Minute

// startNode runs a program until its output tells where it listens, and that it
// is ready, where there is a word for that.
func startNode(listening, ready *regexp.Regexp, path string, args ...string) (*running, error) {
	cmd := exec.CommandContext(context.Background(), path, args...)
	dieWithParent(cmd)
	cmd.WaitDelay = 5 * time.Second
	output, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &running{cmd: cmd, done: make(chan struct{})}
	found, settled := make(chan string, 1), make(chan struct{}, 1)
	go func() {
		defer close(r.done)
		_ = cmd.Wait() // it is ended from here; how says nothing
		_ = writer.Close()
	}()
	word := ready
	go func() {
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			r.mu.Lock()
			r.said = append(r.said, lines.Text())
			r.mu.Unlock()
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
			if word != nil && word.MatchString(lines.Text()) {
				select {
				case settled <- struct{}{}:
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, output)
	}()
	patience := time.After(startTimeout)
	for r.url == "" || ready != nil {
		select {
		case address := <-found:
			r.url = "http://" + address
		case <-settled:
			ready = nil
		case <-r.done:
			return nil, fmt.Errorf("%s ended before it was ready", path)
		case <-patience:
			r.stop()
			return nil, fmt.Errorf("%s is not ready after %s", path, startTimeout)
		}
	}
	return r, nil
}

// stop ends this very process, and gives it time to close its database.
func (r *running) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM) // an error means that it is gone already
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.done
	}
}

// tool finds a program: named by a variable, in the path, or where the tests
// install it.
func tool(name, variable string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, err := above(".tools/bin/"+name, ".tools/node_modules/@foundry-rs/"+name+"-*/bin/"+name)
	if err != nil {
		return "", fmt.Errorf("no %s: neither %s, nor in PATH, nor in .tools", name, variable)
	}
	return found, nil
}

// above finds the first match of a pattern in this folder or one above it.
func above(patterns ...string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		for _, pattern := range patterns {
			if found, err := filepath.Glob(filepath.Join(dir, pattern)); err == nil && len(found) > 0 {
				return found[0], nil
			}
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("no %v here or above", patterns)
		}
		dir = filepath.Dir(dir)
	}
}
