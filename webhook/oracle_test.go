package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/webhook"
)

// TestThreat_G22_AWrongSignatureTellsNothing: wherever a guess is wrong first, and
// however long it is, the answer is the same one. That it also takes the same time
// is the business of the module's own rules, which allow no other comparison here.
func TestThreat_G22_AWrongSignatureTellsNothing(t *testing.T) {
	h, m, secrets := signedVector(t)
	v := verifierAt(t, m.Timestamp, secrets...)
	right := make([][]byte, 2)
	var err error
	right[0], err = base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.Fields(h.Get("webhook-signature"))[0], "v1,"))
	require.NoError(t, err)
	right[1], err = hex.DecodeString(strings.TrimPrefix(h.Get("X-Gateway-Signature"), "sha256="))
	require.NoError(t, err)
	ask := []func(guess []byte) error{
		func(guess []byte) error {
			h := h.Clone()
			h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(guess))
			_, err := v.Verify(h, m.Body)
			return err
		},
		func(guess []byte) error { return v.VerifyBody("sha256="+hex.EncodeToString(guess), m.Body) },
	}
	for i, ask := range ask {
		require.NoError(t, ask(right[i]))
		told := map[string]bool{}
		refused := func(guess []byte) {
			t.Helper()
			err := ask(guess)
			require.ErrorIs(t, err, webhook.ErrBadSignature)
			told[err.Error()] = true
		}
		for at := range right[i] {
			for bit := range 8 {
				guess := slices.Clone(right[i])
				guess[at] ^= 1 << bit
				refused(guess)
			}
			refused(right[i][:at]) // as far as it goes it is right
			refused(right[i][at+1:])
		}
		refused(append(slices.Clone(right[i]), 0))
		refused(bytes.Repeat(right[i], 2))
		require.Len(t, told, 1, "one text for all of them: %v", told)
		for text := range told {
			require.NotContains(t, text, hex.EncodeToString(right[i]))
			require.NotContains(t, text, base64.StdEncoding.EncodeToString(right[i]))
		}
	}
}

// TestThreat_G22_EverySecretIsEqualOnlyToItself: also where one is the beginning of
// another, and the zero value is equal to nothing.
func TestThreat_G22_EverySecretIsEqualOnlyToItself(t *testing.T) {
	long := secretOf(t, 7, 48)
	for _, other := range []webhook.Secret{secretOf(t, 7, 32), secretOf(t, 8, 48), {}} {
		require.False(t, long.Equal(other))
		require.False(t, other.Equal(long))
	}
	require.True(t, long.Equal(secretOf(t, 7, 48)))
	require.False(t, webhook.Secret{}.Equal(webhook.Secret{}))
}
