package claim_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/claim"
)

func secret(fill byte) []byte { return bytes.Repeat([]byte{fill}, claim.MinSecretSize) }

func links(t require.TestingT, secrets ...[]byte) *claim.Links {
	l, err := claim.New(secrets...)
	require.NoError(t, err)
	return l
}

func good() claim.Claim {
	return claim.Claim{Payment: "pay_1", Key: "return-17", Excess: true, NotAfter: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// What comes out is what went in, whatever it is, and is the request that it stands for.
func TestTokenRoundTrip(t *testing.T) {
	l := links(t, secret(1))
	rapid.Check(t, func(t *rapid.T) {
		c := claim.Claim{
			Payment: rapid.StringN(1, 40, -1).Draw(t, "payment"), Key: rapid.StringN(1, 20, 100).Draw(t, "key"),
			NotAfter: time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "end"), 0).UTC(),
		}
		switch rapid.IntRange(0, 2).Draw(t, "way") {
		case 0:
			c.All = true
		case 1:
			c.Excess = true
		default:
			c.Amount = decimal.New(rapid.Int64Range(1, 1<<60).Draw(t, "amount"), -rapid.Int32Range(0, 18).Draw(t, "decimals"))
		}
		token, err := l.Token(c)
		require.NoError(t, err)
		require.NotRegexp(t, `[^A-Za-z0-9._-]`, token)
		got, err := l.Open(token, c.NotAfter)
		require.NoError(t, err)
		require.True(t, c.Amount.Equal(got.Amount))
		c.Amount = got.Amount
		require.Equal(t, c, got)
		req := got.Request("0xabc")
		require.Equal(t, bursar.RefundRequest{To: "0xabc", Amount: c.Amount, Excess: c.Excess, All: c.All, Key: c.Key}, req)
		_, err = l.Open(token, c.NotAfter.Add(time.Second))
		require.ErrorIs(t, err, claim.ErrExpired)
	})
}

// TestThreat_F24_NobodyElseMakesALink: no change of a token, and no other secret, opens
// anything.
func TestThreat_F24_NobodyElseMakesALink(t *testing.T) {
	l := links(t, secret(1))
	token, err := l.Token(good())
	require.NoError(t, err)
	now := good().NotAfter.Add(-time.Hour)
	_, err = l.Open(token, now)
	require.NoError(t, err)
	for i := range token {
		for _, with := range []string{"", "A", "B", ".", "\n"} {
			if with == token[i:i+1] {
				continue
			}
			_, err := l.Open(token[:i]+with+token[i+1:], now)
			require.ErrorIs(t, err, claim.ErrInvalid, "%q for character %d", with, i)
		}
	}
	for _, text := range []string{"", ".", "..", "rc1", "rc1..", token + "A", token + ".", " " + token, token + "=", strings.Repeat("A", claim.MaxToken+1)} {
		_, err := l.Open(text, now)
		require.ErrorIs(t, err, claim.ErrInvalid, "%q", text)
	}
	_, err = links(t, secret(2)).Open(token, now)
	require.ErrorIs(t, err, claim.ErrInvalid)
	// A secret is changed while links are on their way.
	_, err = links(t, secret(2), secret(1)).Open(token, now)
	require.NoError(t, err)
	next, err := links(t, secret(2), secret(1)).Token(good())
	require.NoError(t, err)
	_, err = l.Open(next, now)
	require.ErrorIs(t, err, claim.ErrInvalid, "new ones are made with the first")
}

func TestBadClaims(t *testing.T) {
	l := links(t, secret(1))
	for field, edit := range map[string]func(*claim.Claim){
		"Payment":  func(c *claim.Claim) { c.Payment = "" },
		"Key":      func(c *claim.Claim) { c.Key = strings.Repeat("k", bursar.MaxKey+1) },
		"Amount":   func(c *claim.Claim) { c.Excess = false },
		"NotAfter": func(c *claim.Claim) { c.NotAfter = time.Time{} },
	} {
		c := good()
		edit(&c)
		_, err := l.Token(c)
		var wrong *bursar.FieldError
		require.ErrorAs(t, err, &wrong)
		require.Equal(t, "Claim."+field, wrong.Field)
	}
	for _, edit := range []func(*claim.Claim){
		func(c *claim.Claim) { c.Key = "" },
		func(c *claim.Claim) { c.Key = "\xff" },
		func(c *claim.Claim) { c.Payment = "\xff" },
		func(c *claim.Claim) { c.All = true },
		func(c *claim.Claim) { c.Excess, c.Amount = false, decimal.New(-1, 0) },
		func(c *claim.Claim) { c.Payment = strings.Repeat("p", claim.MaxToken) },
	} {
		c := good()
		edit(&c)
		_, err := l.Token(c)
		var wrong *bursar.FieldError
		require.ErrorAs(t, err, &wrong)
	}
	for _, bad := range [][][]byte{nil, {secret(1)[1:]}, {secret(1), make([]byte, claim.MaxSecretSize+1)}} {
		_, err := claim.New(bad...)
		var wrong *bursar.FieldError
		require.ErrorAs(t, err, &wrong)
		require.Contains(t, wrong.Field, "secrets")
	}
}

// No way of printing shows a secret, and a caller's bytes can be wiped.
func TestThreat_G22_SecretsStayInside(t *testing.T) {
	mine := secret('S')
	l := links(t, mine)
	token, err := l.Token(good())
	require.NoError(t, err)
	clear(mine)
	_, err = l.Open(token, good().NotAfter)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %q", l, l, l, []any{l}), fmt.Sprintf("%v %+v %#v", *l, *l, *l)} {
		require.NotContains(t, text, "SSSS")
		require.NotContains(t, text, "83 83 83")
		require.NotContains(t, text, "0x53, 0x53")
	}
}

func FuzzOpen(f *testing.F) {
	l := links(f, secret(1))
	token, err := l.Token(good())
	require.NoError(f, err)
	f.Add(token)
	f.Add("rc1." + base64.RawURLEncoding.EncodeToString([]byte(`{"p":"x"}`)) + ".AA")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := l.Open(text, good().NotAfter)
		if err != nil {
			return
		}
		require.Equal(t, token, text, "nobody else made one")
		require.Equal(t, good().Payment, c.Payment)
	})
}
