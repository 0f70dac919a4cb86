package evm

import (
	"slices"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// delegation is an authorisation together with the account that gives it, which
// its signature tells; r and s are zero while it is not signed.
type delegation struct {
	authorization
	Authority [addressLength]byte
	Parity    uint64
	R, S      uint256.Int
}

// payload returns the bytes whose hash the authority signs.
func (a *authorization) payload() ([]byte, error) { return typed(authorizationPrefix, a) }

// sign takes the authority's signature over, or says what is wrong with it.
func (d *delegation) sign(payload, signature []byte) error {
	if err := d.recover(payload, signature, d.Authority); err != nil {
		return err
	}
	d.R.SetBytes(signature[:32])
	d.S.SetBytes(signature[32:64])
	d.Parity = uint64(signature[64])
	return nil
}

func (d *delegation) recover(payload, signature []byte, want [addressLength]byte) error {
	got, err := recoverSigner(keccak256(payload), signature)
	if err != nil {
		return err
	}
	return sameSigner(got, want)
}

// The lists of EIP-7702. A draft has the authority where the signature will be:
// until it is signed, nothing else says whose authorisation it is. Both kinds of
// lists differ in the number of their fields, so that neither passes for the other.
//
// Source: https://eips.ethereum.org/EIPS/eip-7702
type (
	setCodeList[A signedAuth | draftAuth] struct {
		ChainID    uint256.Int
		Nonce      uint64
		TipCap     uint256.Int
		FeeCap     uint256.Int
		Gas        uint64
		To         []byte
		Value      uint256.Int
		Data       []byte
		AccessList []rlp.RawValue
		Auths      []A
	}
	signedSetCodeList struct {
		ChainID    uint256.Int
		Nonce      uint64
		TipCap     uint256.Int
		FeeCap     uint256.Int
		Gas        uint64
		To         []byte
		Value      uint256.Int
		Data       []byte
		AccessList []rlp.RawValue
		Auths      []signedAuth
		V          uint64
		R, S       uint256.Int
	}
	signedAuth struct {
		ChainID uint256.Int
		Address [addressLength]byte
		Nonce   uint64
		Parity  uint64
		R, S    uint256.Int
	}
	draftAuth struct {
		ChainID   uint256.Int
		Address   [addressLength]byte
		Nonce     uint64
		Authority [addressLength]byte
	}
)

func setCode[A signedAuth | draftAuth](t *transaction, auths []A) *setCodeList[A] {
	return &setCodeList[A]{
		ChainID: t.ChainID, Nonce: t.Nonce, TipCap: t.TipCap, FeeCap: t.FeeCap, Gas: t.Gas,
		To: t.To[:], Value: t.Value, Data: t.Data, Auths: auths,
	}
}

func signedAuths(list []delegation) []signedAuth {
	out := make([]signedAuth, len(list))
	for i := range list {
		d := &list[i]
		out[i] = signedAuth{ChainID: d.ChainID, Address: d.Address, Nonce: d.Nonce, Parity: d.Parity, R: d.R, S: d.S}
	}
	return out
}

// draft returns the bytes that a draft keeps: the payload where nothing has to be
// signed before it is known.
func (t *transaction) draft() ([]byte, error) {
	if len(t.Auths) == 0 {
		return t.payload()
	}
	auths := make([]draftAuth, len(t.Auths))
	for i := range t.Auths {
		d := &t.Auths[i]
		auths[i] = draftAuth{ChainID: d.ChainID, Address: d.Address, Nonce: d.Nonce, Authority: d.Authority}
	}
	return typed(setCodePrefix, setCode(t, auths))
}

// decodeDraft is the opposite of draft.
func decodeDraft(payload []byte) (*transaction, error) {
	if payload[0] != setCodePrefix {
		return decodeTx(payload)
	}
	t, auths, err := decodeSetCodeList[draftAuth](payload[1:])
	if err != nil {
		return nil, err
	}
	for _, a := range auths {
		t.Auths = append(t.Auths, delegation{
			authorization: authorization{ChainID: a.ChainID, Address: a.Address, Nonce: a.Nonce}, Authority: a.Authority,
		})
	}
	return t, nil
}

// decodeSetCode reads the list that the sender signs, with its authorisations
// signed already.
func decodeSetCode(body []byte) (*transaction, error) {
	t, auths, err := decodeSetCodeList[signedAuth](body)
	if err != nil {
		return nil, err
	}
	t.Auths, err = authorities(auths)
	return t, err
}

func decodeSetCodeList[A signedAuth | draftAuth](body []byte) (*transaction, []A, error) {
	var list setCodeList[A]
	switch err := rlp.DecodeBytes(body, &list); {
	case err != nil:
		return nil, nil, badPayload("%v", err)
	case len(list.AccessList) > 0:
		return nil, nil, badPayload("has an access list")
	case len(list.Auths) == 0:
		// The protocol refuses it, and the payload would read as one of another type.
		return nil, nil, badPayload("a set-code transaction without authorisations")
	}
	to, err := destination(list.To)
	if err != nil {
		return nil, nil, err
	}
	return &transaction{
		ChainID: list.ChainID, Nonce: list.Nonce, TipCap: list.TipCap, FeeCap: list.FeeCap, Gas: list.Gas,
		To: to, Value: list.Value, Data: list.Data,
	}, list.Auths, nil
}

// authorities finds out who gave each authorisation. One that nobody gave would
// be skipped by the chain without a word; it is refused.
func authorities(list []signedAuth) ([]delegation, error) {
	out := make([]delegation, len(list))
	for i, a := range list {
		d := &out[i]
		*d = delegation{authorization: authorization{ChainID: a.ChainID, Address: a.Address, Nonce: a.Nonce}, Parity: a.Parity, R: a.R, S: a.S}
		if a.Parity > 1 {
			return nil, badPayload("authorisation %d has a recovery id of %d", i, a.Parity)
		}
		payload, err := d.payload()
		if err != nil {
			return nil, badPayload("authorisation %d: %v", i, err)
		}
		r, s := a.R.Bytes32(), a.S.Bytes32()
		if d.Authority, err = recoverSigner(keccak256(payload), append(slices.Concat(r[:], s[:]), byte(a.Parity))); err != nil {
			return nil, badPayload("authorisation %d: %v", i, err)
		}
	}
	return out, nil
}

func decodeSignedSetCode(body []byte) (t *transaction, r, s uint256.Int, parity uint64, err error) {
	var list signedSetCodeList
	if err := rlp.DecodeBytes(body, &list); err != nil {
		return nil, r, s, 0, badSigned("%v", err)
	}
	switch {
	case len(list.AccessList) > 0:
		return nil, r, s, 0, badSigned("has an access list")
	case len(list.Auths) == 0:
		return nil, r, s, 0, badSigned("a set-code transaction without authorisations")
	}
	to, err := destination(list.To)
	if err != nil {
		return nil, r, s, 0, err
	}
	t = &transaction{
		ChainID: list.ChainID, Nonce: list.Nonce, TipCap: list.TipCap, FeeCap: list.FeeCap, Gas: list.Gas,
		To: to, Value: list.Value, Data: list.Data,
	}
	t.Auths, err = authorities(list.Auths)
	return t, list.R, list.S, list.V, err
}

// sweeps completes the effects of a call of the sweeper: one for each entry.
func (t *transaction) sweeps(out chain.Effects, number uint64, sweeper *contracts.Sweeper) (chain.Effects, error) {
	bad := func(format string, args ...any) (chain.Effects, error) {
		return chain.Effects{}, badPayload(format, args...)
	}
	batch, err := contracts.DecodeBatch(t.Data)
	switch {
	case err != nil:
		return bad("%v", err)
	case batch.Op != contracts.OpSweep:
		return bad("a batch of forwarders (%s)", batch.Op)
	case !t.Value.IsZero():
		return bad("a batch with native value")
	}
	asset := nativeID(number)
	if batch.Asset != (contracts.Address{}) {
		asset = tokenID(number, checksummed(batch.Asset))
	}
	treasury := checksummed(sweeper.Params().Treasury)
	swept := make(map[[addressLength]byte]bool, len(batch.Entries))
	out.Contract = checksummed(sweeper.Address())
	for i, e := range batch.Entries {
		if e.Amount.IsZero() {
			return bad("entry %d has no amount, which is all that will be there", i)
		}
		swept[e.Account] = true
		out.Effects = append(out.Effects, chain.Effect{From: checksummed(e.Account), To: treasury, Asset: asset, Amount: e.Amount})
	}
	for i := range t.Auths {
		a := &t.Auths[i]
		switch {
		case !a.ChainID.IsUint64() || a.ChainID.Uint64() != number:
			return bad("authorisation %d is for chain %s, not %d", i, a.ChainID.Dec(), number)
		case a.Address != sweeper.Address():
			return bad("authorisation %d is for %s", i, checksummed(a.Address))
		case !swept[a.Authority]:
			// Also the second one of an account.
			return bad("authorisation %d is by an account that is not swept, or given twice", i)
		}
		swept[a.Authority] = false
		out.Locks = append(out.Locks, nonceLock(checksummed(a.Authority), a.Nonce))
	}
	return out, nil
}

// deploys reports whether t is the sweeper's deployment, to the last byte.
func (t *transaction) deploys(sweeper *contracts.Sweeper) bool {
	to, data := sweeper.Deployment()
	return t.To == to && t.Value.IsZero() && slices.Equal(t.Data, data)
}
