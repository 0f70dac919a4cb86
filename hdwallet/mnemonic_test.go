package hdwallet

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tyler-smith/go-bip39"
	"github.com/tyler-smith/go-bip39/wordlists"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// The two mnemonics that everybody knows; nothing of value is behind them.
const (
	devWords   = "test test test test test test test test test test test junk"
	aboutWords = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
)

func TestFromMnemonicRefuses(t *testing.T) {
	long := strings.Repeat("abandon ", 24)
	for name, c := range map[string]struct {
		words string
		word  int
	}{
		"empty":             {"", 0},
		"only spaces":       {" \t\n ", 0},
		"eleven":            {strings.TrimSuffix(aboutWords, " about"), 0},
		"thirteen":          {aboutWords + " about", 0},
		"nine":              {"abandon abandon abandon abandon abandon abandon abandon abandon ability", 0},
		"twenty-seven":      {long + "abandon abandon abandon", 0},
		"unknown word":      {strings.Replace(devWords, "junk", "jnuk", 1), 12},
		"unknown first":     {"tset" + strings.TrimPrefix(devWords, "test"), 1},
		"upper case":        {strings.ToUpper(devWords), 1},
		"four letters only": {strings.Replace(aboutWords, "abandon", "aban", 1), 1},
		"wrong checksum":    {strings.Replace(devWords, "junk", "test", 1), 0},
		"swapped":           {"junk test test test test test test test test test test test", 0},
		"another language":  {strings.Repeat("ábaco ", 12), 1},
		"invalid UTF-8":     {devWords + "\xff", 0},
		"too long":          {strings.Repeat(" ", maxMnemonicBytes) + devWords, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := FromMnemonic(c.words, "")
			var bad *MnemonicError
			require.ErrorAs(t, err, &bad)
			require.Nil(t, w)
			require.Equal(t, c.word, bad.Word)
			for _, word := range strings.Fields(strings.ToLower(c.words)) {
				require.NotContains(t, strings.ToLower(err.Error()), word)
			}
		})
	}
	_, err := FromMnemonic(devWords, "pass\xffword")
	var bad *MnemonicError
	require.ErrorAs(t, err, &bad)
}

// Every size that BIP-39 knows opens, also 15 and 21, which its vectors lack.
func TestMnemonicSizes(t *testing.T) {
	for _, size := range []int{16, 20, 24, 28, 32} {
		words, err := bip39.NewMnemonic(bytes.Repeat([]byte{0x5a}, size))
		require.NoError(t, err)
		require.Len(t, strings.Fields(words), size/4*3)
		entropy, err := decodeMnemonic(strings.Fields(words))
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{0x5a}, size), entropy)
	}
}

// One wallet however the words are spaced. go-bip39 takes the same text and
// makes another seed of it, so money would go to a wallet nobody can restore.
func TestThreat_F17_WhiteSpaceDoesNotChangeTheSeed(t *testing.T) {
	double := strings.Replace(devWords, " ", "  ", 1)
	require.True(t, bip39.IsMnemonicValid(double))
	require.NotEqual(t, bip39.NewSeed(devWords, ""), bip39.NewSeed(double, ""), "the library's defect is gone; drop this line")

	want := accountID(t, devWords, "")
	for _, words := range []string{
		double, " " + devWords, devWords + "\n", strings.ReplaceAll(devWords, " ", "\r\n\t"),
		strings.ReplaceAll(devWords, " ", "\u00a0"), strings.ReplaceAll(devWords, " ", "\u3000"),
	} {
		require.Equal(t, want, accountID(t, words, ""), "%q", words)
	}
}

func accountID(t testing.TB, words, passphrase string) string {
	t.Helper()
	w, err := FromMnemonic(words, passphrase)
	require.NoError(t, err)
	a, err := w.Account(60)
	require.NoError(t, err)
	return a.ID()
}

// A passphrase typed on two systems is composed or decomposed; BIP-39 makes
// both one. go-bip39 leaves them two.
func TestThreat_F17_PassphraseIsNormalised(t *testing.T) {
	composed, decomposed := norm.NFC.String("Pässwört ﬃ"), norm.NFKD.String("Pässwört ﬃ")
	require.NotEqual(t, bip39.NewSeed(devWords, composed), bip39.NewSeed(devWords, decomposed), "the library's defect is gone; drop this line")

	require.Equal(t, accountID(t, devWords, decomposed), accountID(t, devWords, composed))
	require.NotEqual(t, accountID(t, devWords, ""), accountID(t, devWords, composed))
	require.NotEqual(t, accountID(t, devWords, " x"), accountID(t, devWords, "x"), "spaces of a passphrase count")
	// Full-width letters are the ASCII ones to NFKD, also in words.
	wide := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'ａ'
		}
		return r
	}, devWords)
	require.Equal(t, accountID(t, devWords, ""), accountID(t, wide, ""))
}

