package evm

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// The client has these capabilities beside chain.Reader.
var (
	_ chain.Client       = (*Client)(nil)
	_ chain.FeeBumper    = (*Client)(nil)
	_ chain.FeeEstimator = (*Client)(nil)
	_ chain.DryRunner    = (*Client)(nil)
)

// caller makes one JSON-RPC call and decodes its result into out. A refusal by
// the node is an *RPCError; what may be cured by asking again wraps
// chain.ErrTransient.
type caller interface {
	call(ctx context.Context, method string, out any, params ...any) error
}

// oneCall is the caller of a Client. What a writer asks is small and rare, so
// encoding/json does.
type oneCall struct{ client *Client }

func (o oneCall) call(ctx context.Context, method string, out any, params ...any) error {
	var raw []byte
	if err := o.client.one(ctx, newCall(method, intoRaw(&raw), params...)); err != nil {
		return err
	}
	if json.Unmarshal(raw, out) != nil {
		return &DecodeError{Reason: "unexpected result of " + method}
	}
	return nil
}

// writer is the half of a Client that makes transactions. It has no state: what
// is taken and what was sent is in the intent and on the chain.
type writer struct {
	node    caller
	chain   uint64 // the EIP-155 number
	coin    chain.Asset
	legacy  bool
	opStack bool
	highest uint256.Int
}

func (c *Client) writer() writer {
	preset := c.cfg.Preset
	return writer{
		node: oneCall{c}, chain: c.number, coin: preset.Info.Native,
		legacy: preset.Legacy, opStack: preset.OPStack,
		highest: c.cfg.highestPrice(),
	}
}

// highestPrice is Config.MaxGasPrice, at most absurdPrice.
func (c Config) highestPrice() uint256.Int {
	top := chain.NewAmount(absurdPrice)
	if !c.MaxGasPrice.IsZero() {
		top = top.Min(c.MaxGasPrice)
	}
	word := top.Bytes32()
	return *new(uint256.Int).SetBytes32(word[:])
}

// Prepare makes a transaction of an intent with exactly one move, whose source
// pays the fee itself. Everything it depends on is asked at the newest block.
//
// The nonce is the lowest that neither the chain nor a lock in Intent.Taken
// has used, or the one in Intent.Reuse (chain.ErrLockSpent where that is
// mined). A token transfer is tried by eth_call before anything else; where
// only the coin for its fee is missing, the draft says so in Needs.
//
// The draft's intent has the amount that the receiver gets. A sweep of the native
// coin (All) to an account without code gives up exactly that and the draft's
// Fee, so that nothing stays behind.
//
// Errors: *chain.FormatError (a part of the intent, by name),
// chain.ErrUnsupported, *chain.InsufficientFundsError, *chain.FeeTooHighError,
// *chain.RevertError, and those of the node.
func (c *Client) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	return c.writer().prepare(ctx, in, nil)
}

// Sign has the draft signed by the key of its source. It checks that the
// payload still does what the draft's intent says, and that the signature is
// the source's own with a low s. It asks the node nothing.
//
// Errors: *chain.FormatError for a draft that was changed, the signer's own,
// chain.ErrInvalidSignature.
func (c *Client) Sign(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	return c.writer().sign(ctx, d, s)
}

func badDraft(format string, args ...any) error {
	return &chain.FormatError{What: "draft", Reason: fmt.Sprintf(format, args...)}
}

func (w writer) sign(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	t, err := w.verify(d)
	if err != nil {
		return chain.Signed{}, err
	}
	m := d.Intent.Moves[0]
	request := chain.SignRequest{
		Chain: d.Chain, Purpose: chain.SignTransaction, Scheme: chain.ECDSA,
		Key: m.From.Key, Payload: slices.Clone(d.Payload), Approval: d.Intent.Approval,
	}
	switch {
	case m.Own != nil:
		request.Own = []chain.OwnTarget{{Address: m.To, Key: *m.Own}}
	case d.Intent.Purpose == chain.PurposeCancel:
		request.Own = []chain.OwnTarget{{Address: m.From.Address, Key: m.From.Key}}
	}
	signatures, err := s.Sign(ctx, []chain.SignRequest{request})
	if err != nil {
		return chain.Signed{}, err
	}
	if len(signatures) != 1 {
		return chain.Signed{}, fmt.Errorf("evm: %d signatures for one request: %w", len(signatures), chain.ErrInvalidSignature)
	}
	return seal(d, t, signatures[0])
}

