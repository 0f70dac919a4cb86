// Package seal keeps secrets at rest: AES-256-GCM under keys that the host gives,
// of which the first seals and the others still open.
//
// What is sealed reads, in bytes: a format of 1, the first 4 of the SHA-256 of the
// key, a nonce of 12 and the ciphertext with its tag. The text that it is about is
// bound in, so that nothing opens where it was moved to.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// KeySize is how long a key is, in bytes.
const KeySize = 32

// Errors of Open.
var (
	// ErrNoKey: it was sealed with a key that is not there.
	ErrNoKey = errors.New("sealed with a key that is not given")
	// ErrDamaged: it was changed, cut or is about something else.
	ErrDamaged = errors.New("damaged, or sealed for something else")
)

const (
	format    = 1
	nameSize  = 4
	nonceSize = 12
	headSize  = 1 + nameSize + nonceSize
)

type name [nameSize]byte

// Keyring seals and opens. It never changes and is safe for concurrent use.
type Keyring struct {
	current name
	keys    map[name]cipher.AEAD
}

// New makes a keyring; the first key is the one that seals. Each has KeySize bytes,
// and none stands twice.
func New(keys [][]byte) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key")
	}
	k := &Keyring{current: named(keys[0]), keys: map[name]cipher.AEAD{}}
	for i, key := range keys {
		if len(key) != KeySize {
			return nil, fmt.Errorf("key %d has %d bytes, not %d", i, len(key), KeySize)
		}
		if _, twice := k.keys[named(key)]; twice {
			return nil, fmt.Errorf("key %d stands twice", i)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if k.keys[named(key)], err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func named(key []byte) (n name) {
	sum := sha256.Sum256(key)
	copy(n[:], sum[:])
	return n
}

// Seal encrypts plain, bound to what it is about. random gives the nonce: 96 bits,
// so that a key is good for some billions of them.
func (k *Keyring) Seal(random io.Reader, plain []byte, about string) ([]byte, error) {
	out := make([]byte, headSize, headSize+len(plain)+16)
	out[0] = format
	copy(out[1:], k.current[:])
	nonce := out[1+nameSize : headSize]
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, err
	}
	return k.keys[k.current].Seal(out, nonce, plain, bound(out[:1+nameSize], about)), nil
}

// Open decrypts. current is false where it should be sealed anew, with the first
// key. Errors: ErrNoKey, ErrDamaged.
func (k *Keyring) Open(sealed []byte, about string) (plain []byte, current bool, err error) {
	if len(sealed) < headSize || sealed[0] != format {
		return nil, false, ErrDamaged
	}
	n := name(sealed[1 : 1+nameSize])
	key, ok := k.keys[n]
	if !ok {
		return nil, false, ErrNoKey
	}
	plain, err = key.Open(nil, sealed[1+nameSize:headSize], sealed[headSize:], bound(sealed[:1+nameSize], about))
	if err != nil {
		return nil, false, ErrDamaged
	}
	return plain, n == k.current, nil
}

func bound(head []byte, about string) []byte { return append(append([]byte(nil), head...), about...) }
