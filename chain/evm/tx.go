package evm

import (
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
)

// transaction is an unsigned transaction of one of the three kinds that are made
// and understood here. In a legacy one TipCap and FeeCap are both the gas price,
// which is what they mean to the protocol. One with Auths is of EIP-7702.
type transaction struct {
	Legacy  bool
	ChainID uint256.Int
	Nonce   uint64
	TipCap  uint256.Int
	FeeCap  uint256.Int
	Gas     uint64
	To      [addressLength]byte
	Value   uint256.Int
	Data    []byte
	Auths   []delegation
}

// fee is the most the transaction can cost on its own chain.
func (t *transaction) fee() (chain.Amount, bool) {
	product, overflow := new(uint256.Int).MulOverflow(uint256.NewInt(t.Gas), &t.FeeCap)
	return amountOf(product), overflow
}

// The lists have the order of fields that EIP-1559 and EIP-155 give. The access
// list is one of raw values, so that a non-empty one is seen and refused rather
// than misread. To is a slice, so that a contract creation gets an error that
// says so.
type (
	dynamicFeeList struct {
		ChainID    uint256.Int
		Nonce      uint64
		TipCap     uint256.Int
		FeeCap     uint256.Int
		Gas        uint64
		To         []byte
		Value      uint256.Int
		Data       []byte
		AccessList []rlp.RawValue
	}
	signedDynamicFeeList struct {
		ChainID    uint256.Int
		Nonce      uint64
		TipCap     uint256.Int
		FeeCap     uint256.Int
		Gas        uint64
		To         []byte
		Value      uint256.Int
		Data       []byte
		AccessList []rlp.RawValue
		V          uint64
		R, S       uint256.Int
	}
	// legacyList has the signature in V, R, S; the unsigned form of EIP-155 has
	// the chain id and two zeros there instead.
	legacyList struct {
		Nonce   uint64
		Price   uint256.Int
		Gas     uint64
		To      []byte
		Value   uint256.Int
		Data    []byte
		V, R, S uint256.Int
	}
)

// payload returns the bytes whose hash is signed.
func (t *transaction) payload() ([]byte, error) {
	switch {
	case t.Legacy:
		return rlp.EncodeToBytes(t.legacy())
	case len(t.Auths) > 0:
		return typed(setCodePrefix, setCode(t, signedAuths(t.Auths)))
	}
	return typed(dynamicFeePrefix, &dynamicFeeList{
		ChainID: t.ChainID, Nonce: t.Nonce, TipCap: t.TipCap, FeeCap: t.FeeCap, Gas: t.Gas,
		To: t.To[:], Value: t.Value, Data: t.Data,
	})
}

// signed returns the bytes that a node accepts; parity is 0 or 1.
func (t *transaction) signed(r, s *uint256.Int, parity byte) ([]byte, error) {
	if t.Legacy {
		list := t.legacy()
		// EIP-155: v = 2 * chain id + 35 + parity.
		if _, overflow := list.V.MulOverflow(&t.ChainID, uint256.NewInt(2)); overflow {
			return nil, badPayload("chain id out of range")
		}
		list.V.AddUint64(&list.V, 35+uint64(parity))
		list.R, list.S = *r, *s
		return rlp.EncodeToBytes(list)
	}
	if len(t.Auths) > 0 {
		return typed(setCodePrefix, &signedSetCodeList{
			ChainID: t.ChainID, Nonce: t.Nonce, TipCap: t.TipCap, FeeCap: t.FeeCap, Gas: t.Gas, To: t.To[:],
			Value: t.Value, Data: t.Data, Auths: signedAuths(t.Auths), V: uint64(parity), R: *r, S: *s,
		})
	}
	return typed(dynamicFeePrefix, &signedDynamicFeeList{
		ChainID: t.ChainID, Nonce: t.Nonce, TipCap: t.TipCap, FeeCap: t.FeeCap, Gas: t.Gas,
		To: t.To[:], Value: t.Value, Data: t.Data, V: uint64(parity), R: *r, S: *s,
	})
}

func (t *transaction) legacy() *legacyList {
	return &legacyList{Nonce: t.Nonce, Price: t.FeeCap, Gas: t.Gas, To: t.To[:], Value: t.Value, Data: t.Data, V: t.ChainID}
}

func typed(prefix byte, list any) ([]byte, error) {
	body, err := rlp.EncodeToBytes(list)
	if err != nil {
		return nil, err
	}
	return append([]byte{prefix}, body...), nil
}

// decodeTx is the opposite of payload. It takes only canonical RLP: each
// transaction has exactly one payload, and so one digest.
func decodeTx(payload []byte) (*transaction, error) {
	switch first := payload[0]; {
	case first == dynamicFeePrefix:
		return decodeDynamicFee(payload[1:])
	case first == setCodePrefix:
		return decodeSetCode(payload[1:])
	case first >= 0xc0:
		return decodeLegacy(payload)
	default:
		return nil, badPayload("transaction type %d is not understood", first)
	}
}

func decodeDynamicFee(body []byte) (*transaction, error) {
	var list dynamicFeeList
	if err := rlp.DecodeBytes(body, &list); err != nil {
		return nil, badPayload("%v", err)
	}
	if len(list.AccessList) > 0 {
		return nil, badPayload("has an access list")
	}
	to, err := destination(list.To)
	if err != nil {
		return nil, err
	}
	return &transaction{
		ChainID: list.ChainID, Nonce: list.Nonce, TipCap: list.TipCap, FeeCap: list.FeeCap, Gas: list.Gas,
		To: to, Value: list.Value, Data: list.Data,
	}, nil
}

func decodeLegacy(body []byte) (*transaction, error) {
	// Before EIP-155 the signed list had these six fields and no chain id.
	if content, _, err := rlp.SplitList(body); err == nil {
		if fields, err := rlp.CountValues(content); err == nil && fields == 6 {
			return nil, badPayload("a legacy transaction without chain id is valid on every chain")
		}
	}
	var list legacyList
	err := rlp.DecodeBytes(body, &list)
	switch {
	case err != nil:
		return nil, badPayload("%v", err)
	case !list.R.IsZero() || !list.S.IsZero():
		return nil, badPayload("a legacy payload ends with two zeros")
	}
	to, err := destination(list.To)
	if err != nil {
		return nil, err
	}
	return &transaction{
		Legacy: true, ChainID: list.V, Nonce: list.Nonce, TipCap: list.Price, FeeCap: list.Price, Gas: list.Gas,
		To: to, Value: list.Value, Data: list.Data,
	}, nil
}

func destination(to []byte) (raw [addressLength]byte, err error) {
	switch len(to) {
	case addressLength:
		return [addressLength]byte(to), nil
	case 0:
		return raw, badPayload("creates a contract")
	}
	return raw, badPayload("the destination has %d bytes", len(to))
}
