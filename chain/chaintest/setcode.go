package chaintest

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// authorisationPrefix begins what an authority signs (EIP-7702).
const authorisationPrefix = 0x05

// authorisation is one in a draft: whose it will be stands where its signature will.
type authorisation struct {
	ChainID   uint256.Int
	Address   common.Address
	Nonce     uint64
	Authority common.Address
}

// authorisation binds an account to the sweeper, on this chain alone.
func (c *Chain) authorisation(owner common.Address, nonce uint64) *authorisation {
	a := &authorisation{Address: c.sweeper.Address(), Nonce: nonce, Authority: owner}
	a.ChainID.SetFromBig(c.number)
	return a
}

// payload returns the bytes whose hash the authority signs.
func (a authorisation) payload() []byte {
	return encoded(authorisationPrefix, []any{&a.ChainID, a.Address, a.Nonce})
}

// sign takes the authority's signature over, or says what is wrong with it.
func (a authorisation) sign(signature []byte) (out types.SetCodeAuthorization, err error) {
	if len(signature) != 65 {
		return out, fmt.Errorf("want a signature of 65 bytes: %w", chain.ErrInvalidSignature)
	}
	out = types.SetCodeAuthorization{ChainID: a.ChainID, Address: a.Address, Nonce: a.Nonce, V: signature[64]}
	out.R.SetBytes(signature[:32])
	out.S.SetBytes(signature[32:64])
	// Authority refuses a high s as well.
	if by, err := out.Authority(); err != nil || by != a.Authority {
		return out, fmt.Errorf("authorisation not by %s: %w", textAddress(a.Authority), chain.ErrInvalidSignature)
	}
	return out, nil
}

