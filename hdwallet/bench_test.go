package hdwallet

import (
	"crypto/hmac"
	"crypto/sha512"
	"testing"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/tyler-smith/go-bip32"
	"golang.org/x/crypto/sha3"
)

// BenchmarkAddress compares the ways to one EVM address (public key and
// Keccak) below an xpub, in ns/address. "floor" is what no derivation can
// avoid: one base multiplication, one HMAC, one hash.
func BenchmarkAddress(b *testing.B) {
	a := account(b, 60)
	hash := sha3.NewLegacyKeccak256()
	var sum [32]byte
	address := func(_ uint32, pub []byte) error {
		hash.Reset()
		hash.Write(pub[1:])
		hash.Sum(sum[:0])
		return nil
	}
	perAddress := func(b *testing.B, n int) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/address")
	}
	b.Run("batch of 256", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = a.PublicKeys(0, 0, 256, address)
		}
		perAddress(b, 256)
	})
	b.Run("single", func(b *testing.B) {
		for b.Loop() {
			_ = a.PublicKeys(0, 7, 1, address)
		}
		perAddress(b, 1)
	})
	b.Run("floor", func(b *testing.B) {
		mac := hmac.New(sha512.New, make([]byte, 32))
		var message [37]byte
		var pub [65]byte
		var out [64]byte
		var k secp256k1.ModNScalar
		var p secp256k1.JacobianPoint
		for b.Loop() {
			message[0]++
			mac.Reset()
			mac.Write(message[:])
			mac.Sum(out[:0])
			message[1] = out[63] // another scalar each time
			k.SetByteSlice(out[:32])
			secp256k1.ScalarBaseMultNonConst(&k, &p)
			_ = address(0, pub[:])
		}
		perAddress(b, 1)
	})
	b.Run("go-bip32", func(b *testing.B) {
		key, _ := bip32.B58Deserialize(devXPub)
		key, _ = key.NewChildKey(0)
		for b.Loop() {
			_, _ = key.NewChildKey(7)
		}
		perAddress(b, 1)
	})
	b.Run("hdkeychain", func(b *testing.B) {
		key, _ := hdkeychain.NewKeyFromString(devXPub)
		key, _ = key.Derive(0)
		for b.Loop() {
			child, _ := key.Derive(7)
			pub, _ := child.ECPubKey()
			_ = address(0, pub.SerializeUncompressed())
		}
		perAddress(b, 1)
	})
}
