package hdwallet

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/stretchr/testify/require"
	"github.com/tyler-smith/go-bip32"
	"pgregory.net/rapid"
)

// account opens the development mnemonic's account of a coin type.
func account(t testing.TB, coinType uint32) *Account {
	t.Helper()
	w, err := FromMnemonic(devWords, "")
	require.NoError(t, err)
	a, err := w.Account(coinType)
	require.NoError(t, err)
	return a
}

func scalar(n uint32) *secp256k1.ModNScalar { return new(secp256k1.ModNScalar).SetInt(n) }

func point(k *secp256k1.ModNScalar) secp256k1.JacobianPoint {
	var p secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(k, &p)
	p.ToAffine()
	return p
}

// The cases of BIP-32 that chance never shows: a tweak that is no scalar, a sum
// at infinity; and its neighbours, which are keys like any other.
func TestThreat_F16_KeysThatDoNotExistAreErrors(t *testing.T) {
	order, err := hex.DecodeString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	require.NoError(t, err)
	above := append([]byte(nil), order...)
	above[31]++
	below := append([]byte(nil), order...)
	below[31]--
	all := make([]byte, 32)
	for i := range all {
		all[i] = 0xff
	}
	five := make([]byte, 32)
	five[31] = 5
	minusFive := scalar(5).Negate().Bytes()
	parent := point(scalar(5))

	for name, c := range map[string]struct {
		il []byte
		ok bool
	}{
		"order":          {order, false},
		"order + 1":      {above, false},
		"2^256-1":        {all, false},
		"minus parent":   {minusFive[:], false},
		"order - 1":      {below, true},
		"zero":           {make([]byte, 32), true},
		"parent doubled": {five, true},
	} {
		t.Run(name, func(t *testing.T) {
			var tweak secp256k1.ModNScalar
			var sum secp256k1.JacobianPoint
			require.Equal(t, c.ok, addTweak(&parent, (*[32]byte)(c.il), &tweak, &sum))
			if !c.ok {
				return
			}
			var k secp256k1.ModNScalar
			k.SetByteSlice(c.il)
			want := point(k.Add(scalar(5)))
			sum.ToAffine()
			require.True(t, sum.X.Equals(&want.X) && sum.Y.Equals(&want.Y))
		})
	}
}

// scriptedMAC gives chosen HMAC results for the first calls, to reach what no
// search would find.
type scriptedMAC struct {
	sums  [][64]byte
	index uint32
}

func (m *scriptedMAC) Write(p []byte) (int, error) {
	m.index = binary.BigEndian.Uint32(p[33:])
	return len(p), nil
}
func (m *scriptedMAC) Sum(b []byte) []byte { return append(b, m.sums[m.index][:]...) }
func (m *scriptedMAC) Reset()              {}
func (m *scriptedMAC) Size() int           { return 64 }
func (m *scriptedMAC) BlockSize() int      { return 128 }

// A hole in the middle of a batch: the keys before it are right, it is named,
// and nothing behind it is delivered.
func TestThreat_F16_HoleInABatchIsNamed(t *testing.T) {
	for hole := range 4 {
		var mac scriptedMAC
		for i := range 4 {
			var sum [64]byte
			sum[31] = byte(i + 1)
			if i == hole {
				for j := range 32 {
					sum[j] = 0xff
				}
			}
			mac.sums = append(mac.sums, sum)
		}
		n := &node{point: point(scalar(7))}
		b := &branch{node: n}
		b.idle.New = func() any {
			w := newWork(n)
			w.mac = &mac
			return w
		}
		a := &Account{coinType: 60, branches: [2]*branch{b, b}}
		var got []uint32
		err := a.PublicKeys(0, 0, 4, func(i uint32, pub []byte) error {
			want := point(scalar(7 + i + 1))
			require.Equal(t, secp256k1.NewPublicKey(&want.X, &want.Y).SerializeUncompressed(), pub)
			got = append(got, i)
			return nil
		})
		var missing *DerivationError
		require.ErrorAs(t, err, &missing)
		require.Equal(t, a.path(0, uint32(hole)), missing.Path)
		require.Len(t, got, hole)

		_, ok := b.privateKey(scalar(7), uint32(hole))
		require.False(t, ok)
		key, ok := b.privateKey(scalar(7), uint32((hole+1)%4))
		require.True(t, ok)
		require.Equal(t, *scalar(7 + uint32((hole+1)%4) + 1), key.Key)
	}
}

// A private key of zero is none.
func TestPrivateKeyZeroRefused(t *testing.T) {
	n := &node{point: point(scalar(7))}
	b := &branch{node: n}
	b.idle.New = func() any {
		w := newWork(n)
		w.mac = &scriptedMAC{sums: make([][64]byte, 1)}
		return w
	}
	_, ok := b.privateKey(scalar(0), 0)
	require.False(t, ok)
}

