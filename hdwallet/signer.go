package hdwallet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/bursar-go/bursar/chain"
)

// Signer signs with the keys of mnemonic wallets what its policy permits:
//
//   - a transaction all of whose movements go to a treasury of that chain, to
//     addresses of the signer's own wallets, or are the one approved payout;
//   - a batch by which the contract that the chain's codec knows collects for a
//     treasury, and the deployment of that contract;
//   - an authorisation of a deposit address for that contract, or of any key for a
//     delegate on the list.
//
// It believes nothing it is told: it decodes the payload, derives the sender
// and each own target from the key again, verifies the approval's signature,
// and signs the digest that the decoder computed. What it does not understand
// completely it refuses, with a *chain.PolicyError.
//
// It remembers what counts toward Policy.Limits, with Policy.Journal for good. With a
// journal an approval also pays through payloads of one nonce only: what would need a
// second one needs a new approval. Without, that an approval pays once is up to the
// locks of its payout's attempts; an approval should therefore end soon.
//
// It is safe for concurrent use and prints as a label. Make one with NewSigner.
type Signer struct {
	label
	chains    map[chain.ID]*chainPolicy
	accounts  map[string]*accountKey
	keys      map[string]*Key
	approvers []ed25519.PublicKey
	now       func() time.Time
	limits    *limiter
	memory    *memory
	halted    atomic.Pointer[string]
}

var _ chain.OfflineSigner = (*Signer)(nil)

// NewSigner returns a signer for the active wallet and any number of retired
// ones; with Policy.Keys it needs none. A watch-only wallet is refused, for it would
// only seem to be able to sign. Errors are *ConfigError, and *JournalError where
// Policy.Journal cannot be read: a signer that does not know what it has signed
// signs nothing.
func NewSigner(policy Policy, wallets ...*Wallet) (*Signer, error) {
	chains, err := policy.compile()
	if err != nil {
		return nil, err
	}
	if len(wallets) == 0 && len(policy.Keys) == 0 {
		return nil, &ConfigError{Field: "wallets", Reason: "want at least one, or a key in Policy.Keys"}
	}
	limits, err := newLimiter(policy.Limits, chains)
	if err != nil {
		return nil, err
	}
	s := &Signer{label: "hdwallet.Signer", chains: chains, accounts: make(map[string]*accountKey), keys: make(map[string]*Key), now: policy.Now, limits: limits}
	if s.now == nil {
		s.now = time.Now
	}
	for _, key := range policy.Approvers {
		s.approvers = append(s.approvers, bytes.Clone(key))
	}
	var coinTypes []uint32
	for _, id := range sortedKeys(chains) {
		coinTypes = append(coinTypes, chains[id].coinType)
	}
	slices.Sort(coinTypes)
	coinTypes = slices.Compact(coinTypes)
	for i, w := range wallets {
		if err := s.add(w, coinTypes); err != nil {
			return nil, &ConfigError{Field: fmt.Sprintf("wallets[%d]", i), Reason: err.Error()}
		}
	}
	for i, k := range policy.Keys {
		switch {
		case k == nil || k.id == "":
			return nil, &ConfigError{Field: fmt.Sprintf("Policy.Keys[%d]", i), Reason: "a key that NewKey did not make"}
		case s.keys[k.id] != nil:
			return nil, &ConfigError{Field: fmt.Sprintf("Policy.Keys[%d]", i), Reason: "the same key twice"}
		}
		s.keys[k.id] = k
	}
	if err := s.remember(policy.Journal); err != nil {
		return nil, err
	}
	return s, nil
}

// add takes over the accounts of the policy's coin types; the signer can reach
// no others.
func (s *Signer) add(w *Wallet, coinTypes []uint32) error {
	switch {
	case w == nil:
		return errors.New("nil")
	case w.WatchOnly():
		return errors.New("it can only watch, a signer needs the mnemonic")
	}
	for _, coinType := range coinTypes {
		k, err := w.account(coinType)
		if err != nil {
			return err
		}
		if s.accounts[k.public.ID()] != nil {
			return errors.New("the same wallet twice")
		}
		s.accounts[k.public.ID()] = k
	}
	return nil
}

// Offline implements chain.OfflineSigner: the deposit keys of a combined wallet of which
// only the own accounts' are here.
func (s *Signer) Offline(key chain.KeyRef) bool {
	_, change, _, ok := parsePath(key.Path)
	k := s.accounts[key.Wallet]
	return ok && k != nil && k.private(change).reveal == nil
}

