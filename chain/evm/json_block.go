package evm

import (
	"time"

	"github.com/bursar-go/bursar/chain"
)

// header is what is needed of a block without its transactions.
type header struct {
	height, seconds uint64
	hash, parent    [32]byte
	// bloom is the filter over the addresses and topics of the block's logs,
	// where hasBloom is true.
	bloom    [256]byte
	hasBloom bool
	// txRoot is the root of the transactions, receiptRoot that of their receipts;
	// only raw blocks are checked against them.
	txRoot, receiptRoot [32]byte
	// txs is the number of transactions, whichever way they were listed.
	txs int
}

// transactionObject is what is needed of a transaction. Its place in the block
// is its index in block.txs.
type transactionObject struct {
	hash     [32]byte
	value    [32]byte
	from, to [addressLength]byte
	// creates is true where there is no receiver: a contract creation.
	creates bool
	// mined is false for one that waits in the mempool; blockHash and index are
	// set only where it is true.
	mined     bool
	blockHash [32]byte
	index     uint64
	nonce     uint64
	// auths are the authorisations of a set-code transaction, as the node shows them.
	auths []authorizationObject
}

// block is a header with its transactions. Decoding into it again reuses txs.
type block struct {
	header
	list []transactionObject
	// raw is the block's encoding where it was read in that form, rawTxs are its
	// transactions in it. They point into raw, and list is empty then.
	raw    []byte
	rawTxs []rawTx
	// opaque is true for a raw block with a transaction of a type that is not
	// understood.
	opaque bool
	// traces are the block's value transfers where it was read in that form;
	// list then has hashes alone.
	traces []traceObject
	// isRaw tells which of the two forms it has, noTraces that there are none
	// that could be believed.
	isRaw, noTraces bool
	// missing is true where the node had no such block, light where its
	// transactions were not read.
	missing, light bool
}

// once notes in seen that a field was read, and fails where it was before: of
// two values under one name, another reader might take the other one.
func (s *scanner) once(seen *uint32, field uint32) {
	if *seen&field != 0 {
		s.fail("a field twice")
	}
	*seen |= field
}

// need fails unless all fields were seen.
func (s *scanner) need(seen, fields uint32) {
	if s.err == nil && seen&fields != fields {
		s.fail("a field is missing")
	}
}

const (
	blockNumber = 1 << iota
	blockHash
	blockParent
	blockTime
	blockTxs
	blockBloom

	headerRequired = blockNumber | blockHash | blockParent | blockTime
	blockRequired  = headerRequired | blockTxs
)

// block reads a block whose transactions are listed in full, or null.
func (s *scanner) block(b *block) {
	b.list = b.list[:0]
	if b.missing = s.isNull(); b.missing {
		return
	}
	s.blockObject(&b.header, blockRequired, func() int {
		s.transactions(b)
		return len(b.list)
	})
}

// header reads a block whose transactions are listed by hash. It returns false
// for null.
func (s *scanner) header(h *header) bool {
	if s.isNull() {
		return false
	}
	s.blockObject(h, blockRequired, func() int {
		n := 0
		if !s.open('[') {
			return 0
		}
		for first := true; s.more(']', &first); n++ {
			s.skip()
		}
		return n
	})
	return true
}

// light reads a block of which only the header is wanted, or null. Whether the
// transactions are listed does not matter.
func (s *scanner) light(b *block) {
	b.list, b.light = b.list[:0], true
	if b.missing = s.isNull(); !b.missing {
		s.blockObject(&b.header, headerRequired, func() int {
			s.skip()
			return 0
		})
	}
}

func (s *scanner) blockObject(h *header, required uint32, transactions func() int) {
	var seen uint32
	h.hasBloom = false
	if !s.open('{') {
		return
	}
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			break
		}
		switch string(name) {
		case "number":
			s.once(&seen, blockNumber)
			h.height = s.uint64()
		case "hash":
			s.once(&seen, blockHash)
			s.fixed(h.hash[:])
		case "parentHash":
			s.once(&seen, blockParent)
			s.fixed(h.parent[:])
		case "timestamp":
			s.once(&seen, blockTime)
			h.seconds = s.uint64()
		case "transactions":
			s.once(&seen, blockTxs)
			h.txs = transactions()
		case "logsBloom":
			s.once(&seen, blockBloom)
			s.bloom(h)
		default:
			s.skip()
		}
	}
	s.need(seen, required)
}

