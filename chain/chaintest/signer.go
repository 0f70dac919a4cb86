package chaintest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/ethereum/go-ethereum/crypto"

	"github.com/bursar-go/bursar/chain"
)

// Signer is a chain.Signer for tests: it holds a secp256k1 key for each account
// name, derived from a seed and the name. It decodes what it is asked to sign
// with the chain's own codec, signs the digest that the codec says, and
// remembers what it signed. It has no policy: never use it with real money.
type Signer struct {
	codec chain.Codec
	seed  string

	mu   sync.Mutex
	seen []chain.Effects
}

var _ chain.Signer = (*Signer)(nil)

// NewSigner returns a signer for the codec's family of chains. Equal seeds give
// equal accounts.
func NewSigner(codec chain.Codec, seed string) *Signer { return &Signer{codec: codec, seed: seed} }

// signerWallet is the wallet id of all its keys.
const signerWallet = "chaintest"

func (s *Signer) secret(name string) []byte {
	sum := sha256.Sum256([]byte("chaintest account " + s.seed + "/" + name))
	return sum[:]
}

// Account returns the named account. It panics where the codec is not one of a
// secp256k1 chain.
func (s *Signer) Account(name string) chain.Account {
	key, err := crypto.ToECDSA(s.secret(name))
	if err != nil {
		panic("chaintest: " + err.Error())
	}
	raw, err := s.codec.FromPublicKey(nil, crypto.FromECDSAPub(&key.PublicKey))
	if err != nil {
		panic("chaintest: " + err.Error())
	}
	address, err := s.codec.Format(raw)
	if err != nil {
		panic("chaintest: " + err.Error())
	}
	return chain.Account{Address: address, Key: chain.KeyRef{Wallet: signerWallet, Path: name}}
}

// Sign signs each request whose payload the codec understands; one that it does
// not, or a key that is not of this signer, refuses them all.
func (s *Signer) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out [][]byte
	var seen []chain.Effects
	for _, r := range requests {
		if r.Key.Wallet != signerWallet {
			return nil, &chain.PolicyError{Rule: "key", Detail: fmt.Sprintf("no wallet %q", r.Key.Wallet), Key: r.Key}
		}
		effects, digest, err := s.codec.Decode(r)
		if err != nil {
			return nil, err
		}
		key, err := crypto.ToECDSA(s.secret(r.Key.Path))
		if err != nil {
			return nil, err
		}
		signature, err := crypto.Sign(digest, key)
		if err != nil {
			return nil, err
		}
		out, seen = append(out, signature), append(seen, effects)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, seen...)
	return out, nil
}

// Signed returns the effects of everything that was signed, in order.
func (s *Signer) Signed() []chain.Effects {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// WatchSet is a chain.Watch over few addresses, for tests. It never changes.
type WatchSet struct {
	keys   [][]byte
	number map[string]uint32
	assets []chain.Asset
}

var _ chain.Watch = (*WatchSet)(nil)

// NewWatch returns the set of these addresses; the n-th of them is matched as
// n, counted from 0. It panics on an address that the codec refuses.
func NewWatch(codec chain.Codec, assets []chain.Asset, addresses ...chain.Address) *WatchSet {
	w := &WatchSet{number: map[string]uint32{}, assets: slices.Clone(assets)}
	for i, a := range addresses {
		keys, err := codec.WatchKeys(a)
		if err != nil {
			panic("chaintest: NewWatch: " + err.Error())
		}
		for _, k := range keys {
			w.keys = append(w.keys, k)
			w.number[string(k)] = uint32(i)
		}
	}
	return w
}

// Match looks a key up.
func (w *WatchSet) Match(key []byte) (uint32, bool) {
	n, ok := w.number[string(key)]
	return n, ok
}

// Len is the number of keys.
func (w *WatchSet) Len() int { return len(w.number) }

// Keys yields the keys in the order of their addresses.
func (w *WatchSet) Keys() iter.Seq[[]byte] { return slices.Values(w.keys) }

// Assets are the tokens given.
func (w *WatchSet) Assets() []chain.Asset { return slices.Clone(w.assets) }
