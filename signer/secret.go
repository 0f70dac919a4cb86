package signer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// MinSecret is the least length of a shared secret, in bytes.
const MinSecret = 32

const redacted = "[secret]"

// Secret is what a client and a server share. However it is printed, logged or
// marshalled it says only that it is a secret. The zero value is none. It is immutable
// and safe for concurrent use.
type Secret struct {
	// A closure and not bytes: printers that work by reflection do not ask methods,
	// and of a function they see an address.
	mac func(parts ...string) []byte
}

// NewSecret copies a secret of at least MinSecret bytes, drawn at random; text will
// not do. Fewer bytes are a *ConfigError.
func NewSecret(b []byte) (Secret, error) {
	if len(b) < MinSecret {
		return Secret{}, &ConfigError{"Secret", fmt.Sprintf("%d bytes, want at least %d", len(b), MinSecret)}
	}
	key := append([]byte(nil), b...)
	return Secret{mac: func(parts ...string) []byte {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			_, _ = io.WriteString(h, p+"\n") // a hash never fails
		}
		return h.Sum(nil)
	}}, nil
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.mac == nil }

// String tells that there is a secret, or nothing where there is none.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format writes String for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns String; what it writes cannot be read back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns String as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, s.String()), nil }

// LogValue is String for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// The headers of the protocol.
const (
	headerKey   = "Bursar-Key"
	headerTime  = "Bursar-Time"
	headerNonce = "Bursar-Nonce"
	headerMAC   = "Bursar-Signature"
)

// nonceSize is the length of a nonce in bytes; on the wire it is lower-case hex.
const nonceSize = 16

// credentials are what a request's headers say.
type credentials struct {
	key, time, nonce string
}

// requestMAC covers all of a request that means something. Each part is of characters
// that contain no line break.
func (s Secret) requestMAC(c credentials, method, path string, body []byte) []byte {
	return s.mac("bursar-signer-v1 request", method, path, c.key, c.time, c.nonce, digestOf(body))
}

// answerMAC binds an answer to its request.
func (s Secret) answerMAC(c credentials, status int, body []byte) []byte {
	return s.mac("bursar-signer-v1 answer", c.key, c.nonce, strconv.Itoa(status), digestOf(body))
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// equalMAC compares a header with what it must be.
func equalMAC(header string, want []byte) bool {
	got, err := hex.DecodeString(header)
	return err == nil && hmac.Equal(got, want)
}
