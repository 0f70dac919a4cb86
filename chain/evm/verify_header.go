package evm

// headerShape is how a field of a header stands in JSON.
type headerShape byte

const (
	shapeNone     headerShape = iota // no field of a header
	shapeHash                        // 32 bytes
	shapeAddress                     // 20 bytes
	shapeBloom                       // 256 bytes
	shapeNonce                       // 8 bytes
	shapeData                        // any number of bytes
	shapeQuantity                    // a number
)

// The fields of a header in the order in which they are hashed. The first
// sealedFields have been there from the first block on; each fork has put others
// behind them.
//
// Source: https://github.com/ethereum/execution-specs, the Header of each fork.
const (
	fieldParent = iota
	fieldUncles
	fieldMiner
	fieldState
	fieldTransactions
	fieldReceipts
	fieldBloom
	fieldDifficulty
	fieldNumber
	fieldGasLimit
	fieldGasUsed
	fieldTime
	fieldExtra
	fieldMix
	fieldNonce
	sealedFields
)

const (
	fieldBaseFee     = sealedFields + iota // EIP-1559
	fieldWithdrawals                       // EIP-4895
	fieldBlobGas                           // EIP-4844
	fieldExcessBlob                        // EIP-4844
	fieldBeaconRoot                        // EIP-4788
	fieldRequests                          // EIP-7685
	fieldAccessList                        // EIP-7928
	fieldSlot                              // EIP-7843
	headerFields
)

// headerField finds a field by its name in JSON. known is also true for what nodes
// show with a header that is not part of it.
func headerField(name string) (place int, shape headerShape, known bool) {
	switch name {
	case "parentHash":
		return fieldParent, shapeHash, true
	case "sha3Uncles":
		return fieldUncles, shapeHash, true
	case "miner":
		return fieldMiner, shapeAddress, true
	case "stateRoot":
		return fieldState, shapeHash, true
	case "transactionsRoot":
		return fieldTransactions, shapeHash, true
	case "receiptsRoot":
		return fieldReceipts, shapeHash, true
	case "logsBloom":
		return fieldBloom, shapeBloom, true
	case "difficulty":
		return fieldDifficulty, shapeQuantity, true
	case "number":
		return fieldNumber, shapeQuantity, true
	case "gasLimit":
		return fieldGasLimit, shapeQuantity, true
	case "gasUsed":
		return fieldGasUsed, shapeQuantity, true
	case "timestamp":
		return fieldTime, shapeQuantity, true
	case "extraData":
		return fieldExtra, shapeData, true
	case "mixHash":
		return fieldMix, shapeHash, true
	case "nonce":
		return fieldNonce, shapeNonce, true
	}
	return laterField(name)
}

// laterField finds what forks have added.
func laterField(name string) (place int, shape headerShape, known bool) {
	switch name {
	case "baseFeePerGas":
		return fieldBaseFee, shapeQuantity, true
	case "withdrawalsRoot":
		return fieldWithdrawals, shapeHash, true
	case "blobGasUsed":
		return fieldBlobGas, shapeQuantity, true
	case "excessBlobGas":
		return fieldExcessBlob, shapeQuantity, true
	case "parentBeaconBlockRoot":
		return fieldBeaconRoot, shapeHash, true
	case "requestsHash":
		return fieldRequests, shapeHash, true
	case "blockAccessListHash":
		return fieldAccessList, shapeHash, true
	case "slotNumber":
		return fieldSlot, shapeQuantity, true
	case "hash", "size", "totalDifficulty", "transactions", "uncles", "withdrawals":
		return 0, shapeNone, true
	}
	return 0, shapeNone, false
}

// headerProof is a header in all its fields, as JSON tells them.
type headerProof struct {
	fields [headerFields][]byte // their contents in RLP, in arena
	have   uint32               // which of them there are
	// strange is true where there was a field of an unknown name, which a later
	// fork may hash.
	strange bool
	missing bool // the node does not have the block
	arena   []byte
}

// headerProof reads a block for the sake of its header, or null.
func (s *scanner) headerProof(h *headerProof) {
	*h = headerProof{arena: h.arena[:0]}
	if h.missing = s.isNull(); h.missing || !s.open('{') {
		return
	}
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			return
		}
		place, shape, known := headerField(string(name))
		switch {
		case s.isNull(): // before the fork that brings it
		case shape == shapeNone:
			h.strange = h.strange || !known
			s.skip()
		default:
			s.once(&h.have, 1<<place)
			start := len(h.arena)
			h.arena = s.appendShape(h.arena, shape)
			// An array that grows moves; what was cut from the old one stays.
			h.fields[place] = h.arena[start:len(h.arena):len(h.arena)]
		}
	}
}

// appendShape reads a value and appends its content as RLP has it.
func (s *scanner) appendShape(dst []byte, shape headerShape) []byte {
	var buffer [256]byte
	size := 0
	switch shape {
	case shapeHash:
		size = 32
	case shapeAddress:
		size = addressLength
	case shapeBloom:
		size = len(buffer)
	case shapeNonce:
		size = 8
	case shapeQuantity:
		var word [32]byte
		s.uint256(&word)
		return append(dst, trimmed(word[:])...)
	default:
		return s.appendBytes(dst)
	}
	s.fixed(buffer[:size])
	return append(dst, buffer[:size]...)
}

// appendBytes reads hex data of any length and appends it.
func (s *scanner) appendBytes(dst []byte) []byte {
	text := s.plain()
	if s.err != nil {
		return dst
	}
	if len(text) < 2 || text[0] != '0' || text[1] != 'x' || len(text)%2 != 0 {
		s.fail("want hex data")
		return dst
	}
	start := len(dst)
	dst = append(dst, text[2:2+(len(text)-2)/2]...) // room for half of the digits
	if !unhex(dst[start:], text[2:]) {
		s.fail("bad hex digit")
	}
	return dst
}

// trimmed is a number without leading zeros.
func trimmed(word []byte) []byte {
	for len(word) > 0 && word[0] == 0 {
		word = word[1:]
	}
	return word
}

// sealed reports whether all the fields are there without which no header is
// hashed.
func (h *headerProof) sealed() bool {
	const all = 1<<sealedFields - 1
	return h.have&all == all
}

// hash is that of the header's encoding.
func (h *headerProof) hash() [32]byte {
	last := headerFields - 1
	for h.have&(1<<last) == 0 && last >= sealedFields {
		last--
	}
	var content []byte
	for _, field := range h.fields[:last+1] {
		content = rlpString(content, field)
	}
	return keccak256(rlpList(content))
}
