package natsjs

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/bursar-go/bursar"
)

// maxToken is the longest token that is written out, in bytes. A server closes the
// connection of a client whose subject is too long (4 KiB by default), and all
// events that are under way with it.
const maxToken = 200

// Subject is the subject that e is published on: Config.Prefix, the kind and the
// event's Subject, e.g. "bursar.payment.confirmed.pay_…". Letters, digits, '_', '-'
// and ':' stand for themselves in it. Every other byte, dots, wildcards and spaces
// above all, is written as '%' and two hexadecimal digits, an empty token as a
// single '%', and one of more than 200 bytes as "%%" and its SHA-256. So each
// subject has a token of its own.
func (p *Publisher) Subject(e bursar.Event) string {
	var b strings.Builder
	b.WriteString(p.prefix)
	for part := range strings.SplitSeq(string(e.Kind), ".") {
		b.WriteByte('.')
		b.WriteString(token(part))
	}
	b.WriteByte('.')
	b.WriteString(token(e.Subject))
	return b.String()
}

// token makes any text one token, and different ones different tokens.
func token(text string) string {
	if text == "" {
		return "%"
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; plain(c) || c == ':' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
		if b.Len() > maxToken {
			sum := sha256.Sum256([]byte(text))
			return "%%" + hex.EncodeToString(sum[:])
		}
	}
	return b.String()
}

// plain reports whether a byte is one that NATS advises for names.
func plain(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func validPrefix(prefix string) bool {
	for part := range strings.SplitSeq(prefix, ".") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool { return r > 0x7f || !plain(byte(r)) }) {
			return false
		}
	}
	return len(prefix) <= maxPrefix
}

// validStream is NATS's own rule.
func validStream(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`.*>/\`, r) })
}