// signable is a request that passed all checks.
type signable struct {
	key    *signingKey
	digest [32]byte
}

// Sign implements chain.Signer. It returns one signature of 65 bytes (r, s, v;
// s in the lower half, v 0 or 1) for each request, in the same order. A refusal
// is a *chain.PolicyError that names the request by its position from 0; where
// ctx ends, the error is ctx's. With an error there are no signatures, and all
// requests are checked before the first is signed.
//
// Signatures are deterministic (RFC 6979): the same request gives the same bytes.
func (s *Signer) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	if s == nil || s.chains == nil {
		return nil, refuse("policy", "a signer that NewSigner did not make")
	}
	if reason, halted := s.Halted(); halted {
		return nil, refuse("halted", "%s", reason)
	}
	batch, err := s.newCheck()
	if err != nil {
		return nil, err
	}
	todo := make([]signable, len(requests))
	for i := range requests {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("hdwallet: signing: %w", err)
		}
		todo[i], err = batch.request(requests[i])
		if err != nil {
			return nil, atRequest(requests, i, err)
		}
	}
	// Last of the checks: what is refused for another reason has not been counted.
	if err := s.count(batch, requests); err != nil {
		return nil, err
	}
	signatures := make([][]byte, len(todo))
	for i := range todo {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("hdwallet: signing: %w", err)
		}
		if signatures[i], err = todo[i].sign(ctx); err != nil {
			return nil, fmt.Errorf("hdwallet: request %d: %w", i, err)
		}
	}
	return signatures, nil
}

// count takes a batch into account, for good where there is a journal, before the
// first of it is signed.
func (s *Signer) count(batch *check, requests []chain.SignRequest) error {
	if at, err := s.memory.unused(batch.out); err != nil {
		return atRequest(requests, at, err)
	}
	if at, err := s.limits.reserve(batch.now, batch.out); err != nil {
		return atRequest(requests, at, err)
	}
	if at, err := s.memory.record(batch.now, batch.out); err != nil {
		return atRequest(requests, at, err)
	}
	return nil
}

// atRequest says which request was refused.
func atRequest(requests []chain.SignRequest, i int, err error) error {
	var refused *chain.PolicyError
	if !errors.As(err, &refused) {
		refused = refuse("payload", "%v", err)
	}
	refused = refuse(refused.Rule, "request %d: %s", i, refused.Detail)
	refused.Key = requests[i].Key
	return refused
}

// signingKey is a key below one of the signer's accounts, or a single one.
type signingKey struct {
	single  *Key
	account *accountKey
	branch  *branch
	index   uint32
	public  []byte // 65 bytes, derived from the public half
}

// sign makes the signature. It compares the private key with the public one,
// which were computed on different ways: a fault in either must not sign for an
// address that is not ours.
func (t *signable) sign(ctx context.Context) (signature []byte, err error) {
	if t.key.single != nil && t.key.single.external != nil {
		return t.signExternal(ctx)
	}
	if t.key.single != nil {
		t.key.single.key.reveal(func(private []byte) {
			key := secp256k1.PrivKeyFromBytes(private)
			defer key.Zero()
			signature, err = t.signWith(key)
		})
		return signature, err
	}
	t.key.account.private(t.key.branch.change).reveal(func(private []byte) {
		var account secp256k1.ModNScalar
		account.SetByteSlice(private)
		defer account.Zero()
		key, ok := t.key.branch.privateKey(&account, t.key.index)
		if !ok {
			err = chain.ErrInvalidSignature
			return
		}
		defer key.Zero()
		signature, err = t.signWith(key)
	})
	return signature, err
}

func (t *signable) signWith(key *secp256k1.PrivateKey) ([]byte, error) {
	if !bytes.Equal(key.PubKey().SerializeUncompressed(), t.key.public) {
		return nil, fmt.Errorf("%w: the private key does not fit the address", chain.ErrInvalidSignature)
	}
	return ecdsaSign(key, &t.digest)
}

// ecdsaSign turns the library's layout, a first byte of 27 + recovery id and
// then r and s, into r, s and the recovery id.
func ecdsaSign(key *secp256k1.PrivateKey, digest *[32]byte) ([]byte, error) {
	compact := ecdsa.SignCompact(key, digest[:], false)
	v := compact[0] - 27
	if v > 1 {
		// r was reduced by the group order, about once in 2^127 signatures.
		return nil, fmt.Errorf("%w: no signature with a recovery id of 0 or 1", chain.ErrInvalidSignature)
	}
	return append(compact[1:], v), nil
}
