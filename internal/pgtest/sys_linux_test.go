package pgtest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNothingOutlivesUs kills the process that owns a cluster.
func TestNothingOutlivesUs(t *testing.T) {
	_, _, err := FindServer(t.Context())
	Missing(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "BURSAR_PGTEST_OWNER=1") // see TestMain
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	dir, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "the owner says where its cluster is")
	c := Cluster{dir: strings.TrimSpace(dir)}
	defer os.RemoveAll(c.dir)
	defer c.freeMemory()
	pid, err := strconv.Atoi(c.pidFile()[0])
	require.NoError(t, err)
	family := append(childrenOf(pid), pid)
	require.Greater(t, len(family), 3, "a server has children")

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	ctx, cancel := context.WithTimeout(t.Context(), stopTimeout)
	defer cancel()
	for _, pid := range family {
		require.NoError(t, poll(ctx, func() (bool, error) { return gone(pid), nil }), "process %d outlives its owner", pid)
	}
}

func TestStat(t *testing.T) {
	require.False(t, gone(os.Getpid()))
	_, parent, ok := stat("/proc/" + strconv.Itoa(os.Getpid()) + "/stat")
	require.True(t, ok)
	require.Equal(t, os.Getppid(), parent)
	require.True(t, gone(1<<30), "there is no such process")

	cmd := exec.CommandContext(t.Context(), "true")
	require.NoError(t, cmd.Start())
	ctx, cancel := context.WithTimeout(t.Context(), stopTimeout)
	defer cancel()
	require.NoError(t, poll(ctx, func() (bool, error) { return gone(cmd.Process.Pid), nil }), "ended, and not waited for")
	require.NoError(t, cmd.Wait())
}
