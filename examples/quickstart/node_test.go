package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startNode starts a development node until the test ends and returns its URL.
// Where its program is not there the test is skipped, or fails where everything
// must be there.
func startNode(t *testing.T, name, variable, listening string, args ...string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		path, _ = exec.LookPath(name) // not found is the empty path
	}
	if path == "" {
		if os.Getenv("BURSAR_REQUIRE_ALL") == "1" {
			t.Fatalf("no %s: set %s", name, variable)
		}
		t.Skipf("no %s: set %s", name, variable)
	}
	cmd := exec.Command(path, args...)
	output, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = writer, writer, 5*time.Second
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed in the end
		_ = writer.Close()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error means that it has ended
		<-ended
	})
	found := make(chan string, 1)
	go func() {
		pattern := regexp.MustCompile(listening)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			if m := pattern.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, output) // it must not block on us
	}()
	select {
	case at := <-found:
		return "http://" + strings.TrimPrefix(at, "http://")
	case <-ended:
		t.Fatalf("%s ended at once", name)
	case <-time.After(time.Minute):
		t.Fatalf("%s does not listen", name)
	}
	return ""
}
