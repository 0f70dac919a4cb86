package hdwallet

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// label is what a value shows of itself, whatever is used to print it. The
// types that lead to secrets embed one and inherit its methods.
type label string

// String returns the label.
func (l label) String() string { return string(l) }

// GoString returns the label, for %#v.
func (l label) GoString() string { return string(l) }

// Format writes the label for every verb and flag.
func (l label) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, string(l)) }

// MarshalText returns the label.
func (l label) MarshalText() ([]byte, error) { return []byte(l), nil }

// MarshalJSON returns the label as a JSON string.
func (l label) MarshalJSON() ([]byte, error) { return strconv.AppendQuoteToASCII(nil, string(l)), nil }

// LogValue returns the label.
func (l label) LogValue() slog.Value { return slog.StringValue(string(l)) }

// secret holds private bytes inside a closure. Methods alone would not do:
// fmt does not call them on unexported fields, and dumpers that use reflection
// ignore them altogether. A function value shows nothing but its address.
type secret struct {
	label
	reveal func(use func(private []byte))
}

// newSecret copies b and overwrites the original.
func newSecret(b []byte) secret {
	kept := make([]byte, len(b))
	copy(kept, b)
	clear(b)
	return secret{label: "[redacted]", reveal: func(use func([]byte)) {
		lent := make([]byte, len(kept))
		copy(lent, kept)
		defer clear(lent)
		use(lent)
	}}
}
