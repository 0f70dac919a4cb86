package hdwallet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/bursar-go/bursar/chain"
)

// MaxAuthorisations is how many authorisations one block of a file may have, and how
// many a set holds: 65 bytes each.
const MaxAuthorisations = 4_000_000

// The text that authorisations are written as: blocks, one behind the other, each of a
// line that says what it is, a line for each index, and one that ends it.
const (
	authorisationsName = "bursar-authorisations"
	authorisationsEnd  = "end"
	signatureLength    = 65
	// authorisationsAtOnce is how many are signed, or verified, in one go. Kept in one
	// piece they fill what Go's allocator has for them, 32 KiB.
	authorisationsAtOnce = 504
)

// authorisationText has one form for each signature.
func authorisationText() *base64.Encoding { return base64.RawStdEncoding.Strict() }

// AuthorisationRange is which authorisations are made.
type AuthorisationRange struct {
	// Chain is where they are valid, and nowhere else.
	Chain chain.ID
	// Codec is the chain's, with the contract that the addresses are to delegate to: a
	// chain.AuthorizationCodec that knows one, as evm.CodecWith makes.
	Codec chain.Codec
	// Account has the deposit addresses, m/44'/coin'/0'/0/index. Of a combined wallet it
	// is that of the deposits' wallet.
	Account *Account
	// From is the first index, Count how many there are: 1 to MaxAuthorisations, all
	// below 2^31.
	From  uint32
	Count int // Count is how many.
}

// block is what a block of authorisations is for.
type block struct {
	chain    chain.ID
	contract chain.Address
	wallet   string
	from     uint32
	count    int
	// payload and digest are what each of them signs.
	payload, digest []byte
}

// header is the first line of a block. There is one way to write it.
func (b *block) header() string {
	return fmt.Sprintf("%s v1 chain=%s contract=%s wallet=%s nonce=0 from=%d count=%d", authorisationsName, b.chain, b.contract, b.wallet, b.from, b.count)
}

// bind finds out what is signed for a chain's contract.
func (b *block) bind(c chain.Codec) error {
	codec, ok := c.(chain.AuthorizationCodec)
	if !ok {
		return fmt.Errorf("the codec of %s knows no authorisations: %w", b.chain, chain.ErrUnsupported)
	}
	return guard("codec", func() (err error) {
		if b.contract, _ = codec.Contract(); b.contract == "" {
			return fmt.Errorf("the codec of %s knows no contract: %w", b.chain, chain.ErrUnsupported)
		}
		if b.payload, err = codec.Authorization(b.chain, 0); err != nil {
			return err
		}
		effects, digest, err := codec.Decode(b.request(chain.KeyRef{}))
		switch {
		case err != nil:
			return err
		case effects.Delegate != b.contract || len(digest) != 32:
			return fmt.Errorf("the codec of %s reads its own authorisation as one for %q", b.chain, effects.Delegate)
		}
		b.digest = bytes.Clone(digest)
		return nil
	})
}

// request asks for an authorisation of a key.
func (b *block) request(key chain.KeyRef) chain.SignRequest {
	return chain.SignRequest{
		Chain: b.chain, Purpose: chain.SignAuthorization, Scheme: chain.ECDSA, Key: key, Payload: bytes.Clone(b.payload),
	}
}

