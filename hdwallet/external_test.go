package hdwallet

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// TestThreat_F21_AnExternalKeyIsVerified: a KMS returns either form of a signature and
// no recovery id; what is handed out is canonical, and of this key and digest.
func TestThreat_F21_AnExternalKeyIsVerified(t *testing.T) {
	d := newDesk(t)
	raw, err := hex.DecodeString(devKey)
	require.NoError(t, err)
	private := secp256k1.PrivKeyFromBytes(raw)
	other := secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))
	var sign SignDigest
	k, err := NewExternalKey(private.PubKey().SerializeCompressed(), func(ctx context.Context, digest [32]byte) ([]byte, error) { return sign(ctx, digest) })
	require.NoError(t, err)
	require.Equal(t, newDevKey(t).KeyRef(), k.KeyRef(), "the same key, wherever it is")
	d.policy.Keys = []*Key{k}
	d.renew()
	request := d.pay(chain.Effect{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)})
	request.Key = k.KeyRef()
	d.policy.Keys = []*Key{newDevKey(t)}
	inProcess, err := NewSigner(d.policy)
	require.NoError(t, err)

	der := func(key *secp256k1.PrivateKey, digest [32]byte, high bool) []byte {
		sig := ecdsa.Sign(key, digest[:])
		r, s := sig.R(), sig.S()
		if !high {
			return sig.Serialize()
		}
		s.Negate()
		// The library's encoder makes s low; a KMS does not.
		enc := func(n secp256k1.ModNScalar) []byte {
			b := n.Bytes()
			v := bytes.TrimLeft(b[:], "\x00")
			if v[0] >= 0x80 {
				v = append([]byte{0}, v...)
			}
			return append([]byte{2, byte(len(v))}, v...)
		}
		body := append(enc(r), enc(s)...)
		return append([]byte{0x30, byte(len(body))}, body...)
	}
	for i := range 20 {
		request.Payload = d.payload(fakePayload{Chain: fakeMain, Nonce: i, Effects: chain.Effects{Effects: []chain.Effect{{To: d.treasury, Asset: coinAsset, Amount: chain.NewAmount(1)}}}})
		want, err := inProcess.Sign(t.Context(), []chain.SignRequest{request})
		require.NoError(t, err)
		for _, form := range []SignDigest{
			func(_ context.Context, digest [32]byte) ([]byte, error) { return der(private, digest, false), nil },
			func(_ context.Context, digest [32]byte) ([]byte, error) { return der(private, digest, true), nil },
			func(_ context.Context, digest [32]byte) ([]byte, error) {
				return ecdsa.SignCompact(private, digest[:], false)[1:], nil
			},
		} {
			sign = form
			require.Equal(t, want, d.accepted(request))
		}
	}
	for name, form := range map[string]SignDigest{
		"another key":    func(_ context.Context, digest [32]byte) ([]byte, error) { return der(other, digest, false), nil },
		"another digest": func(context.Context, [32]byte) ([]byte, error) { return der(private, [32]byte{1}, false), nil },
		"nothing":        func(context.Context, [32]byte) ([]byte, error) { return nil, nil },
		"zeros":          func(context.Context, [32]byte) ([]byte, error) { return make([]byte, 64), nil },
		"ones":           func(context.Context, [32]byte) ([]byte, error) { return bytes.Repeat([]byte{255}, 64), nil },
		"no DER":         func(context.Context, [32]byte) ([]byte, error) { return []byte("signature"), nil },
	} {
		sign = form
		_, err := d.signer.Sign(t.Context(), []chain.SignRequest{request})
		require.ErrorIs(t, err, chain.ErrInvalidSignature, name)
	}
	sign = func(context.Context, [32]byte) ([]byte, error) { return nil, errors.New("throttled") }
	_, err = d.signer.Sign(t.Context(), []chain.SignRequest{request})
	require.ErrorIs(t, err, chain.ErrSignerUnavailable)
	sign = func(context.Context, [32]byte) ([]byte, error) { panic("oh") }
	_, err = d.signer.Sign(t.Context(), []chain.SignRequest{request})
	require.ErrorIs(t, err, chain.ErrSignerUnavailable)

	// The policy stands before it.
	sign = func(context.Context, [32]byte) ([]byte, error) { t.Error("asked"); return nil, nil }
	stranger := d.pay(chain.Effect{To: fakeStranger, Asset: coinAsset, Amount: chain.NewAmount(1)})
	stranger.Key = k.KeyRef()
	d.refused("treasury", stranger)

	_, err = k.Keystore("x", KeystoreOptions{})
	require.ErrorContains(t, err, "elsewhere")
	require.Contains(t, fmt.Sprint(k), "external")
	for _, bad := range [][]byte{nil, make([]byte, 33), private.PubKey().SerializeCompressed()[:32]} {
		_, err = NewExternalKey(bad, sign)
		var e *KeyError
		require.ErrorAs(t, err, &e)
	}
	_, err = NewExternalKey(private.PubKey().SerializeCompressed(), nil)
	require.Error(t, err)
}
