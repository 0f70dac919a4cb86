package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/sqlite"
)

// smallDisk mounts a file system of its own; without the right to, the test is
// skipped.
func smallDisk(t *testing.T, megabytes int) (dir string, options func(flags uintptr) error) {
	t.Helper()
	dir = t.TempDir()
	size := fmt.Sprintf("size=%dm", megabytes)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, size); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir, func(flags uintptr) error { return syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, size) }
}

// D10: a full disk is an error that says so. Nothing is written by half, and the
// store goes on by itself once there is room.
func TestThreat_D10_DiskFull(t *testing.T) {
	dir, _ := smallDisk(t, 8)
	path := filepath.Join(dir, "bursar.db")
	s := openAt(t, path)
	require.NoError(t, s.Settle(t.Context()))
	ballast := filepath.Join(dir, "ballast")
	var confirmed []string
	for round := range 3 {
		// All the room but some.
		var st syscall.Statfs_t
		require.NoError(t, syscall.Statfs(dir, &st))
		require.NoError(t, os.WriteFile(ballast, make([]byte, max(0, int64(st.Bfree-64)*st.Bsize)), 0o600))
		var err error
		for n := 0; n < 5000; n++ {
			id := fmt.Sprintf("%d_%d", round, n)
			if err = put(t.Context(), s, sale(id)); err != nil {
				break
			}
			confirmed = append(confirmed, id)
		}
		require.ErrorContains(t, err, "disk", "round %d", round)
		require.ErrorContains(t, s.WriteHost(t.Context(), func(tx bursar.Tx) error {
			return apply(t.Context(), tx, big("heavy", 4<<20))
		}), "disk is full")
		require.ElementsMatch(t, confirmed, sales(t, s), "round %d", round)
		_, err = s.Reserve(t.Context(), "pool", 1)
		require.Error(t, err, "an index that cannot be remembered is not handed out")
		require.NoError(t, os.Remove(ballast))
		id := fmt.Sprintf("%d_again", round)
		require.NoError(t, put(t.Context(), s, sale(id)), "once there is room")
		confirmed = append(confirmed, id)
		_, err = s.Reserve(t.Context(), "pool", 1)
		require.NoError(t, err)
	}
	require.ElementsMatch(t, confirmed, sales(t, s))
	o, err := s.Origin(t.Context())
	require.NoError(t, err)
	require.Equal(t, o.Written, o.Here)
	sound(t, path)
}

// D10: an empty disk that is full from the start.
func TestThreat_D10_NoRoomToOpen(t *testing.T) {
	dir, _ := smallDisk(t, 1)
	_ = os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 1<<20), 0o600)
	_, err := sqlite.Open(t.Context(), filepath.Join(dir, "bursar.db"))
	require.ErrorContains(t, err, "disk")
	require.NoError(t, os.Remove(filepath.Join(dir, "ballast")))
	openAt(t, filepath.Join(dir, "bursar.db"))
}

// D10: a file system that cannot be written to.
func TestThreat_D10_ReadOnly(t *testing.T) {
	dir, remount := smallDisk(t, 8)
	path := filepath.Join(dir, "bursar.db")
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, remount(syscall.MS_RDONLY))
	_, err = sqlite.Open(t.Context(), path)
	require.ErrorContains(t, err, "sqlite: ")
	require.Regexp(t, "read-only|cannot be opened", err)
	_, err = sqlite.Open(t.Context(), filepath.Join(dir, "other.db"))
	require.ErrorContains(t, err, "cannot be opened")
	require.NoError(t, remount(0))
	openAt(t, path)
}

// D12: a backup for which there is no room leaves no half of a file.
func TestThreat_D12_BackupOnAFullDisk(t *testing.T) {
	s := openAt(t, fileIn(t))
	require.NoError(t, put(t.Context(), s, big("heavy", 4<<20)))
	dir, _ := smallDisk(t, 1)
	require.ErrorContains(t, s.Backup(t.Context(), filepath.Join(dir, "b")), "disk")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files)
	require.NoError(t, s.Backup(t.Context(), filepath.Join(t.TempDir(), "b")))
}
