package evm

import (
	"github.com/ethereum/go-ethereum/crypto/keccak"

	"github.com/bursar-go/bursar/chain"
)

// addressLength is the number of bytes of an EVM address.
const addressLength = 20

// zeroAddress is where burnt coins and mint events point to. It parses, because
// the chain itself names it, but nothing is ever paid to it.
const zeroAddress chain.Address = "0x0000000000000000000000000000000000000000"

const (
	lowerHex = "0123456789abcdef"
	upperHex = "0123456789ABCDEF"
)

// keccak256 is Keccak with the padding from before SHA-3, as the EVM uses it.
// The constructor is inlined and its state stays on the stack, so there is no
// pool and no allocation.
func keccak256(data []byte) (sum [32]byte) {
	h := keccak.NewLegacyKeccak256()
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}

// checksummed writes 20 bytes in EIP-55 form: a hex letter is upper case where
// the same digit of the hash of the lower case text is 8 or more.
//
// Source: https://eips.ethereum.org/EIPS/eip-55
func checksummed(raw [addressLength]byte) chain.Address {
	var text [2 + 2*addressLength]byte
	text[0], text[1] = '0', 'x'
	digits := text[2:]
	for i, b := range raw {
		digits[2*i], digits[2*i+1] = lowerHex[b>>4], lowerHex[b&15]
	}
	sum := keccak256(digits)
	for i, b := range raw {
		if sum[i]>>4 >= 8 {
			digits[2*i] = upperHex[b>>4]
		}
		if sum[i]&15 >= 8 {
			digits[2*i+1] = upperHex[b&15]
		}
	}
	return chain.Address(text[:])
}

// parseAddress reads 0x and 40 hex digits. One case throughout carries no
// checksum and is taken as it is; mixed case claims one and must keep it, for
// that is the only protection against a mistyped digit.
func parseAddress(text string) (raw [addressLength]byte, err error) {
	bad := func(reason string) ([addressLength]byte, error) {
		return [addressLength]byte{}, &chain.FormatError{What: "address", Text: text, Reason: reason}
	}
	if len(text) != 2+2*addressLength || text[0] != '0' || text[1] != 'x' {
		return bad("want 0x and 40 hex digits")
	}
	var lower, upper bool
	for i := range 2 * addressLength {
		c := text[2+i]
		digit, isLetter, ok := hexDigit(c)
		if !ok {
			return bad("want 0x and 40 hex digits")
		}
		lower = lower || isLetter && c >= 'a'
		upper = upper || isLetter && c < 'a'
		raw[i/2] = raw[i/2]<<4 | digit
	}
	if lower && upper && string(checksummed(raw)) != text {
		return bad("wrong EIP-55 checksum")
	}
	return raw, nil
}

func hexDigit(c byte) (digit byte, isLetter, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', false, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true, true
	}
	return 0, false, false
}
