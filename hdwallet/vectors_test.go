package hdwallet

import (
	"bufio"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tyler-smith/go-bip32"
)

// rows reads a file of tab-separated fields.
func rows(t testing.TB, file string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	require.NoError(t, err)
	defer f.Close()
	var out [][]string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		out = append(out, strings.Split(lines.Text(), "\t"))
	}
	require.NotEmpty(t, out)
	return out
}

// The vectors of BIP-32, numbers 1 to 4. Hardened steps, which this package
// takes by go-bip32, are taken by it here; every other step by our own node.
func TestThreat_F16_BIP32Vectors(t *testing.T) {
	var seed []byte
	known := map[string]string{}
	derived := 0
	for _, row := range rows(t, "bip32.tsv") {
		switch {
		case row[0] == "seed":
			seed, _ = hex.DecodeString(row[1])
			clear(known)
			continue
		case row[0] == "invalid":
			continue
		}
		path, want := row[0], row[1]
		key, err := bip32.NewMasterKey(seed)
		require.NoError(t, err)
		for _, step := range strings.Split(path, "/")[1:] {
			key, err = key.NewChildKey(parseIndex(t, step))
			require.NoError(t, err)
		}
		require.Equal(t, want, key.PublicKey().B58Serialize(), path)
		x, reason := parseExtended(want)
		require.Empty(t, reason)
		require.Equal(t, want, x.String(), "round trip of %s", path)
		known[path] = want

		up, last := path[:max(0, strings.LastIndex(path, "/"))], path[strings.LastIndex(path, "/")+1:]
		if up == "" || strings.HasSuffix(last, "'") {
			continue
		}
		derived++
		parent, reason := parseExtended(known[up])
		require.Empty(t, reason)
		n, err := newNode(&parent)
		require.NoError(t, err)
		child, _, ok := n.child(parseIndex(t, last))
		require.True(t, ok)
		require.Equal(t, x.key, child.key, path)
		require.Equal(t, x.chain, child.chain, path)
	}
	require.Equal(t, 6, derived, "non-hardened steps in the vectors")
}

func parseIndex(t testing.TB, step string) uint32 {
	t.Helper()
	digits, isHardened := strings.CutSuffix(step, "'")
	n, err := strconv.ParseUint(digits, 10, 31)
	require.NoError(t, err)
	if isHardened {
		n += hardened
	}
	return uint32(n)
}

// Vector 5: sixteen keys, each broken in its own way.
func TestThreat_F16_BIP32Vector5InvalidKeys(t *testing.T) {
	seen := 0
	for _, row := range rows(t, "bip32.tsv") {
		if row[0] != "invalid" {
			continue
		}
		seen++
		_, reason := parseExtended(row[1])
		require.NotEmpty(t, reason, row[2])
		_, err := FromXPub(XPub{CoinType: 60, Key: row[1]})
		var bad *XPubError
		require.ErrorAs(t, err, &bad, row[2])
		require.NotContains(t, err.Error(), row[1])
	}
	require.Equal(t, 16, seen)
}

// The English vectors of BIP-39, passphrase TREZOR, from entropy to the master key.
func TestThreat_F16_BIP39EnglishVectors(t *testing.T) {
	sizes := map[int]bool{}
	for _, row := range rows(t, "bip39_english.tsv") {
		entropy, words, seed, master := row[0], row[1], row[2], row[3]
		fields := strings.Fields(words)
		sizes[len(fields)] = true
		back, err := decodeMnemonic(fields)
		require.NoError(t, err)
		require.Equal(t, entropy, hex.EncodeToString(back))
		got, err := seedFromMnemonic(words, "TREZOR")
		require.NoError(t, err)
		require.Equal(t, seed, hex.EncodeToString(got))
		key, err := bip32.NewMasterKey(got)
		require.NoError(t, err)
		require.Equal(t, master, key.B58Serialize())
	}
	require.Equal(t, map[int]bool{12: true, 18: true, 24: true}, sizes)
}
