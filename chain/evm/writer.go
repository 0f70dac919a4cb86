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
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// The client has these capabilities beside chain.Reader.
var (
	_ chain.Client       = (*Client)(nil)
	_ chain.FeeBumper    = (*Client)(nil)
	_ chain.FeeEstimator = (*Client)(nil)
	_ chain.DryRunner    = (*Client)(nil)
	_ chain.Batcher      = (*Client)(nil)
)

// caller makes one JSON-RPC call and decodes its result into out. A refusal by
// the node is an *RPCError; what may be cured by asking again wraps
// chain.ErrTransient.
type caller interface {
	call(ctx context.Context, method string, out any, params ...any) error
	// many asks several questions at once, each of which gets its own answer or
	// error. The error it returns is that of a request that failed as a whole.
	many(ctx context.Context, questions []question) error
}

// question is one of many calls: out is decoded into, err set where there is no
// answer.
type question struct {
	method string
	params []any
	out    any
	err    error
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

func (o oneCall) many(ctx context.Context, questions []question) error {
	raw := make([][]byte, len(questions))
	calls := make([]*call, len(questions))
	for i, q := range questions {
		calls[i] = newCall(q.method, intoRaw(&raw[i]), q.params...)
	}
	if err := o.client.do(ctx, calls...); err != nil {
		return err
	}
	for i := range questions {
		q := &questions[i]
		if q.err = calls[i].err; q.err == nil && json.Unmarshal(raw[i], q.out) != nil {
			q.err = &DecodeError{Reason: "unexpected result of " + q.method}
		}
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
	sweeper *contracts.Sweeper // nil: none is configured
}

func (c *Client) writer() writer {
	preset := c.cfg.Preset
	return writer{
		node: oneCall{c}, chain: c.number, coin: preset.Info.Native,
		legacy: preset.Legacy, opStack: preset.OPStack,
		highest: c.cfg.highestPrice(), sweeper: c.cfg.Sweeper,
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
// pays the fee itself. Everything it depends on is asked at the newest block. With
// Config.Sweeper it also makes one of a collection of many sources, see below.
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
// # Many sources
//
// An intent of PurposeCollection whose FeePayer is none of its sources becomes one
// call of Config.Sweeper, sent by the fee payer: each move to its treasury, all of
// one asset, each source once, amounts below 2^96. Where the contract has a sponsor,
// that is the fee payer, and Batching tells it. Sources that do not delegate to
// the contract yet do so in the same transaction (EIP-7702); their nonces are locks
// of the draft, behind the fee payer's. A source with another delegation or code, one
// that has too little, whose nonce another attempt holds (Intent.Taken), or that a
// dry run of the whole call does not sweep, is named in a *chain.SourcesError, with
// all others like it. Of Intent.Reuse the fee payer's nonce counts; those of sources
// only say whose locks may be used again.
//
// The gas is what the node estimates for all entries before refunds, and what an
// entry may use at most, but never below the model of package contracts. More than
// EIP-7825 allows is a *chain.TooManyMovesError. A contract whose code is not the
// expected one is a *SweeperCodeError.
//
// Errors: *chain.FormatError (a part of the intent, by name),
// chain.ErrUnsupported, *chain.InsufficientFundsError, *chain.FeeTooHighError,
// *chain.RevertError, and those of the node.
func (c *Client) Prepare(ctx context.Context, in chain.Intent) (chain.Draft, error) {
	return c.writer().prepare(ctx, in, nil)
}

// Sign has the draft signed by the key of its source, or of its fee payer where
// there are many sources. It checks that the payload still does what the draft's
// intent says, and that the signature is the account's own with a low s. It asks the
// node nothing.
//
// Where sources have to delegate, their authorisations are signed first, all in one
// call of the signer, and then the transaction that has them in it.
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
	if err := t.authorise(ctx, d, s); err != nil {
		return chain.Signed{}, err
	}
	payload, err := t.payload()
	if err != nil {
		return chain.Signed{}, err
	}
	from := w.sender(d.Intent)
	request := chain.SignRequest{
		Chain: d.Chain, Purpose: chain.SignTransaction, Scheme: chain.ECDSA,
		Key: from.Key, Payload: slices.Clone(payload), Approval: d.Intent.Approval,
	}
	if w.sends(d.Intent) {
		m := d.Intent.Moves[0]
		switch {
		case m.Own != nil:
			request.Own = []chain.OwnTarget{{Address: m.To, Key: *m.Own}}
		case d.Intent.Purpose == chain.PurposeCancel:
			request.Own = []chain.OwnTarget{{Address: m.From.Address, Key: m.From.Key}}
		}
	}
	answers, err := signaturesOf(ctx, s, []chain.SignRequest{request})
	if err != nil {
		return chain.Signed{}, err
	}
	return seal(d, t, from.Address, payload, answers[0])
}

// signaturesOf asks a signer once, for all requests.
func signaturesOf(ctx context.Context, s chain.Signer, requests []chain.SignRequest) ([][]byte, error) {
	signatures, err := s.Sign(ctx, requests)
	if err != nil {
		return nil, err
	}
	if len(signatures) != len(requests) {
		return nil, fmt.Errorf("evm: %d signatures for %d requests: %w", len(signatures), len(requests), chain.ErrInvalidSignature)
	}
	return signatures, nil
}

// sends reports whether the source of an intent's one move sends it itself.
func (w writer) sends(in chain.Intent) bool {
	return in.Purpose != chain.PurposeDeployment && !w.sponsored(in)
}

// sender is who signs the transaction of a checked intent.
func (w writer) sender(in chain.Intent) chain.Account {
	if w.sends(in) {
		return in.Moves[0].From
	}
	return in.FeePayer
}

// verify decodes the payload of a draft and compares it with the intent. A
// draft may have been stored; what would be signed must be what was meant.
func (w writer) verify(d chain.Draft) (*transaction, error) {
	most := maxPayload
	if !w.sends(d.Intent) {
		most = maxBatchPayload
	}
	switch {
	case d.Chain != w.coin.Chain():
		return nil, badDraft("made for %s, this is %s", d.Chain, w.coin.Chain())
	case len(d.Needs) > 0:
		return nil, badDraft("has unmet needs")
	case len(d.Payload) == 0 || len(d.Payload) > most:
		return nil, badDraft("a payload of %d bytes", len(d.Payload))
	}
	from, want, err := w.meant(d.Intent)
	if err != nil {
		return nil, err
	}
	t, err := decodeDraft(d.Payload)
	if err != nil {
		return nil, err
	}
	effects, err := t.effects(w.chain, w.sweeper)
	if err != nil {
		return nil, err
	}
	locks := append([]chain.Lock{nonceLock(from, t.Nonce)}, effects.Locks...)
	switch {
	case effects.Contract != want.Contract:
		return nil, badDraft("the payload is for the contract %q, the intent for %q", effects.Contract, want.Contract)
	case len(effects.Effects) != len(want.Effects):
		return nil, badDraft("the payload has %d movements, the intent %d", len(effects.Effects), len(want.Effects))
	case d.Fee.Less(effects.MaxFee):
		return nil, badDraft("the payload may cost %s, the draft says %s", effects.MaxFee, d.Fee)
	case !slices.Equal(d.Locks, locks):
		return nil, badDraft("the payload consumes %v, the draft says %v", locks, d.Locks)
	}
	for i := range want.Effects {
		if effects.Effects[i] != want.Effects[i] {
			return nil, badDraft("the payload pays %v, the intent %v", effects.Effects[i], want.Effects[i])
		}
	}
	return t, nil
}

// meant is who is to send the transaction of an intent, and what it is to do.
func (w writer) meant(in chain.Intent) (from chain.Address, want chain.Effects, err error) {
	switch {
	case in.Purpose == chain.PurposeDeployment:
		return w.deployment(in)
	case w.sponsored(in):
		b, err := w.batch(in)
		return b.sponsor.Address, b.effects(), err
	}
	m, err := w.only(in)
	return m.From.Address, chain.Effects{Effects: []chain.Effect{{To: m.To, Asset: m.Asset.ID, Amount: m.Amount}}}, err
}

// seal puts a checked signature to the transaction.
func seal(d chain.Draft, t *transaction, from chain.Address, payload, signature []byte) (chain.Signed, error) {
	signer, err := recoverSigner(keccak256(payload), signature)
	if err != nil {
		return chain.Signed{}, err
	}
	want, err := parseAddress(string(from))
	if err != nil {
		return chain.Signed{}, err
	}
	if err := sameSigner(signer, want); err != nil {
		return chain.Signed{}, err
	}
	r, s := new(uint256.Int).SetBytes(signature[:32]), new(uint256.Int).SetBytes(signature[32:64])
	raw, err := t.signed(r, s, signature[64])
	if err != nil {
		return chain.Signed{}, err
	}
	return chain.Signed{Chain: d.Chain, ID: txID(raw), Raw: raw, Locks: slices.Clone(d.Locks)}, nil
}

func sameSigner(got, want [addressLength]byte) error {
	if got != want {
		return fmt.Errorf("evm: signed by %s, not by %s: %w", checksummed(got), checksummed(want), chain.ErrInvalidSignature)
	}
	return nil
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
