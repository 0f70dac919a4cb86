package hdwallet_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/hdwallet"
)

// TestRemember: whatever is kept, in whichever order it was asked for, the keys are
// those of a wallet that keeps none.
func TestRemember(t *testing.T) {
	plain, err := hdwallet.FromMnemonic(devMnemonic, "")
	require.NoError(t, err)
	keeps, err := hdwallet.FromMnemonic(devMnemonic, "")
	require.NoError(t, err)
	keeps.Remember(200)
	read := func(w *hdwallet.Wallet, change, from uint32, n int) (out []string) {
		a, err := w.Account(60)
		require.NoError(t, err)
		next := from
		require.NoError(t, a.PublicKeys(change, from, n, func(index uint32, key []byte) error {
			require.Equal(t, next, index)
			next++
			out = append(out, string(key))
			return nil
		}))
		return out
	}
	for range 2 {
		for _, c := range []struct {
			change, from uint32
			n            int
		}{{0, 0, 3}, {0, 10, 5}, {0, 0, 40}, {0, 12, 1}, {1, 0, 2}, {0, 30, 300}, {0, 100, 250}, {0, 1<<31 - 2, 2}, {0, 7, 0}} {
			require.Equal(t, read(plain, c.change, c.from, c.n), read(keeps, c.change, c.from, c.n), c)
		}
	}
	a, err := keeps.Account(60)
	require.NoError(t, err)
	stop := errors.New("enough")
	require.ErrorIs(t, a.PublicKeys(0, 0, 9, func(index uint32, _ []byte) error {
		if index == 4 {
			return stop
		}
		return nil
	}), stop)
	var bad *hdwallet.DerivationError
	require.ErrorAs(t, a.PublicKeys(0, 1<<31-1, 2, nil), &bad)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, err := a.PublicKey(0, 150)
			require.NoError(t, err)
		})
	}
	all.Wait()
}

// TestRememberIsQuick: what is kept is not derived once more.
func TestRememberIsQuick(t *testing.T) {
	w, err := hdwallet.FromMnemonic(devMnemonic, "")
	require.NoError(t, err)
	a, err := w.Account(60)
	require.NoError(t, err)
	w.Remember(1000) // of an account that was there before
	ask := func() time.Duration {
		begin := time.Now()
		require.NoError(t, a.PublicKeys(0, 0, 1000, func(uint32, []byte) error { return nil }))
		return time.Since(begin)
	}
	first, again := ask(), ask()
	for range 5 {
		again = min(again, ask())
	}
	require.Less(t, again, first/5)
}

// TestRememberAtOnce: who asks for a key while another one adds it to what is kept
// gets it.
func TestRememberAtOnce(t *testing.T) {
	keeps, err := hdwallet.FromMnemonic(devMnemonic, "")
	require.NoError(t, err)
	keeps.Remember(2000)
	a, err := keeps.Account(60)
	require.NoError(t, err)
	for index := range uint32(300) {
		var all sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			all.Go(func() { _, errs[i] = a.PublicKey(0, index) })
		}
		all.Wait()
		require.NoError(t, errors.Join(errs...))
	}
}
