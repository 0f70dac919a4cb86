package seal_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/internal/seal"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, seal.KeySize) }

func ring(t require.TestingT, keys ...[]byte) *seal.Keyring {
	k, err := seal.New(keys)
	require.NoError(t, err)
	return k
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		about := rapid.String().Draw(t, "about")
		k := ring(t, key(1))
		sealed, err := k.Seal(rand.Reader, plain, about)
		require.NoError(t, err)
		got, current, err := k.Open(sealed, about)
		require.NoError(t, err)
		require.True(t, current)
		require.True(t, bytes.Equal(plain, got))

		_, _, err = k.Open(sealed, about+"x")
		require.ErrorIs(t, err, seal.ErrDamaged)
		at := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		sealed[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		_, _, err = k.Open(sealed, about)
		require.Error(t, err)
		_, _, err = k.Open(sealed[:at], about)
		require.Error(t, err)
	})
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	old := ring(t, key(1))
	sealed, err := old.Seal(rand.Reader, []byte("hello"), "a")
	require.NoError(t, err)
	both := ring(t, key(2), key(1))
	got, current, err := both.Open(sealed, "a")
	require.NoError(t, err)
	require.False(t, current)
	require.Equal(t, "hello", string(got))
	anew, err := both.Seal(rand.Reader, got, "a")
	require.NoError(t, err)
	_, _, err = old.Open(anew, "a")
	require.ErrorIs(t, err, seal.ErrNoKey)
	_, current, err = ring(t, key(2)).Open(anew, "a")
	require.NoError(t, err)
	require.True(t, current)
}

func TestTheSameTextIsNeverSealedAlike(t *testing.T) {
	t.Parallel()
	k := ring(t, key(1))
	a, err := k.Seal(rand.Reader, []byte("hello"), "a")
	require.NoError(t, err)
	b, err := k.Seal(rand.Reader, []byte("hello"), "a")
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	require.NotContains(t, string(a), "hello")
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	for _, keys := range [][][]byte{nil, {key(1)[1:]}, {key(1), key(2), key(1)}, {nil}} {
		_, err := seal.New(keys)
		require.Error(t, err)
	}
	_, err := ring(t, key(1)).Seal(bytes.NewReader(nil), nil, "")
	require.Error(t, err, "no randomness")
}

func FuzzOpen(f *testing.F) {
	k := ring(f, key(1), key(2))
	// The same in each of the processes that share what is tried.
	sealed, err := k.Seal(bytes.NewReader(make([]byte, 12)), []byte("hello"), "a")
	require.NoError(f, err)
	f.Add(sealed)
	f.Add([]byte{})
	f.Add(sealed[:17])
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := k.Open(b, "a"); err == nil {
			require.True(t, bytes.Equal(b, sealed), "only what was sealed opens")
		}
	})
}
