package evm

// transferTopic is the hash of Transfer(address,address,uint256), the event of
// ERC-20 and, with a fourth topic, of ERC-721.
//
// Source: https://eips.ethereum.org/EIPS/eip-20
const (
	transferTopic    = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
	transferTopicRaw = "\xdd\xf2\x52\xad\x1b\xe2\xc8\x9b\x69\xc2\xb0\x68\xfc\x37\x8d\xaa" +
		"\x95\x2b\xa7\xf1\x63\xc4\xa1\x16\x28\xf5\x5a\x4d\xf5\x23\xb3\xef"
)

func isTransferTopic(topic *[32]byte) bool { return string(topic[:]) == transferTopicRaw }

// logObject is what is needed of a log. It is comparable, so that two copies of
// one log can be told from two logs.
type logObject struct {
	address   [addressLength]byte
	topics    [3][32]byte // the first three
	data      [32]byte    // the first bytes
	blockHash [32]byte
	txHash    [32]byte
	txIndex   uint64
	logIndex  uint64
	// topicCount and dataLength are those of the whole log.
	topicCount int
	dataLength int
	removed    bool
}

const (
	logAddress = 1 << iota
	logTopics
	logData
	logBlock
	logTx
	logTxIndex
	logLogIndex
	logRemoved

	logRequired = logAddress | logTopics | logData | logBlock | logTx | logTxIndex | logLogIndex
)

// logs reads an array of logs and appends those that keep wants; keep may be
// nil. It returns false for null, which is no list of no logs.
func (s *scanner) logs(dst []logObject, keep func(*logObject) bool) ([]logObject, bool) {
	if s.isNull() {
		return dst, false
	}
	if !s.open('[') {
		return dst, true
	}
	for first := true; s.more(']', &first); {
		dst = append(dst, logObject{})
		l := &dst[len(dst)-1]
		s.log(l)
		if keep != nil && !keep(l) {
			dst = dst[:len(dst)-1]
		}
	}
	return dst, true
}

func (s *scanner) log(l *logObject) {
	var seen uint32
	if !s.open('{') {
		return
	}
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			break
		}
		switch string(name) {
		case "address":
			s.once(&seen, logAddress)
			s.fixed(l.address[:])
		case "topics":
			s.once(&seen, logTopics)
			s.topics(l)
		case "data":
			s.once(&seen, logData)
			start := s.pos
			l.dataLength = s.bytes(l.data[:])
			s.logData = s.data[min(start, s.pos):s.pos]
		case "blockHash":
			s.once(&seen, logBlock)
			s.fixed(l.blockHash[:])
		case "transactionHash":
			s.once(&seen, logTx)
			s.fixed(l.txHash[:])
		case "transactionIndex":
			s.once(&seen, logTxIndex)
			l.txIndex = s.uint64()
		case "logIndex":
			s.once(&seen, logLogIndex)
			l.logIndex = s.uint64()
		case "removed":
			s.once(&seen, logRemoved)
			l.removed = s.flag()
		default:
			s.skip()
		}
	}
	s.need(seen, logRequired)
}

func (s *scanner) topics(l *logObject) {
	var surplus [32]byte
	if !s.open('[') {
		return
	}
	for first := true; s.more(']', &first); l.topicCount++ {
		if l.topicCount < len(l.topics) {
			s.fixed(l.topics[l.topicCount][:])
		} else {
			s.fixed(surplus[:])
		}
	}
}

// isTransfer reports whether the log has the shape of an ERC-20 transfer:
// exactly three topics, two of them addresses, and exactly one word of data.
// Who emitted it is another question.
func (l *logObject) isTransfer() bool {
	return l.topicCount == 3 && l.dataLength == 32 && isTransferTopic(&l.topics[0]) &&
		isAddressWord(&l.topics[1]) && isAddressWord(&l.topics[2])
}

// isAddressWord reports whether the word is an address padded with zeros.
func isAddressWord(w *[32]byte) bool { return [12]byte(w[:12]) == [12]byte{} }

// from and to are the parties of a transfer.
func (l *logObject) from() [addressLength]byte { return [addressLength]byte(l.topics[1][12:]) }
func (l *logObject) to() [addressLength]byte   { return [addressLength]byte(l.topics[2][12:]) }
