package signer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/bursar-go/bursar/chain"
)

// Keys knows public keys: 33 or 65 bytes of secp256k1, 32 of Ed25519. A
// *hdwallet.Wallet is Keys, a watch-only one above all, and so is a *hdwallet.Key.
// Implementations are safe for concurrent use.
type Keys interface {
	PublicKey(ref chain.KeyRef) ([]byte, error)
}

// KeyMap are Keys that are known one by one, as those of a KMS are.
type KeyMap map[chain.KeyRef][]byte

// PublicKey looks a key up. One that is not there is a *chain.PolicyError.
func (m KeyMap) PublicKey(ref chain.KeyRef) ([]byte, error) {
	key, ok := m[ref]
	if !ok {
		return nil, unknownKey(ref)
	}
	return key, nil
}

// AnyKeys asks several Keys one after the other: the active wallet, retired ones, a
// sponsor's key.
type AnyKeys []Keys

// PublicKey returns the first answer that is no error. Where there is none, that is a
// *chain.PolicyError.
func (a AnyKeys) PublicKey(ref chain.KeyRef) ([]byte, error) {
	for _, k := range a {
		if key, err := k.PublicKey(ref); err == nil {
			return key, nil
		}
	}
	return nil, unknownKey(ref)
}

func unknownKey(ref chain.KeyRef) error {
	return &chain.PolicyError{Rule: "key", Detail: fmt.Sprintf("no public key of %q %q is known here", ref.Wallet, ref.Path), Key: ref}
}

// VerifiedSigner is what Verified makes.
type VerifiedSigner struct {
	inner  chain.Signer
	codecs map[chain.ID]chain.Codec
	keys   Keys
}

var _ chain.OfflineSigner = (*VerifiedSigner)(nil)

// Verified puts checks around a signer that is not trusted, such as a KMS, an HSM or a
// remote one: there must be exactly one signature for each request, made by the
// expected key of the digest that the codec computes here, in canonical form: of
// ECDSA 65 bytes with a recovery id of 0 or 1 that recovers to the key, and s in the
// lower half. Ed25519 is verified over the payload; BIP340 is chain.ErrUnsupported.
//
// Batches by an installation's contract are understood where the codec knows it (a
// chain.ContractCodec, such as evm.CodecWith makes).
//
// It is no policy: what it was asked for it passes on. It is safe for concurrent use.
// codecs is copied; a missing argument is a *ConfigError.
func Verified(s chain.Signer, codecs map[chain.ID]chain.Codec, keys Keys) (*VerifiedSigner, error) {
	switch {
	case s == nil:
		return nil, &ConfigError{"Signer", "required"}
	case len(codecs) == 0:
		return nil, &ConfigError{"Codecs", "want at least one chain"}
	case keys == nil:
		return nil, &ConfigError{"Keys", "required"}
	}
	for _, id := range slices.Sorted(maps.Keys(codecs)) {
		if codecs[id] == nil {
			return nil, &ConfigError{fmt.Sprintf("Codecs[%s]", id), "nil"}
		}
	}
	return &VerifiedSigner{inner: s, codecs: maps.Clone(codecs), keys: keys}, nil
}

// expectation is what one signature must verify under.
type expectation struct {
	scheme  chain.Scheme
	public  []byte
	digest  []byte
	message []byte
}

// Sign implements chain.Signer. Before the inner signer is asked every request must be
// one whose answer can be verified: a chain that is not known is a *chain.PolicyError,
// and the errors of codec and keys are returned. A wrong answer is a *SignatureError,
// and then none of the signatures is handed out.
func (v *VerifiedSigner) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	if len(requests) == 0 {
		return [][]byte{}, nil
	}
	expected := make([]expectation, len(requests))
	asked := slices.Clone(requests)
	for i := range asked {
		// What is verified is what was asked, whatever the inner signer does to it.
		asked[i].Payload = bytes.Clone(asked[i].Payload)
		e, err := v.expect(asked[i])
		if err != nil {
			return nil, fmt.Errorf("signer: request %d: %w", i, err)
		}
		expected[i] = e
	}
	var answers [][]byte
	err := guard("the signer", func() (err error) {
		answers, err = v.inner.Sign(ctx, asked)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(answers) != len(requests):
		return nil, &SignatureError{-1, fmt.Sprintf("%d signatures for %d requests", len(answers), len(requests))}
	}
	out := make([][]byte, len(answers))
	for i, a := range answers {
		out[i] = bytes.Clone(a)
		if reason := expected[i].refuse(out[i]); reason != "" {
			return nil, &SignatureError{i, reason}
		}
	}
	return out, nil
}

