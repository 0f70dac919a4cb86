package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/webhook"
)

// The example that the libraries of the Standard Webhooks project share.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func vector(t testing.TB) ([]webhook.Secret, webhook.Message) {
	t.Helper()
	s, err := webhook.ParseSecret(vectorSecret)
	require.NoError(t, err)
	return []webhook.Secret{s}, webhook.Message{ID: vectorID, Timestamp: time.Unix(vectorTime, 0), Body: []byte(vectorBody)}
}

// verifierAt believes secrets at a fixed time.
func verifierAt(t testing.TB, now time.Time, secrets ...webhook.Secret) *webhook.Verifier {
	t.Helper()
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: secrets, Now: func() time.Time { return now }})
	require.NoError(t, err)
	return v
}

func TestSignVector(t *testing.T) {
	secrets, m := vector(t)
	h, err := webhook.Sign(secrets, m)
	require.NoError(t, err)
	require.Equal(t, vectorID, h.Get("webhook-id"))
	require.Equal(t, "1614265330", h.Get("webhook-timestamp"))
	require.Equal(t, "v1,"+vectorSignature, h.Get("webhook-signature"))

	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(vectorSecret, "whsec_"))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(vectorBody))
	require.Equal(t, "sha256="+hex.EncodeToString(mac.Sum(nil)), h.Get("X-Gateway-Signature"))
	require.Len(t, h, 4)
}

// TestOracleVerifiesOurs and TestWeVerifyTheOracle compare with the library of
// the specification, over the same random secrets, ids and bodies.
func TestOracleVerifiesOurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := drawSecret(t), drawMessage(t)
		h, err := webhook.Sign([]webhook.Secret{s}, m)
		require.NoError(t, err)
		oracle, err := standard.NewWebhook(s.Reveal())
		require.NoError(t, err)
		require.NoError(t, oracle.VerifyIgnoringTimestamp(m.Body, h))
		require.Error(t, oracle.VerifyIgnoringTimestamp(append(m.Body, 'x'), h))
	})
}

func TestWeVerifyTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := drawSecret(t), drawMessage(t)
		oracle, err := standard.NewWebhook(s.Reveal())
		require.NoError(t, err)
		signature, err := oracle.Sign(m.ID, m.Timestamp, m.Body)
		require.NoError(t, err)
		h, err := webhook.Sign([]webhook.Secret{drawSecret(t)}, m)
		require.NoError(t, err)
		h.Set("webhook-signature", signature)
		v, err := webhook.NewVerifier(webhook.VerifierConfig{
			Secrets: []webhook.Secret{s}, Now: func() time.Time { return m.Timestamp },
		})
		require.NoError(t, err)
		got, err := v.Verify(h, m.Body)
		require.NoError(t, err)
		require.Equal(t, m.ID, got.ID)
		require.True(t, got.Timestamp.Equal(m.Timestamp))
	})
}

func drawSecret(t *rapid.T) webhook.Secret {
	key := rapid.SliceOfN(rapid.Byte(), webhook.MinSecretSize, webhook.MaxSecretSize).Draw(t, "key")
	s, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(key))
	require.NoError(t, err)
	return s
}

func drawMessage(t *rapid.T) webhook.Message {
	return webhook.Message{
		ID:        rapid.StringMatching(`[A-Za-z0-9_-]{1,128}`).Draw(t, "id"),
		Timestamp: time.Unix(rapid.Int64Range(1, 253402300799).Draw(t, "seconds"), 0),
		Body:      rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
	}
}

