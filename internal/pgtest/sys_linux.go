package pgtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// setAttributes has a child run as the account, in a process group of its own so
// that an interrupt at the terminal reaches the tests first, and die with us.
func setAttributes(cmd *exec.Cmd, a account) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// killTree kills a server and all its children, and returns these.
//
// PostgreSQL's children leave its process group, and without their parent they
// go on until they next wait for something: long enough to commit. The parent is
// stopped first, so that no child is born while they are counted.
func killTree(cmd *exec.Cmd) []int {
	pid := cmd.Process.Pid
	_ = cmd.Process.Signal(syscall.SIGSTOP) // an error means that it is gone
	children := childrenOf(pid)
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	return children
}

// childrenOf reads a process's children from /proc.
func childrenOf(parent int) (out []int) {
	// The pattern is constant and well formed.
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		if _, ppid, ok := stat(path); ok && ppid == parent {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// gone reports whether a process has ended, waited for or not.
func gone(pid int) bool {
	state, _, ok := stat("/proc/" + strconv.Itoa(pid) + "/stat")
	return !ok || state == 'Z' || state == 'X'
}

// stat reads a process's state and parent; false if there is no such process.
func stat(path string) (state byte, ppid int, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, false
	}
	// "pid (name) state ppid …", and the name may contain anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, 0, false
	}
	ppid, err = strconv.Atoi(string(fields[1]))
	return fields[0][0], ppid, err == nil
}
