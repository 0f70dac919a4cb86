package webhook

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed request, as the specification writes them. HTTP does
// not care for their case.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
	// HeaderBodySignature signs the raw body alone.
	HeaderBodySignature = "X-Gateway-Signature"
)

// Limits of what is signed and verified.
const (
	// MaxIDLength is the longest id in bytes.
	MaxIDLength = 128
	// MaxSecrets is how many secrets an endpoint may have at once. Rotation
	// needs two; more than a few only make each forged request dearer to refuse.
	MaxSecrets = 8
)

const (
	version    = "v1,"
	bodyScheme = "sha256="
)

// Message is one request's content before it is signed.
type Message struct {
	// ID is the same for every attempt, which is how a receiver recognises a
	// repetition. 1 to MaxIDLength characters of A–Z, a–z, 0–9, '_' and '-'. No
	// '.' is allowed, for it separates the signed parts.
	ID string
	// Timestamp is the time of this attempt; whole seconds count. It must be
	// after 1970, because receivers refuse what is older than some minutes.
	Timestamp time.Time
	// Body is sent as it is.
	Body []byte
}

// Sign returns the four signature headers of m: the Standard Webhooks ones with
// a signature for each secret, and X-Gateway-Signature with the first secret's.
// The current secret therefore comes first; the package comment says how a
// rotation goes. Errors: ErrNoSecret, or a *FieldError for id or timestamp.
func Sign(secrets []Secret, m Message) (http.Header, error) {
	secrets, err := usable(secrets)
	if err != nil {
		return nil, err
	}
	if !validID(m.ID) {
		return nil, &FieldError{"id", ErrBadID.Error()}
	}
	seconds := m.Timestamp.Unix()
	if seconds <= 0 || seconds > maxSeconds {
		return nil, &FieldError{"timestamp", "want a time after 1970"}
	}
	timestamp := strconv.FormatInt(seconds, 10)
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		signatures[i] = version + base64.StdEncoding.EncodeToString(s.sumMessage(m.ID, timestamp, m.Body))
	}
	h := make(http.Header, 4)
	h.Set(HeaderID, m.ID)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
	h.Set(HeaderBodySignature, bodyScheme+hex.EncodeToString(secrets[0].sum(m.Body)))
	return h, nil
}

// maxSeconds is the last second of the year 9999.
const maxSeconds = 253402300799

// sumMessage returns the HMAC of "id.timestamp.body".
func (s Secret) sumMessage(id, timestamp string, body []byte) []byte {
	return s.sum([]byte(id+"."+timestamp+"."), body)
}

// validID holds ids to characters that mean nothing in a header, a log line, a
// URL or the signed text.
func validID(id string) bool {
	if id == "" || len(id) > MaxIDLength {
		return false
	}
	for i := range len(id) {
		c := id[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