// TestThreat_E13_RotationSignsWithBoth: whoever holds either secret verifies
// the standard signature; the body signature is the first secret's.
func TestThreat_E13_RotationSignsWithBoth(t *testing.T) {
	next, old, other := secretOf(t, 1, 32), secretOf(t, 2, 32), secretOf(t, 3, 32)
	_, m := vector(t)
	h, err := webhook.Sign([]webhook.Secret{next, old}, m)
	require.NoError(t, err)
	require.Len(t, strings.Split(h.Get("webhook-signature"), " "), 2)

	for _, holder := range []webhook.Secret{next, old} {
		_, err := verifierAt(t, m.Timestamp, holder).Verify(h, m.Body)
		require.NoError(t, err)
		oracle, err := standard.NewWebhook(holder.Reveal())
		require.NoError(t, err)
		require.NoError(t, oracle.VerifyIgnoringTimestamp(m.Body, h))
	}
	_, err = verifierAt(t, m.Timestamp, other).Verify(h, m.Body)
	require.ErrorIs(t, err, webhook.ErrBadSignature)

	body := h.Get("X-Gateway-Signature")
	require.NoError(t, verifierAt(t, m.Timestamp, next).VerifyBody(body, m.Body))
	require.NoError(t, verifierAt(t, m.Timestamp, old, next).VerifyBody(body, m.Body))
	require.NoError(t, verifierAt(t, m.Timestamp, next, old).VerifyBody(body, m.Body))
	require.ErrorIs(t, verifierAt(t, m.Timestamp, old).VerifyBody(body, m.Body), webhook.ErrBadSignature)
}

// TestThreat_E3_RepetitionKeepsTheID: another attempt differs in time and
// signature and in nothing by which a receiver recognises it.
func TestThreat_E3_RepetitionKeepsTheID(t *testing.T) {
	secrets, m := vector(t)
	first, err := webhook.Sign(secrets, m)
	require.NoError(t, err)
	m.Timestamp = m.Timestamp.Add(75 * time.Hour)
	second, err := webhook.Sign(secrets, m)
	require.NoError(t, err)
	require.Equal(t, first.Get("webhook-id"), second.Get("webhook-id"))
	require.Equal(t, first.Get("X-Gateway-Signature"), second.Get("X-Gateway-Signature"))
	require.NotEqual(t, first.Get("webhook-signature"), second.Get("webhook-signature"))
	got, err := verifierAt(t, m.Timestamp, secrets...).Verify(second, m.Body)
	require.NoError(t, err)
	require.Equal(t, m.ID, got.ID)
}

func TestSignRefuses(t *testing.T) {
	secrets, good := vector(t)
	for name, change := range map[string]struct {
		field string
		edit  func(*webhook.Message)
	}{
		"time before 1970": {"timestamp", func(m *webhook.Message) { m.Timestamp = time.Unix(-1, 0) }},
		"zero time":        {"timestamp", func(m *webhook.Message) { m.Timestamp = time.Time{} }},
		"year 10000":       {"timestamp", func(m *webhook.Message) { m.Timestamp = time.Unix(253402300800, 0) }},
		"empty id":         {"id", func(m *webhook.Message) { m.ID = "" }},
		"long id":          {"id", func(m *webhook.Message) { m.ID = strings.Repeat("a", 129) }},
	} {
		m := good
		change.edit(&m)
		_, err := webhook.Sign(secrets, m)
		var field *webhook.FieldError
		require.ErrorAs(t, err, &field, name)
		require.Equal(t, change.field, field.Field, name)
	}
	for name, none := range map[string][]webhook.Secret{"nil": nil, "zero": {{}}, "zero among good": {secrets[0], {}}} {
		_, err := webhook.Sign(none, good)
		require.ErrorIs(t, err, webhook.ErrNoSecret, name)
	}
	_, err := webhook.Sign(make([]webhook.Secret, webhook.MaxSecrets+1), good)
	require.ErrorContains(t, err, "at most 8")
}

// TestThreat_E12_IDCharset: with a '.' in the id, two different messages could
// have the same signed text; with a line break, a header could be added.
func TestThreat_E12_IDCharset(t *testing.T) {
	secrets, m := vector(t)
	for b := range 256 {
		m.ID = "a" + string([]byte{byte(b)}) + "z"
		_, err := webhook.Sign(secrets, m)
		allowed := strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", rune(b))
		require.Equal(t, allowed, err == nil, "byte %#x", b)
		if !allowed {
			h := http.Header{}
			h.Set("webhook-id", m.ID)
			_, err := verifierAt(t, m.Timestamp, secrets...).Verify(h, m.Body)
			require.ErrorIs(t, err, webhook.ErrBadID, "byte %#x", b)
		}
	}
}