// Three implementations agree on any seed, coin type and index: ours, in
// batches that cross the batch size, go-bip32 and btcutil's hdkeychain.
func TestThreat_F16_AgreesWithTwoLibraries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 16, 64).Draw(t, "seed")
		coinType := rapid.SampledFrom([]uint32{0, 1, 60, 195, 501, hardened - 1}).Draw(t, "coin")
		change := rapid.Uint32Range(0, 1).Draw(t, "change")
		n := rapid.IntRange(1, 3).Draw(t, "n")
		from := rapid.Uint32Range(0, hardened-3).Draw(t, "from")

		w, err := fromSeed(seed)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Account(coinType)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := bip32.NewMasterKey(seed)
		second, err := hdkeychain.NewMaster(seed, &chaincfg.MainNetParams)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []uint32{hardened + 44, hardened + coinType, hardened} {
			first, _ = first.NewChildKey(step)
			second, _ = second.Derive(step)
		}
		xpub, _ := w.XPub(coinType)
		public, _ := second.Neuter()
		if xpub != first.PublicKey().B58Serialize() || xpub != public.String() {
			t.Fatalf("xpub %s, go-bip32 %s, hdkeychain %s", xpub, first.PublicKey(), public)
		}
		first, _ = first.PublicKey().NewChildKey(change)
		second, _ = public.Derive(change)
		err = a.PublicKeys(change, from, n, func(i uint32, pub []byte) error {
			key, err := secp256k1.ParsePubKey(pub)
			if err != nil {
				return err
			}
			one, _ := first.NewChildKey(i)
			two, _ := second.Derive(i)
			twoKey, _ := two.ECPubKey()
			got := string(key.SerializeCompressed())
			if got != string(one.Key) || got != string(twoKey.SerializeCompressed()) {
				t.Fatalf("index %d: %x, go-bip32 %x, hdkeychain %x", i, got, one.Key, twoKey.SerializeCompressed())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// The same keys come out of batches of any size.
func TestBatchesAgreeWithSingles(t *testing.T) {
	a := account(t, 60)
	want := make([][]byte, 600)
	for i := range want {
		var err error
		want[i], err = a.PublicKey(1, uint32(i))
		require.NoError(t, err)
	}
	for _, c := range []struct{ from, n int }{{0, 600}, {0, 256}, {0, 257}, {1, 255}, {88, 512}, {599, 1}, {7, 0}} {
		next := uint32(c.from)
		require.NoError(t, a.PublicKeys(1, uint32(c.from), c.n, func(i uint32, pub []byte) error {
			require.Equal(t, next, i)
			require.Equal(t, want[i], pub)
			next++
			return nil
		}))
		require.EqualValues(t, c.from+c.n, next)
	}
}

func TestPublicKeysRange(t *testing.T) {
	a := account(t, 60)
	never := func(uint32, []byte) error { t.Error("called"); return nil }
	for _, c := range []struct {
		change, from uint32
		n            int
	}{
		{2, 0, 1}, {hardened, 0, 1}, {math.MaxUint32, 0, 1}, {0, hardened, 0}, {0, hardened, 1},
		{0, math.MaxUint32, 1}, {0, hardened - 1, 2}, {0, 0, hardened + 1}, {0, 0, -1}, {0, 5, math.MaxInt},
	} {
		var bad *DerivationError
		require.ErrorAs(t, a.PublicKeys(c.change, c.from, c.n, never), &bad, "%+v", c)
	}
	last := uint32(0)
	require.NoError(t, a.PublicKeys(0, hardened-2, 2, func(i uint32, _ []byte) error { last = i; return nil }))
	require.EqualValues(t, hardened-1, last)

	stop := errors.New("enough")
	calls := 0
	require.ErrorIs(t, a.PublicKeys(0, 0, 300, func(uint32, []byte) error {
		calls++
		if calls == 3 {
			return stop
		}
		return nil
	}), stop)
	require.Equal(t, 3, calls)

	var zero Account
	_, err := zero.PublicKey(0, 0)
	var bad *DerivationError
	require.ErrorAs(t, err, &bad)
}

// Goroutines that share one account get right keys. With go-bip32 they do not:
// its keys append to a slice that all of them share.
func TestThreat_F16_SharedAccountIsRaceFree(t *testing.T) {
	w, err := FromMnemonic(devWords, "")
	require.NoError(t, err)
	xpub, err := w.XPub(60)
	require.NoError(t, err)
	watch, err := FromXPub(XPub{CoinType: 60, Key: xpub})
	require.NoError(t, err)
	a, err := watch.Account(60)
	require.NoError(t, err)

	const workers, each = 8, 80
	want := make(map[uint32]string, workers*each)
	require.NoError(t, a.PublicKeys(0, 0, workers*each, func(i uint32, pub []byte) error {
		want[i] = string(pub)
		return nil
	}))
	var wg sync.WaitGroup
	for g := range workers {
		wg.Go(func() {
			for i := range each {
				index := uint32(g*each + i)
				pub, err := a.PublicKey(0, index)
				if err != nil || string(pub) != want[index] {
					t.Errorf("index %d: wrong key (%v)", index, err)
				}
			}
			_ = a.PublicKeys(0, 0, each, func(i uint32, pub []byte) error {
				if string(pub) != want[i] {
					t.Errorf("index %d: wrong key in a batch", i)
				}
				return nil
			})
		})
	}
	wg.Wait()
}

// The cause of that defect, shown without a race: an xpub that was read leaves
// room behind its key, and deriving writes the index there, over its checksum.
func TestLibraryDefectSharedSpareCapacity(t *testing.T) {
	w, err := FromMnemonic(devWords, "")
	require.NoError(t, err)
	text, err := w.XPub(60)
	require.NoError(t, err)
	shared, err := bip32.B58Deserialize(text)
	require.NoError(t, err)
	before := string(shared.Key[:37])
	_, err = shared.NewChildKey(7)
	require.NoError(t, err)
	require.NotEqual(t, before, string(shared.Key[:37]), "the library's defect is gone; drop this test")
}

func TestWorkDoesNotAllocatePerKey(t *testing.T) {
	a := account(t, 60)
	sink := func(uint32, []byte) error { return nil }
	require.NoError(t, a.PublicKeys(0, 0, 256, sink))
	allocs := testing.AllocsPerRun(2, func() { _ = a.PublicKeys(0, 0, 512, sink) })
	require.LessOrEqual(t, allocs, 64.0, "512 keys")
}
