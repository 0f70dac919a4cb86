package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bursar-go/bursar"
	"github.com/stretchr/testify/require"
)

// leaseChecks hold a lease to one holder, and its batches to its epoch.
func leaseChecks() []check {
	return []check{
		{"a free lease is taken at epoch 1", firstEpoch},
		{"a holder renews and keeps its epoch", renews},
		{"a lease that is held is ErrLeaseHeld and stays as it is", heldLease},
		{"leases of different names know nothing of each other", otherNames},
		{"D5 of a crowd one gets the lease", oneHolder},
		{"D8 an expired lease is taken with the epoch raised by one", takeover},
		{"D8 epochs only rise, however often a lease changes hands", epochsRise},
		{"a batch with the present epoch is written", fenceHolds},
		{"D6 a batch with an older epoch is ErrFenced and leaves nothing", zombie},
		{"D6 a zombie whose closure began before the take-over is refused", zombieInside},
		{"a batch with an epoch that never was is ErrFenced", futureEpoch},
		{"all fences of a batch must hold", allFences},
		{"D6 a batch of nothing but a fence is held to it", fenceAlone},
		{"a fence is told before a conflict", fenceFirst},
	}
}

// acquire takes or renews a lease for a long time.
func (k *kit) acquire(name, holder string) bursar.Fence {
	k.Helper()
	f, err := k.s.Acquire(k.ctx, name, holder, time.Hour)
	require.NoError(k, err)
	return f
}

// brief is a lease that runs out by itself soon.
const brief = time.Millisecond

// takeOver gives a lease to holder as soon as it has run out.
func (k *kit) takeOver(name, holder string, ttl time.Duration) bursar.Fence {
	k.Helper()
	for {
		f, err := k.s.Acquire(k.ctx, name, holder, ttl)
		if err == nil {
			return f
		}
		require.ErrorIs(k, err, bursar.ErrLeaseHeld)
		select {
		case <-time.After(time.Millisecond):
		case <-k.ctx.Done():
			k.Fatal("the lease never runs out")
		}
	}
}

// fenced is a batch that carries fences and would else be fine.
func fenced(fences ...bursar.Fence) bursar.Batch {
	b := fullBatch(1)
	b.Fences = fences
	return b
}

func firstEpoch(k *kit) {
	var before time.Time
	k.read(func(v view) { before = v.reader.Now() })
	f := k.acquire("scanner", "me")
	require.Equal(k, "scanner", f.Name)
	require.EqualValues(k, 1, f.Epoch)
	require.False(k, f.Until.Before(before.Add(time.Hour)), "taken for an hour at %v, until %v", before, f.Until)
	require.Equal(k, time.UTC, f.Until.Location())
}

func renews(k *kit) {
	first := k.acquire("scanner", "me")
	for range 3 {
		again := k.acquire("scanner", "me")
		require.Equal(k, first.Epoch, again.Epoch)
		require.False(k, again.Until.Before(first.Until))
	}
	k.write(fenced(first))
}

func heldLease(k *kit) {
	mine := k.acquire("scanner", "me")
	_, err := k.s.Acquire(k.ctx, "scanner", "you", time.Hour)
	require.ErrorIs(k, err, bursar.ErrLeaseHeld)
	require.Equal(k, mine.Epoch, k.acquire("scanner", "me").Epoch)
	k.write(fenced(mine))
}

func otherNames(k *kit) {
	one, two := k.acquire("one", "me"), k.acquire("two", "you")
	require.EqualValues(k, 1, two.Epoch)
	k.write(fenced(one, two))
}

func oneHolder(k *kit) {
	errs := together(func(i int) error {
		_, err := k.s.Acquire(k.ctx, "scanner", fmt.Sprint("instance ", i), time.Hour)
		return err
	})
	won := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err != nil })
	require.Len(k, won, 1)
	for _, err := range errs {
		require.True(k, err == nil || errors.Is(err, bursar.ErrLeaseHeld), "%v", err)
	}
}

func takeover(k *kit) {
	old := k.takeOver("scanner", "me", brief)
	require.Equal(k, old.Epoch+1, k.takeOver("scanner", "you", brief).Epoch)
}

func epochsRise(k *kit) {
	last := int64(0)
	for i := range 10 {
		f := k.takeOver("scanner", fmt.Sprint("instance ", i%3), brief)
		require.Equal(k, last+1, f.Epoch)
		last = f.Epoch
	}
}

func fenceHolds(k *kit) {
	f := k.acquire("scanner", "me")
	k.write(fenced(f))
	require.Empty(k, differ(stored(fullBatch(1)), k.state()))
}

func zombie(k *kit) {
	old := k.takeOver("scanner", "me", brief)
	now := k.takeOver("scanner", "you", time.Hour)
	k.refuse(bursar.ErrFenced, fenced(old))
	k.refuse(bursar.ErrFenced, fullBatch(2), bursar.Batch{Fences: []bursar.Fence{old}})
	now.Until = time.Time{} // Only the epoch counts.
	k.write(fenced(now))
}

