package webhook_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/webhook"
)

func signedVector(t testing.TB) (http.Header, webhook.Message, []webhook.Secret) {
	t.Helper()
	secrets, m := vector(t)
	h, err := webhook.Sign(secrets, m)
	require.NoError(t, err)
	return h, m, secrets
}

func TestThreat_E11_ReplayOutsideTheTolerance(t *testing.T) {
	h, m, secrets := signedVector(t)
	for _, c := range []struct {
		after time.Duration
		want  error
	}{
		{0, nil},
		{5 * time.Minute, nil},
		{5*time.Minute + time.Nanosecond, webhook.ErrTooOld},
		{75 * time.Hour, webhook.ErrTooOld},
		{-5 * time.Minute, nil},
		{-5*time.Minute - time.Nanosecond, webhook.ErrTooNew},
	} {
		_, err := verifierAt(t, m.Timestamp.Add(c.after), secrets...).Verify(h, m.Body)
		require.ErrorIs(t, err, c.want, "%v", c.after)
		if c.want == nil {
			require.NoError(t, err, "%v", c.after)
		}
	}
	// A fresh time under an old signature is no way out.
	late := m.Timestamp.Add(time.Hour)
	h.Set("webhook-timestamp", "1614268930")
	_, err := verifierAt(t, late, secrets...).Verify(h, m.Body)
	require.ErrorIs(t, err, webhook.ErrBadSignature)
}

func TestVerifyRefuses(t *testing.T) {
	foreign := secretOf(t, 9, 32)
	for name, c := range map[string]struct {
		header string
		want   error
		edit   func(h http.Header, body *[]byte)
	}{
		"no id":               {"webhook-id", webhook.ErrMissingHeader, func(h http.Header, _ *[]byte) { h.Del("webhook-id") }},
		"no time":             {"webhook-timestamp", webhook.ErrMissingHeader, func(h http.Header, _ *[]byte) { h.Del("webhook-timestamp") }},
		"no signature":        {"webhook-signature", webhook.ErrMissingHeader, func(h http.Header, _ *[]byte) { h.Del("webhook-signature") }},
		"two ids":             {"webhook-id", webhook.ErrMissingHeader, func(h http.Header, _ *[]byte) { h.Add("webhook-id", "other") }},
		"two times":           {"webhook-timestamp", webhook.ErrMissingHeader, func(h http.Header, _ *[]byte) { h.Add("webhook-timestamp", "1614265330") }},
		"other id":            {"webhook-signature", webhook.ErrBadSignature, func(h http.Header, _ *[]byte) { h.Set("webhook-id", "msg_other") }},
		"other time":          {"webhook-signature", webhook.ErrBadSignature, func(h http.Header, _ *[]byte) { h.Set("webhook-timestamp", "1614265331") }},
		"other body":          {"webhook-signature", webhook.ErrBadSignature, func(_ http.Header, b *[]byte) { *b = []byte(`{"test": 2432232315}`) }},
		"re-serialised body":  {"webhook-signature", webhook.ErrBadSignature, func(_ http.Header, b *[]byte) { *b = []byte(`{"test":2432232314}`) }},
		"no body":             {"webhook-signature", webhook.ErrBadSignature, func(_ http.Header, b *[]byte) { *b = nil }},
		"empty signature":     {"webhook-signature", webhook.ErrBadSignature, func(h http.Header, _ *[]byte) { h.Set("webhook-signature", "v1,") }},
		"half a signature":    {"webhook-signature", webhook.ErrBadSignature, func(h http.Header, _ *[]byte) { h.Set("webhook-signature", h.Get("webhook-signature")[:20]) }},
		"other version":       {"webhook-signature", webhook.ErrBadSignature, func(h http.Header, _ *[]byte) { h.Set("webhook-signature", "v2"+h.Get("webhook-signature")[2:]) }},
		"body signature only": {"webhook-signature", webhook.ErrBadSignature, func(h http.Header, _ *[]byte) { h.Set("webhook-signature", h.Get("X-Gateway-Signature")) }},
		"foreign secret": {"webhook-signature", webhook.ErrBadSignature, func(h http.Header, b *[]byte) {
			_, m := vector(t)
			f, err := webhook.Sign([]webhook.Secret{foreign}, m)
			require.NoError(t, err)
			h.Set("webhook-signature", f.Get("webhook-signature"))
		}},
		"signed plus":   {"webhook-timestamp", webhook.ErrBadTimestamp, func(h http.Header, _ *[]byte) { h.Set("webhook-timestamp", "+1614265330") }},
		"leading zero":  {"webhook-timestamp", webhook.ErrBadTimestamp, func(h http.Header, _ *[]byte) { h.Set("webhook-timestamp", "01614265330") }},
		"negative":      {"webhook-timestamp", webhook.ErrBadTimestamp, func(h http.Header, _ *[]byte) { h.Set("webhook-timestamp", "-1") }},
		"fraction":      {"webhook-timestamp", webhook.ErrBadTimestamp, func(h http.Header, _ *[]byte) { h.Set("webhook-timestamp", "1614265330.5") }},
		"overflow":      {"webhook-timestamp", webhook.ErrBadTimestamp, func(h http.Header, _ *[]byte) { h.Set("webhook-timestamp", "99999999999999999999") }},
		"far beyond":    {"webhook-timestamp", webhook.ErrBadTimestamp, func(h http.Header, _ *[]byte) { h.Set("webhook-timestamp", "9223372036854775807") }},
		"RFC 3339 time": {"webhook-timestamp", webhook.ErrBadTimestamp, func(h http.Header, _ *[]byte) { h.Set("webhook-timestamp", "2021-02-25T15:02:10Z") }},
	} {
		h, m, secrets := signedVector(t)
		body := m.Body
		c.edit(h, &body)
		_, err := verifierAt(t, m.Timestamp, secrets...).Verify(h, body)
		var refused *webhook.VerifyError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, c.header, refused.Header, name)
		require.ErrorIs(t, err, c.want, name)
	}
}

