package chain

import (
	"context"
	"fmt"
	"time"
)

// SignPurpose says what kind of message is signed.
type SignPurpose string

// What a Signer is asked to sign.
const (
	// SignTransaction is a transaction of the key's own account.
	SignTransaction SignPurpose = "transaction"
	// SignAuthorization is an EIP-7702 authorisation.
	SignAuthorization SignPurpose = "authorization"
)

// Scheme is a signature scheme.
type Scheme string

// The schemes in use.
const (
	// ECDSA returns 65 bytes: r, s (low) and the recovery id 0 or 1.
	ECDSA Scheme = "ecdsa"
	// BIP340 returns the 64 bytes of a Schnorr signature.
	BIP340 Scheme = "bip340"
	// EdDSA returns the 64 bytes of an Ed25519 signature of the full message.
	EdDSA Scheme = "eddsa"
)

// Signer turns unsigned payloads into signatures. Keys stay behind it. It gets
// the payload, not a digest: a policy signer decodes it with the chain's Codec,
// checks each effect, and computes the digest by itself.
//
// Implementations are safe for concurrent use. A refusal is a *PolicyError; one
// refused request refuses the whole batch, and nothing is signed; PolicyError.Key says
// which, so that the others can be asked for without it. Where it knows of several it
// may say so at once: a *SourcesError with a *PolicyError for each. A signer that cannot
// be reached is ErrSignerUnavailable.
type Signer interface {
	Sign(ctx context.Context, requests []SignRequest) (signatures [][]byte, err error)
}

// OfflineSigner is a Signer that knows of keys which are kept elsewhere, and sign
// nothing when it is asked: what there is of them was signed before.
type OfflineSigner interface {
	Signer
	// Offline reports whether that key is such a one, so that nothing is begun which
	// would need a transaction of its account: gas that is sent to it would only lie
	// there. It asks nobody, and its answer does not change.
	Offline(key KeyRef) bool
}

// OwnTarget claims that an address among a payload's targets is ours. A signer
// derives the address again from the key before it believes it.
type OwnTarget struct {
	// Address is the claim, Key the proof.
	Address Address
	Key     KeyRef // Key is the proof.
}

// SignRequest is one message to sign.
type SignRequest struct {
	// Chain is where the message is valid.
	Chain ID
	// Purpose is the kind of message, Scheme the kind of signature.
	Purpose SignPurpose
	Scheme  Scheme // Scheme is the kind of signature.
	// Key is whose signature is wanted.
	Key KeyRef
	// Payload is the unsigned message in the chain's own encoding.
	Payload []byte
	// Own are the targets that are claimed to be ours.
	Own []OwnTarget
	// Approval is set where a stranger is paid.
	Approval *Approval
}

// Approval permits one payout to a stranger. Its signature is made by a key
// that the gateway's process does not hold.
type Approval struct {
	// Payout is the payout's id.
	Payout string `json:"payout"`
	// Asset, To and Amount are what may be paid, exactly.
	Asset  AssetID `json:"asset"`
	To     Address `json:"to"`     // To is the receiver.
	Amount Amount  `json:"amount"` // Amount is how much, in base units.
	// NotAfter is when the approval ends.
	NotAfter time.Time `json:"not_after"`
	// Signature is an Ed25519 signature of Message.
	Signature []byte `json:"signature"`
}

// Message returns the bytes that an approver signs: one line per field. Text
// that comes from elsewhere stands behind its length, so that no content of one
// field, a line break least of all, can pass for another one: two approvals
// share a message only where they permit the same. NotAfter counts to the
// second.
func (a Approval) Message() []byte {
	m := []byte("bursar payout approval v1\n")
	for _, text := range []string{a.Payout, string(a.Asset), string(a.To)} {
		m = fmt.Appendf(m, "%d:%s\n", len(text), text)
	}
	return fmt.Appendf(m, "%s\n%s\n", a.Amount, a.NotAfter.UTC().Format(time.RFC3339))
}

// Effect is one movement that a payload would cause.
type Effect struct {
	// From pays where it is not the account whose key signs, as in a batch; empty
	// otherwise.
	From Address
	// To receives Amount of Asset. For a token, Asset names the contract
	// whether or not it is listed.
	To     Address
	Asset  AssetID // Asset is the CAIP-19 id.
	Amount Amount  // Amount is how much, in base units.
}

// Effects is all that a payload would do. A codec that does not understand a
// payload completely returns an error instead.
type Effects struct {
	// From is the account whose key must sign, where the payload says so.
	From Address
	// Effects are the movements.
	Effects []Effect
	// MaxFee is the most it can cost in base units of the native coin.
	MaxFee Amount
	// Locks are what it would consume, as far as the payload names whose they are.
	Locks []Lock
	// Once is what it consumes of the sender's, such as its nonce: of two payloads of
	// one sender and chain with the same text at most one can take effect. Empty
	// where the payload does not say.
	Once string
	// Delegate is the contract an authorisation binds the account to.
	Delegate Address
	// Contract is the contract of ours that the payload has move the money of others
	// (Effect.From), or that it deploys; empty in all other payloads. See ContractCodec.
	Contract Address
}

// ContractCodec is a Codec that can know the contract by which an installation
// collects from many accounts at once. It derives the contract's address from what
// it was configured with, never from what a node or a database says.
type ContractCodec interface {
	Codec
	// Contract returns the contract's address and whom alone it pays; both are empty
	// where none is configured. It is a pure function.
	Contract() (contract, treasury Address)
}
