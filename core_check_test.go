package bursar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func requireField(t testing.TB, err error, field string, code Code) {
	t.Helper()
	var fe *FieldError
	require.ErrorAs(t, err, &fe)
	require.Equal(t, field, fe.Field)
	require.Equal(t, code, fe.Code)
	require.NotEmpty(t, fe.Reason)
	require.LessOrEqual(t, len(err.Error()), 1000, "a message is for people")
}

func pairs(n int, value string) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("k%02d", i)] = value
	}
	return m
}

func TestThreat_G4_BadMetadata(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		m     map[string]string
		field string
		code  Code
	}{
		"one pair too many":   {pairs(51, ""), "M", CodeOutOfRange},
		"empty key":           {map[string]string{"": "v"}, `M[""]`, CodeOutOfRange},
		"long key":            {map[string]string{long(41): "v"}, `M["` + long(41) + `"]`, CodeOutOfRange},
		"long value":          {map[string]string{"k": long(501)}, `M["k"]`, CodeOutOfRange},
		"long in bytes":       {map[string]string{"k": strings.Repeat("é", 251)}, `M["k"]`, CodeOutOfRange},
		"key no UTF-8":        {map[string]string{"k\xff": "v"}, `M["k\xff"]`, CodeInvalid},
		"value no UTF-8":      {map[string]string{"k": "\xc3("}, `M["k"]`, CodeInvalid},
		"a lone surrogate":    {map[string]string{"k": "\xed\xa0\x80"}, `M["k"]`, CodeInvalid},
		"NUL in a key":        {map[string]string{"a\x00b": "v"}, `M["a\x00b"]`, CodeInvalid},
		"NUL in a value":      {map[string]string{"k": "a\x00"}, `M["k"]`, CodeInvalid},
		"integer key":         {map[string]string{"7": "v"}, `M["7"]`, CodeInvalid},
		"zero":                {map[string]string{"0": "v"}, `M["0"]`, CodeInvalid},
		"many digits":         {map[string]string{long(0) + strings.Repeat("1", 40): "v"}, `M["` + strings.Repeat("1", 40) + `"]`, CodeInvalid},
		"too much in all":     {pairs(33, long(500)), "M", CodeOutOfRange},
		"the first in order":  {map[string]string{"b": "\x00", "a": "\x00", "c": "\x00"}, `M["a"]`, CodeInvalid},
		"one byte over 16384": {withValue(pairs(32, long(500)), "k", 287+1), "M", CodeOutOfRange},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireField(t, checkMetadata("M", c.m), c.field, c.code)
		})
	}
	for name, m := range map[string]map[string]string{
		"none":              nil,
		"most pairs":        pairs(50, "v"),
		"longest":           {long(40): long(500)},
		"most in all":       withValue(pairs(32, long(500)), "k", 287),
		"signs and letters": {"-7": "v", "7a": "v", "1.5": "v", "٣": "v", " 7": "\n\u2028"},
	} {
		require.NoError(t, checkMetadata("M", m), name)
	}
}

// withValue adds a pair with a value of n bytes. 32 pairs of 3 + 500 bytes and
// one of 1 + 287 are 16,384.
func withValue(m map[string]string, key string, n int) map[string]string {
	m[key] = strings.Repeat("y", n)
	return m
}

// What is accepted survives JSON unchanged, in size within the bounds.
func FuzzThreat_G4_Metadata(f *testing.F) {
	for _, s := range []string{"", "order", "7", "a\x00", "\xff", "é", strings.Repeat("x", 600)} {
		f.Add(s, s, "k", "v")
	}
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		m := map[string]string{k1: v1, k2: v2}
		err := checkMetadata("M", m)
		if err != nil {
			var fe *FieldError
			require.ErrorAs(t, err, &fe)
			require.True(t, utf8.ValidString(err.Error()), "a message can be shown")
			return
		}
		text, err := json.Marshal(m)
		require.NoError(t, err)
		var back map[string]string
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, m, back)
		for k, v := range m {
			require.NotContains(t, k+v, "\x00")
			require.LessOrEqual(t, len(k), MaxMetadataKey)
			require.LessOrEqual(t, len(v), MaxMetadataValue)
			_, ok := new(big.Int).SetString(k, 10)
			require.False(t, ok && !strings.HasPrefix(k, "-") && !strings.HasPrefix(k, "+"), "%q looks like an index", k)
		}
	})
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	for text, code := range map[string]Code{
		"12345678": CodeOutOfRange, "\xff": CodeInvalid, "a\x00": CodeInvalid, "a\nb": CodeInvalid, "\x7f": CodeInvalid, "\u0085": CodeInvalid, "\t": CodeInvalid,
	} {
		requireField(t, checkText("F", text, 7), "F", code)
	}
	for _, text := range []string{"", "1234567", "Zoë", "日本", " "} {
		require.NoError(t, checkText("F", text, 7))
	}
}