func zombieInside(k *kit) {
	old := k.takeOver("scanner", "me", brief)
	before := k.state()
	err := k.s.Write(k.ctx, func(tx bursar.Tx) error {
		view{k, k.ctx, tx}.state()
		if err := tx.Apply(k.ctx, fenced(old)); err != nil {
			return err
		}
		k.takeOver("scanner", "you", time.Hour)
		return nil
	})
	require.ErrorIs(k, err, bursar.ErrFenced)
	k.unchanged(before)
}

func futureEpoch(k *kit) {
	f := k.acquire("scanner", "me")
	for _, epoch := range []int64{0, -1, f.Epoch + 1, math.MaxInt64} {
		k.refuse(bursar.ErrFenced, fenced(bursar.Fence{Name: f.Name, Epoch: epoch, Until: f.Until}))
	}
	k.refuse(bursar.ErrFenced, fenced(bursar.Fence{Name: "nobody", Epoch: 0}))
}

func allFences(k *kit) {
	one, two := k.acquire("one", "me"), k.acquire("two", "me")
	bad := two
	bad.Epoch++
	k.refuse(bursar.ErrFenced, fenced(one, bad))
	k.refuse(bursar.ErrFenced, fenced(bad, one))
	k.write(fenced(one, two))
}

// fenceAlone: a write of nothing asks whether a lease is still held.
func fenceAlone(k *kit) {
	old := k.takeOver("scanner", "me", brief)
	k.write(bursar.Batch{Fences: []bursar.Fence{old}})
	now := k.takeOver("scanner", "you", time.Hour)
	k.refuse(bursar.ErrFenced, bursar.Batch{Fences: []bursar.Fence{old}})
	k.write(bursar.Batch{Fences: []bursar.Fence{now}})
}

func fenceFirst(k *kit) {
	k.write(fullBatch(1))
	k.refuse(bursar.ErrFenced, fenced(bursar.Fence{Name: "nobody", Epoch: 1}))
}

// poolChecks hold every index to one caller.
func poolChecks() []check {
	return []check{
		{"S1 indexes are consecutive from 0, each handed out once", consecutive},
		{"pools know nothing of each other and are listed by name", poolList},
		{"S1 a crowd gets disjoint ranges", disjoint},
		{"F25 what was reserved inside a transaction that failed stays reserved", stayReserved},
		{"2^31-1 is the last index", lastIndex},
	}
}

// reserve hands out indexes.
func (k *kit) reserve(pool string, n uint32) uint32 {
	k.Helper()
	first, err := k.s.Reserve(k.ctx, pool, n)
	require.NoError(k, err)
	return first
}

func (k *kit) pools() (pools []bursar.Pool) {
	k.Helper()
	k.read(func(v view) { pools = v.pools() })
	return pools
}

func consecutive(k *kit) {
	next := uint32(0)
	for _, n := range []uint32{1, 1, 100, 7} {
		require.Equal(k, next, k.reserve("main/0", n))
		next += n
	}
}

func poolList(k *kit) {
	require.Empty(k, k.pools())
	k.reserve("b", 2)
	k.reserve("a/0", 3)
	k.reserve("a", 4)
	k.reserve("b", 5)
	require.Equal(k, []bursar.Pool{{Name: "a", Next: 4}, {Name: "a/0", Next: 3}, {Name: "b", Next: 7}}, k.pools())
}

func disjoint(k *kit) {
	const each = 10
	got := make([][]uint32, crowd)
	errs := together(func(i int) error {
		for range each {
			first, err := k.s.Reserve(k.ctx, "main/0", 3)
			if err != nil {
				return err
			}
			got[i] = append(got[i], first, first+1, first+2)
		}
		return nil
	})
	require.NoError(k, errors.Join(errs...))
	all := slices.Concat(got...)
	slices.Sort(all)
	for i, index := range all {
		require.EqualValues(k, i, index, "every index once, none left out")
	}
	require.Equal(k, []bursar.Pool{{Name: "main/0", Next: crowd * each * 3}}, k.pools())
}

func stayReserved(k *kit) {
	require.ErrorIs(k, k.s.Write(k.ctx, func(tx bursar.Tx) error {
		k.reserve("main/0", 10)
		return errOwn
	}), errOwn)
	require.EqualValues(k, 10, k.reserve("main/0", 1))
}

func lastIndex(k *kit) {
	const all = 1 << 31
	require.EqualValues(k, 0, k.reserve("main/0", all-3))
	for _, n := range []uint32{4, 1 << 31, math.MaxUint32} {
		_, err := k.s.Reserve(k.ctx, "main/0", n)
		require.Error(k, err, "%d more pass the end", n)
	}
	require.EqualValues(k, all-3, k.reserve("main/0", 3))
	_, err := k.s.Reserve(k.ctx, "main/0", 1)
	require.Error(k, err)
	require.Equal(k, []bursar.Pool{{Name: "main/0", Next: all}}, k.pools())
}