// bloom reads the filter over a block's logs. Chains that keep none write null
// or something shorter, which says nothing and is no mistake.
func (s *scanner) bloom(h *header) {
	if !s.isNull() {
		h.hasBloom = s.bytes(h.bloom[:]) == len(h.bloom)
	}
}

// hashes reads a block whose transactions are listed by hash, or null, and keeps
// the hashes.
func (s *scanner) hashes(b *block) {
	b.list = b.list[:0]
	if b.missing = s.isNull(); b.missing {
		return
	}
	s.blockObject(&b.header, blockRequired, func() int {
		if !s.open('[') {
			return 0
		}
		for first := true; s.more(']', &first); {
			b.list = append(b.list, transactionObject{})
			s.fixed(b.list[len(b.list)-1].hash[:])
		}
		return len(b.list)
	})
}

func (s *scanner) transactions(b *block) {
	if !s.open('[') {
		return
	}
	for first := true; s.more(']', &first); {
		// Grow first and decode in place: a transaction is 200 bytes.
		b.list = append(b.list, transactionObject{})
		t := &b.list[len(b.list)-1]
		s.transaction(t)
		if s.err == nil && (!t.mined || t.index != uint64(len(b.list)-1)) {
			s.fail("a transaction out of its place")
		}
	}
}

const (
	txHash = 1 << iota
	txFrom
	txValue
	txNonce
	txTo
	txBlock
	txIndex
	txAuths

	txRequired = txHash | txFrom | txValue | txNonce
)

// transaction reads a transaction, mined or not.
func (s *scanner) transaction(t *transactionObject) {
	var seen uint32
	if !s.open('{') {
		return
	}
	t.creates = true
	hasIndex := false
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			break
		}
		switch string(name) {
		case "hash":
			s.once(&seen, txHash)
			s.fixed(t.hash[:])
		case "from":
			s.once(&seen, txFrom)
			s.fixed(t.from[:])
		case "to":
			s.once(&seen, txTo)
			if t.creates = s.isNull(); !t.creates {
				s.fixed(t.to[:])
			}
		case "value":
			s.once(&seen, txValue)
			s.uint256(&t.value)
		case "nonce":
			s.once(&seen, txNonce)
			t.nonce = s.uint64()
		case "blockHash":
			s.once(&seen, txBlock)
			if t.mined = !s.isNull(); t.mined {
				s.fixed(t.blockHash[:])
			}
		case "transactionIndex":
			s.once(&seen, txIndex)
			if hasIndex = !s.isNull(); hasIndex {
				t.index = s.uint64()
			}
		case "authorizationList":
			s.once(&seen, txAuths)
			t.auths = s.authorizations()
		default:
			s.skip()
		}
	}
	s.need(seen, txRequired)
	if s.err == nil && t.mined && !hasIndex {
		s.fail("a mined transaction without a place")
	}
}

// lastSecond is the end of the year 9999, beyond which a time.Time has no JSON
// form. A block may claim any time; it informs and decides nothing.
const lastSecond = 253402300799

// ref returns the header as the port has it.
func (h *header) ref() chain.BlockRef {
	return chain.BlockRef{
		Height: h.height,
		Hash:   chain.BlockHash(hexHash(&h.hash)),
		Parent: chain.BlockHash(hexHash(&h.parent)),
		Time:   time.Unix(int64(min(h.seconds, lastSecond)), 0).UTC(),
	}
}

// hexHash writes 32 bytes as 0x and lower case digits.
func hexHash(hash *[32]byte) string {
	var text [66]byte
	text[0], text[1] = '0', 'x'
	for i, b := range hash {
		text[2+2*i], text[3+2*i] = lowerHex[b>>4], lowerHex[b&15]
	}
	return string(text[:])
}

// parseHash reads what hexHash writes, and nothing else.
func parseHash(what, text string) (hash [32]byte, err error) {
	if !isHash(text) || !unhex(hash[:], []byte(text[2:])) {
		return hash, &chain.FormatError{What: what, Text: text, Reason: "want 0x and 64 lower case hex digits"}
	}
	return hash, nil
}