// verify decodes the payload of a draft and compares it with the intent. A
// draft may have been stored; what would be signed must be what was meant.
func (w writer) verify(d chain.Draft) (*transaction, error) {
	switch {
	case d.Chain != w.coin.Chain():
		return nil, badDraft("made for %s, this is %s", d.Chain, w.coin.Chain())
	case len(d.Needs) > 0:
		return nil, badDraft("has unmet needs")
	case len(d.Payload) == 0 || len(d.Payload) > maxPayload:
		return nil, badDraft("a payload of %d bytes", len(d.Payload))
	}
	m, err := w.only(d.Intent)
	if err != nil {
		return nil, err
	}
	t, err := decodeTx(d.Payload)
	if err != nil {
		return nil, err
	}
	effects, err := t.effects(w.chain)
	if err != nil {
		return nil, err
	}
	want := chain.Effect{To: m.To, Asset: m.Asset.ID, Amount: m.Amount}
	lock := nonceLock(m.From.Address, t.Nonce)
	switch {
	case effects.Effects[0] != want:
		return nil, badDraft("the payload pays %v, the intent %v", effects.Effects[0], want)
	case d.Fee.Less(effects.MaxFee):
		return nil, badDraft("the payload may cost %s, the draft says %s", effects.MaxFee, d.Fee)
	case len(d.Locks) != 1 || d.Locks[0] != lock:
		return nil, badDraft("the payload consumes %s, the draft says %v", lock, d.Locks)
	}
	return t, nil
}

// seal puts a checked signature to the transaction.
func seal(d chain.Draft, t *transaction, signature []byte) (chain.Signed, error) {
	from := d.Intent.Moves[0].From.Address
	signer, err := recoverSigner(keccak256(d.Payload), signature)
	if err != nil {
		return chain.Signed{}, err
	}
	if want, err := parseAddress(string(from)); err != nil || signer != want {
		return chain.Signed{}, fmt.Errorf("evm: signed by %s, not by %s: %w", checksummed(signer), from, chain.ErrInvalidSignature)
	}
	r, s := new(uint256.Int).SetBytes(signature[:32]), new(uint256.Int).SetBytes(signature[32:64])
	raw, err := t.signed(r, s, signature[64])
	if err != nil {
		return chain.Signed{}, err
	}
	return chain.Signed{Chain: d.Chain, ID: txID(raw), Raw: raw, Locks: slices.Clone(d.Locks)}, nil
}

// txID is the hash of a signed transaction, as nodes write it.
func txID(raw []byte) chain.TxID {
	sum := keccak256(raw)
	return chain.TxID(hexBytes(sum[:]))
}

func hexBytes(b []byte) string { return "0x" + hex.EncodeToString(b) }

// recoverSigner returns whose signature of the digest it is: 32 bytes r, 32
// bytes s, one byte 0 or 1. A high s is refused (EIP-2): the same signature
// would have a second form, and the transaction a second id.
func recoverSigner(digest [32]byte, signature []byte) (address [addressLength]byte, err error) {
	bad := func(reason string) ([addressLength]byte, error) {
		return address, fmt.Errorf("evm: %s: %w", reason, chain.ErrInvalidSignature)
	}
	if len(signature) != 65 || signature[64] > 1 {
		return bad("want 65 bytes with a recovery id of 0 or 1")
	}
	var s secp256k1.ModNScalar
	if s.SetByteSlice(signature[32:64]) || s.IsOverHalfOrder() {
		return bad("s is not in the lower half")
	}
	// The compact form has the recovery id first, offset by 27.
	compact := append([]byte{27 + signature[64]}, signature[:64]...)
	key, _, err := ecdsa.RecoverCompact(compact, digest[:])
	if err != nil {
		return bad("no signature of this payload")
	}
	raw, err := codec{}.FromPublicKey(nil, key.SerializeUncompressed())
	if err != nil {
		return bad("no signature of this payload")
	}
	return [addressLength]byte(raw), nil
}
