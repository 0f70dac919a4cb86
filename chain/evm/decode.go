package evm

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

const (
	// maxPayload bounds what Decode looks at. The largest payload it understands
	// has nine numbers, an address and 68 bytes of data: under 400 bytes.
	maxPayload = 512
	// maxBatchPayload bounds it where there are batches: pools take no transaction
	// of more than 128 KiB, and gas ends a batch before that.
	maxBatchPayload = 128 << 10
)

// The first byte of a typed payload (EIP-2718, EIP-7702).
const (
	dynamicFeePrefix    = 0x02
	setCodePrefix       = setCodeType
	authorizationPrefix = 0x05
)

// transferSelector is the start of the call transfer(address,uint256).
const transferSelector = "\xa9\x05\x9c\xbb"

// transferLength is the selector and two words.
const transferLength = 4 + 32 + 32

// Decode reads an unsigned payload and says all that it would do. It accepts
//
//   - EIP-1559 transactions, 0x02 and the RLP list that is hashed for signing,
//   - legacy transactions with the chain id of EIP-155,
//   - EIP-7702 authorisations, 0x05 and the list of chain, delegate and nonce,
//
// for the request's own chain, that move native coin without data or call
// transfer(address,uint256) of a contract without value. Everything else is an
// error: other transaction types, contract creations, access lists, other
// calls, dirty padding, non-canonical RLP, bytes behind the list. All errors
// are *chain.FormatError; the payload is not repeated in them.
//
// A codec that knows a Sweeper (CodecWith) accepts two more kinds: sweeps of
// accounts by it, as EIP-1559 or legacy transactions or as EIP-7702 ones (0x04)
// whose authorisations all delegate swept accounts to it, and its deployment. Each
// entry of a sweep is one Effect, from the account to the contract's treasury;
// entries without an amount, batches of forwarders and authorisations by others are
// errors.
//
// An EVM payload does not name its sender, so From stays empty, and Locks have the
// nonces of authorities alone: whoever holds the key knows the rest.
func (c codec) Decode(r chain.SignRequest) (chain.Effects, []byte, error) {
	effects, err := c.decode(r)
	if err != nil {
		return chain.Effects{}, nil, err
	}
	digest := keccak256(r.Payload)
	return effects, digest[:], nil
}

func (c codec) decode(r chain.SignRequest) (chain.Effects, error) {
	number, err := chainNumber(r.Chain)
	most := maxPayload
	if c.sweeper != nil {
		most = maxBatchPayload
	}
	switch {
	case err != nil:
		return chain.Effects{}, err
	case r.Scheme != chain.ECDSA:
		return chain.Effects{}, &chain.FormatError{What: "scheme", Text: string(r.Scheme), Reason: "EVM chains use ecdsa"}
	case len(r.Payload) == 0:
		return chain.Effects{}, badPayload("empty")
	case len(r.Payload) > most:
		return chain.Effects{}, badPayload("%d bytes, at most %d are understood", len(r.Payload), most)
	}
	// The purpose must fit the payload: a policy that trusts the purpose must
	// not be shown one kind of message and sign another.
	switch r.Purpose {
	case chain.SignTransaction:
		if r.Payload[0] == setCodePrefix && c.sweeper == nil {
			return chain.Effects{}, badPayload("transaction type 4 is understood for a known sweeper only")
		}
		t, err := decodeTx(r.Payload)
		if err != nil {
			return chain.Effects{}, err
		}
		return t.effects(number, c.sweeper)
	case chain.SignAuthorization:
		return decodeAuthorization(r.Payload, number)
	}
	return chain.Effects{}, &chain.FormatError{What: "purpose", Text: string(r.Purpose), Reason: "unknown"}
}

func badPayload(format string, args ...any) error {
	return &chain.FormatError{What: "payload", Reason: fmt.Sprintf(format, args...)}
}

