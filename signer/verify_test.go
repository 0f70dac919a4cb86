package signer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"net/http"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/signer"
)

// highS is the other form of a signature: n - s, and the other recovery id.
func highS(signature []byte) []byte {
	out := bytes.Clone(signature)
	var s secp256k1.ModNScalar
	s.SetByteSlice(out[32:64])
	s.Negate().PutBytesUnchecked(out[32:64])
	out[64] ^= 1
	return out
}

// distortions are what a signer may answer instead of the right signatures, each with
// a part of the reason for which it is refused.
func distortions(d *desk, requests []chain.SignRequest) map[string]struct {
	answer [][]byte
	reason string
} {
	right := d.real(requests...)
	change := func(fn func(b []byte) []byte) [][]byte {
		out := [][]byte{bytes.Clone(right[0]), bytes.Clone(right[1])}
		out[1] = fn(out[1])
		return out
	}
	other := requests[1]
	other.Key = d.key(9)
	return map[string]struct {
		answer [][]byte
		reason string
	}{
		"high s":            {change(highS), "lower half"},
		"wrong recovery id": {change(func(b []byte) []byte { b[64] ^= 1; return b }), "key"},
		"recovery id 27":    {change(func(b []byte) []byte { b[64] += 27; return b }), "neither 0 nor 1"},
		"recovery id 2":     {change(func(b []byte) []byte { b[64] += 2; return b }), "neither 0 nor 1"},
		"another key":       {[][]byte{right[0], d.real(other)[0]}, "not by the expected key"},
		"another message":   {change(func([]byte) []byte { return d.real(d.request(1, 99, treasury, 5))[0] }), "not by the expected key"},
		"swapped":           {[][]byte{right[1], right[0]}, "not by the expected key"},
		"missing answer":    {right[:1], "1 signatures for 2 requests"},
		"no answers":        {nil, "0 signatures for 2 requests"},
		"extra answer":      {[][]byte{right[0], right[1], right[1]}, "3 signatures for 2 requests"},
		"empty":             {change(func([]byte) []byte { return nil }), "0 bytes"},
		"64 bytes":          {change(func(b []byte) []byte { return b[:64] }), "64 bytes"},
		"66 bytes":          {change(func(b []byte) []byte { return append(b, 0) }), "66 bytes"},
		"zero":              {change(func([]byte) []byte { return make([]byte, 65) }), "r is out of range"},
		"s zero":            {change(func(b []byte) []byte { clear(b[32:64]); return b }), "s is out of range"},
		"s of all ones":     {change(func(b []byte) []byte { copy(b[32:64], bytes.Repeat([]byte{255}, 32)); return b }), "s is out of range"},
		"r of all ones":     {change(func(b []byte) []byte { copy(b[:32], bytes.Repeat([]byte{255}, 32)); return b }), "r is out of range"},
		"r of no point":     {change(func(b []byte) []byte { copy(b[:32], append(make([]byte, 31), 5)); return b }), "key"},
	}
}

// TestThreat_F21_LyingSignersAreRefused: what a KMS, an HSM or a remote signer returns
// counts only where it is the signature that was asked for.
func TestThreat_F21_LyingSignersAreRefused(t *testing.T) {
	d := newDesk(t)
	requests := []chain.SignRequest{d.request(0, 1, treasury, 5), d.request(1, 1, treasury, 5)}
	sign := func(answer [][]byte) ([][]byte, error) {
		v, err := signer.Verified(signs(func(context.Context, []chain.SignRequest) ([][]byte, error) { return answer, nil }), codecs(), d.keys)
		require.NoError(t, err)
		return v.Sign(t.Context(), requests)
	}
	right := d.real(requests...)
	got, err := sign(right)
	require.NoError(t, err)
	require.Equal(t, right, got)
	for name, c := range distortions(d, requests) {
		got, err := sign(c.answer)
		require.Nil(t, got, name)
		require.ErrorIs(t, err, chain.ErrInvalidSignature, name)
		require.ErrorContains(t, err, c.reason, name)
		var bad *signer.SignatureError
		require.ErrorAs(t, err, &bad, name)
		require.Contains(t, []int{-1, 0, 1}, bad.Request)
	}
}

// TestThreat_F21_LyingServersAreRefused although they hold the shared secret.
func TestThreat_F21_LyingServersAreRefused(t *testing.T) {
	d := newDesk(t)
	requests := []chain.SignRequest{d.request(0, 1, treasury, 5), d.request(1, 1, treasury, 5)}
	for name, c := range distortions(d, requests) {
		d.config.Signer = signs(func(context.Context, []chain.SignRequest) ([][]byte, error) { return c.answer, nil })
		d.inner = d.config.Signer
		d.restart()
		got, err := d.client.Sign(t.Context(), requests)
		require.Nil(t, got, name)
		require.ErrorIs(t, err, chain.ErrInvalidSignature, name)
	}
}

// TestThreat_F21_ASlowServerCostsItsTime and is an unavailable signer, no refusal.
func TestThreat_F21_ASlowServerCostsItsTime(t *testing.T) {
	d := newDesk(t)
	block := make(chan struct{})
	slow := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-block:
		case <-r.Context().Done():
		}
	}
	c := d.lying(slow)
	t.Cleanup(func() { close(block) }) // before the server's own, which waits for its calls
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Sign(ctx, []chain.SignRequest{d.request(0, 1, treasury, 5)})
	remote(t, err, signer.CodeUnreachable)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	// The client has a limit of its own.
	own := d.dial(d.http.URL, func(c *signer.ClientConfig) { c.Timeout = time.Nanosecond })
	_, err = own.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, treasury, 5)})
	remote(t, err, signer.CodeUnreachable)
}

