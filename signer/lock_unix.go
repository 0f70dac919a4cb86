//go:build unix

package signer

import (
	"os"
	"syscall"
)

// lockFile takes a lock that ends with the process: two signers with one journal would
// each know half of what was signed.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close() // the error at hand says more
		return nil, err
	}
	return file, nil
}