// effects says what t does on the chain with that number; sweeper may be nil.
func (t *transaction) effects(number uint64, sweeper *contracts.Sweeper) (chain.Effects, error) {
	switch {
	case !t.ChainID.IsUint64() || t.ChainID.Uint64() != number:
		return chain.Effects{}, badPayload("made for chain %s, not %d", t.ChainID.Dec(), number)
	case t.TipCap.Gt(&t.FeeCap):
		return chain.Effects{}, badPayload("the tip is above the fee cap")
	}
	fee, overflow := t.fee()
	if overflow {
		return chain.Effects{}, badPayload("the fee exceeds 2^256-1")
	}
	out := chain.Effects{MaxFee: fee, Once: "nonce:" + strconv.FormatUint(t.Nonce, 10)}
	if sweeper != nil && t.To == sweeper.Address() && len(t.Data) > 0 {
		return t.sweeps(out, number, sweeper)
	}
	if len(t.Auths) > 0 {
		return chain.Effects{}, badPayload("has authorisations, and is no sweep by the configured contract")
	}
	if sweeper != nil && t.deploys(sweeper) {
		out.Contract = checksummed(sweeper.Address())
		return out, nil
	}
	effect := chain.Effect{To: checksummed(t.To), Asset: nativeID(number), Amount: amountOf(&t.Value)}
	if len(t.Data) > 0 {
		to, units, err := decodeTransfer(t.Data)
		switch {
		case err != nil:
			return chain.Effects{}, err
		case !t.Value.IsZero():
			return chain.Effects{}, badPayload("a token transfer with native value")
		}
		effect = chain.Effect{To: to, Asset: tokenID(number, checksummed(t.To)), Amount: units}
	}
	out.Effects = []chain.Effect{effect}
	return out, nil
}

// decodeTransfer reads the data of transfer(address,uint256).
func decodeTransfer(data []byte) (chain.Address, chain.Amount, error) {
	switch {
	case len(data) != transferLength, string(data[:4]) != transferSelector:
		return "", chain.Amount{}, badPayload("data is no transfer(address,uint256)")
	case !bytes.Equal(data[4:16], make([]byte, 12)):
		// Contracts differ in what they do with dirty upper bytes.
		return "", chain.Amount{}, badPayload("the receiver's padding is not zero")
	}
	units, err := chain.AmountFromBytes(data[36:])
	if err != nil {
		return "", chain.Amount{}, badPayload("%v", err)
	}
	return checksummed([addressLength]byte(data[16:36])), units, nil
}

// encodeTransfer is the opposite of decodeTransfer.
func encodeTransfer(to [addressLength]byte, amount chain.Amount) []byte {
	data := make([]byte, 0, transferLength)
	data = append(data, transferSelector...)
	data = append(data, make([]byte, 12)...)
	data = append(data, to[:]...)
	word := amount.Bytes32()
	return append(data, word[:]...)
}

// authorization is the list that an EIP-7702 authority signs.
type authorization struct {
	ChainID uint256.Int
	Address [addressLength]byte
	Nonce   uint64
}

// decodeAuthorization accepts an authorisation for exactly this chain. Chain 0
// would bind the account on every chain at once, which Effects cannot say. It uses
// up a nonce of the account, as a transaction of its own would.
//
// Source: https://eips.ethereum.org/EIPS/eip-7702
func decodeAuthorization(payload []byte, number uint64) (chain.Effects, error) {
	if payload[0] != authorizationPrefix {
		return chain.Effects{}, badPayload("no EIP-7702 authorisation")
	}
	var a authorization
	if err := rlp.DecodeBytes(payload[1:], &a); err != nil {
		return chain.Effects{}, badPayload("%v", err)
	}
	if !a.ChainID.IsUint64() || a.ChainID.Uint64() != number {
		return chain.Effects{}, badPayload("an authorisation for chain %s, not %d", a.ChainID.Dec(), number)
	}
	return chain.Effects{Delegate: checksummed(a.Address), Once: "nonce:" + strconv.FormatUint(a.Nonce, 10)}, nil
}

// amountOf cannot fail: both are integers of 256 bits.
func amountOf(n *uint256.Int) chain.Amount {
	b := n.Bytes32()
	a, err := chain.AmountFromBytes(b[:])
	if err != nil {
		return chain.Amount{}
	}
	return a
}
