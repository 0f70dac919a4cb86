package hdwallet

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcutil/base58"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/stretchr/testify/require"
	"github.com/tyler-smith/go-bip32"
	"pgregory.net/rapid"
)

// devXPub is m/44'/60'/0' of the development mnemonic.
const devXPub = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"

func TestXPubTwin(t *testing.T) {
	w, err := FromMnemonic(devWords, "")
	require.NoError(t, err)
	require.False(t, w.WatchOnly())
	xpub, err := w.XPub(60)
	require.NoError(t, err)
	require.Equal(t, devXPub, xpub)
	bitcoin, err := w.XPub(0)
	require.NoError(t, err)

	twin, err := FromXPub(XPub{CoinType: 60, Key: xpub}, XPub{CoinType: 0, Key: bitcoin})
	require.NoError(t, err)
	require.True(t, twin.WatchOnly())
	for _, coinType := range []uint32{60, 0} {
		mine, err := w.Account(coinType)
		require.NoError(t, err)
		theirs, err := twin.Account(coinType)
		require.NoError(t, err)
		require.Equal(t, mine.ID(), theirs.ID())
		require.Equal(t, coinType, theirs.CoinType())
		for change := range uint32(2) {
			a, err := mine.PublicKey(change, 9)
			require.NoError(t, err)
			b, err := theirs.PublicKey(change, 9)
			require.NoError(t, err)
			require.Equal(t, a, b)
			require.Len(t, a, 65)
		}
	}
	again, err := twin.XPub(60)
	require.NoError(t, err)
	require.Equal(t, xpub, again)
	_, err = twin.Account(195)
	require.ErrorIs(t, err, ErrNoAccount)
	_, err = twin.XPub(195)
	require.ErrorIs(t, err, ErrNoAccount)
	_, err = w.Account(hardened)
	var bad *DerivationError
	require.ErrorAs(t, err, &bad)
	_, err = new(Wallet).Account(60)
	require.ErrorIs(t, err, ErrNoAccount)
}

// The id tells wallets, passphrases and coin types apart, so that a host which
// stored it notices the wrong one.
func TestThreat_F17_AccountIDTellsWalletsApart(t *testing.T) {
	seen := map[string]string{}
	for _, c := range []struct {
		words, passphrase string
		coinType          uint32
	}{
		{devWords, "", 60}, {devWords, "", 0}, {devWords, "", 1}, {devWords, "TREZOR", 60}, {devWords, "trezor", 60}, {aboutWords, "", 60},
	} {
		w, err := FromMnemonic(c.words, c.passphrase)
		require.NoError(t, err)
		a, err := w.Account(c.coinType)
		require.NoError(t, err)
		require.Regexp(t, regexp.MustCompile(`^[0-9a-f]{32}$`), a.ID())
		require.Empty(t, seen[a.ID()])
		seen[a.ID()] = c.words
	}
	// Pinned: it is stored in databases and must never change.
	require.Equal(t, "f358265bd7f4b865aa041e54f5c5b58d", accountID(t, devWords, ""))

	// Another chain code makes other addresses, hence another id.
	x, reason := parseAccount(devXPub)
	require.Empty(t, reason)
	x.chain[0] ^= 1
	other, err := FromXPub(XPub{CoinType: 60, Key: x.String()})
	require.NoError(t, err)
	a, err := other.Account(60)
	require.NoError(t, err)
	require.NotEqual(t, accountID(t, devWords, ""), a.ID())
}

func TestAccountIsTheSameValue(t *testing.T) {
	w, err := FromMnemonic(devWords, "")
	require.NoError(t, err)
	var wg sync.WaitGroup
	got := make([]*Account, 8)
	for i := range got {
		wg.Go(func() { got[i], _ = w.Account(uint32(60 + i%2)) })
	}
	wg.Wait()
	for i := range got {
		require.NotNil(t, got[i])
		require.Same(t, got[i%2], got[i])
	}
}

func TestKeyRef(t *testing.T) {
	a := account(t, 60)
	ref := a.KeyRef(1, 7)
	require.Equal(t, a.ID(), ref.Wallet)
	require.Equal(t, "m/44'/60'/0'/1/7", ref.Path)
}

// serialise writes an extended key of any content with a right checksum.
func serialise(version uint32, depth byte, parent, child uint32, chain, key []byte) string {
	raw := binary.BigEndian.AppendUint32(nil, version)
	raw = append(raw, depth)
	raw = binary.BigEndian.AppendUint32(raw, parent)
	raw = binary.BigEndian.AppendUint32(raw, child)
	raw = append(append(raw, chain...), key...)
	first := sha256.Sum256(raw)
	second := sha256.Sum256(first[:])
	return base58.Encode(append(raw, second[:4]...))
}

