package evm

import (
	"encoding/json"

	"github.com/bursar-go/bursar/chain"
)

// hexValues maps a byte to its value as a hex digit, 0xff where it is none. It
// is a constant string and not an array, so that nothing can change it.
const hexValues = "" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\xff\xff\xff\xff\xff\xff" +
	"\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

// fixed reads "0x" and exactly the hex digits of dst. Digits of both cases are
// taken: some nodes write addresses with their checksum.
func (s *scanner) fixed(dst []byte) {
	s.space()
	n := 2 * len(dst)
	// One look at the whole literal: the digits hold no quote and no escape, so
	// the quote behind the last one is the end of the string.
	if s.pos+n+4 > len(s.data) {
		s.fail("want hex data")
		return
	}
	lit := s.data[s.pos : s.pos+n+4]
	if lit[0] != '"' || lit[1] != '0' || lit[2] != 'x' || lit[n+3] != '"' {
		s.fail("want hex data of another length")
		return
	}
	if !unhex(dst, lit[3:n+3]) {
		s.fail("bad hex digit")
		return
	}
	s.pos += n + 4
}

// unhex decodes 2*len(dst) hex digits and reports whether all of them are.
func unhex(dst, digits []byte) bool {
	var bad byte
	digits = digits[:2*len(dst)]
	for i := range dst {
		hi, lo := hexValues[digits[2*i]], hexValues[digits[2*i+1]]
		bad |= hi | lo
		dst[i] = hi<<4 | lo
	}
	return bad <= 15
}

// quantity reads a number as JSON-RPC writes it: "0x0", or "0x" and up to 64
// digits of which the first is not zero. It returns the digits.
func (s *scanner) quantity() []byte {
	text := s.plain()
	switch {
	case s.err != nil:
		return nil
	case len(text) < 3 || text[0] != '0' || text[1] != 'x':
		s.fail("want a quantity")
		return nil
	case text[2] == '0' && len(text) > 3:
		s.fail("quantity with a leading zero")
		return nil
	case len(text) > 2+64:
		s.fail("quantity over 256 bits")
		return nil
	}
	return text[2:]
}

// uint64 reads a quantity of at most 64 bits.
func (s *scanner) uint64() uint64 {
	digits := s.quantity()
	if len(digits) > 16 {
		s.fail("quantity over 64 bits")
		return 0
	}
	var n uint64
	for _, c := range digits {
		v := hexValues[c]
		if v > 15 {
			s.fail("bad hex digit")
			return 0
		}
		n = n<<4 | uint64(v)
	}
	return n
}

// uint256 reads a quantity into 32 big-endian bytes.
func (s *scanner) uint256(dst *[32]byte) {
	digits := s.quantity()
	*dst = [32]byte{}
	for i, c := range digits {
		v := hexValues[c]
		if v > 15 {
			s.fail("bad hex digit")
			return
		}
		nibble := len(digits) - 1 - i
		dst[31-nibble/2] |= v << (4 * (nibble & 1))
	}
}

// amount reads a quantity as an amount.
func (s *scanner) amount() chain.Amount {
	var word [32]byte
	s.uint256(&word)
	return amountOfWord(&word)
}

// bytes reads hex data of any length, copying the first of it into dst. It
// returns the length of all of it in bytes.
func (s *scanner) bytes(dst []byte) int {
	text := s.plain()
	switch {
	case s.err != nil:
		return 0
	case len(text) < 2 || text[0] != '0' || text[1] != 'x' || len(text)%2 != 0:
		s.fail("want hex data")
		return 0
	}
	n := (len(text) - 2) / 2
	if !unhex(dst[:min(n, len(dst))], text[2:]) {
		s.fail("bad hex digit")
		return 0
	}
	for i := 2 + 2*len(dst); i < len(text); i++ {
		if hexValues[text[i]] > 15 {
			s.fail("bad hex digit")
			return 0
		}
	}
	return n
}

// flag reads true or false.
func (s *scanner) flag() bool {
	if s.space() == 't' {
		s.literal("true")
		return true
	}
	s.literal("false")
	return false
}

// unquote turns a checked string literal into text. It is not on the hot path.
func unquote(literal []byte) string {
	var text string
	if json.Unmarshal(literal, &text) != nil {
		return ""
	}
	return text
}

// amountOfWord makes an amount of 32 big-endian bytes, which always fit.
func amountOfWord(word *[32]byte) chain.Amount {
	a, _ := chain.AmountFromBytes(word[:])
	return a
}
