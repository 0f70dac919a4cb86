//go:build !linux

package pgtest

import "os/exec"

// setAttributes does nothing: other systems cannot be told to end a child with
// its parent, and root is refused before (see serverAccount).
func setAttributes(*exec.Cmd, account) {}

// killTree kills the server alone. Its children notice when they next wait.
func killTree(cmd *exec.Cmd) []int {
	_ = cmd.Process.Kill() // an error means that it is gone
	return nil
}

// gone says no: a server that ended early is noticed by the time limit.
func gone(int) bool { return false }