// Every way to paste the wrong key. Each text has a right checksum unless its
// name says otherwise, so that the rule under test is the one that refuses.
func TestThreat_F16_WrongXPubsRefused(t *testing.T) {
	good, reason := parseAccount(devXPub)
	require.Empty(t, reason)
	chain, key := good.chain[:], good.key[:]
	at := func(depth byte, child uint32) string { return serialise(publicPrefix, depth, 1, child, chain, key) }
	version := func(v uint32) string { return serialise(v, 3, 1, hardened, chain, key) }
	private := append([]byte{0}, key[1:]...)
	offCurve := append([]byte{2}, make([]byte, 32)...)
	offCurve[32] = 5
	tooBig, _ := hex.DecodeString("02fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")
	hybrid := append([]byte{6}, key[1:]...)

	require.Equal(t, devXPub, serialise(publicPrefix, 3, binary.BigEndian.Uint32(good.parent[:]), hardened, chain, key))
	for name, c := range map[string]struct{ text, want string }{
		"master":                      {at(0, 0), "parent"},
		"coin level":                  {at(2, hardened), "depth"},
		"change level":                {at(4, 0), "depth"},
		"address level":               {at(5, 7), "depth"},
		"depth 255":                   {at(255, hardened), "depth"},
		"second account":              {at(3, hardened+1), "first account"},
		"account not hardened":        {at(3, 0), "first account"},
		"private":                     {serialise(0x0488ADE4, 3, 1, hardened, chain, private), "private"},
		"private, testnet":            {serialise(0x04358394, 3, 1, hardened, chain, private), "private"},
		"private, zprv":               {serialise(0x04B2430C, 3, 1, hardened, chain, private), "private"},
		"private under public prefix": {serialise(publicPrefix, 3, 1, hardened, chain, private), "compressed"},
		"testnet":                     {version(0x043587CF), "testnet"},
		"zpub":                        {version(0x04B24746), "purpose"},
		"unknown version":             {version(0x01020304), "version"},
		"off the curve":               {serialise(publicPrefix, 3, 1, hardened, chain, offCurve), "curve"},
		"coordinate over the prime":   {serialise(publicPrefix, 3, 1, hardened, chain, tooBig), "curve"},
		"hybrid form":                 {serialise(publicPrefix, 3, 1, hardened, chain, hybrid), "compressed"},
		"checksum":                    {devXPub[:len(devXPub)-1] + "Q", "checksum"},
		"empty":                       {"", "base58"},
		"cut":                         {devXPub[:len(devXPub)-1], ""},
		"longer":                      {devXPub + "1", ""},
		"leading 1":                   {"1" + devXPub, "base58"},
		"white space":                 {devXPub + "\n", "base58"},
		"zero digit":                  {"0" + devXPub[1:], "base58"},
		"too large a number":          {strings.Repeat("z", 112), "base58"},
		"only ones":                   {strings.Repeat("1", 82), "checksum"},
		"more ones than bytes":        {strings.Repeat("1", 112), "base58"},
		"very long":                   {strings.Repeat("x", 1<<20), "base58"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FromXPub(XPub{CoinType: 0, Key: good.String()}, XPub{CoinType: 60, Key: c.text})
			var bad *XPubError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, 1, bad.Account)
			require.EqualValues(t, 60, bad.CoinType)
			require.Contains(t, bad.Reason, c.want)
			if c.text != "" {
				require.NotContains(t, err.Error(), c.text)
			}
		})
	}
	// What the library says to two of them.
	for _, text := range []string{serialise(publicPrefix, 3, 1, hardened, chain, offCurve), version(0x01020304)} {
		_, err := bip32.B58Deserialize(text)
		require.NoError(t, err, "the library's defect is gone; drop this line")
	}
}

func TestFromXPubArguments(t *testing.T) {
	w, err := FromMnemonic(devWords, "")
	require.NoError(t, err)
	other, err := w.XPub(0)
	require.NoError(t, err)
	for name, list := range map[string][]XPub{
		"none":           nil,
		"same coin type": {{60, devXPub}, {60, other}},
		"same key twice": {{60, devXPub}, {61, devXPub}},
		"coin type":      {{hardened, devXPub}},
	} {
		_, err := FromXPub(list...)
		var bad *XPubError
		require.ErrorAs(t, err, &bad, name)
	}
}

// The library lets the depth of a key run over: the 256th step of a chain is
// numbered 0 again, like a master. Our only steps lead from depth 3 to 5.
func TestLibraryDefectDepthWraps(t *testing.T) {
	x, _ := parseAccount(devXPub)
	x.depth = 255
	deep, err := bip32.B58Deserialize(x.String())
	require.NoError(t, err)
	next, err := deep.NewChildKey(0)
	require.NoError(t, err)
	require.EqualValues(t, 0, next.Depth, "the library's defect is gone; drop this test")
	_, err = FromXPub(XPub{CoinType: 60, Key: x.String()})
	require.Error(t, err)
}