// TestVerifiedAsksForNothingItCannotVerify.
func TestVerifiedAsksForNothingItCannotVerify(t *testing.T) {
	d := newDesk(t)
	asked := false
	v, err := signer.Verified(signs(func(context.Context, []chain.SignRequest) ([][]byte, error) {
		asked = true
		return nil, nil
	}), codecs(), d.keys)
	require.NoError(t, err)
	good := d.request(0, 1, treasury, 5)
	for name, change := range map[string]func(*chain.SignRequest){
		"chain":   func(r *chain.SignRequest) { r.Chain = "eip155:1" },
		"payload": func(r *chain.SignRequest) { r.Payload = []byte("?") },
		"empty":   func(r *chain.SignRequest) { r.Payload = nil },
		"key":     func(r *chain.SignRequest) { r.Key.Wallet = "other" },
		"path":    func(r *chain.SignRequest) { r.Key.Path = "m" },
		"scheme":  func(r *chain.SignRequest) { r.Scheme = chain.BIP340 },
	} {
		bad := good
		change(&bad)
		_, err := v.Sign(t.Context(), []chain.SignRequest{good, bad})
		require.ErrorContains(t, err, "request 1", name)
		require.False(t, asked, name)
	}
	out, err := v.Sign(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, out)
	require.False(t, asked)
}

// TestVerifiedKeepsWhatItAsked: a signer that changes the request it was handed cannot
// change what is verified.
func TestVerifiedKeepsWhatItAsked(t *testing.T) {
	d := newDesk(t)
	want, other := d.request(0, 1, treasury, 5), d.request(0, 1, treasury, 6)
	v, err := signer.Verified(signs(func(_ context.Context, r []chain.SignRequest) ([][]byte, error) {
		copy(r[0].Payload, other.Payload)
		return d.real(other), nil
	}), codecs(), d.keys)
	require.NoError(t, err)
	before := bytes.Clone(want.Payload)
	_, err = v.Sign(t.Context(), []chain.SignRequest{want})
	require.ErrorIs(t, err, chain.ErrInvalidSignature)
	require.Equal(t, before, want.Payload)
}

// edCodec is a chain family that signs by Ed25519; nil panics.
type edCodec struct{ chain.Codec }

func (edCodec) Decode(r chain.SignRequest) (chain.Effects, []byte, error) {
	return chain.Effects{}, r.Payload, nil
}

func TestVerifiedKnowsEd25519(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	ref := chain.KeyRef{Wallet: "kms", Path: "1"}
	request := []chain.SignRequest{{Chain: "sol:main", Scheme: chain.EdDSA, Key: ref, Payload: []byte("message")}}
	answer := ed25519.Sign(key, []byte("message"))
	v, err := signer.Verified(signs(func(context.Context, []chain.SignRequest) ([][]byte, error) { return [][]byte{answer}, nil }),
		map[chain.ID]chain.Codec{"sol:main": edCodec{}}, signer.AnyKeys{signer.KeyMap{}, signer.KeyMap{ref: key.Public().(ed25519.PublicKey)}})
	require.NoError(t, err)
	_, err = v.Sign(t.Context(), request)
	require.NoError(t, err)
	request[0].Payload = []byte("massage")
	_, err = v.Sign(t.Context(), request)
	require.ErrorIs(t, err, chain.ErrInvalidSignature)
	request[0].Key.Path = "2"
	_, err = v.Sign(t.Context(), request)
	refused(t, err, "key")
}

func TestVerifiedChecksItsArguments(t *testing.T) {
	s := signs(func(context.Context, []chain.SignRequest) ([][]byte, error) { panic("oh") })
	for field, make := range map[string]func() (*signer.VerifiedSigner, error){
		"Signer": func() (*signer.VerifiedSigner, error) { return signer.Verified(nil, codecs(), signer.KeyMap{}) },
		"Codecs": func() (*signer.VerifiedSigner, error) { return signer.Verified(s, nil, signer.KeyMap{}) },
		"Codecs[eip155:31337]": func() (*signer.VerifiedSigner, error) {
			return signer.Verified(s, map[chain.ID]chain.Codec{testnet: nil}, signer.KeyMap{})
		},
		"Keys": func() (*signer.VerifiedSigner, error) { return signer.Verified(s, codecs(), nil) },
	} {
		_, err := make()
		var bad *signer.ConfigError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
	d := newDesk(t)
	v, err := signer.Verified(s, codecs(), d.keys)
	require.NoError(t, err)
	_, err = v.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, treasury, 5)})
	remote(t, err, signer.CodeInternal)
	v, err = signer.Verified(s, codecs(), signer.KeyMap{d.key(0): []byte("short")})
	require.NoError(t, err)
	_, err = v.Sign(t.Context(), []chain.SignRequest{d.request(0, 1, treasury, 5)})
	var bad *signer.ConfigError
	require.ErrorAs(t, err, &bad)
}
