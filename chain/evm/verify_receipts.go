package evm

// lastKnownType is the highest type of transaction whose receipts are known to be
// hashed as those of all others (EIP-2718). Chains have types of their own above
// it, some of which hash more.
const lastKnownType = setCodeType

// receiptsProof are all receipts of a block, as they are hashed.
type receiptsProof struct {
	encodings [][]byte // in arena
	ok        []bool   // which of them succeeded
	logs      []logObject
	// strange is true where one is of an unknown type or of an unknown shape, so
	// that the root proves nothing where it does not fit.
	strange bool
	missing bool // the node has no such list
	arena   []byte
	data    []byte // of one log
	list    []byte // of one receipt's logs
}

// receiptsProof reads the receipts of a block, or null.
func (s *scanner) receiptsProof(r *receiptsProof) {
	*r = receiptsProof{encodings: r.encodings[:0], ok: r.ok[:0], logs: r.logs[:0], arena: r.arena[:0], data: r.data, list: r.list}
	if r.missing = s.isNull(); r.missing || !s.open('[') {
		return
	}
	for first := true; s.more(']', &first); {
		s.receiptProof(r)
	}
}

const (
	proofType = 1 << iota
	proofStatus
	proofGas
	proofBloom
	proofLogs

	proofRequired = proofStatus | proofGas | proofBloom | proofLogs
)

// receiptProof reads one receipt and appends its encoding: the type's byte, where
// it has one, and a list of status, gas so far, bloom and logs.
//
// Source: https://eips.ethereum.org/EIPS/eip-2718 and EIP-658.
func (s *scanner) receiptProof(r *receiptsProof) {
	var seen uint32
	var kind, status uint64
	var gas [32]byte
	var bloom [256]byte
	if !s.open('{') {
		return
	}
	r.list = r.list[:0]
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			break
		}
		switch string(name) {
		case "type":
			s.once(&seen, proofType)
			kind = s.uint64()
		case "status":
			s.once(&seen, proofStatus)
			status = s.uint64()
		case "cumulativeGasUsed":
			s.once(&seen, proofGas)
			s.uint256(&gas)
		case "logsBloom":
			s.once(&seen, proofBloom)
			s.fixed(bloom[:])
		case "logs":
			s.once(&seen, proofLogs)
			s.logsProof(r)
		default:
			s.skip()
		}
	}
	s.need(seen, proofRequired)
	if s.err != nil {
		return
	}
	r.strange = r.strange || kind > lastKnownType
	if kind >= 0x80 || status > 1 {
		s.fail("a receipt of no type")
		return
	}
	content := rlpString(nil, trimmed([]byte{byte(status)}))
	content = rlpString(content, trimmed(gas[:]))
	content = rlpString(content, bloom[:])
	content = append(content, rlpList(r.list)...)
	start := len(r.arena)
	if kind > 0 {
		r.arena = append(r.arena, byte(kind))
	}
	r.arena = append(r.arena, rlpList(content)...)
	r.encodings = append(r.encodings, r.arena[start:len(r.arena):len(r.arena)])
	r.ok = append(r.ok, status == 1)
}

// logsProof reads the logs of a receipt into r.list, and keeps those with the
// Transfer topic under the number of their transaction.
func (s *scanner) logsProof(r *receiptsProof) {
	if !s.open('[') {
		return
	}
	for first := true; s.more(']', &first); {
		l := logObject{txIndex: uint64(len(r.encodings))}
		r.list = append(r.list, rlpList(s.logProof(r, &l))...)
		if l.topicCount > 0 && isTransferTopic(&l.topics[0]) {
			r.logs = append(r.logs, l)
		}
	}
}

// logProof reads one log and returns the content of its encoding: who emitted it,
// the topics, the data.
func (s *scanner) logProof(r *receiptsProof, l *logObject) []byte {
	var seen uint32
	var topics []byte
	if !s.open('{') {
		return nil
	}
	r.data = r.data[:0]
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
			topics = s.topicsProof(l)
		case "data":
			s.once(&seen, logData)
			r.data = s.appendBytes(r.data)
			copy(l.data[:], r.data)
			l.dataLength = len(r.data)
		default:
			s.skip()
		}
	}
	s.need(seen, logAddress|logTopics|logData)
	content := rlpString(nil, l.address[:])
	content = append(content, rlpList(topics)...)
	return rlpString(content, r.data)
}

func (s *scanner) topicsProof(l *logObject) (content []byte) {
	if !s.open('[') {
		return nil
	}
	for first := true; s.more(']', &first); l.topicCount++ {
		var topic [32]byte
		s.fixed(topic[:])
		if l.topicCount < len(l.topics) {
			l.topics[l.topicCount] = topic
		}
		content = rlpString(content, topic[:])
	}
	return content
}

// root is that of the receipts' tree.
func (r *receiptsProof) root(b *rootBuilder) [32]byte {
	return b.rootOf(len(r.encodings), func(i int) []byte { return r.encodings[i] })
}
