package postgres_test

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/postgres"
)

// smallDisk mounts a file system of so many bytes that the server may write to.
// It needs root.
func smallDisk(t *testing.T, bytes int) (dir string) {
	t.Helper()
	owner, err := user.Lookup("postgres")
	if err != nil || os.Getuid() != 0 {
		t.Skip("only root can mount a small disk for the user postgres")
	}
	uid, err := strconv.Atoi(owner.Uid)
	require.NoError(t, err)
	// Not t.TempDir: the server's user may not enter what is above that.
	dir, err = os.MkdirTemp("/tmp", "bursar-disk-") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.Remove(dir)) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,uid=%d,mode=0700", bytes, uid)); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// smallDatabase is a database on a disk of its own, which fill fills.
func smallDatabase(t *testing.T) (pool *pgxpool.Pool, fill func()) {
	t.Helper()
	dir := smallDisk(t, 24<<20)
	admin := func(statement string) {
		_, err := servers.Cluster(t).Query(context.Background(), "postgres", statement)
		require.NoError(t, err)
	}
	admin("CREATE TABLESPACE small LOCATION '" + dir + "'")
	t.Cleanup(func() { admin("DROP TABLESPACE small") })
	admin("CREATE DATABASE small TABLESPACE small")
	t.Cleanup(func() { require.NoError(t, servers.Cluster(t).DropDatabase(context.Background(), "small")) })
	pool, err := pgxpool.New(t.Context(), servers.Cluster(t).DSN("small"))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, func() {
		_, err := pool.Exec(t.Context(), "CREATE TABLE filler AS SELECT 1 AS n, repeat('x', 100) AS text")
		require.NoError(t, err)
		for err == nil {
			_, err = pool.Exec(t.Context(), "INSERT INTO filler SELECT n, text FROM filler")
		}
		for err = nil; err == nil; {
			_, err = pool.Exec(t.Context(), "INSERT INTO filler SELECT n, text FROM filler LIMIT 100")
		}
		require.ErrorContains(t, err, "No space left")
	}
}

// TestThreat_D10_TheDiskIsFull: writes fail with a clear error and leave nothing,
// reads go on, and there is nothing to restart once there is room again.
func TestThreat_D10_TheDiskIsFull(t *testing.T) {
	pool, fill := smallDatabase(t)
	s, err := postgres.New(t.Context(), pool, postgres.Options{})
	require.NoError(t, err)
	require.NoError(t, bump(t.Context(), s, mainnet))
	fill()
	put := func(n int) (err error) {
		for i := 0; i < 400 && err == nil; i++ { // what a page has room for still fits
			id := fmt.Sprint("p", n, "_", i)
			p := payment(id)
			p.URI = fmt.Sprintf("%0500d", i)
			err = write(t.Context(), s, bursar.Batch{Payments: []bursar.Payment{p}, Addresses: []bursar.Address{address(id, uint32(i))}, Events: []bursar.Event{event(id, 1)}})
		}
		return err
	}
	require.ErrorContains(t, put(1), "disk is full")
	got := contentOf(t, s)
	require.Len(t, got.Addresses, len(got.Payments))
	require.Len(t, got.Events, len(got.Payments), "nothing is half-written")
	require.EqualValues(t, 1, seqOf(t, s, mainnet))

	_, err = pool.Exec(t.Context(), "DROP TABLE filler")
	require.NoError(t, err)
	require.NoError(t, put(2), "there is room again")
}

// TestThreat_D10_NotReadyOnAFullDisk: a gateway says that it is not ready, also while
// small writes still find room in the tables' last pages, and is ready again by
// itself. No payment is there by half.
func TestThreat_D10_NotReadyOnAFullDisk(t *testing.T) {
	pool, fill := smallDatabase(t)
	s, err := postgres.New(t.Context(), pool, postgres.Options{})
	require.NoError(t, err)
	k := kit(t, s)
	require.True(t, k.Gateway.Health(t.Context()).Ready)
	fill()
	request := bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)}
	made := 0
	for range 5000 { // what a page has room for still fits
		if _, err = k.Gateway.CreatePayment(t.Context(), request); err != nil {
			break
		}
		made++
	}
	failedBy(t, err, bursar.CodeDiskFull)
	for range 5 {
		h := k.Gateway.Health(t.Context())
		require.False(t, h.Ready)
		require.NoError(t, h.Err, "it can be read")
		failedBy(t, h.Unwritable, bursar.CodeDiskFull)
		k.Chain.Mine(1)
		_ = k.Gateway.Step(t.Context()) // the cursor may find room, or not
	}
	failedBy(t, s.Probe(t.Context()), bursar.CodeDiskFull)
	got := contentOf(t, s)
	require.Len(t, got.Payments, made, "nothing is half-written")

	_, err = pool.Exec(t.Context(), "DROP TABLE filler")
	require.NoError(t, err)
	readyAgain(t, k.Gateway)
	p, err := k.Gateway.CreatePayment(t.Context(), request)
	require.NoError(t, err)
	k.Pay(p)
	k.Confirm()
	k.WaitEvent(bursar.PaymentConfirmed, p.ID)
	k.CheckLedger()
}