// F19: xpub and one child private key give the account's private key. That this
// works is why child keys are not exported, and that it stops at the hardened
// level is why it is there.
func TestThreat_F19_ChildKeyAndXPubGiveTheAccount(t *testing.T) {
	w, err := FromMnemonic(devWords, "")
	require.NoError(t, err)
	k, err := w.account(60)
	require.NoError(t, err)
	var master secp256k1.ModNScalar
	k.key.reveal(func(b []byte) { master.SetByteSlice(b) })
	child, ok := k.public.branches[0].privateKey(&master, 0)
	require.True(t, ok)

	// All that the attacker computes with is public but for the child's key.
	watch, err := FromXPub(XPub{CoinType: 60, Key: devXPub})
	require.NoError(t, err)
	a, err := watch.Account(60)
	require.NoError(t, err)
	var il secp256k1.ModNScalar
	work := newWork(a.branches[0].node)
	work.hash(0)
	il.SetByteSlice(work.sum[:32])
	branchTweak := a.branches[0].tweak
	stolen := child.Key
	stolen.Add(il.Negate()).Add(branchTweak.Negate())
	require.True(t, stolen.Equals(&master), "the known weakness of BIP-32")

	require.EqualValues(t, hardened, k.xpub.child)
	require.EqualValues(t, accountDepth, k.xpub.depth)
}

func TestParsePath(t *testing.T) {
	coinType, change, index, ok := parsePath("m/44'/60'/0'/1/2147483647")
	require.True(t, ok)
	require.Equal(t, []uint32{60, 1, hardened - 1}, []uint32{coinType, change, index})
	for _, path := range []string{
		"", "m", "m/44'/60'/0'/0", "m/44'/60'/0'/0/0/0", "m/44'/60'/0'/0/0'", "m/44'/60'/0'/0'/0", "m/44'/60'/1'/0/0", "m/44/60'/0'/0/0",
		"m/44'/60/0'/0/0", "m/49'/60'/0'/0/0", "M/44'/60'/0'/0/0", "/44'/60'/0'/0/0", "m/44'/60'/0'/2/0", "m/44'/60'/0'/0/2147483648",
		"m/44'/60'/0'/0/+1", "m/44'/60'/0'/0/01", "m/44'/060'/0'/0/0", "m/44'/60'/0'/0/-1", "m/44'/60'/0'/0/", "m/44'/60'/0'/0/1 ", "m/44h/60h/0h/0/0",
		"m/44'/60''/0'/0/0", "m/44'/60'/0'/0/0x1", "m/44'/60'/0'/0/١",
	} {
		_, _, _, ok := parsePath(path)
		require.False(t, ok, path)
	}
	rapid.Check(t, func(t *rapid.T) {
		a := &Account{coinType: rapid.Uint32Range(0, hardened-1).Draw(t, "coin")}
		change, index := rapid.Uint32Range(0, 1).Draw(t, "change"), rapid.Uint32Range(0, hardened-1).Draw(t, "index")
		c, x, i, ok := parsePath(a.path(change, index))
		if !ok || c != a.coinType || x != change || i != index {
			t.Fatalf("%s became %d %d %d %v", a.path(change, index), c, x, i, ok)
		}
	})
}

// Our base58 is the common one, for every content.
func TestBase58AgreesWithLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := [82]byte(rapid.SliceOfN(rapid.Byte(), 82, 82).Draw(t, "raw"))
		for i := range rapid.IntRange(0, 82).Draw(t, "zeros") {
			raw[i] = 0
		}
		text := base58Encode(raw)
		if want := base58.Encode(raw[:]); text != want {
			t.Fatalf("%s, want %s", text, want)
		}
		back, ok := base58Decode(text)
		if !ok || back != raw {
			t.Fatalf("%x became %x %v", raw, back, ok)
		}
		// A zero byte less or more is another key.
		if _, ok := base58Decode("1" + text); ok {
			t.Fatalf("a 1 too many: %s", text)
		}
		if _, ok := base58Decode(text[1:]); ok && text[0] == '1' {
			t.Fatalf("a 1 too few: %s", text)
		}
	})
}

func FuzzXPub(f *testing.F) {
	f.Add(devXPub)
	f.Add("xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi")
	f.Add(strings.Repeat("1", 82))
	for _, row := range rows(f, "bip32.tsv") {
		f.Add(row[1])
	}
	f.Fuzz(func(t *testing.T, text string) {
		if raw, ok := base58Decode(text); ok && base58Encode(raw) != text {
			t.Fatalf("two spellings of one key: %q", text)
		}
		w, err := FromXPub(XPub{CoinType: 60, Key: text})
		if err != nil {
			var bad *XPubError
			if !errors.As(err, &bad) {
				t.Fatalf("%T", err)
			}
			return
		}
		if back, err := w.XPub(60); err != nil || back != text {
			t.Fatalf("%q became %q, %v", text, back, err)
		}
	})
}
