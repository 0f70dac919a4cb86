package tokens

import (
	_ "embed" // for the init code
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strings"
)

//go:embed plain.hex
var plain string

//go:embed noreturn.hex
var noReturn string

//go:embed returnsfalse.hex
var returnsFalse string

//go:embed fourtopics.hex
var fourTopics string

//go:embed longdata.hex
var longData string

//go:embed spoofer.hex
var spoofer string

//go:embed splitter.hex
var splitter string

//go:embed forwarder.hex
var forwarder string

//go:embed rejecter.hex
var rejecter string

// Address is a raw EVM address.
type Address = [20]byte

// Plain returns the init code of a token that follows ERC-20 in transfer,
// approve and transferFrom.
func Plain(symbol string, decimals uint8) []byte { return token(plain, symbol, decimals) }

// NoReturn returns the init code of a token whose transfer returns nothing.
func NoReturn(symbol string, decimals uint8) []byte { return token(noReturn, symbol, decimals) }

// ReturnsFalse returns the init code of a token whose transfer moves nothing,
// emits nothing and returns false.
func ReturnsFalse(symbol string, decimals uint8) []byte { return token(returnsFalse, symbol, decimals) }

// FourTopics returns the init code of a token whose Transfer event has the value
// as a fourth topic, as ERC-721 has it.
func FourTopics(symbol string, decimals uint8) []byte { return token(fourTopics, symbol, decimals) }

// LongData returns the init code of a token whose Transfer event has two words
// of data.
func LongData(symbol string, decimals uint8) []byte { return token(longData, symbol, decimals) }

// Spoofer returns the init code of a plain token that, with each transfer, also
// emits an event that names another token.
func Spoofer(symbol string, decimals uint8, imitates Address) []byte {
	return join(code(spoofer), number(3*32), number(uint64(decimals)), address(imitates), text(symbol))
}

// Splitter returns the init code of a contract that pays several amounts of a
// token of its own in one transaction. See Split.
func Splitter() []byte { return code(splitter) }

// Forwarder returns the init code of a contract that sends on native coin by an
// internal call. See Forward.
func Forwarder() []byte { return code(forwarder) }

// Rejecter returns the init code of a contract that reverts whatever it is paid.
func Rejecter() []byte { return code(rejecter) }

// Mint returns the call that gives new tokens to an account, by anybody.
func Mint(to Address, amount *big.Int) []byte {
	return join([]byte{0x40, 0xc1, 0x0f, 0x19}, address(to), quantity(amount))
}

// Transfer returns the call that moves tokens of the caller.
func Transfer(to Address, amount *big.Int) []byte {
	return join([]byte{0xa9, 0x05, 0x9c, 0xbb}, address(to), quantity(amount))
}

// Approve returns the call that lets spender move tokens of the caller.
func Approve(spender Address, amount *big.Int) []byte {
	return join([]byte{0x09, 0x5e, 0xa7, 0xb3}, address(spender), quantity(amount))
}

// TransferFrom returns the call that moves tokens of another account.
func TransferFrom(from, to Address, amount *big.Int) []byte {
	return join([]byte{0x23, 0xb8, 0x72, 0xdd}, address(from), address(to), quantity(amount))
}

// Split returns the call of a Splitter that pays the amounts of a token, which
// the Splitter must own, to one receiver.
func Split(token, to Address, amounts ...*big.Int) []byte {
	out := join([]byte{0x07, 0x34, 0x4a, 0x92}, address(token), address(to), number(3*32), number(uint64(len(amounts))))
	for _, a := range amounts {
		out = append(out, quantity(a)...)
	}
	return out
}

// Forward returns the call of a Forwarder that sends the call's value on.
func Forward(to Address) []byte {
	return join([]byte{0x10, 0x1e, 0x89, 0x52}, address(to))
}

// token appends the constructor's arguments (string, uint8).
func token(hexCode, symbol string, decimals uint8) []byte {
	return join(code(hexCode), number(2*32), number(uint64(decimals)), text(symbol))
}

// code decodes an embedded file. It panics on one that is no hex, which the
// package's own test would show.
func code(text string) []byte {
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil {
		panic("tokens: " + err.Error())
	}
	return raw
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 24), n) }

func address(a Address) []byte { return append(make([]byte, 12), a[:]...) }

// quantity panics where n is negative or has more than 256 bits.
func quantity(n *big.Int) []byte {
	if n.Sign() < 0 {
		panic("tokens: a negative amount")
	}
	return n.FillBytes(make([]byte, 32))
}

// text encodes a string's tail: its length, and its bytes in whole words.
func text(s string) []byte {
	padded := make([]byte, (len(s)+31)/32*32)
	copy(padded, s)
	return append(number(uint64(len(s))), padded...)
}
