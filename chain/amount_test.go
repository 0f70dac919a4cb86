package chain_test

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

const maxUnits = "115792089237316195423570985008687907853269984665640564039457584007913129639935"

func amount(t interface {
	require.TestingT
	Helper()
}, units string) chain.Amount {
	t.Helper()
	a, err := chain.ParseUnits(units)
	require.NoError(t, err)
	return a
}

// amounts draws numbers of every length, with the edges among them.
func amounts() *rapid.Generator[chain.Amount] {
	return rapid.Custom(func(t *rapid.T) chain.Amount {
		b := rapid.SliceOfN(rapid.OneOf(rapid.Just(byte(0)), rapid.Just(byte(0xff)), rapid.Byte()), 0, 32).Draw(t, "bytes")
		a, err := chain.AmountFromBytes(b)
		require.NoError(t, err)
		return a
	})
}

func TestParseAmount(t *testing.T) {
	for _, c := range []struct {
		text     string
		decimals uint8
		want     string
	}{
		{"0", 0, "0"},
		{"0", 18, "0"},
		{"0.0", 1, "0"},
		{"0.000000", 6, "0"},
		{"25", 6, "25000000"},
		{"25.00", 6, "25000000"},
		{"25.5", 6, "25500000"},
		{"0.000001", 6, "1"},
		{"1.000000000000000001", 18, "1000000000000000001"},
		{"10", 0, "10"},
		{maxUnits, 0, maxUnits},
		{"0." + strings.Repeat("0", 76) + "1", 77, "1"},
		{"1", 77, "1" + strings.Repeat("0", 77)},
		{maxUnits[:60] + "." + maxUnits[60:], 18, maxUnits},
	} {
		got, err := chain.ParseAmount(c.text, c.decimals)
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got.String(), c.text)
	}
}

func TestThreat_G1_WhatIsNoAmount(t *testing.T) {
	for reason, texts := range map[string][]string{
		"want digits before the point": {"", ".", ".5"},
		"want digits behind the point": {"1.", "0."},
		"want ASCII digits with at most one point": {
			"-1", "+1", "-0", "1e3", "1E3", "1.2.3", "1,5", "1 000", "1_000", "1'000", " 1", "1 ", "1\n", "\t1", "1\x00",
			"NaN", "nan", "Inf", "-Inf", "+Inf", "Infinity", "1e400", "1.5e-3", "0x10", "0b1", "1n", "1/2", "$1", "1%",
			"١٢٣", "１２３", "1٫5", "1．5", "²", "Ⅷ", "一", "1\u200b", "\ufeff1", "1\u00a0000", "−1", "\xff\xfe", "1.-5", "1.+5", "1. 5",
			"null", "true", "{}", "\"1\"", "--1", "1-",
		},
		"leading zero":                     {"00", "01", "007.5", "00.5"},
		"more decimals than the asset has": {"1.0000001", "0.0000000", "1.0000000"},
		"too long":                         {strings.Repeat("1", 79), strings.Repeat("9", 1<<16)},
		"over 2^256-1 base units":          {strings.Repeat("9", 78), maxUnits, "1" + strings.Repeat("0", 72)},
	} {
		for _, text := range texts {
			got, err := chain.ParseAmount(text, 6)
			var bad *chain.FormatError
			require.ErrorAs(t, err, &bad, "%q", text)
			require.Equal(t, reason, bad.Reason, "%q", text)
			require.Equal(t, "amount", bad.What)
			require.Equal(t, text, bad.Text)
			require.True(t, got.IsZero())
		}
	}
	_, err := chain.ParseAmount("1", 78)
	require.ErrorContains(t, err, "at most 77 decimals")
	_, err = chain.ParseAmount("2", 77)
	require.ErrorContains(t, err, "over 2^256-1")
	_, err = chain.ParseUnits("1.0")
	require.ErrorContains(t, err, "more decimals than the asset has")
	_, err = chain.ParseUnits("115792089237316195423570985008687907853269984665640564039457584007913129639936")
	require.ErrorContains(t, err, "over 2^256-1", "one more than fits")
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		units    string
		decimals uint8
		want     string
	}{
		{"0", 0, "0"},
		{"0", 18, "0"},
		{"1", 0, "1"},
		{"1", 1, "0.1"},
		{"1", 18, "0.000000000000000001"},
		{"10", 1, "1"},
		{"25000000", 6, "25"},
		{"25500000", 6, "25.5"},
		{"100", 0, "100"},
		{"999999", 6, "0.999999"},
		{maxUnits, 77, maxUnits[:1] + "." + maxUnits[1:]},
	} {
		require.Equal(t, c.want, amount(t, c.units).Format(c.decimals))
	}
}

