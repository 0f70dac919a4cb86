package evm

import (
	"encoding/binary"
	"math/bits"
)

// maxDepth is how deep objects and arrays may nest. Blocks need about six.
const maxDepth = 64

// scanner pulls values out of JSON text in one pass. Each method expects its
// value at pos and leaves pos behind it. The first error sticks: it moves pos to
// the end, so that all later calls fail too, and callers check err once.
//
// It accepts exactly the grammar of RFC 8259, as encoding/json does. It never
// panics, and its slices point into data.
type scanner struct {
	data  []byte
	pos   int
	depth int
	err   *DecodeError
	// logData is the text of the data of the log that was read last.
	logData []byte
}

func (s *scanner) fail(reason string) {
	if s.err == nil {
		s.err = &DecodeError{Offset: s.pos, Reason: reason}
	}
	s.pos = len(s.data)
}

// space skips white space and returns the byte behind it, 0 at the end.
func (s *scanner) space() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\n', '\r', '\t':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// open enters an object ('{') or an array ('[').
func (s *scanner) open(bracket byte) bool {
	if s.space() != bracket {
		if bracket == '{' {
			s.fail("want an object")
		} else {
			s.fail("want an array")
		}
		return false
	}
	if s.depth++; s.depth > maxDepth {
		s.fail("nested too deep")
		return false
	}
	s.pos++
	return true
}

// more moves on to the next member or element: true if there is one, false once
// the closing bracket is behind. first is true before the first one.
func (s *scanner) more(closing byte, first *bool) bool {
	c := s.space()
	switch {
	case c == closing:
		s.pos++
		s.depth--
		return false
	case *first:
		*first = false
		if c == 0 {
			s.fail("unexpected end")
			return false
		}
		return true
	case c != ',':
		s.fail("want a comma or a closing bracket")
		return false
	}
	s.pos++
	return true
}

// key reads the next member's name and the colon; ok is false at the end of the
// object. A name written with escapes is refused: no node writes one, and two
// spellings of one name are a way to show two readers two different objects.
func (s *scanner) key(first *bool) (name []byte, ok bool) {
	if !s.more('}', first) {
		return nil, false
	}
	name = s.plain()
	if s.space() != ':' {
		s.fail("want a colon")
		return nil, false
	}
	s.pos++
	return name, true
}

// plain reads a string without escapes and returns what is between the quotes.
func (s *scanner) plain() []byte {
	if s.space() != '"' {
		s.fail("want a string")
		return nil
	}
	start := s.pos + 1
	end := s.stop(start)
	if end >= len(s.data) || s.data[end] != '"' {
		s.pos = end
		s.fail("want a string without escapes")
		return nil
	}
	s.pos = end + 1
	return s.data[start:end]
}

// text reads any string and returns it unquoted. It is for messages and labels.
func (s *scanner) text() string {
	start := s.pos
	s.skipString()
	if s.err != nil {
		return ""
	}
	return unquote(s.data[start:s.pos])
}

// isNull consumes a null, if there is one.
func (s *scanner) isNull() bool {
	if s.space() != 'n' {
		return false
	}
	s.literal("null")
	return s.err == nil
}

// raw skips any value and returns its bytes.
func (s *scanner) raw() []byte {
	s.space()
	start := s.pos
	s.skip()
	if s.err != nil {
		return nil
	}
	return s.data[start:s.pos]
}

// skip reads over one value of any kind, checking its grammar.
func (s *scanner) skip() {
	switch c := s.space(); c {
	case '"':
		s.skipString()
	case '{':
		s.skipObject()
	case '[':
		if !s.open('[') {
			return
		}
		for first := true; s.more(']', &first); {
			s.skip()
		}
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		if c == '-' || c >= '0' && c <= '9' {
			s.number()
			return
		}
		s.fail("want a value")
	}
}

func (s *scanner) skipObject() {
	if !s.open('{') {
		return
	}
	for first := true; s.more('}', &first); {
		s.space()
		s.skipString()
		if s.space() != ':' {
			s.fail("want a colon")
			return
		}
		s.pos++
		s.skip()
	}
}

func (s *scanner) literal(word string) {
	end := s.pos + len(word)
	if end > len(s.data) || string(s.data[s.pos:end]) != word {
		s.fail("want a value")
		return
	}
	s.pos = end
}

// number reads -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *scanner) number() {
	if s.at('-') {
		s.pos++
	}
	if s.at('0') {
		s.pos++
	} else if !s.digits() {
		return
	}
	if s.at('.') {
		s.pos++
		if !s.digits() {
			return
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		if s.at('+') || s.at('-') {
			s.pos++
		}
		s.digits()
	}
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos]-'0' <= 9 {
		s.pos++
	}
	if s.pos == start {
		s.fail("want a digit")
		return false
	}
	return true
}

// skipString reads over a string at pos.
func (s *scanner) skipString() {
	if !s.at('"') {
		s.fail("want a string")
		return
	}
	i := s.pos + 1
	for {
		i = s.stop(i)
		if i >= len(s.data) {
			s.fail("string without end")
			return
		}
		switch s.data[i] {
		case '"':
			s.pos = i + 1
			return
		case '\\':
			n := escapeLength(s.data[i:])
			if n == 0 {
				s.pos = i
				s.fail("bad escape")
				return
			}
			i += n
		default:
			s.pos = i
			s.fail("control character in a string")
			return
		}
	}
}

// escapeLength returns the length of the escape that b starts with, 0 if it is
// none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if hexValues[c] > 15 {
				return 0
			}
		}
		return 6
	}
	return 0
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// stop returns the place of the first byte from i on that does not simply
// belong to a string: a quote, a backslash or a control character; len(data) if
// there is none. Most bytes of a block are inside strings (calldata, blooms,
// signatures), so it looks at eight of them at once.
//
// For a byte b of the word, b-n borrows into its high bit where b < n, and
// b^c is zero where b = c. Borrows can spill upwards only from a byte that is
// itself a hit, and the lowest hit is the one that counts.
func (s *scanner) stop(i int) int {
	for ; i+8 <= len(s.data); i += 8 {
		w := binary.LittleEndian.Uint64(s.data[i:])
		quote, slash := w^(eachByte*'"'), w^(eachByte*'\\')
		hits := (w-eachByte*0x20)&^w | (quote-eachByte)&^quote | (slash-eachByte)&^slash
		if hits &= highBits; hits != 0 {
			return i + bits.TrailingZeros64(hits)/8
		}
	}
	for ; i < len(s.data); i++ {
		if c := s.data[i]; c < 0x20 || c == '"' || c == '\\' {
			return i
		}
	}
	return i
}

// end checks that nothing but white space follows.
func (s *scanner) end() {
	if s.space(); s.pos < len(s.data) {
		s.fail("bytes behind the value")
	}
}
