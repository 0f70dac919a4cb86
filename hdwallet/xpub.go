package hdwallet

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// XPub is the public half of one account, as wallets export it.
type XPub struct {
	// CoinType is the SLIP-44 number it was derived for, below 2^31. The key
	// does not say it, so take care: 60 for every EVM chain.
	CoinType uint32
	// Key is the extended public key of m/44'/coin'/0' in base58, "xpub…".
	Key string
}

const (
	hardened     = 1 << 31
	accountDepth = 3
	publicPrefix = 0x0488B21E
	base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
)

// extendedKey is the serialised form of BIP-32, public keys only.
type extendedKey struct {
	depth  byte
	parent [4]byte
	child  uint32
	chain  [32]byte
	key    [33]byte
}

// parseExtended reads an extended public key. Each of its reasons to refuse is
// a string for XPubError; the empty one means that all is well.
func parseExtended(text string) (extendedKey, string) {
	raw, ok := base58Decode(text)
	if !ok {
		return extendedKey{}, "not an extended key in base58"
	}
	var x extendedKey
	first := sha256.Sum256(raw[:78])
	second := sha256.Sum256(first[:])
	if [4]byte(second[:4]) != [4]byte(raw[78:]) {
		return extendedKey{}, "wrong checksum"
	}
	if reason := checkVersion(binary.BigEndian.Uint32(raw[:4])); reason != "" {
		return extendedKey{}, reason
	}
	x.depth = raw[4]
	copy(x.parent[:], raw[5:9])
	x.child = binary.BigEndian.Uint32(raw[9:13])
	copy(x.chain[:], raw[13:45])
	copy(x.key[:], raw[45:78])
	switch {
	case x.depth == 0 && (x.parent != [4]byte{} || x.child != 0):
		return extendedKey{}, "a master key with a parent"
	case x.key[0] != secp256k1.PubKeyFormatCompressedEven && x.key[0] != secp256k1.PubKeyFormatCompressedOdd:
		return extendedKey{}, "not a compressed public key"
	}
	if _, err := secp256k1.ParsePubKey(x.key[:]); err != nil {
		return extendedKey{}, "the public key is not on the curve"
	}
	return x, ""
}

// checkVersion tells apart what people paste. Versions: BIP-32, SLIP-132.
func checkVersion(version uint32) string {
	switch version {
	case publicPrefix:
		return ""
	case 0x0488ADE4, 0x04358394, 0x049D7878, 0x04B2430C, 0x044A4E28, 0x045F18BC:
		return "a private key: remove it from where it is stored and treat the wallet as leaked"
	case 0x043587CF:
		return "a testnet key (tpub), want an xpub"
	case 0x049D7CB2, 0x04B24746, 0x044A5262, 0x045F1CF6:
		return "a key of another purpose (ypub, zpub …), want an xpub of purpose 44"
	}
	return "unknown version, want an xpub"
}

// parseAccount reads an account's key: m/44'/coin'/0' and nothing else. The
// depth and the child number are all that a key tells of its path.
func parseAccount(text string) (extendedKey, string) {
	x, reason := parseExtended(text)
	switch {
	case reason != "":
		return extendedKey{}, reason
	case x.depth != accountDepth:
		return extendedKey{}, "not an account's key: want depth 3, m/44'/coin'/0'"
	case x.child != hardened:
		return extendedKey{}, "not the first account: want child number 0', m/44'/coin'/0'"
	}
	return x, ""
}

// String returns the key in base58.
func (x *extendedKey) String() string {
	var raw [82]byte
	binary.BigEndian.PutUint32(raw[:4], publicPrefix)
	raw[4] = x.depth
	copy(raw[5:9], x.parent[:])
	binary.BigEndian.PutUint32(raw[9:13], x.child)
	copy(raw[13:45], x.chain[:])
	copy(raw[45:78], x.key[:])
	first := sha256.Sum256(raw[:78])
	second := sha256.Sum256(first[:])
	copy(raw[78:], second[:4])
	return base58Encode(raw)
}

// base58Decode reads 82 bytes. Text of another length, with other digits or of
// a number too large is refused.
func base58Decode(text string) (raw [82]byte, ok bool) {
	// 82 bytes that begin with 04 take 111 digits, with 00 no more than that.
	if len(text) < 82 || len(text) > 112 {
		return raw, false
	}
	zeros := len(text) - len(strings.TrimLeft(text, "1"))
	for i := range len(text) {
		carry := strings.IndexByte(base58Digits, text[i])
		if carry < 0 {
			return raw, false
		}
		for j := len(raw) - 1; j >= 0; j-- {
			carry += 58 * int(raw[j])
			raw[j] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return raw, false
		}
	}
	// Each leading zero byte is a leading "1", neither more nor fewer.
	leading := 0
	for leading < len(raw) && raw[leading] == 0 {
		leading++
	}
	return raw, leading == zeros
}

func base58Encode(raw [82]byte) string {
	out := make([]byte, 0, 112)
	for n := raw; n != [82]byte{}; {
		rest := 0
		for i := range n {
			rest = rest<<8 | int(n[i])
			n[i] = byte(rest / 58)
			rest %= 58
		}
		out = append(out, base58Digits[rest])
	}
	for i := 0; i < len(raw) && raw[i] == 0; i++ {
		out = append(out, '1')
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}
