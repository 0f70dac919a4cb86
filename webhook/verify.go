package webhook

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTolerance is how far a timestamp may lie from the verifier's
	// clock, either way, unless configured otherwise.
	DefaultTolerance = 5 * time.Minute
	// MaxTolerance bounds the configuration: beyond it the check is no check.
	MaxTolerance = time.Hour
	// maxSignatures bounds the work that one forged request can cause.
	maxSignatures = 32
)

// VerifierConfig says whom to believe.
type VerifierConfig struct {
	// Secrets are those that may have signed, 1 to MaxSecrets; during a
	// rotation the old and the new one.
	Secrets []Secret
	// Tolerance is how far a timestamp may lie from now, either way. Zero means
	// DefaultTolerance; at most MaxTolerance.
	Tolerance time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier decides whether a request comes from who holds a secret, and
// recently. It is safe for concurrent use. The zero value believes nobody.
type Verifier struct {
	secrets   []Secret
	tolerance time.Duration
	now       func() time.Time
}

// NewVerifier copies c, fills in defaults and checks it. Errors: ErrNoSecret,
// *FieldError.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	secrets, err := usable(c.Secrets)
	if err != nil {
		return nil, err
	}
	if c.Tolerance == 0 {
		c.Tolerance = DefaultTolerance
	}
	if c.Tolerance < 0 || c.Tolerance > MaxTolerance {
		return nil, &FieldError{"tolerance", fmt.Sprintf("%v; want more than 0 and at most %v", c.Tolerance, MaxTolerance)}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{secrets: secrets, tolerance: c.Tolerance, now: c.Now}, nil
}

// Verify checks the Standard Webhooks headers over the raw body and returns the
// message they sign. Errors: ErrNoSecret, or a *VerifyError. The time is judged
// after the signature, so that ErrTooOld and ErrTooNew tell a receiver that the
// request was genuine and the clocks differ, or that somebody replays it.
//
// It does not remember ids: a replay within the tolerance is for the receiver's
// own record of handled ids, which at-least-once delivery demands anyway.
func (v *Verifier) Verify(header http.Header, body []byte) (Message, error) {
	if v == nil || len(v.secrets) == 0 {
		return Message{}, ErrNoSecret
	}
	id, err := single(header, HeaderID)
	if err != nil {
		return Message{}, err
	}
	if !validID(id) {
		return Message{}, &VerifyError{HeaderID, ErrBadID}
	}
	timestamp, err := single(header, HeaderTimestamp)
	if err != nil {
		return Message{}, err
	}
	at, ok := parseSeconds(timestamp)
	if !ok {
		return Message{}, &VerifyError{HeaderTimestamp, ErrBadTimestamp}
	}
	// Several signature headers mean the same as one with all of them.
	signatures := strings.Join(header.Values(HeaderSignature), " ")
	if signatures == "" {
		return Message{}, &VerifyError{HeaderSignature, ErrMissingHeader}
	}
	if !v.signed(signatures, id, timestamp, body) {
		return Message{}, &VerifyError{HeaderSignature, ErrBadSignature}
	}
	switch age := v.now().Sub(at); {
	case age > v.tolerance:
		return Message{}, &VerifyError{HeaderTimestamp, ErrTooOld}
	case age < -v.tolerance:
		return Message{}, &VerifyError{HeaderTimestamp, ErrTooNew}
	}
	return Message{ID: id, Timestamp: at, Body: body}, nil
}

// signed reports whether one of the signatures is one of the secrets'. Versions
// other than v1 are skipped: a sender may add some that we do not know.
func (v *Verifier) signed(signatures, id, timestamp string, body []byte) bool {
	var candidates [][]byte
	for text := range strings.FieldsSeq(signatures) {
		encoded, known := strings.CutPrefix(text, version)
		if !known {
			continue
		}
		sum, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			continue
		}
		if candidates = append(candidates, sum); len(candidates) == maxSignatures {
			break
		}
	}
	if len(candidates) == 0 {
		return false
	}
	good := false
	for _, s := range v.secrets {
		want := s.sumMessage(id, timestamp, body)
		for _, got := range candidates {
			good = hmac.Equal(got, want) || good
		}
	}
	return good
}

// VerifyBody checks the value of X-Gateway-Signature, "sha256=" and 64 hex
// digits, over the raw body, against every secret. It proves who made the body,
// not when: see the package comment on replays. Errors: ErrNoSecret, or a
// *VerifyError.
func (v *Verifier) VerifyBody(signature string, body []byte) error {
	if v == nil || len(v.secrets) == 0 {
		return ErrNoSecret
	}
	if signature == "" {
		return &VerifyError{HeaderBodySignature, ErrMissingHeader}
	}
	encoded, ok := strings.CutPrefix(signature, bodyScheme)
	got, err := hex.DecodeString(encoded)
	if !ok || err != nil {
		return &VerifyError{HeaderBodySignature, ErrBadSignature}
	}
	good := false
	for _, s := range v.secrets {
		good = hmac.Equal(got, s.sum(body)) || good
	}
	if !good {
		return &VerifyError{HeaderBodySignature, ErrBadSignature}
	}
	return nil
}

// single returns a header that must be there exactly once: of two, the signer
// and the receiver might each read another one.
func single(header http.Header, name string) (string, error) {
	values := header.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", &VerifyError{name, ErrMissingHeader}
	}
	return values[0], nil
}

// parseSeconds reads a time as Sign writes it: digits alone, no sign, no
// leading zero. The signature covers the text, so one time has one text.
func parseSeconds(text string) (time.Time, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > maxSeconds || strconv.FormatInt(n, 10) != text {
		return time.Time{}, false
	}
	return time.Unix(n, 0).UTC(), true
}
