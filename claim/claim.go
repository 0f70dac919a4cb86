// Package claim makes the links by which payers say where their refund is to go: an
// address that the host did not have to ask for by mail, and that nobody can put in
// who was not given the link.
//
//	host     Claim → Links.Token → a link to the host's own page, sent to the payer
//	payer    opens the page and enters an address
//	host     Links.Open → Claim.Request(address) → Gateway.Refund → approval as ever
//
// A token says which payment, how much and until when, and is signed with a secret of
// the host's; nothing is stored for it. It is as good as the money that it names: send
// it where the payer alone reads. Whoever uses it first decides: the key of the refund
// is in the token, so that a second address is refused by Refund with
// bursar.ErrIdempotencyConflict. What is final and not given back yet is still the limit,
// and the approver still looks at the receiver. A refund that was canceled keeps its key:
// make another link, with another one.
package claim

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar"
)

// Bounds of a secret in bytes, and of a token in characters.
const (
	MinSecretSize = 32
	MaxSecretSize = 64
	MaxToken      = 2048 // MaxToken is far more than any token has.
)

// version begins a token, and what is signed.
const version = "rc1"

// Claim is what a link is good for. Exactly one of Amount, Excess and All says how
// much, as in bursar.RefundRequest.
type Claim struct {
	// Payment is the payment's id. Required.
	Payment string
	// Key is RefundRequest.Key: links with the same key are for the same refund.
	// Required, at most bursar.MaxKey bytes.
	Key string
	// Amount is how much, in units of the payment's asset, above zero.
	Amount decimal.Decimal
	Excess bool // Excess is what came on top of the payment's amount.
	All    bool // All is everything that can be given back.
	// NotAfter is when the link ends, to the second. Required.
	NotAfter time.Time
}

// Request is what to ask Gateway.Refund for, with the address that the payer gave.
func (c Claim) Request(to string) bursar.RefundRequest {
	return bursar.RefundRequest{To: to, Amount: c.Amount, Excess: c.Excess, All: c.All, Key: c.Key}
}

// Links makes and opens tokens. It is immutable and safe for concurrent use.
type Links struct {
	// A closure rather than bytes: no printer sees into it.
	keys func() [][]byte
}

// ErrInvalid: a text is no token that was made with one of the secrets.
var ErrInvalid = errors.New("claim: not a valid link")

// ErrExpired: a token was valid once.
var ErrExpired = errors.New("claim: the link has expired")

// New takes the secrets, of MinSecretSize to MaxSecretSize random bytes each: tokens are
// made with the first and opened by all, so that a secret can be changed while links are
// on their way. The error is a *bursar.FieldError.
func New(secrets ...[]byte) (*Links, error) {
	if len(secrets) == 0 {
		return nil, &bursar.FieldError{Field: "secrets", Code: bursar.CodeRequired, Reason: "at least one"}
	}
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		if len(s) < MinSecretSize || len(s) > MaxSecretSize {
			return nil, &bursar.FieldError{
				Field: fmt.Sprintf("secrets[%d]", i), Code: bursar.CodeOutOfRange,
				Reason: fmt.Sprintf("%d bytes; want %d to %d", len(s), MinSecretSize, MaxSecretSize),
			}
		}
		keys[i] = bytes.Clone(s)
	}
	return &Links{keys: func() [][]byte { return keys }}, nil
}

// wire is a claim as a token has it.
type wire struct {
	Payment  string `json:"p"`
	Key      string `json:"k"`
	Amount   string `json:"a,omitempty"`
	Excess   bool   `json:"x,omitempty"`
	All      bool   `json:"w,omitempty"`
	NotAfter int64  `json:"t"`
}

// Token signs a claim. It has nothing in it that an URL has to escape. The error is a
// *bursar.FieldError that names what the claim lacks.
func (l *Links) Token(c Claim) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	w := wire{Payment: c.Payment, Key: c.Key, Excess: c.Excess, All: c.All, NotAfter: c.NotAfter.Unix()}
	if !c.Amount.IsZero() {
		w.Amount = c.Amount.String()
	}
	body, err := json.Marshal(w)
	if err != nil {
		return "", fmt.Errorf("claim: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	token := version + "." + encode(body) + "." + encode(sign(l.keys()[0], body))
	if len(token) > MaxToken {
		return "", &bursar.FieldError{Field: "Claim", Code: bursar.CodeOutOfRange, Reason: "longer than a token may be"}
	}
	return token, nil
}

// Open returns what a token is good for at a time. Errors: ErrInvalid, ErrExpired.
func (l *Links) Open(token string, now time.Time) (Claim, error) {
	head, rest, _ := strings.Cut(token, ".")
	text, mark, _ := strings.Cut(rest, ".")
	if len(token) > MaxToken || head != version {
		return Claim{}, ErrInvalid
	}
	body, err := decode(text)
	if err != nil {
		return Claim{}, ErrInvalid
	}
	given, err := decode(mark)
	if err != nil || !l.signed(body, given) {
		return Claim{}, ErrInvalid
	}
	var w wire
	if err := json.Unmarshal(body, &w); err != nil {
		return Claim{}, ErrInvalid
	}
	c := Claim{Payment: w.Payment, Key: w.Key, Excess: w.Excess, All: w.All, NotAfter: time.Unix(w.NotAfter, 0).UTC()}
	if w.Amount != "" {
		if c.Amount, err = decimal.NewFromString(w.Amount); err != nil {
			return Claim{}, ErrInvalid
		}
	}
	if err := c.check(); err != nil {
		return Claim{}, ErrInvalid
	}
	if now.After(c.NotAfter) {
		return Claim{}, ErrExpired
	}
	return c, nil
}

// decode reads base64 without padding, and nothing that Go's decoder would skip.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, ErrInvalid
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

func sign(key, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("bursar refund claim " + version + "\n"))
	m.Write(body)
	return m.Sum(nil)
}

func (l *Links) signed(body, given []byte) (ok bool) {
	for _, key := range l.keys() {
		ok = hmac.Equal(sign(key, body), given) || ok
	}
	return ok
}

func (c Claim) check() error {
	bad := func(field string, code bursar.Code, reason string) error {
		return &bursar.FieldError{Field: "Claim." + field, Code: code, Reason: reason}
	}
	ways := 0
	for _, on := range []bool{!c.Amount.IsZero(), c.Excess, c.All} {
		if on {
			ways++
		}
	}
	switch {
	case c.Payment == "":
		return bad("Payment", bursar.CodeRequired, "a payment's id")
	case c.Key == "":
		return bad("Key", bursar.CodeRequired, "the refund's key")
	case len(c.Key) > bursar.MaxKey:
		return bad("Key", bursar.CodeOutOfRange, fmt.Sprintf("longer than %d bytes", bursar.MaxKey))
	case !utf8.ValidString(c.Key):
		return bad("Key", bursar.CodeInvalid, "not UTF-8")
	case !utf8.ValidString(c.Payment):
		return bad("Payment", bursar.CodeInvalid, "not UTF-8")
	case ways != 1:
		return bad("Amount", bursar.CodeRequired, "exactly one of Amount, Excess and All")
	case c.Amount.IsNegative():
		return bad("Amount", bursar.CodeOutOfRange, "below zero")
	case c.NotAfter.IsZero():
		return bad("NotAfter", bursar.CodeRequired, "when the link ends")
	}
	return nil
}
