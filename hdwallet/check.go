package hdwallet

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bursar-go/bursar/chain"
)

// check judges the requests of one batch.
type check struct {
	*Signer
	// now is one time for the whole batch.
	now time.Time
	// spent are the payouts that this batch already pays.
	spent map[string]bool
	// out is what each request takes out of the wallets, in their order.
	out []outflow
}

func (s *Signer) newCheck() (*check, error) {
	c := &check{Signer: s, spent: make(map[string]bool)}
	err := guard("clock", func() error { c.now = s.now(); return nil })
	return c, err
}

// request applies every rule to one request. Errors are *chain.PolicyError or
// what a codec returned.
func (c *check) request(r chain.SignRequest) (signable, error) {
	// The caller may not change what is signed while it is being judged.
	r.Payload = bytes.Clone(r.Payload)
	r.Own = slices.Clone(r.Own)
	if r.Approval != nil {
		approval := *r.Approval
		approval.Signature = bytes.Clone(approval.Signature)
		r.Approval = &approval
	}
	policy := c.chains[r.Chain]
	switch {
	case policy == nil:
		return signable{}, refuse("chain", "no chain %q in the policy", r.Chain)
	case r.Scheme != chain.ECDSA:
		return signable{}, refuse("scheme", "%q, these keys sign ecdsa", r.Scheme)
	case r.Purpose != chain.SignTransaction && r.Purpose != chain.SignAuthorization:
		return signable{}, refuse("purpose", "unknown purpose %q", r.Purpose)
	}
	key, self, err := c.find(policy, r.Key)
	switch {
	case err != nil:
		return signable{}, err
	case c.Offline(r.Key):
		return signable{}, refuse(RuleOffline, "the key of %s is not here", self)
	}
	effects, digest, err := policy.decode(r)
	if err != nil {
		return signable{}, err
	}
	out, err := c.permits(policy, &r, self, &effects)
	if err != nil {
		return signable{}, err
	}
	out.key = outflowKey(r.Chain, self, &effects, digest)
	c.out = append(c.out, out)
	return signable{key: key, digest: digest}, nil
}

// outflowKey is the same for payloads of an account of which at most one can take
// effect, as far as they say so. The account is part of it: payloads of two
// accounts can be the same to the last byte.
func outflowKey(id chain.ID, self chain.Address, effects *chain.Effects, digest [32]byte) string {
	if effects.Once == "" {
		return fmt.Sprintf("%s %s %x", id, self, digest)
	}
	return fmt.Sprintf("%s %s once %s", id, self, effects.Once)
}

// permits applies the rules to what a payload would do, and returns what of it
// leaves the wallets.
func (c *check) permits(policy *chainPolicy, r *chain.SignRequest, self chain.Address, effects *chain.Effects) (out outflow, err error) {
	// Payloads of many chains do not name their sender: the signature does. One
	// that names another account would be worthless at best.
	if effects.From != "" && effects.From != self {
		return out, refuse("sender", "the payload is from %s, the key is that of %s", effects.From, self)
	}
	if policy.maxFee != nil && policy.maxFee.Less(effects.MaxFee) {
		return out, refuse("fee", "up to %s base units, the limit is %s", effects.MaxFee, policy.maxFee)
	}
	if err := policy.delegate(r, effects); err != nil {
		return out, err
	}
	if effects.Contract != "" && effects.Contract != policy.contract {
		return out, refuse("contract", "%s is not the contract of this policy, %q is", effects.Contract, policy.contract)
	}
	own, err := c.ownTargets(policy, r.Own)
	if err != nil {
		return out, err
	}
	if coin, limited := c.limits.coins[r.Chain]; limited {
		if err := c.limits.add(&out, coin, effects.MaxFee); err != nil {
			return out, err
		}
	}
	for i := range effects.Effects {
		e := &effects.Effects[i]
		if e.Asset.Chain() != r.Chain {
			return out, refuse("asset", "%q is not of chain %s", e.Asset, r.Chain)
		}
		switch {
		case e.From != "" && effects.Contract == "":
			return out, refuse("sender", "moves what %s has, by no contract that is known", e.From)
		case e.From != "" && !policy.treasury[e.To]:
			// No approval is for money that somebody else's account has.
			return out, refuse("treasury", "a batch pays %s, which is no treasury", e.To)
		case e.From == "" && (e.To == self || own[e.To]):
			continue
		case !policy.treasury[e.To]:
			if err := c.approval(r.Approval, e); err != nil {
				return out, err
			}
			out.approval = r.Approval
		}
		if err := c.limits.add(&out, e.Asset, e.Amount); err != nil {
			return out, err
		}
	}
	return out, nil
}

// delegate checks what a payload binds the account to, and that it has the
// content that its purpose promises.
func (p *chainPolicy) delegate(r *chain.SignRequest, effects *chain.Effects) error {
	purpose, listed := r.Purpose, p.delegates[effects.Delegate]
	ours := effects.Delegate != "" && effects.Delegate == p.contract
	switch {
	case effects.Delegate != "" && !listed && !ours:
		return refuse("delegate", "%s is neither the contract of this policy nor on the list", effects.Delegate)
	case ours && !listed && !depositPath(r.Key.Path):
		return refuse("delegate", "%s is no deposit address: only those delegate to the contract that collects", r.Key.Path)
	case purpose == chain.SignAuthorization && effects.Delegate == "":
		return refuse("delegate", "an authorisation that names no delegate")
	case purpose == chain.SignAuthorization && len(effects.Effects) > 0:
		return refuse("purpose", "an authorisation that moves money")
	case purpose == chain.SignAuthorization && effects.Contract != "":
		return refuse("purpose", "an authorisation that calls a contract")
	case purpose == chain.SignTransaction && effects.Delegate != "":
		return refuse("purpose", "a transaction that binds its own account")
	case purpose == chain.SignTransaction && len(effects.Effects) == 0 && effects.Contract == "":
		return refuse("payload", "a transaction of which no effect is known")
	}
	return nil
}

