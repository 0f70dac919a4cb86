package bursar

import (
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/bursar-go/bursar/chain"
)

// Bounds of what a host may attach to a payment or an address.
const (
	MaxMetadataKeys  = 50        // MaxMetadataKeys is the most pairs.
	MaxMetadataKey   = 40        // MaxMetadataKey is the longest key in bytes.
	MaxMetadataValue = 500       // MaxMetadataValue is the longest value in bytes.
	MaxMetadata      = 16 * 1024 // MaxMetadata is the most bytes in all.
	MaxKey           = 255       // MaxKey is the longest idempotency key in bytes.
	MaxCustomer      = 255       // MaxCustomer is the longest customer name in bytes.
)

func checkTTL(field string, ttl time.Duration) error {
	if ttl < MinTTL || ttl > MaxTTL {
		return fieldErr(field, CodeOutOfRange, "%s is not between %s and %s", ttl, MinTTL, MaxTTL)
	}
	return nil
}

// check validates a policy on its own; whether it leaves anything to pay
// depends on the amount.
func (p AmountPolicy) check(field string) error {
	switch {
	case p.ToleranceBps > 10_000:
		return fieldErr(field+".ToleranceBps", CodeOutOfRange, "%d is over 10,000", p.ToleranceBps)
	case p.Grace < 0 || p.Grace > MaxGrace:
		return fieldErr(field+".Grace", CodeOutOfRange, "%s is not between 0 and %s", p.Grace, MaxGrace)
	}
	return nil
}

// checkText validates a label of the host's: UTF-8 without control characters.
func checkText(field, text string, longest int) error {
	switch {
	case len(text) > longest:
		return fieldErr(field, CodeOutOfRange, "%d bytes, at most %d", len(text), longest)
	case !utf8.ValidString(text):
		return fieldErr(field, CodeInvalid, "not valid UTF-8")
	case strings.ContainsFunc(text, unicode.IsControl):
		return fieldErr(field, CodeInvalid, "holds a control character")
	}
	return nil
}

// checkMetadata validates metadata. Keys that look like integers are refused
// because JavaScript moves them to the front when it re-serialises an object.
func checkMetadata(field string, m map[string]string) error {
	if len(m) > MaxMetadataKeys {
		return fieldErr(field, CodeOutOfRange, "%d pairs, at most %d", len(m), MaxMetadataKeys)
	}
	total := 0
	for _, k := range sortedKeys(m) {
		v := m[k]
		at := field + "[" + strconv.Quote(k) + "]"
		switch {
		case k == "" || len(k) > MaxMetadataKey:
			return fieldErr(at, CodeOutOfRange, "a key has 1 to %d bytes", MaxMetadataKey)
		case len(v) > MaxMetadataValue:
			return fieldErr(at, CodeOutOfRange, "a value has at most %d bytes", MaxMetadataValue)
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			return fieldErr(at, CodeInvalid, "not valid UTF-8")
		case strings.ContainsRune(k, 0) || strings.ContainsRune(v, 0):
			return fieldErr(at, CodeInvalid, "holds a NUL")
		case strings.Trim(k, "0123456789") == "":
			return fieldErr(at, CodeInvalid, "a key must not look like an integer")
		}
		total += len(k) + len(v)
	}
	if total > MaxMetadata {
		return fieldErr(field, CodeOutOfRange, "%d bytes in all, at most %d", total, MaxMetadata)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// units converts a decimal of the API's edge to base units, exactly or not at
// all.
func units(field string, d decimal.Decimal, a chain.Asset) (chain.Amount, error) {
	// The bounds come first: scaling 1e1000000000 would take the memory of the
	// machine, and counting the digits of a long number the time.
	const widest = 2048 // bits, some 600 digits: whatever can be exact and below 2^256
	switch {
	case d.Exponent() > chain.MaxDecimals+1 || d.Exponent() < -4*chain.MaxDecimals || d.Coefficient().BitLen() > widest:
		return chain.Amount{}, fieldErr(field, CodeOutOfRange, "too large or too fine a number")
	case d.Sign() <= 0:
		return chain.Amount{}, fieldErr(field, CodeOutOfRange, "%s is not above zero", d)
	}
	scaled := d.Shift(int32(a.Decimals))
	if !scaled.IsInteger() {
		return chain.Amount{}, fieldErr(field, CodeInvalid, "%s has more decimals than %s has (%d)", d, a.Symbol, a.Decimals)
	}
	n, err := chain.AmountFromBig(scaled.BigInt())
	if err != nil {
		return chain.Amount{}, &FieldError{Field: field, Code: CodeOutOfRange, Reason: d.String() + " is too large", Err: err}
	}
	return n, nil
}

// validName reports whether s can name an instance or a notifier.
func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	})
}