func TestVerifyFindsItsSignatureAmongMany(t *testing.T) {
	h, m, secrets := signedVector(t)
	good := h.Get("webhook-signature")
	wrong := "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	v := verifierAt(t, m.Timestamp, secrets...)
	for _, text := range []string{
		wrong + " " + good, good + " " + wrong, "v1a,zzz " + good, "nonsense  " + good + " v1,!!!", strings.Repeat(wrong+" ", 31) + good,
	} {
		h.Set("webhook-signature", text)
		got, err := v.Verify(h, m.Body)
		require.NoError(t, err, text)
		require.Equal(t, m.Body, got.Body)
	}
	h["Webhook-Signature"] = []string{wrong, good}
	_, err := v.Verify(h, m.Body)
	require.NoError(t, err)

	// The work that one forged request can cause is bounded.
	h.Set("webhook-signature", strings.Repeat(wrong+" ", 32)+good)
	_, err = v.Verify(h, m.Body)
	require.ErrorIs(t, err, webhook.ErrBadSignature)
}

func TestVerifyBody(t *testing.T) {
	h, m, secrets := signedVector(t)
	v := verifierAt(t, m.Timestamp.Add(100*time.Hour), secrets...)
	good := h.Get("X-Gateway-Signature")
	require.NoError(t, v.VerifyBody(good, m.Body))
	require.NoError(t, v.VerifyBody("sha256="+strings.ToUpper(good[7:]), m.Body))
	require.ErrorIs(t, v.VerifyBody("", m.Body), webhook.ErrMissingHeader)
	for _, bad := range []string{"sha256=", good[7:], "sha1=" + good[7:], good[:len(good)-2], good + "00", good + "," + good, "sha256=zz", " " + good} {
		require.ErrorIs(t, v.VerifyBody(bad, m.Body), webhook.ErrBadSignature, bad)
	}
	require.ErrorIs(t, v.VerifyBody(good, []byte(`{"test":2432232314}`)), webhook.ErrBadSignature)
	var none *webhook.Verifier
	require.ErrorIs(t, none.VerifyBody(good, m.Body), webhook.ErrNoSecret)
}

func TestNewVerifier(t *testing.T) {
	s := secretOf(t, 1, 32)
	for name, c := range map[string]webhook.VerifierConfig{
		"negative tolerance": {Secrets: []webhook.Secret{s}, Tolerance: -1},
		"endless tolerance":  {Secrets: []webhook.Secret{s}, Tolerance: webhook.MaxTolerance + 1},
	} {
		_, err := webhook.NewVerifier(c)
		var field *webhook.FieldError
		require.ErrorAs(t, err, &field, name)
		require.Equal(t, "tolerance", field.Field)
	}
	// The default clock is the real one.
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{s}, Tolerance: time.Minute})
	require.NoError(t, err)
	m := webhook.Message{ID: "a", Timestamp: time.Now()}
	h, err := webhook.Sign([]webhook.Secret{s}, m)
	require.NoError(t, err)
	_, err = v.Verify(h, nil)
	require.NoError(t, err)
}

func TestThreat_E12_NoSecretBelievesNobody(t *testing.T) {
	_, err := webhook.NewVerifier(webhook.VerifierConfig{})
	require.ErrorIs(t, err, webhook.ErrNoSecret)
	_, err = webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{{}}})
	require.ErrorIs(t, err, webhook.ErrNoSecret)
	h, m, _ := signedVector(t)
	for _, v := range []*webhook.Verifier{nil, {}} {
		_, err = v.Verify(h, m.Body)
		require.ErrorIs(t, err, webhook.ErrNoSecret)
	}
}

func TestVerifierKeepsItsOwnSecrets(t *testing.T) {
	h, m, secrets := signedVector(t)
	v := verifierAt(t, m.Timestamp, secrets...)
	secrets[0] = secretOf(t, 7, 32)
	_, err := v.Verify(h, m.Body)
	require.NoError(t, err)
}

// FuzzVerify feeds arbitrary headers. Nothing but what was signed may pass, and
// no error may repeat what the stranger sent.
func FuzzVerify(f *testing.F) {
	s := must(webhook.ParseSecret(vectorSecret))
	now := time.Unix(vectorTime, 0)
	v := must(webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{s}, Now: func() time.Time { return now }}))
	f.Add(vectorID, "1614265330", "v1,"+vectorSignature, []byte(vectorBody))
	f.Add("a.b", "-1", "v1, v1,, ,v1", []byte{})
	f.Add("a\r\nb", "1e9", "v1a,AAAA v1,AAAA", []byte("x"))
	f.Fuzz(func(t *testing.T, id, at, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {signature}}
		m, err := v.Verify(h, body)
		_ = v.VerifyBody(signature, body)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 100)
			return
		}
		want, err := webhook.Sign([]webhook.Secret{s}, m)
		require.NoError(t, err)
		require.Equal(t, want.Get("webhook-id"), id)
		require.Equal(t, want.Get("webhook-timestamp"), at)
		require.Contains(t, signature, want.Get("webhook-signature")[3:])
	})
}
