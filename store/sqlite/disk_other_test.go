//go:build !linux

package sqlite_test

import "testing"

// smallDisk needs a file system that can be mounted by the test.
func smallDisk(t *testing.T, _ int) (dir string, remount func(flags uintptr) error) {
	t.Helper()
	t.Skip("a file system cannot be mounted here")
	return "", nil
}
