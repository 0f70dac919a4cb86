package hdwallet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/bursar-go/bursar/chain"
)

// singlePath is the path of keys that no wallet derives. It begins no BIP-32 path,
// so that the two kinds of reference cannot be mistaken for each other.
const singlePath = "key"

// KeyError reports bytes that are no private key. It never holds any of them.
type KeyError struct {
	// Reason is what is wrong.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *KeyError) Error() string { return "hdwallet: private key: " + e.Reason }

// Key is one secp256k1 key outside any wallet: a sponsor's or a float's, as a keystore
// file has it. It belongs to nothing else, so that its loss endangers no other key.
//
// It prints as a label and is safe for concurrent use. Make one with NewKey,
// ReadKeystore or NewExternalKey; a Signer signs with it where Policy.Keys has it.
type Key struct {
	label
	id     string
	public [65]byte
	key    secret
	// external signs where the private half is elsewhere; there is no key then.
	external SignDigest
}

// NewKey takes a private key of 32 bytes over and overwrites them. Errors are
// *KeyError: another length, zero, or not below the order of the group.
func NewKey(private []byte) (*Key, error) {
	defer clear(private)
	if len(private) != 32 {
		return nil, &KeyError{fmt.Sprintf("%d bytes, want 32", len(private))}
	}
	var scalar secp256k1.ModNScalar
	defer scalar.Zero()
	if scalar.SetByteSlice(private) || scalar.IsZero() {
		return nil, &KeyError{"not between 1 and the order of the group"}
	}
	public := secp256k1.NewPrivateKey(&scalar).PubKey()
	sum := sha256.Sum256(append([]byte("bursar key v1\n"), public.SerializeCompressed()...))
	k := &Key{id: hex.EncodeToString(sum[:16]), key: newSecret(private)}
	copy(k.public[:], public.SerializeUncompressed())
	k.label = label("hdwallet.Key(" + k.id + ")")
	return k, nil
}

// KeyRef is how requests name the key.
func (k *Key) KeyRef() chain.KeyRef { return chain.KeyRef{Wallet: k.id, Path: singlePath} }

// PublicKey returns the key's public half in 65 bytes, uncompressed. A reference to
// another key is a *DerivationError.
func (k *Key) PublicKey(ref chain.KeyRef) ([]byte, error) {
	if k == nil || ref != k.KeyRef() {
		return nil, &DerivationError{Path: ref.Path, Reason: "not this key"}
	}
	return append([]byte(nil), k.public[:]...), nil
}

// PublicKey returns the public half of the key that ref names, in 65 bytes,
// uncompressed. With it a watch-only server checks what a signer elsewhere returns.
// Errors are ErrNoAccount and *DerivationError; a reference to another wallet's key
// is one of them.
func (w *Wallet) PublicKey(ref chain.KeyRef) ([]byte, error) {
	coinType, change, index, ok := parsePath(ref.Path)
	if !ok {
		return nil, &DerivationError{Path: ref.Path, Reason: "want m/44'/coin'/0'/change/index"}
	}
	a, err := w.Account(coinType)
	switch {
	case err != nil:
		return nil, err
	case a.ID() != ref.Wallet:
		return nil, &DerivationError{Path: ref.Path, Reason: "the key of another wallet"}
	}
	return a.PublicKey(change, index)
}