// WriteAuthorisations has a signer make the authorisations of a range of deposit
// addresses, each for nonce 0, and writes them to w, from where ReadAuthorisations has
// them. It is for the machine with the mnemonic: with them the deposits' keys need not be
// anywhere else. What is written is public keys' signatures and no secret; it lets
// whoever has it delegate those addresses to that contract, which is what they are for.
//
// The signer should be a policy signer (NewSigner), which refuses a contract that pays
// anybody but a treasury of its own configuration. Each signature is verified before it
// is written. A range that cannot be is a *ConfigError, before anything is written. Other errors are the signer's and w's; after one, what was written has no
// end and is refused when it is read. An authorisation takes about 0.4 ms.
func WriteAuthorisations(ctx context.Context, w io.Writer, s chain.Signer, r AuthorisationRange) error {
	b, err := r.check(s)
	if err != nil {
		return err
	}
	out, text := bufio.NewWriter(w), authorisationText()
	_, _ = out.WriteString(b.header() + "\n") // Flush tells
	for done := 0; done < b.count; done += authorisationsAtOnce {
		from, n := b.from+uint32(done), min(authorisationsAtOnce, b.count-done)
		requests := make([]chain.SignRequest, n)
		for i := range requests {
			requests[i] = b.request(r.Account.KeyRef(0, from+uint32(i)))
		}
		answers, err := s.Sign(ctx, requests)
		switch {
		case err != nil:
			return fmt.Errorf("hdwallet: authorisations from index %d: %w", from, err)
		case len(answers) != n:
			return fmt.Errorf("%w: %d signatures of %d authorisations", chain.ErrInvalidSignature, len(answers), n)
		}
		if at, reason := b.verify(r.Account, from, answers); reason != "" {
			return fmt.Errorf("%w: authorisation of index %d: %s", chain.ErrInvalidSignature, at, reason)
		}
		for _, a := range answers {
			_, _ = out.WriteString(text.EncodeToString(a) + "\n")
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("hdwallet: writing authorisations: %w", err)
		}
	}
	_, _ = out.WriteString(authorisationsEnd + "\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("hdwallet: writing authorisations: %w", err)
	}
	return nil
}

func (r *AuthorisationRange) check(s chain.Signer) (block, error) {
	bad := func(field, reason string) (block, error) {
		return block{}, &ConfigError{Field: field, Reason: reason}
	}
	switch {
	case s == nil:
		return bad("signer", "required")
	case r.Codec == nil:
		return bad("AuthorisationRange.Codec", "required")
	case r.Account == nil || r.Account.branches[0] == nil:
		return bad("AuthorisationRange.Account", "required")
	case r.Account.id != r.Account.deposits:
		return bad("AuthorisationRange.Account", "is that of a combined wallet; want that of the deposits' wallet")
	case r.Count < 1 || r.Count > MaxAuthorisations || r.From >= hardened || uint64(r.Count) > uint64(hardened-r.From):
		return bad("AuthorisationRange.Count", fmt.Sprintf("want 1 to %d, with all indexes below 2^31", MaxAuthorisations))
	}
	if _, err := chain.ParseID(string(r.Chain)); err != nil {
		return bad("AuthorisationRange.Chain", err.Error())
	}
	b := block{chain: r.Chain, wallet: r.Account.id, from: r.From, count: r.Count}
	if err := b.bind(r.Codec); err != nil {
		return bad("AuthorisationRange.Codec", err.Error())
	}
	return b, nil
}

// verify returns what is wrong with the signatures of indexes that follow each other,
// and at which one; no reason where all of them are right.
func (b *block) verify(account *Account, from uint32, signatures [][]byte) (at uint32, reason string) {
	stop := errors.New("stop")
	err := account.PublicKeys(0, from, len(signatures), func(index uint32, public []byte) error {
		if at, reason = index, refuseSignature(signatures[index-from], b.digest, public); reason != "" {
			return stop
		}
		return nil
	})
	if err != nil && reason == "" {
		reason = err.Error()
	}
	return at, reason
}

// refuseSignature returns what is wrong with a signature of a digest by a public key, ""
// where nothing is.
func refuseSignature(signature, digest, public []byte) string {
	if len(signature) != signatureLength {
		return fmt.Sprintf("a signature of %d bytes, want %d", len(signature), signatureLength)
	}
	var r, s secp256k1.ModNScalar
	switch {
	case signature[64] > 1:
		return "the recovery id is neither 0 nor 1"
	case r.SetByteSlice(signature[:32]) || r.IsZero():
		return "r is out of range"
	case s.SetByteSlice(signature[32:64]) || s.IsZero():
		return "s is out of range"
	case s.IsOverHalfOrder():
		return "s is not in the lower half" // the chain skips such a one without a word
	}
	var compact [signatureLength]byte
	compact[0] = 27 + signature[64]
	copy(compact[1:], signature[:64])
	key, _, err := ecdsa.RecoverCompact(compact[:], digest)
	if err != nil {
		return "it recovers to no key"
	}
	if !bytes.Equal(key.SerializeUncompressed(), public) {
		return "it is not by the key of this index, or not of this authorisation"
	}
	return ""
}