func TestThreat_G1_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, d := amounts().Draw(t, "a"), rapid.Uint8Range(0, chain.MaxDecimals).Draw(t, "decimals")
		text := a.Format(d)
		back, err := chain.ParseAmount(text, d)
		require.NoError(t, err)
		require.Equal(t, a, back)
		require.Equal(t, text, back.Format(d))

		back, err = chain.ParseUnits(a.String())
		require.NoError(t, err)
		require.True(t, a == back, "amounts compare with ==")

		back, err = chain.AmountFromBig(a.Big())
		require.NoError(t, err)
		require.Equal(t, a, back)

		b := a.Bytes32()
		back, err = chain.AmountFromBytes(b[:])
		require.NoError(t, err)
		require.Equal(t, a, back)

		data, err := json.Marshal(map[chain.Amount]chain.Amount{a: a})
		require.NoError(t, err)
		require.Equal(t, `{"`+a.String()+`":"`+a.String()+`"}`, string(data))
		var m map[chain.Amount]chain.Amount
		require.NoError(t, json.Unmarshal(data, &m))
		require.Equal(t, a, m[a])

		v, err := a.Value()
		require.NoError(t, err)
		var scanned chain.Amount
		require.NoError(t, scanned.Scan(v))
		require.Equal(t, a, scanned)
	})
}

// FuzzParseAmount holds the parser to the arithmetic of big.Rat: what it takes
// has exactly one meaning, and what it prints it takes again.
func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"0", "25.00", "0.000001", "1e3", "-1", "NaN", "１", "00", ".", "1.", maxUnits, maxUnits + "0"} {
		f.Add(s, uint8(6))
		f.Add(s, uint8(0))
		f.Add(s, uint8(77))
	}
	f.Fuzz(func(t *testing.T, text string, decimals uint8) {
		a, err := chain.ParseAmount(text, decimals)
		if err != nil {
			var bad *chain.FormatError
			require.ErrorAs(t, err, &bad)
			require.Less(t, len(err.Error()), 600, "an error does not repeat a flood")
			require.True(t, a.IsZero())
			return
		}
		want, ok := new(big.Rat).SetString(text)
		require.True(t, ok, "%q", text)
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
		want.Mul(want, new(big.Rat).SetInt(scale))
		require.True(t, want.IsInt())
		require.Equal(t, want.Num().String(), a.String())
		require.Empty(t, strings.Trim(text, "0123456789."))
		back, err := chain.ParseAmount(a.Format(decimals), decimals)
		require.NoError(t, err)
		require.Equal(t, a, back)
	})
}

func TestThreat_G1_JSONIsAString(t *testing.T) {
	for _, data := range []string{
		`1`, `1.0`, `1e3`, `-1`, `0`, `null`, `true`, `{}`, `[]`, `["1"]`,
		`""`, `"1.0"`, `"1e3"`, `"-1"`, `"+1"`, `" 1"`, `"01"`, `"0x1"`, `"\u0031"`, `"1\n"`, `"NaN"`, `"1e400"`,
	} {
		a := chain.NewAmount(7)
		require.Error(t, json.Unmarshal([]byte(data), &a), data)
		require.Equal(t, chain.NewAmount(7), a, "a failed read changes nothing")
	}
	var a chain.Amount
	require.Error(t, a.UnmarshalJSON([]byte(`"`)))
	require.Error(t, a.UnmarshalJSON(nil))
	require.NoError(t, json.Unmarshal([]byte(` "12" `), &a))
	require.Equal(t, chain.NewAmount(12), a)

	var p struct{ A *chain.Amount }
	require.NoError(t, json.Unmarshal([]byte(`{"A":null}`), &p))
	require.Nil(t, p.A, "an absent amount is not zero")
}

func TestSQL(t *testing.T) {
	v, err := amount(t, maxUnits).Value()
	require.NoError(t, err)
	require.True(t, driver.IsValue(v))
	require.Equal(t, maxUnits, v, "text: no column type can round it")

	for src, want := range map[any]string{"12": "12", int64(0): "0", int64(math.MaxInt64): "9223372036854775807"} {
		var a chain.Amount
		require.NoError(t, a.Scan(src))
		require.Equal(t, want, a.String())
	}
	var a chain.Amount
	require.NoError(t, a.Scan([]byte(maxUnits)))
	require.Equal(t, maxUnits, a.String())

	a = chain.NewAmount(7)
	for _, src := range []any{nil, 1.5, float32(1), true, "", "1.5", "-1", "1e3", " 1", []byte("x"), []byte(nil), struct{}{}, 12} {
		require.Error(t, a.Scan(src), "%v", src)
	}
	require.ErrorIs(t, a.Scan(int64(-1)), chain.ErrUnderflow)
	require.Equal(t, chain.NewAmount(7), a, "a failed read changes nothing")
}