// authorise has the authorisations of a draft signed, all at once.
func authorise(ctx context.Context, d chain.Draft, auths []authorisation, s chain.Signer) ([]types.SetCodeAuthorization, error) {
	if len(auths) == 0 {
		return nil, nil
	}
	keys := map[common.Address]chain.KeyRef{}
	for _, m := range d.Intent.Moves {
		if owner, ok := rawAddress(m.From.Address); ok {
			keys[owner] = m.From.Key
		}
	}
	requests := make([]chain.SignRequest, len(auths))
	for i, a := range auths {
		requests[i] = chain.SignRequest{
			Chain: d.Chain, Purpose: chain.SignAuthorization, Scheme: chain.ECDSA, Key: keys[a.Authority], Payload: a.payload(),
		}
	}
	signatures, err := s.Sign(ctx, requests)
	if err != nil {
		return nil, err
	}
	if len(signatures) != len(auths) {
		return nil, fmt.Errorf("%d signatures of %d authorisations: %w", len(signatures), len(auths), chain.ErrInvalidSignature)
	}
	out := make([]types.SetCodeAuthorization, len(auths))
	for i, a := range auths {
		if out[i], err = a.sign(signatures[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// setCode is a transaction with authorisations behind its type byte: with those of a
// draft, or with signed ones, where it is what the sponsor signs.
type setCode[A authorisation | types.SetCodeAuthorization] struct {
	ChainID    *uint256.Int
	Nonce      uint64
	Tip, Cap   *uint256.Int
	Gas        uint64
	To         common.Address
	Value      *uint256.Int
	Data       []byte
	AccessList types.AccessList
	Auths      []A
}

// withAuths is u with authorisations. Numbers of u are below 2^256: those of a
// draft with authorisations were read as such.
func withAuths[A authorisation | types.SetCodeAuthorization](u unsigned, auths []A) *setCode[A] {
	word := func(n *big.Int) *uint256.Int {
		out := new(uint256.Int)
		out.SetFromBig(n)
		return out
	}
	return &setCode[A]{
		ChainID: word(u.ChainID), Nonce: u.Nonce, Tip: word(u.Tip), Cap: word(u.Cap), Gas: u.Gas,
		To: u.To, Value: word(u.Value), Data: u.Data, AccessList: u.AccessList, Auths: auths,
	}
}

// draft returns the bytes that a draft keeps: the payload where nothing has to be
// signed before it is known.
func (u unsigned) draft(auths []authorisation) []byte {
	if len(auths) == 0 {
		return u.payload()
	}
	return encoded(types.SetCodeTxType, withAuths(u, auths))
}

// readDraft is the inverse of draft.
func readDraft(payload []byte) (u unsigned, auths []authorisation, err error) {
	if !bytes.HasPrefix(payload, []byte{types.SetCodeTxType}) {
		u, err = readUnsigned(payload)
		return u, nil, err
	}
	var l setCode[authorisation]
	if err := rlp.DecodeBytes(payload[1:], &l); err != nil {
		return u, nil, &chain.FormatError{What: "payload", Text: hexutil.Encode(payload), Reason: err.Error()}
	}
	u = unsigned{
		ChainID: l.ChainID.ToBig(), Nonce: l.Nonce, Tip: l.Tip.ToBig(), Cap: l.Cap.ToBig(), Gas: l.Gas,
		To: l.To, Value: l.Value.ToBig(), Data: l.Data, AccessList: l.AccessList,
	}
	return u, l.Auths, nil
}

// authorised returns what the sponsor signs, and the transaction without its
// signature.
func (u unsigned) authorised(auths []types.SetCodeAuthorization) (payload []byte, t *types.Transaction) {
	if len(auths) == 0 {
		return u.payload(), u.transaction()
	}
	l := withAuths(u, auths)
	return encoded(types.SetCodeTxType, l), types.NewTx(&types.SetCodeTx{
		ChainID: l.ChainID, Nonce: l.Nonce, GasTipCap: l.Tip, GasFeeCap: l.Cap, Gas: l.Gas,
		To: l.To, Value: l.Value, Data: l.Data, AccessList: l.AccessList, AuthList: auths,
	})
}

// encoded is a list behind its type byte.
func encoded(kind byte, list any) []byte {
	body, err := rlp.EncodeToBytes(list)
	if err != nil {
		// All fields are set by us and none is negative.
		panic("chaintest: " + err.Error())
	}
	return append([]byte{kind}, body...)
}

// signBatch has the accounts that delegate sign first, all in one call of the signer,
// and then the sponsor what has their authorisations in it.
func (c *Chain) signBatch(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
	b, err := c.readBatch(d.Intent)
	if err != nil {
		return chain.Signed{}, err
	}
	u, auths, err := readDraft(d.Payload)
	if err != nil {
		return chain.Signed{}, err
	}
	if err := c.verifyBatch(b, d, u, auths); err != nil {
		return chain.Signed{}, err
	}
	given, err := authorise(ctx, d, auths, s)
	if err != nil {
		return chain.Signed{}, err
	}
	payload, t := u.authorised(given)
	signatures, err := s.Sign(ctx, []chain.SignRequest{{
		Chain: d.Chain, Purpose: chain.SignTransaction, Scheme: chain.ECDSA,
		Key: d.Intent.FeePayer.Key, Payload: payload, Approval: d.Intent.Approval,
	}})
	if err != nil {
		return chain.Signed{}, err
	}
	return c.join(d, t, textAddress(b.sponsor), signatures)
}

// verifyBatch checks that a draft, which may have been stored, still does what its
// intent says.
func (c *Chain) verifyBatch(b *batch, d chain.Draft, u unsigned, auths []authorisation) error {
	bad := func(reason string) error { return &chain.FormatError{What: "draft", Reason: reason} }
	data, err := b.call()
	if err != nil {
		return err
	}
	cost, err := chain.AmountFromBig(u.Cap)
	if err == nil {
		cost, err = cost.Mul(u.Gas)
	}
	sources := map[common.Address]bool{}
	for _, p := range b.moves {
		sources[p.from] = true
	}
	switch {
	case err != nil || d.Fee.Less(cost):
		return bad("the payload may cost more than the draft says")
	case u.ChainID.Cmp(c.number) != 0 || u.To != c.sweeper.Address() || u.Value.Sign() != 0 || len(u.AccessList) > 0 || !slices.Equal(u.Data, data):
		return bad("the payload is not what the intent says")
	case !slices.Equal(d.Locks, batchLocks(b.sponsor, u.Nonce, auths)):
		return bad("the payload consumes other locks than the draft says")
	}
	for _, a := range auths {
		if !sources[a.Authority] || a.ChainID.CmpBig(c.number) != 0 || a.Address != c.sweeper.Address() {
			return bad("an authorisation is none of a source for the sweeper")
		}
		sources[a.Authority] = false
	}
	return nil
}

// FrontRun has the named payer use up the authorisations of a waiting transaction, as
// anybody can who sees them: a transaction of its own with the same ones, which comes
// before all that waits. It is false where that transaction does not wait, or has none.
func (c *Chain) FrontRun(payer string, id chain.TxID) (chain.TxID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.onDemand()
	t := c.pool.find(id)
	if t == nil || len(t.raw.SetCodeAuthorizations()) == 0 {
		return "", false
	}
	p, offer := c.payer(payer), c.fees.ordinary()
	u := unsigned{
		ChainID: c.number, Nonce: c.pendingNonce(c.head().world, p.address), To: p.address, Value: new(big.Int),
		Tip: offer.tip.Big(), Cap: offer.cap.Big(), Gas: payerGas(nil) + authorisationGas(t.raw),
	}
	_, own := u.authorised(t.raw.SetCodeAuthorizations())
	signed, err := types.SignTx(own, c.signer, p.key)
	if err != nil {
		panic("chaintest: " + err.Error())
	}
	first, err := c.newTx(signed)
	if err == nil {
		err = c.submit(first)
	}
	if err != nil {
		panic(fmt.Sprintf("chaintest: FrontRun: payer %s: %v", payer, err))
	}
	c.pool.remove(func(o *tx) bool { return o == first })
	c.pool.waiting = slices.Insert(c.pool.waiting, 0, first)
	return first.id, true
}
