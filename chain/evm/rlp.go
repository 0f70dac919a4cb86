package evm

import (
	"encoding/binary"

	"github.com/ethereum/go-ethereum/rlp"
)

// Fields of a header's list that are read. What later forks appended is only
// hashed.
const (
	rlpParent   = 0
	rlpTxRoot   = 4
	rlpReceipts = 5
	rlpBloom    = 6
	rlpHeight   = 8
	rlpTime     = 11
	rlpRequired = 15 // fields that a header had from the first block on
)

// errRLP is a block that is no canonical RLP of a block.
func errRLP(reason string) *DecodeError { return &DecodeError{Reason: reason} }

// rlpHeader reads a header's encoding, list prefix included. The hash is not
// part of it: it is the hash of these bytes, which is what makes a raw block
// worth more than a node's word.
func rlpHeader(h *header, encoding []byte) *DecodeError {
	fields, _, err := rlp.SplitList(encoding)
	if err != nil {
		return errRLP("want a header")
	}
	n := 0
	for ; len(fields) > 0; n++ {
		var value []byte
		if _, value, fields, err = rlp.Split(fields); err != nil {
			return errRLP("a header that is no RLP")
		}
		if reason := h.rlpField(n, value); reason != "" {
			return errRLP(reason)
		}
	}
	if n < rlpRequired {
		return errRLP("a header with too few fields")
	}
	h.hash = keccak256(encoding)
	return nil
}

// rlpField takes a header's field by its place, and returns what is wrong with
// it.
func (h *header) rlpField(place int, value []byte) (reason string) {
	var ok bool
	switch place {
	case rlpParent:
		ok = copyExact(h.parent[:], value)
	case rlpTxRoot:
		ok = copyExact(h.txRoot[:], value)
	case rlpReceipts:
		ok = copyExact(h.receiptRoot[:], value)
	case rlpBloom:
		ok = copyExact(h.bloom[:], value)
		h.hasBloom = ok
	case rlpHeight:
		h.height, ok = rlpUint64(value)
	case rlpTime:
		h.seconds, ok = rlpUint64(value)
	default:
		return ""
	}
	if !ok {
		return "a header field of the wrong size"
	}
	return ""
}

func copyExact(dst, src []byte) bool {
	if len(src) != len(dst) {
		return false
	}
	copy(dst, src)
	return true
}

// rlpUint64 reads an integer without leading zeros.
func rlpUint64(value []byte) (uint64, bool) {
	if len(value) > 8 || len(value) > 0 && value[0] == 0 {
		return 0, false
	}
	var word [8]byte
	copy(word[8-len(value):], value)
	return binary.BigEndian.Uint64(word[:]), true
}

// The types of signed transactions (EIP-2718) that are understood in a raw
// block. Others exist on some chains, whose blocks are read as JSON instead.
const (
	accessListType = 0x01
	blobType       = 0x03
	setCodeType    = 0x04
)

// rawTx is a transaction in the bytes of a block. Nothing of it is copied.
type rawTx struct {
	// encoding is what is hashed to the transaction's id: the type byte and a
	// list, or for a legacy one the list with its prefix.
	encoding []byte
	// kind is the type byte; 0 for a legacy one.
	kind byte
	// nonce, to and value are the fields of these names; to is empty where a
	// contract is created.
	nonce uint64
	to    []byte
	value []byte
}

// rlpTx reads a transaction as it stands in a block's list and returns what is
// behind it. known is false for a type that is not understood.
func rlpTx(t *rawTx, list []byte) (rest []byte, known bool, bad *DecodeError) {
	kind, content, rest, err := rlp.Split(list)
	if err != nil {
		return nil, false, errRLP("want a transaction")
	}
	*t = rawTx{encoding: list[:len(list)-len(rest)]}
	var before int // fields between the nonce and the receiver
	switch {
	case kind == rlp.List:
		before = 2
	case kind != rlp.String || len(content) < 2:
		return nil, false, errRLP("want a transaction")
	default:
		t.encoding, t.kind = content, content[0]
		if before = fieldsBeforeReceiver(t.kind); before == 0 {
			return rest, false, nil
		}
		if content, _, err = rlp.SplitList(content[1:]); err != nil {
			return nil, false, errRLP("a typed transaction without a list")
		}
		if _, content, err = rlp.SplitString(content); err != nil { // the chain id
			return nil, false, errRLP("a transaction without a chain id")
		}
	}
	return rest, true, t.fields(content, before)
}

// fieldsBeforeReceiver is how many fields stand between nonce and receiver: the
// prices and the gas limit. It is 0 for types that are not understood.
func fieldsBeforeReceiver(kind byte) int {
	switch kind {
	case accessListType:
		return 2
	case dynamicFeePrefix, blobType, setCodeType:
		return 3
	}
	return 0
}