func TestConversionsAtTheEdges(t *testing.T) {
	over := new(big.Int).Lsh(big.NewInt(1), 256)
	_, err := chain.AmountFromBig(over)
	require.ErrorIs(t, err, chain.ErrOverflow)
	most, err := chain.AmountFromBig(over.Sub(over, big.NewInt(1)))
	require.NoError(t, err)
	require.Equal(t, maxUnits, most.String())
	for _, n := range []*big.Int{nil, big.NewInt(-1), new(big.Int).Neg(over)} {
		_, err = chain.AmountFromBig(n)
		require.ErrorIs(t, err, chain.ErrUnderflow)
	}
	_, err = chain.AmountFromBytes(make([]byte, 33))
	require.ErrorIs(t, err, chain.ErrOverflow, "also where the surplus is zeros")
	zero, err := chain.AmountFromBytes(nil)
	require.NoError(t, err)
	require.True(t, zero.IsZero())
	short, err := chain.AmountFromBytes([]byte{1, 0})
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(256), short)

	n := chain.NewAmount(5)
	n.Big().SetInt64(9)
	require.Equal(t, chain.NewAmount(5), n, "Big returns a copy")
}

// big256 is 2^256.
func big256() *big.Int { return new(big.Int).Lsh(big.NewInt(1), 256) }

// TestThreat_B8_ArithmeticIsChecked compares every operation with big.Int: the
// same number, or an error exactly where 256 bits do not hold it.
func TestThreat_B8_ArithmeticIsChecked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := amounts().Draw(t, "a"), amounts().Draw(t, "b"), amounts().Draw(t, "c")
		x, y, z := a.Big(), b.Big(), c.Big()
		same := func(want *big.Int, got chain.Amount, err error) {
			t.Helper()
			switch {
			case want == nil || want.Cmp(big256()) >= 0:
				require.ErrorIs(t, err, chain.ErrOverflow)
				require.True(t, got.IsZero())
			case want.Sign() < 0:
				require.ErrorIs(t, err, chain.ErrUnderflow)
				require.True(t, got.IsZero())
			default:
				require.NoError(t, err)
				require.Equal(t, want.String(), got.String())
			}
		}
		sum, err := a.Add(b)
		same(new(big.Int).Add(x, y), sum, err)
		diff, err := a.Sub(b)
		same(new(big.Int).Sub(x, y), diff, err)
		n := rapid.Uint64().Draw(t, "n")
		product, err := a.Mul(n)
		same(new(big.Int).Mul(x, new(big.Int).SetUint64(n)), product, err)
		share, err := a.MulDiv(b, c)
		var want *big.Int
		if z.Sign() > 0 {
			want = new(big.Int).Div(new(big.Int).Mul(x, y), z)
		}
		same(want, share, err)

		floor := new(big.Int).Sub(x, y)
		if floor.Sign() < 0 {
			floor.SetInt64(0)
		}
		require.Equal(t, floor.String(), a.SubFloor(b).String())
		require.Equal(t, x.Cmp(y), a.Cmp(b))
		require.Equal(t, x.Cmp(y) < 0, a.Less(b))
		require.Equal(t, x.Sign() == 0, a.IsZero())
		smaller := x
		if y.Cmp(x) < 0 {
			smaller = y
		}
		require.Equal(t, smaller.String(), a.Min(b).String())
		require.Equal(t, a.Min(b), b.Min(a))
	})
}

func TestThreat_B8_Edges(t *testing.T) {
	most, one := amount(t, maxUnits), chain.NewAmount(1)
	_, err := most.Add(one)
	require.ErrorIs(t, err, chain.ErrOverflow)
	_, err = most.Add(most)
	require.ErrorIs(t, err, chain.ErrOverflow)
	_, err = most.Mul(2)
	require.ErrorIs(t, err, chain.ErrOverflow)
	_, err = chain.Amount{}.Sub(one)
	require.ErrorIs(t, err, chain.ErrUnderflow)
	require.False(t, errors.Is(err, chain.ErrOverflow))
	_, err = one.MulDiv(one, chain.Amount{})
	require.ErrorIs(t, err, chain.ErrOverflow, "a division by zero")
	_, err = most.MulDiv(most, one)
	require.ErrorIs(t, err, chain.ErrOverflow)
	same, err := most.MulDiv(most, most)
	require.NoError(t, err, "the product alone has 512 bits")
	require.Equal(t, most, same)
	third, err := chain.NewAmount(10).MulDiv(one, chain.NewAmount(3))
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(3), third, "floor")
	none, err := chain.Amount{}.Mul(math.MaxUint64)
	require.NoError(t, err)
	require.True(t, none.IsZero())
	require.Equal(t, most, most, "operands are untouched")
	require.Equal(t, maxUnits, most.String())
}

func TestAssetSpeaksItsOwnDecimals(t *testing.T) {
	usdc := chain.Asset{ID: "eip155:1/erc20:0xA0b8", Symbol: "USDC", Decimals: 6, Contract: "0xA0b8"}
	n, err := usdc.Parse("25.50")
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(25_500_000), n)
	require.Equal(t, "25.5", usdc.Format(n))
	_, err = usdc.Parse("0.0000001")
	require.Error(t, err)
	require.Equal(t, chain.ID("eip155:1"), usdc.Chain())
	require.False(t, usdc.Native())
	require.True(t, chain.Asset{}.Native())
}
