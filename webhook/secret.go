package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Bounds of a secret's key in bytes, as Standard Webhooks has them. A shorter
// key can be guessed, a longer one adds nothing.
const (
	MinSecretSize = 24
	MaxSecretSize = 64
)

const (
	secretPrefix = "whsec_"
	redacted     = "whsec_***"
	newKeySize   = 32
)

// Secret is the key that an endpoint's requests are signed with. However it is
// printed, logged or marshalled, it shows only that it is a secret; Reveal is
// the one way to its text. The zero value is no secret and is refused
// everywhere. Secrets are immutable and safe for concurrent use; they cannot be
// compared with ==, which would not be constant time.
type Secret struct {
	// A closure rather than bytes: package fmt prints unexported fields of a
	// host's own struct without asking their methods, and a function is all
	// that it, or any other printer built on reflection, gets to see.
	key func() []byte
}

// ParseSecret reads "whsec_" followed by the standard base64, with padding, of
// 24 to 64 bytes. The error is a *FieldError and does not repeat the text.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return Secret{}, &FieldError{"secret", "want the prefix whsec_"}
	}
	// Go's decoder skips line breaks; a secret that was pasted with one must
	// not become valid here and invalid elsewhere.
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, &FieldError{"secret", "want standard base64 after whsec_"}
	}
	return newSecret(key)
}

// NewSecret makes a secret of 32 bytes from rand; nil means crypto/rand.
func NewSecret(random io.Reader) (Secret, error) {
	if random == nil {
		random = rand.Reader
	}
	key := make([]byte, newKeySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return Secret{}, fmt.Errorf("webhook: reading randomness: %w", err)
	}
	return newSecret(key)
}

func newSecret(key []byte) (Secret, error) {
	if len(key) < MinSecretSize || len(key) > MaxSecretSize {
		return Secret{}, &FieldError{"secret", fmt.Sprintf("%d bytes; want %d to %d", len(key), MinSecretSize, MaxSecretSize)}
	}
	return Secret{key: func() []byte { return key }}, nil
}

// Reveal returns the text that ParseSecret reads: for handing it to the
// receiver once, and for storing it encrypted. It is empty for the zero value.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(s.key())
}

// IsZero reports whether s is the zero value, which is no secret.
func (s Secret) IsZero() bool { return s.key == nil }

// Equal compares two secrets in constant time. A zero value equals nothing.
func (s Secret) Equal(t Secret) bool {
	return !s.IsZero() && !t.IsZero() && hmac.Equal(s.key(), t.key())
}

// String returns a redacted text.
func (s Secret) String() string { return redacted }

// GoString returns a redacted text.
func (s Secret) GoString() string { return redacted }

// Format writes a redacted text for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns a redacted text; what it writes cannot be parsed again.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns a redacted text.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue returns a redacted text for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// sum returns the HMAC-SHA256 of the parts, one after the other.
func (s Secret) sum(parts ...[]byte) []byte {
	h := hmac.New(sha256.New, s.key())
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// usable returns a copy of secrets, or an error where one of them is none.
func usable(secrets []Secret) ([]Secret, error) {
	if len(secrets) == 0 {
		return nil, ErrNoSecret
	}
	if len(secrets) > MaxSecrets {
		return nil, &FieldError{"secrets", fmt.Sprintf("%d; want at most %d", len(secrets), MaxSecrets)}
	}
	for _, s := range secrets {
		if s.IsZero() {
			return nil, ErrNoSecret
		}
	}
	return append([]Secret(nil), secrets...), nil
}
