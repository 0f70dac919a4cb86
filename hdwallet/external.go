package hdwallet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/bursar-go/bursar/chain"
)

// SignDigest asks a KMS or an HSM for an ECDSA signature of a digest. It returns DER,
// as nearly all of them do, in whichever of the two forms that a signature has, or the
// 64 bytes of r and s. It is called concurrently. Its errors reach the caller of Sign.
type SignDigest func(ctx context.Context, digest [32]byte) (signature []byte, err error)

// NewExternalKey returns a key that is in a KMS or an HSM and never leaves it, for
// Policy.Keys: the policy, the limits and the journal stand before it as before any
// other key, because a KMS signs every digest that it is shown. public is its public
// half, 33 or 65 bytes of secp256k1.
//
// Each signature is brought into the canonical form, with a low s and the recovery id,
// and verified to be of this key and this digest; another one is
// chain.ErrInvalidSignature. A key or function that is missing is a *KeyError.
func NewExternalKey(public []byte, sign SignDigest) (*Key, error) {
	key, err := secp256k1.ParsePubKey(public)
	switch {
	case err != nil:
		return nil, &KeyError{"the public half is no point of secp256k1"}
	case sign == nil:
		return nil, &KeyError{"nothing to sign with"}
	}
	sum := sha256.Sum256(append([]byte("bursar key v1\n"), key.SerializeCompressed()...))
	k := &Key{id: hex.EncodeToString(sum[:16]), external: sign}
	copy(k.public[:], key.SerializeUncompressed())
	k.label = label("hdwallet.Key(" + k.id + ", external)")
	return k, nil
}

// signExternal asks for a signature of the digest, and makes 65 bytes of it.
func (t *signable) signExternal(ctx context.Context) (signature []byte, err error) {
	var answer []byte
	err = guard("external", func() (err error) {
		answer, err = t.key.single.external(ctx, t.digest)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: the external key: %w", chain.ErrSignerUnavailable, err)
	}
	r, s, ok := readSignature(answer)
	if !ok {
		return nil, fmt.Errorf("%w: the external key returned neither DER nor r and s", chain.ErrInvalidSignature)
	}
	if s.IsOverHalfOrder() {
		s.Negate() // as valid, and the form that networks want
	}
	out := make([]byte, 65)
	r.PutBytesUnchecked(out[:32])
	s.PutBytesUnchecked(out[32:64])
	for id := range byte(2) {
		compact := append([]byte{27 + id}, out[:64]...)
		key, _, err := ecdsa.RecoverCompact(compact, t.digest[:])
		if err != nil {
			continue
		}
		if public := key.SerializeUncompressed(); bytes.Equal(public, t.key.public) {
			out[64] = id
			return out, nil
		}
	}
	return nil, fmt.Errorf("%w: not by the external key, or not of this digest", chain.ErrInvalidSignature)
}

func readSignature(b []byte) (r, s secp256k1.ModNScalar, ok bool) {
	if len(b) == 64 {
		high := r.SetByteSlice(b[:32])
		high = s.SetByteSlice(b[32:]) || high
		return r, s, !high && !r.IsZero() && !s.IsZero()
	}
	sig, err := ecdsa.ParseDERSignature(b)
	if err != nil {
		return r, s, false
	}
	return sig.R(), sig.S(), true
}