func TestThreat_F17_NewMnemonic(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		words, err := NewMnemonic()
		require.NoError(t, err)
		require.Len(t, strings.Fields(words), 24)
		require.False(t, seen[words])
		seen[words] = true
		_, err = normalise(words)
		require.NoError(t, err)
	}
	words, err := NewMnemonicFrom(bytes.NewReader(make([]byte, 32)))
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("abandon ", 23)+"art", words)

	_, err = NewMnemonicFrom(bytes.NewReader(make([]byte, 31)))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	broken := errors.New("no randomness")
	_, err = NewMnemonicFrom(io.MultiReader(io.LimitReader(rand.Reader, 8), failing{broken}))
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Any package of the process can exchange go-bip39's word list. Nothing of ours
// may follow it. (No test of this package runs in parallel.)
func TestThreat_F17_WordListOfTheLibraryIsNotTrusted(t *testing.T) {
	want := accountID(t, devWords, "")
	bip39.SetWordList(wordlists.Spanish)
	defer bip39.SetWordList(wordlists.English)
	require.False(t, bip39.IsMnemonicValid(devWords), "the library follows its global")
	require.Equal(t, want, accountID(t, devWords, ""))
	_, err := NewMnemonic()
	var bad *MnemonicError
	require.ErrorAs(t, err, &bad)

	// A list that is only reordered can even give words with a right checksum,
	// which stand for something else than the randomness that was drawn.
	list := slices.Clone(wordlists.English)
	swap := func(a, b string) {
		i, j := slices.Index(list, a), slices.Index(list, b)
		list[i], list[j] = list[j], list[i]
	}
	swap("abandon", "zoo")
	swap("art", "vote")
	bip39.SetWordList(list)
	_, err = NewMnemonicFrom(bytes.NewReader(make([]byte, 32)))
	require.ErrorAs(t, err, &bad)

	// The list itself is a variable too.
	bip39.SetWordList(slices.Clone(wordlists.English))
	wordlists.English[0], wordlists.English[1] = wordlists.English[1], wordlists.English[0]
	defer func() {
		wordlists.English[0], wordlists.English[1] = wordlists.English[1], wordlists.English[0]
	}()
	_, err = FromMnemonic(devWords, "")
	require.ErrorAs(t, err, &bad)
	require.Contains(t, bad.Reason, "word list")
}

// go-bip32 makes a wallet of a single byte. Ours never sees less than 64, and
// the inner door is shut as well.
func TestThreat_F17_ShortSeedRefused(t *testing.T) {
	for _, n := range []int{0, 1, 15, 65} {
		_, err := fromSeed(make([]byte, n))
		require.Error(t, err, n)
	}
	seed, err := seedFromMnemonic(devWords, "")
	require.NoError(t, err)
	require.Len(t, seed, 64)
}

// For any entropy our decoder and go-bip39 agree, and so do the seeds.
func TestMnemonicAgreesWithLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{16, 20, 24, 28, 32}).Draw(t, "size")
		entropy := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "entropy")
		words, err := bip39.NewMnemonic(entropy)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(words)
		back, err := decodeMnemonic(fields)
		if err != nil || !bytes.Equal(back, entropy) {
			t.Fatalf("%x became %x, %v", entropy, back, err)
		}
		// Exchanging a word is accepted exactly where the library accepts it.
		at := rapid.IntRange(0, len(fields)-1).Draw(t, "at")
		fields[at] = wordlists.English[rapid.IntRange(0, 2047).Draw(t, "word")]
		_, err = decodeMnemonic(fields)
		if want := bip39.IsMnemonicValid(strings.Join(fields, " ")); want != (err == nil) {
			t.Fatalf("library says %v, we say %v", want, err)
		}
	})
}

func FuzzMnemonic(f *testing.F) {
	f.Add(devWords)
	f.Add(aboutWords)
	f.Add(strings.Repeat("zoo ", 23) + "vote")
	f.Add("  ábaco\u3000\xff")
	f.Fuzz(func(t *testing.T, words string) {
		sentence, err := normalise(words)
		if err != nil {
			var bad *MnemonicError
			if !errors.As(err, &bad) {
				t.Fatalf("%T", err)
			}
			return
		}
		if !bip39.IsMnemonicValid(sentence) {
			t.Fatalf("accepted %q", sentence)
		}
		again, err := normalise(sentence)
		if err != nil || again != sentence {
			t.Fatalf("not stable: %q, %v", again, err)
		}
	})
}

func TestSeedOfTheDevelopmentMnemonic(t *testing.T) {
	seed, err := seedFromMnemonic(devWords, "")
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(bip39.NewSeed(devWords, "")), hex.EncodeToString(seed))
}
