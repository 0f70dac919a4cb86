package chain

import (
	"database/sql/driver"
	"math/big"
	"strings"

	"github.com/holiman/uint256"
)

// Amount is a quantity of one asset in its base units (wei, satoshi, the
// token's smallest unit): an integer from 0 to 2^256-1. It is never negative
// and never a float; how many decimals a person sees belongs to the Asset.
//
// The zero value is zero. Amounts are values: they can be copied, compared with
// == and used as map keys. Arithmetic is checked and reports ErrOverflow or
// ErrUnderflow instead of wrapping.
type Amount struct{ v uint256.Int }

// MaxDecimals is the largest number of decimals an asset may have: 10^77 is the
// largest power of ten below 2^256.
const MaxDecimals = 77

// NewAmount returns n base units.
func NewAmount(n uint64) Amount {
	return Amount{*uint256.NewInt(n)}
}

// AmountFromBig converts n; a nil, negative or over-long n is an error.
func AmountFromBig(n *big.Int) (Amount, error) {
	if n == nil || n.Sign() < 0 {
		return Amount{}, ErrUnderflow
	}
	v, overflow := uint256.FromBig(n)
	if overflow {
		return Amount{}, ErrOverflow
	}
	return Amount{*v}, nil
}

// AmountFromBytes reads a big-endian number of at most 32 bytes.
func AmountFromBytes(b []byte) (Amount, error) {
	if len(b) > 32 {
		return Amount{}, ErrOverflow
	}
	var a Amount
	a.v.SetBytes(b)
	return a, nil
}

// ParseAmount reads a decimal number such as "25", "25.00" or "0.000001" of an
// asset with that many decimals. It accepts ASCII digits and at most one point
// with digits on both sides; a sign, an exponent, white space, a digit group,
// another script's digits or more decimals than the asset has are errors
// (*FormatError), also where the surplus decimals are zeros.
func ParseAmount(text string, decimals uint8) (Amount, error) {
	whole, fraction, pointed := strings.Cut(text, ".")
	bad := func(reason string) (Amount, error) {
		return Amount{}, &FormatError{What: "amount", Text: text, Reason: reason}
	}
	switch {
	case decimals > MaxDecimals:
		return bad("an asset has at most 77 decimals")
	case whole == "":
		return bad("want digits before the point")
	case pointed && fraction == "":
		return bad("want digits behind the point")
	case len(fraction) > int(decimals):
		return bad("more decimals than the asset has")
	case len(whole) > 78:
		return bad("too long")
	case !within(whole, 1, 78, isDigit), pointed && !within(fraction, 1, MaxDecimals, isDigit):
		return bad("want ASCII digits with at most one point")
	case len(whole) > 1 && whole[0] == '0':
		return bad("leading zero")
	}
	digits := strings.TrimLeft(whole+fraction+strings.Repeat("0", int(decimals)-len(fraction)), "0")
	if digits == "" {
		return Amount{}, nil
	}
	var a Amount
	if err := a.v.SetFromDecimal(digits); err != nil {
		return bad("over 2^256-1 base units")
	}
	return a, nil
}

// ParseUnits reads a whole number of base units, as String prints it.
func ParseUnits(text string) (Amount, error) { return ParseAmount(text, 0) }

// Format writes the amount as a decimal number with no superfluous zeros:
// 25000000 base units of a token with 6 decimals are "25".
func (a Amount) Format(decimals uint8) string {
	if a.v.IsZero() {
		return "0"
	}
	digits := a.v.Dec()
	if decimals == 0 {
		return digits
	}
	d := int(decimals)
	if len(digits) <= d {
		digits = strings.Repeat("0", d+1-len(digits)) + digits
	}
	point := len(digits) - d
	fraction := strings.TrimRight(digits[point:], "0")
	if fraction == "" {
		return digits[:point]
	}
	return digits[:point] + "." + fraction
}

// String returns the number of base units in decimal.
func (a Amount) String() string { return a.v.Dec() }

// IsZero reports whether the amount is zero.
func (a Amount) IsZero() bool { return a.v.IsZero() }

// Cmp returns -1, 0 or 1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int { return a.v.Cmp(&b.v) }

// Less reports whether a < b.
func (a Amount) Less(b Amount) bool { return a.v.Lt(&b.v) }

// Min returns the smaller of the two.
func (a Amount) Min(b Amount) Amount {
	if b.Less(a) {
		return b
	}
	return a
}

// Add returns a + b, or ErrOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	var sum Amount
	if _, overflow := sum.v.AddOverflow(&a.v, &b.v); overflow {
		return Amount{}, ErrOverflow
	}
	return sum, nil
}

// Sub returns a - b, or ErrUnderflow where b is larger.
func (a Amount) Sub(b Amount) (Amount, error) {
	var diff Amount
	if _, underflow := diff.v.SubOverflow(&a.v, &b.v); underflow {
		return Amount{}, ErrUnderflow
	}
	return diff, nil
}

// SubFloor returns a - b, or zero where b is larger: the shortfall or excess
// of two amounts.
func (a Amount) SubFloor(b Amount) Amount {
	diff, err := a.Sub(b)
	if err != nil {
		return Amount{}
	}
	return diff
}

// MulDiv returns floor(a * num / den), computed without an intermediate
// overflow; ErrOverflow where the result exceeds 2^256-1 or den is zero.
func (a Amount) MulDiv(num, den Amount) (Amount, error) {
	if den.IsZero() {
		return Amount{}, ErrOverflow
	}
	var out Amount
	if _, overflow := out.v.MulDivOverflow(&a.v, &num.v, &den.v); overflow {
		return Amount{}, ErrOverflow
	}
	return out, nil
}

// Mul returns a * n, or ErrOverflow.
func (a Amount) Mul(n uint64) (Amount, error) {
	var out Amount
	if _, overflow := out.v.MulOverflow(&a.v, uint256.NewInt(n)); overflow {
		return Amount{}, ErrOverflow
	}
	return out, nil
}

// Big returns the amount as a new big.Int.
func (a Amount) Big() *big.Int { return a.v.ToBig() }

// Bytes32 returns the amount as 32 big-endian bytes, as the EVM has it.
func (a Amount) Bytes32() [32]byte { return a.v.Bytes32() }

// MarshalText writes base units in decimal, so that an Amount is a string in
// JSON and survives every JSON library unchanged.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.v.Dec()), nil }

// UnmarshalText reads what MarshalText writes; anything else is a *FormatError.
func (a *Amount) UnmarshalText(text []byte) error {
	v, err := ParseUnits(string(text))
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// UnmarshalJSON accepts a JSON string of base units only. A JSON number is
// refused: it may have passed through a float.
func (a *Amount) UnmarshalJSON(data []byte) error {
	if len(data) < 2 || data[0] != '"' || data[len(data)-1] != '"' {
		return &FormatError{What: "amount", Text: string(data), Reason: "want a JSON string"}
	}
	return a.UnmarshalText(data[1 : len(data)-1])
}

// Value writes base units in decimal for database/sql.
func (a Amount) Value() (driver.Value, error) { return a.v.Dec(), nil }

// Scan reads what Value writes.
func (a *Amount) Scan(src any) error {
	switch s := src.(type) {
	case string:
		return a.UnmarshalText([]byte(s))
	case []byte:
		return a.UnmarshalText(s)
	case int64:
		if s < 0 {
			return ErrUnderflow
		}
		*a = NewAmount(uint64(s))
		return nil
	}
	return &FormatError{What: "amount", Reason: "want text from the database"}
}
