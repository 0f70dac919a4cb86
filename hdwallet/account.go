package hdwallet

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// Account is the public half of m/44'/coin'/0': it derives the public keys of
// addresses and holds no private key. It is immutable and safe for concurrent
// use by any number of goroutines.
type Account struct {
	label
	id       string
	coinType uint32
	// deposits is the id of the account that the keys of change 0 belong to: id, but in
	// a combined wallet.
	deposits string
	branches [2]*branch
}

func newAccount(coinType uint32, x *extendedKey) (*Account, error) {
	root, err := newNode(x)
	if err != nil {
		return nil, err
	}
	a := &Account{id: fingerprint(coinType, x), coinType: coinType}
	a.deposits = a.id
	a.label = label(fmt.Sprintf("hdwallet.Account(%s, coin type %d)", a.id, coinType))
	for change := range a.branches {
		b, ok := newBranch(root, uint32(change))
		if !ok {
			return nil, &DerivationError{Path: a.path(uint32(change)), Reason: "BIP-32 has no such key, use another wallet"}
		}
		a.branches[change] = b
	}
	return a, nil
}

// fingerprint hashes what determines all addresses of an account. The chain
// code is part of it, so that a key with another one is another account; it has
// 256 bits of its own, so that the hash gives nothing away.
func fingerprint(coinType uint32, x *extendedKey) string {
	h := sha256.New()
	h.Write([]byte("bursar account v1\n"))
	_ = binary.Write(h, binary.BigEndian, coinType)
	h.Write(x.key[:])
	h.Write(x.chain[:])
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// ID is the account's public fingerprint, 32 hex digits: the same for a
// mnemonic and for the xpub made from it, another one for every other mnemonic,
// passphrase and coin type. It is chain.KeyRef.Wallet of the account's keys.
// Store it with the first address and compare it at every start: that catches
// a mistyped passphrase and a swapped wallet before they cost money.
func (a *Account) ID() string { return a.id }

// CoinType is the SLIP-44 number of the account.
func (a *Account) CoinType() uint32 { return a.coinType }

// KeyRef names the key m/44'/coin'/0'/change/index of this account.
func (a *Account) KeyRef(change, index uint32) chain.KeyRef {
	return chain.KeyRef{Wallet: a.id, Path: a.path(change, index)}
}

// PublicKeys derives the n keys m/44'/coin'/0'/change/from and following, and
// calls fn for each in order with the key in 65 bytes, uncompressed. The bytes
// are valid during the call only. An error of fn ends the work and is returned.
//
// Change is 0 or 1, all indexes are below 2^31 and n is not negative, else the
// error is a *DerivationError, and fn is not called. A key that BIP-32 declares
// non-existent (probability below 2^-127) is a *DerivationError too, after fn
// was called for those before it: it is never skipped in silence.
//
// It allocates nothing per key. Ask for at least a few dozen keys at once where
// you can: they share the costliest step.
func (a *Account) PublicKeys(change, from uint32, n int, fn func(index uint32, publicKey []byte) error) error {
	b, err := a.branch(change)
	switch {
	case err != nil:
		return err
	case n < 0 || from >= hardened || uint64(n) > uint64(hardened-from):
		return &DerivationError{Path: a.path(change, from), Reason: fmt.Sprintf("%d keys from here leave the range 0 to 2^31-1", n)}
	}
	if b.kept.most.Load() > 0 {
		return a.kept(b, from, n, fn)
	}
	w := b.idle.Get().(*work)
	defer b.idle.Put(w)
	for n > 0 {
		want := min(n, batchSize)
		made := w.derive(from, want)
		for i := range made {
			if err := fn(from+uint32(i), w.encode(i)); err != nil {
				return err
			}
		}
		if made < want {
			return a.noKey(change, from+uint32(made))
		}
		from += uint32(want)
		n -= want
	}
	return nil
}

// kept is PublicKeys of a wallet that remembers.
func (a *Account) kept(b *branch, from uint32, n int, fn func(index uint32, publicKey []byte) error) error {
	for n > 0 {
		keys := b.remembered(from, n)
		if len(keys) == 0 {
			return a.noKey(b.change, from)
		}
		for i := range keys {
			if err := fn(from+uint32(i), keys[i][:]); err != nil {
				return err
			}
		}
		from += uint32(len(keys))
		n -= len(keys)
	}
	return nil
}

func (a *Account) noKey(change, index uint32) error {
	return &DerivationError{Path: a.path(change, index), Reason: "BIP-32 has no such key, use the next index"}
}

// PublicKey derives one key, in 65 bytes, uncompressed. See PublicKeys.
func (a *Account) PublicKey(change, index uint32) (publicKey []byte, err error) {
	err = a.PublicKeys(change, index, 1, func(_ uint32, pub []byte) error {
		publicKey = append(publicKey, pub...)
		return nil
	})
	return publicKey, err
}

func (a *Account) branch(change uint32) (*branch, error) {
	switch {
	case change >= uint32(len(a.branches)):
		return nil, &DerivationError{Path: a.path(change), Reason: "change is 0 or 1"}
	case a.branches[change] == nil:
		return nil, &DerivationError{Path: a.path(change), Reason: "an Account that no Wallet made"}
	}
	return a.branches[change], nil
}

// path returns the account's path with further steps.
func (a *Account) path(steps ...uint32) string {
	path := accountPath(a.coinType)
	for _, s := range steps {
		path += "/" + strconv.FormatUint(uint64(s), 10)
	}
	return path
}

func accountPath(coinType uint32) string {
	return "m/44'/" + strconv.FormatUint(uint64(coinType), 10) + "'/0'"
}

// parsePath reads m/44'/coin'/0'/change/index, with nothing hardened behind the
// account and no second way to write a number: of two spellings of a path, one
// would get past a comparison.
func parsePath(path string) (coinType, change, index uint32, ok bool) {
	steps := strings.Split(path, "/")
	if len(steps) != 6 || steps[0] != "m" || steps[1] != "44'" || steps[3] != "0'" {
		return 0, 0, 0, false
	}
	coin, isHardened := strings.CutSuffix(steps[2], "'")
	coinType, ok1 := parseStep(coin)
	change, ok2 := parseStep(steps[4])
	index, ok3 := parseStep(steps[5])
	return coinType, change, index, isHardened && ok1 && ok2 && ok3 && change <= 1
}

func parseStep(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	return uint32(n), err == nil && strconv.FormatUint(n, 10) == text
}