// fields reads nonce, receiver and value from the list that begins with the
// nonce.
func (t *rawTx) fields(list []byte, skip int) *DecodeError {
	nonce, list, err := rlp.SplitString(list)
	for range skip {
		if err == nil {
			_, list, err = rlp.SplitString(list)
		}
	}
	if err == nil {
		t.to, list, err = rlp.SplitString(list)
	}
	if err == nil {
		t.value, _, err = rlp.SplitString(list)
	}
	if err != nil {
		return errRLP("a transaction that is no RLP")
	}
	var ok bool
	t.nonce, ok = rlpUint64(nonce)
	switch {
	case !ok:
		return errRLP("a nonce of the wrong size")
	case len(t.to) != 0 && len(t.to) != addressLength:
		return errRLP("a receiver of the wrong size")
	case len(t.value) > 32 || len(t.value) > 0 && t.value[0] == 0:
		return errRLP("a value of the wrong size")
	}
	return nil
}

// object copies what is needed of the transaction; sender and hash are found
// out, which costs as much as reading a hundred transactions.
func (t *rawTx) object(chainNumber uint64) (transactionObject, bool) {
	out := transactionObject{hash: keccak256(t.encoding), nonce: t.nonce, creates: len(t.to) == 0, mined: true}
	copy(out.to[:], t.to)
	copy(out.value[32-len(t.value):], t.value)
	from, ok := t.sender(chainNumber)
	out.from = from
	out.auths = t.authorizations()
	return out, ok
}

// sender recovers who signed. It returns false for a signature of another chain
// and for what is no signature: then the node's word is asked for.
func (t *rawTx) sender(chainNumber uint64) (from [addressLength]byte, ok bool) {
	body, prefix := t.encoding, []byte(nil)
	if t.kind != 0 {
		body, prefix = t.encoding[1:], t.encoding[:1]
	}
	fields, _, err := rlp.SplitList(body)
	if err != nil {
		return from, false
	}
	values, err := rlp.SplitListValues(body)
	if err != nil || len(values) < 9 {
		return from, false
	}
	tail := values[len(values)-3:]
	signed := fields[:len(fields)-len(tail[0])-len(tail[1])-len(tail[2])]
	var parity uint64
	v, ok := rlpIntegerOf(tail[0])
	switch {
	case !ok:
		return from, false
	case t.kind != 0:
		if id, ok := rlpIntegerOf(values[0]); !ok || id != chainNumber {
			return from, false
		}
		parity = v
	case v == 27 || v == 28: // before EIP-155
		parity = v - 27
	case v >= 35 && (v-35)/2 == chainNumber: // EIP-155
		parity = (v - 35) % 2
		signed = append(append([]byte(nil), signed...), rlp.AppendUint64(nil, chainNumber)...)
		signed = append(signed, 0x80, 0x80)
	default:
		return from, false
	}
	var signature [65]byte
	if parity > 1 || !rlpWord(signature[:32], tail[1]) || !rlpWord(signature[32:64], tail[2]) {
		return from, false
	}
	signature[64] = byte(parity)
	from, err = recoverSigner(keccak256(append(append([]byte(nil), prefix...), rlpList(signed)...)), signature[:])
	return from, err == nil
}

// rlpIntegerOf reads an encoded integer.
func rlpIntegerOf(encoding []byte) (uint64, bool) {
	content, _, err := rlp.SplitString(encoding)
	if err != nil {
		return 0, false
	}
	return rlpUint64(content)
}

// rlpWord reads an encoded integer of up to 32 bytes.
func rlpWord(dst, encoding []byte) bool {
	content, _, err := rlp.SplitString(encoding)
	if err != nil || len(content) > len(dst) {
		return false
	}
	copy(dst[len(dst)-len(content):], content)
	return true
}

// rlpList puts a list's prefix before its content.
func rlpList(content []byte) []byte { return append(rlpPrefix(nil, 0xc0, len(content)), content...) }

// rlpPrefix appends the prefix of a string (base 0x80) or of a list (0xc0).
func rlpPrefix(dst []byte, base byte, size int) []byte {
	if size < 56 {
		return append(dst, base+byte(size))
	}
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], uint64(size))
	first := 0
	for word[first] == 0 {
		first++
	}
	dst = append(dst, base+55+byte(8-first))
	return append(dst, word[first:]...)
}

// rlpString appends a string that is no single low byte.
func rlpString(dst, content []byte) []byte {
	if len(content) == 1 && content[0] < 0x80 {
		return append(dst, content[0])
	}
	return append(rlpPrefix(dst, 0x80, len(content)), content...)
}