// depositPath reports whether a key is that of a deposit address, whose money the
// contract is to collect. The gateway's own accounts never delegate: an account that
// does has at most one transaction in pools.
func depositPath(path string) bool {
	_, change, _, ok := parsePath(path)
	return ok && change == 0
}

// ownTargets derives each claimed address again. A false claim is no mistake to
// pass over, even where nothing is paid to it.
func (c *check) ownTargets(policy *chainPolicy, claims []chain.OwnTarget) (map[chain.Address]bool, error) {
	own := make(map[chain.Address]bool, len(claims))
	for _, claim := range claims {
		_, address, err := c.find(policy, claim.Key)
		if err != nil {
			return nil, err
		}
		if address != claim.Address {
			return nil, refuse("own", "%s is claimed to be ours, but %s is %s", claim.Address, claim.Key.Path, address)
		}
		own[address] = true
	}
	return own, nil
}

// approval checks that e is exactly what an approver signed.
func (c *check) approval(a *chain.Approval, e *chain.Effect) error {
	if a == nil {
		return refuse("treasury", "%s is neither a treasury nor an own address, and there is no approval", e.To)
	}
	switch {
	case !singleLine(a.Payout), !singleLine(string(a.Asset)), !singleLine(string(a.To)):
		// The signed message has a line per field; a field with a line break
		// could be read as another approval.
		return refuse("approval", "a field that is empty or has control characters")
	case a.To != e.To:
		return refuse("approval", "approved for %s, pays %s", a.To, e.To)
	case a.Asset != e.Asset:
		return refuse("approval", "approved for %s, pays %s", a.Asset, e.Asset)
	case a.Amount != e.Amount:
		return refuse("approval", "approved for %s base units, pays %s", a.Amount, e.Amount)
	case c.now.After(a.NotAfter.Truncate(time.Second)):
		// The message has whole seconds, so fractions are not signed.
		return refuse("approval", "ended %s", a.NotAfter.UTC().Format(time.RFC3339))
	}
	message := a.Message()
	if !slices.ContainsFunc(c.approvers, func(key ed25519.PublicKey) bool {
		return ed25519.Verify(key, message, a.Signature)
	}) {
		return refuse("approval", "no approver's signature")
	}
	if c.spent[a.Payout] {
		return refuse("approval", "payout %q is paid twice", a.Payout)
	}
	c.spent[a.Payout] = true
	return nil
}

func singleLine(text string) bool {
	return text != "" && !strings.ContainsFunc(text, unicode.IsControl)
}

// find returns the key that ref names, and its address on the chain. The path
// must be the one that the chain has: a key of another coin type could sign a
// valid transaction that nobody looks for.
func (c *check) find(policy *chainPolicy, ref chain.KeyRef) (*signingKey, chain.Address, error) {
	if ref.Path == singlePath {
		return c.single(policy, ref)
	}
	coinType, change, index, ok := parsePath(ref.Path)
	if !ok || coinType != policy.coinType {
		return nil, "", refuse("key", "%q is no path of this chain, want m/44'/%d'/0'/change/index", ref.Path, policy.coinType)
	}
	account := c.accounts[ref.Wallet]
	if account == nil || account.public.CoinType() != coinType {
		return nil, "", refuse("key", "no wallet %q with coin type %d", ref.Wallet, coinType)
	}
	public, err := account.public.PublicKey(change, index)
	if err != nil {
		return nil, "", refuse("key", "%v", err)
	}
	branch, err := account.public.branch(change)
	if err != nil {
		return nil, "", refuse("key", "%v", err)
	}
	address, err := policy.address(public)
	if err != nil {
		return nil, "", err
	}
	return &signingKey{account: account, branch: branch, index: index, public: public}, address, nil
}

// single is find for a key outside the wallets.
func (c *check) single(policy *chainPolicy, ref chain.KeyRef) (*signingKey, chain.Address, error) {
	k := c.keys[ref.Wallet]
	if k == nil {
		return nil, "", refuse("key", "no key %q", ref.Wallet)
	}
	address, err := policy.address(k.public[:])
	if err != nil {
		return nil, "", err
	}
	return &signingKey{single: k, public: k.public[:]}, address, nil
}

// address returns the canonical address of a public key.
func (p *chainPolicy) address(public []byte) (address chain.Address, err error) {
	err = guard("codec", func() error {
		raw, err := p.codec.FromPublicKey(nil, bytes.Clone(public))
		if err != nil {
			return refuse("codec", "%v", err)
		}
		address, err = p.codec.Format(raw)
		if err != nil {
			return refuse("codec", "%v", err)
		}
		return nil
	})
	if err == nil && address == "" {
		err = refuse("codec", "an empty address")
	}
	return address, err
}

// decode returns what a payload would do and the digest to sign.
func (p *chainPolicy) decode(r chain.SignRequest) (effects chain.Effects, digest [32]byte, err error) {
	err = guard("codec", func() error {
		e, d, err := p.codec.Decode(r)
		switch {
		case err != nil:
			return refuse("payload", "%v", err)
		case len(d) != len(digest):
			return refuse("payload", "a digest of %d bytes", len(d))
		}
		effects, digest = e, [32]byte(d)
		return nil
	})
	return effects, digest, err
}
