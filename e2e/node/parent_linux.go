package node

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the system kill the child when this process dies, so that
// a crashed test leaves no node behind.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
