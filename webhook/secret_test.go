package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/webhook"
)

// secretOf makes a secret of n bytes, all of them b.
func secretOf(t testing.TB, b byte, n int) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, n)))
	require.NoError(t, err)
	return s
}

func TestParseSecret(t *testing.T) {
	encode := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for name, text := range map[string]string{
		"24 bytes": "whsec_" + encode(24),
		"32 bytes": "whsec_" + encode(32),
		"64 bytes": "whsec_" + encode(64),
	} {
		s, err := webhook.ParseSecret(text)
		require.NoError(t, err, name)
		require.Equal(t, text, s.Reveal(), name)
		require.False(t, s.IsZero(), name)
	}
	good := encode(25)
	for name, text := range map[string]string{
		"empty":              "",
		"prefix alone":       "whsec_",
		"no prefix":          good,
		"other prefix":       "whpk_" + good,
		"upper case prefix":  "WHSEC_" + good,
		"too long":           "whsec_" + encode(65),
		"no padding":         "whsec_" + strings.TrimRight(good, "="),
		"URL alphabet":       "whsec_" + strings.Repeat("-_", 16),
		"line break":         "whsec_" + good[:8] + "\n" + good[8:],
		"space":              "whsec_ " + good,
		"trailing bits":      "whsec_" + encode(24) + "AB==",
		"text behind it all": "whsec_" + good + "!",
	} {
		_, err := webhook.ParseSecret(text)
		var field *webhook.FieldError
		require.ErrorAs(t, err, &field, name)
		require.Equal(t, "secret", field.Field, name)
		if len(text) > 10 {
			require.NotContains(t, err.Error(), text[6:], name)
		}
	}
}

func TestThreat_E12_ShortSecretRefused(t *testing.T) {
	for n := range webhook.MinSecretSize {
		_, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)))
		require.Error(t, err, "%d bytes", n)
	}
}

func TestNewSecret(t *testing.T) {
	a, err := webhook.NewSecret(nil)
	require.NoError(t, err)
	b, err := webhook.NewSecret(nil)
	require.NoError(t, err)
	require.False(t, a.Equal(b))
	require.True(t, a.Equal(a))
	again, err := webhook.ParseSecret(a.Reveal())
	require.NoError(t, err)
	require.True(t, a.Equal(again))

	fixed, err := webhook.NewSecret(strings.NewReader(strings.Repeat("k", 40)))
	require.NoError(t, err)
	require.Equal(t, "whsec_"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))), fixed.Reveal())

	_, err = webhook.NewSecret(strings.NewReader("short"))
	require.Error(t, err)
	broken := errors.New("no entropy")
	_, err = webhook.NewSecret(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
}

func TestZeroSecret(t *testing.T) {
	var zero webhook.Secret
	require.True(t, zero.IsZero())
	require.Empty(t, zero.Reveal())
	require.False(t, zero.Equal(zero))
	require.False(t, secretOf(t, 1, 24).Equal(zero))
	require.Equal(t, "whsec_***", zero.String())
}

// TestThreat_E14_SecretNeverPrinted prints a secret in every way a host might,
// also from inside a struct of its own, where package fmt does not ask the
// methods of an unexported field.
func TestThreat_E14_SecretNeverPrinted(t *testing.T) {
	s := secretOf(t, 'K', 32)
	type nested struct {
		hidden  webhook.Secret
		Shown   webhook.Secret
		List    []webhook.Secret
		Pointer *webhook.Secret
		m       map[string]webhook.Secret
	}
	n := nested{s, s, []webhook.Secret{s}, &s, map[string]webhook.Secret{"a": s}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "% x", "%100v"} {
		fmt.Fprintf(&out, verb, s)
		fmt.Fprintf(&out, verb, &s)
		fmt.Fprintf(&out, verb, n)
		fmt.Fprintf(&out, verb, &n)
	}
	fmt.Fprintln(&out, s, n, s.String(), s.GoString())
	fmt.Fprintln(&out, fmt.Errorf("wrapped: %v %w", s, &webhook.FieldError{Field: s.String()}))
	text, err := json.Marshal(map[string]any{"s": s, "n": n, "p": &s})
	require.NoError(t, err)
	out.Write(text)
	key, err := json.Marshal(map[string]any{"text": must(s.MarshalText())})
	require.NoError(t, err)
	out.Write(key)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("m", "secret", s, "pointer", &s, "nested", n, slog.Group("g", "secret", s))
	}
	require.Contains(t, out.String(), "whsec_***")
	raw := bytes.Repeat([]byte{'K'}, 24)
	for _, leak := range []string{
		string(raw), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
		base64.StdEncoding.EncodeToString(raw), "75 75 75", "75, 75", "0x4b, 0x4b", "4b 4b 4b",
	} {
		require.NotContains(t, out.String(), leak)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
