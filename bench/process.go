package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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

// startDevGeth starts a geth with a chain of its own (number 1337), which makes a
// block of each transaction. Its only account is unlocked and has all the coin.
func startDevGeth() (*running, error) {
	path, err := tool("geth", "BURSAR_GETH")
	if err != nil {
		return nil, err
	}
	return startNode(regexp.MustCompile(`HTTP server started\s+endpoint=(\S+)`), nil, path,
		"--dev", "--http", "--http.addr", "127.0.0.1", "--http.port", "0", "--http.api", "eth,net,web3", "--ws", "--ws.addr", "127.0.0.1", "--ws.port", "0", "--ws.api", "eth",
		"--port", "0", "--authrpc.port", "0", "--ipcdisable", "--nodiscover", "--nat", "none",
		"--rpc.allow-unprotected-txs") // the deployment proxy comes by such a one
}

// ask calls a method of the node.
func (r *running) ask(into any, method string, params ...any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": append([]any{}, params...)})
	if err != nil {
		return err
	}
	resp, err := http.Post(r.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Result json.RawMessage
		Error  json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s", method, answer.Error)
	}
	return json.Unmarshal(answer.Result, into)
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
