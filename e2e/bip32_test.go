package e2e

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/binary"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// stolen is the key of an address of the gateway's, which in a test is no secret:
// what whoever has it can do must not harm. It is derived by BIP-39 and BIP-32
// anew, because the wallet gives none away.
func (x *till) stolen(a bursar.Address) *ecdsa.PrivateKey {
	x.t.Helper()
	seed, err := pbkdf2.Key(sha512.New, mnemonic, []byte("mnemonic"+x.passphrase), 2048, 64)
	require.NoError(x.t, err)
	sum := keyed([]byte("Bitcoin seed"), seed)
	key, code := new(big.Int).SetBytes(sum[:32]), sum[32:]
	for part := range strings.SplitSeq(strings.TrimPrefix(a.Key.Path, "m/"), "/") {
		number, hardened := strings.CutSuffix(part, "'")
		index, err := strconv.ParseUint(number, 10, 31)
		require.NoError(x.t, err)
		data := crypto.CompressPubkey(&private(x.t, key).PublicKey)
		if hardened {
			index |= 1 << 31
			data = append([]byte{0}, key.FillBytes(make([]byte, 32))...)
		}
		sum := keyed(code, binary.BigEndian.AppendUint32(data, uint32(index)))
		key, code = key.Add(key, new(big.Int).SetBytes(sum[:32])), sum[32:]
		key.Mod(key, crypto.S256().Params().N)
	}
	out := private(x.t, key)
	require.Equal(x.t, string(a.Address), crypto.PubkeyToAddress(out.PublicKey).Hex())
	return out
}

func private(t *testing.T, key *big.Int) *ecdsa.PrivateKey {
	t.Helper()
	out, err := crypto.ToECDSA(key.FillBytes(make([]byte, 32)))
	require.NoError(t, err)
	return out
}

func keyed(key, data []byte) []byte {
	mac := hmac.New(sha512.New, key)
	mac.Write(data) // never fails
	return mac.Sum(nil)
}
