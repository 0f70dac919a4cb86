package hdwallet

import (
	"bytes"
	"context"
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// The rules by which a signature of a deposit's key is refused where that is offline.
const (
	// RuleOffline: it would have to be made now.
	RuleOffline = "offline"
	// RuleAuthorisation: it should have been made before, and was not.
	RuleAuthorisation = "authorisation"
)

// PresignedSigner is what Presigned makes.
type PresignedSigner struct {
	inner chain.Signer
	set   *Authorisations
}

var _ chain.OfflineSigner = (*PresignedSigner)(nil)

// Presigned puts authorisations that were signed before in front of a signer that has no
// deposits' keys, in this process or another one: a request for an authorisation of a
// deposit address of the set's wallets is answered from the set, every other request of
// such an address is refused, and all others are the inner signer's business. It belongs
// into the gateway's process, around a client of a remote signer too: a gateway that does
// not see which keys are offline sends gas to their addresses. The set may grow meanwhile.
// It is safe for concurrent use. A missing argument is a *ConfigError.
func Presigned(inner chain.Signer, set *Authorisations) (*PresignedSigner, error) {
	switch {
	case inner == nil:
		return nil, &ConfigError{Field: "inner", Reason: "required"}
	case set == nil || set.spans == nil:
		return nil, &ConfigError{Field: "set", Reason: "want one that NewAuthorisations made"}
	}
	return &PresignedSigner{inner: inner, set: set}, nil
}

// Offline implements chain.OfflineSigner: the deposits' keys of the set's wallets, and what
// the inner signer says.
func (p *PresignedSigner) Offline(key chain.KeyRef) bool {
	if _, _, deposit := p.set.deposit(key); deposit {
		return true
	}
	inner, ok := p.inner.(chain.OfflineSigner)
	return ok && inner.Offline(key)
}

// Sign implements chain.Signer. What is refused here is refused before the inner signer is
// asked: a *chain.SourcesError with a *chain.PolicyError for each request, whose Key it
// has. Its rule is RuleAuthorisation where nothing is signed for that address, or for
// another contract, chain or nonce: an account has another nonce than 0 once it delegates
// or has sent something. It is RuleOffline for everything else. Each signature is
// verified again before it is handed out. Errors of the inner signer are passed on.
func (p *PresignedSigner) Sign(ctx context.Context, requests []chain.SignRequest) ([][]byte, error) {
	out := make([][]byte, len(requests))
	var asked []chain.SignRequest
	var places []int
	refused := &chain.SourcesError{}
	for i, r := range requests {
		if _, _, deposit := p.set.deposit(r.Key); !deposit {
			asked, places = append(asked, r), append(places, i)
			continue
		}
		signature, err := p.set.signature(r)
		if err != nil {
			refused.Sources = append(refused.Sources, p.set.source(r, err))
			continue
		}
		out[i] = signature
	}
	if len(refused.Sources) > 0 {
		return nil, refused
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("hdwallet: signing: %w", err)
	}
	if len(asked) == 0 {
		return out, nil
	}
	answers, err := p.inner.Sign(ctx, asked)
	switch {
	case err != nil:
		return nil, err
	case len(answers) != len(asked):
		return nil, fmt.Errorf("%w: %d signatures for %d requests", chain.ErrInvalidSignature, len(answers), len(asked))
	}
	for i, at := range places {
		out[at] = answers[i]
	}
	return out, nil
}

// signature answers a request for a deposit's key.
func (a *Authorisations) signature(r chain.SignRequest) ([]byte, *chain.PolicyError) {
	account, index, _ := a.deposit(r.Key)
	b, known := a.bound[r.Chain]
	switch {
	case r.Purpose != chain.SignAuthorization || r.Scheme != chain.ECDSA:
		return nil, refuse(RuleOffline, "the key is offline, and signs no %s", r.Purpose)
	case !known || a.chains[r.Chain].coinType != account.coinType:
		return nil, refuse(RuleAuthorisation, "nothing is signed for %q", r.Chain)
	case !sameText(r.Payload, b.payload):
		return nil, refuse(RuleAuthorisation, "%s", a.otherwise(r, &b))
	}
	kept := a.find(spanKey{r.Chain, account.deposits}, index)
	if kept == nil {
		return nil, refuse(RuleAuthorisation, "nothing is signed for this address")
	}
	public, err := account.PublicKey(0, index)
	if err != nil {
		return nil, refuse(RuleAuthorisation, "%v", err)
	}
	if reason := refuseSignature(kept, b.digest, public); reason != "" {
		return nil, refuse(RuleAuthorisation, "what is signed was damaged: %s", reason)
	}
	return bytes.Clone(kept), nil
}

// sameText compares what is no secret.
func sameText(given, public []byte) bool { return bytes.Equal(given, public) }

// otherwise says in what a payload is not the one that is signed.
func (a *Authorisations) otherwise(r chain.SignRequest, b *block) string {
	effects, _, err := a.chains[r.Chain].decode(r)
	switch {
	case err != nil:
		return err.Error()
	case effects.Delegate != b.contract:
		return fmt.Sprintf("signed is a delegation to %s, not to %s", b.contract, effects.Delegate)
	}
	return fmt.Sprintf("signed is a delegation at nonce 0, the account's is another one by now (%s)", effects.Once)
}

// source tells who was refused.
func (a *Authorisations) source(r chain.SignRequest, refused *chain.PolicyError) *chain.SourceError {
	refused.Key = r.Key
	out := &chain.SourceError{Reason: refused.Error(), Err: refused}
	account, index, _ := a.deposit(r.Key)
	public, err := account.PublicKey(0, index)
	if err != nil || a.chains[r.Chain] == nil {
		return out // the key tells who it is
	}
	if out.Account, err = a.chains[r.Chain].address(public); err != nil {
		out.Account = ""
	}
	return out
}