// expect computes what the signature of a request must fit.
func (v *VerifiedSigner) expect(r chain.SignRequest) (e expectation, err error) {
	codec := v.codecs[r.Chain]
	if codec == nil {
		return e, &chain.PolicyError{Rule: "chain", Detail: fmt.Sprintf("no codec of chain %q is known here", r.Chain)}
	}
	e = expectation{scheme: r.Scheme, message: bytes.Clone(r.Payload)}
	err = guard("the codec", func() (err error) {
		r.Payload = bytes.Clone(r.Payload)
		_, e.digest, err = codec.Decode(r)
		return err
	})
	if err != nil {
		return e, err
	}
	err = guard("the keys", func() (err error) {
		e.public, err = v.keys.PublicKey(r.Key)
		return err
	})
	if err != nil {
		return e, err
	}
	switch r.Scheme {
	case chain.ECDSA:
		key, err := secp256k1.ParsePubKey(e.public)
		if err != nil {
			return e, &ConfigError{"Keys", fmt.Sprintf("the public key of %q is none of secp256k1", r.Key.Path)}
		}
		e.public = key.SerializeUncompressed()
		if len(e.digest) != 32 {
			return e, &chain.FormatError{What: "digest", Reason: fmt.Sprintf("%d bytes, want 32", len(e.digest))}
		}
	case chain.EdDSA:
		if len(e.public) != ed25519.PublicKeySize {
			return e, &ConfigError{"Keys", fmt.Sprintf("the public key of %q is none of Ed25519", r.Key.Path)}
		}
	default:
		return e, fmt.Errorf("signatures of the scheme %q cannot be verified: %w", r.Scheme, chain.ErrUnsupported)
	}
	return e, nil
}

// refuse returns why a signature is not the expected one, or "".
func (e *expectation) refuse(signature []byte) string {
	if e.scheme == chain.EdDSA {
		if len(signature) != ed25519.SignatureSize || !ed25519.Verify(e.public, e.message, signature) {
			return "not by the expected key"
		}
		return ""
	}
	if len(signature) != 65 {
		return fmt.Sprintf("%d bytes, want 65", len(signature))
	}
	if signature[64] > 1 {
		return "the recovery id is neither 0 nor 1"
	}
	var r, s secp256k1.ModNScalar
	switch {
	case r.SetByteSlice(signature[:32]) || r.IsZero():
		return "r is out of range"
	case s.SetByteSlice(signature[32:64]) || s.IsZero():
		return "s is out of range"
	case s.IsOverHalfOrder():
		// The same signature would have a second form, and the transaction a second id.
		return "s is not in the lower half"
	}
	// The compact form has the recovery id first, offset by 27.
	compact := append([]byte{27 + signature[64]}, signature[:64]...)
	key, _, err := ecdsa.RecoverCompact(compact, e.digest)
	if err != nil {
		return "it recovers to no key"
	}
	if public := key.SerializeUncompressed(); !bytes.Equal(public, e.public) {
		return "not by the expected key"
	}
	return ""
}

// guard turns a panic of foreign code into an error. It is never put around anything
// that holds a private key in this package, for there is none.
func guard(who string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &RemoteError{Code: CodeInternal, Reason: who + " panicked"}
		}
	}()
	return f()
}

// Offline implements chain.OfflineSigner by what the inner signer says.
func (v *VerifiedSigner) Offline(key chain.KeyRef) bool { return offline(v.inner, key) }

// offline asks a signer whether a key is offline, where it can tell.
func offline(s chain.Signer, key chain.KeyRef) bool {
	o, ok := s.(chain.OfflineSigner)
	return ok && o.Offline(key)
}
