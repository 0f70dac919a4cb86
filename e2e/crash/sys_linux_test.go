package crash

import "syscall"

// dieWithParent has the system kill a host when this process dies, so that not
// even a frozen one is left.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