func TestCheckTTLAndPolicy(t *testing.T) {
	t.Parallel()
	for _, ttl := range []time.Duration{MinTTL - 1, 0, -time.Hour, MaxTTL + 1} {
		requireField(t, checkTTL("TTL", ttl), "TTL", CodeOutOfRange)
	}
	require.NoError(t, checkTTL("TTL", MinTTL))
	require.NoError(t, checkTTL("TTL", MaxTTL))

	requireField(t, AmountPolicy{ToleranceBps: 10_001}.check("P"), "P.ToleranceBps", CodeOutOfRange)
	requireField(t, AmountPolicy{Grace: -1}.check("P"), "P.Grace", CodeOutOfRange)
	requireField(t, AmountPolicy{Grace: MaxGrace + 1}.check("P"), "P.Grace", CodeOutOfRange)
	require.NoError(t, AmountPolicy{}.check("P"))
	require.NoError(t, AmountPolicy{ToleranceBps: 10_000, Grace: MaxGrace, Tolerance: maxAmount(), OverpaidMin: maxAmount()}.check("P"))
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "A-z_0.9", strings.Repeat("x", 64)} {
		require.True(t, validName(good), good)
	}
	for _, bad := range []string{"", " ", "a b", "a/b", "é", "a\n", strings.Repeat("x", 65), "٣"} {
		require.False(t, validName(bad), bad)
	}
}

func usdc() chain.Asset { return chain.Asset{Symbol: "USDC", Decimals: 6} }

// Numbers of the API's edge become base units exactly, or a typed error; none
// of them costs time or memory beyond its own length.
func TestThreat_G1_BadNumbers(t *testing.T) {
	t.Parallel()
	parse := func(s string) decimal.Decimal {
		d, err := decimal.NewFromString(s)
		require.NoError(t, err, s)
		return d
	}
	for s, code := range map[string]Code{
		"0": CodeOutOfRange, "0.000000": CodeOutOfRange, "-1": CodeOutOfRange, "-0.5": CodeOutOfRange,
		"0.0000001": CodeInvalid, "1.2345678": CodeInvalid, "25.00000000000000000001": CodeInvalid,
		"1e400": CodeOutOfRange, "1e78": CodeOutOfRange, "1e79": CodeOutOfRange, "-1e9999": CodeOutOfRange, "0e9999": CodeOutOfRange,
		"1e9999": CodeOutOfRange, "1e-9999": CodeOutOfRange,
		"115792089237316195423570985008687907853269984665640564039457584007913129.639936": CodeOutOfRange, // 2^256
		"1" + strings.Repeat("0", 1000):        CodeOutOfRange,
		"0." + strings.Repeat("0", 1000) + "1": CodeOutOfRange,
	} {
		_, err := units("F", parse(s), usdc())
		requireField(t, err, "F", code)
	}
	for s, want := range map[string]string{
		"25": "25000000", "25.50": "25500000", "0.000001": "1", "1e3": "1000000000", "1e-6": "1", "25.000000000": "25000000",
		"115792089237316195423570985008687907853269984665640564039457584007913129.639935": maxAmount().String(), // 2^256-1
	} {
		got, err := units("F", parse(s), usdc())
		require.NoError(t, err, s)
		require.Equal(t, want, got.String(), s)
	}
	for _, bad := range []string{"NaN", "Inf", "-Inf", "", "1,000", "１", "0x10", "1e", "1e99999999999", "--1", " 1"} {
		_, err := decimal.NewFromString(bad)
		require.Error(t, err, "there is no decimal of %q", bad)
	}
	var zero decimal.Decimal
	_, err := units("F", zero, usdc())
	requireField(t, err, "F", CodeOutOfRange)
}

// A hostile exponent or coefficient is refused before anything is scaled.
//
// It runs alone, because it measures memory.
func TestThreat_G1_HugeNumbersCostNothing(t *testing.T) {
	wide := new(big.Int).Lsh(big.NewInt(1), 4_000_000) // over a million digits
	for i, d := range []decimal.Decimal{
		decimal.New(1, 400_000_000), decimal.New(1, 1<<31-1), decimal.New(1, -1<<31), decimal.New(-5, 1<<31-1), decimal.New(0, 1<<31-1),
		decimal.New(-5, -1<<31), decimal.NewFromBigInt(wide, 0), decimal.NewFromBigInt(wide, -300), decimal.NewFromBigInt(wide.Neg(wide), 0),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := units("F", d, usdc())
		runtime.ReadMemStats(&after)
		requireField(t, err, "F", CodeOutOfRange)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "case %d", i)
	}
}

func TestUnitsKeepsTheCause(t *testing.T) {
	t.Parallel()
	_, err := units("F", decimal.New(1, 78), chain.Asset{Symbol: "X"})
	require.ErrorIs(t, err, chain.ErrOverflow)
	require.ErrorContains(t, err, "F")
}

// A number that is accepted is the same number in base units.
func FuzzThreat_G1_Units(f *testing.F) {
	for _, s := range []string{"25", "0.1", "-1", "1e77", "1e-77", "1e400", "0.00000000000000000001", "9.99e2"} {
		f.Add(s, uint8(6))
	}
	f.Fuzz(func(t *testing.T, s string, decimals uint8) {
		if len(s) > 2000 {
			return
		}
		d, err := decimal.NewFromString(s)
		if err != nil {
			return
		}
		a := chain.Asset{Symbol: "X", Decimals: decimals % (chain.MaxDecimals + 1)}
		n, err := units("F", d, a)
		if err != nil {
			var fe *FieldError
			require.True(t, errors.As(err, &fe), "%v", err)
			require.Equal(t, "F", fe.Field)
			return
		}
		require.True(t, decimal.NewFromBigInt(n.Big(), -int32(a.Decimals)).Equal(d), "%s is not %s", n, s)
		require.False(t, n.IsZero())
	})
}
