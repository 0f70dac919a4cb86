package evm

// traceObject is a frame of a transaction's execution that moved native coin,
// or began a transaction.
type traceObject struct {
	blockHash, txHash [32]byte
	tx                uint64 // the transaction's place in the block
	from, to          [addressLength]byte
	value             [32]byte
	// path is the place in the tree of calls, as "0.2.1"; empty for the
	// transaction itself.
	path string
	// moves is true where value went from from to to, creates where the frame
	// made the contract to. Neither says whether the frame lasted: failed does,
	// of this frame alone.
	moves, creates, failed bool
	// reward is true for what the protocol paid: such a frame has no transaction.
	reward bool
}

const (
	traceAction = 1 << iota
	traceKind
	traceBlock
	traceTx
	traceIndex
	tracePath
	traceError
	traceResult

	traceRequired = traceAction | traceKind | traceBlock | tracePath
)

// traces reads the answer to trace_block: one array with the frames of all
// transactions, each transaction's in the order in which they began. It returns
// false for null.
//
// Source: the trace module of OpenEthereum, as Erigon, Nethermind, Reth and
// anvil have it.
func (s *scanner) traces(dst []traceObject) ([]traceObject, bool) {
	if s.isNull() {
		return dst, false
	}
	if !s.open('[') {
		return dst, true
	}
	for first := true; s.more(']', &first); {
		dst = append(dst, traceObject{})
		s.trace(&dst[len(dst)-1])
	}
	return dst, true
}

func (s *scanner) trace(t *traceObject) {
	var seen uint32
	var action traceActionObject
	var kind string
	if !s.open('{') {
		return
	}
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			break
		}
		switch string(name) {
		case "action":
			s.once(&seen, traceAction)
			s.traceAction(&action)
		case "type":
			s.once(&seen, traceKind)
			kind = string(s.plain())
		case "blockHash":
			s.once(&seen, traceBlock)
			s.fixed(t.blockHash[:])
		case "transactionHash":
			if !s.isNull() {
				s.once(&seen, traceTx)
				s.fixed(t.txHash[:])
			}
		case "transactionPosition":
			if !s.isNull() {
				s.once(&seen, traceIndex)
				t.tx = s.count()
			}
		case "traceAddress":
			s.once(&seen, tracePath)
			t.path = s.tracePath()
		case "error":
			s.once(&seen, traceError)
			t.failed = !s.isNull()
			if t.failed {
				s.skip()
			}
		case "result":
			s.once(&seen, traceResult)
			s.traceResult(&action)
		default:
			s.skip()
		}
	}
	s.need(seen, traceRequired)
	if t.reward = kind == "reward"; !t.reward {
		s.need(seen, traceTx|traceIndex)
	}
	if s.err == nil && !action.into(t, kind) {
		s.fail("a frame without its parties")
	}
}

// traceActionObject has the fields of all kinds of actions.
type traceActionObject struct {
	callType                string
	from, to                [addressLength]byte
	address, refund, made   [addressLength]byte
	value, balance          [32]byte
	hasFrom, hasTo, hasMade bool
	hasValue, hasRefund     bool
}

// into tells what a frame moved. Of the calls only a plain one does: a static
// call has no value, and what a delegate call names is that of the frame around
// it.
func (a *traceActionObject) into(t *traceObject, kind string) bool {
	switch kind {
	case "call":
		t.from, t.to, t.value = a.from, a.to, a.value
		t.moves = a.callType == "call" || a.callType == ""
		return a.hasFrom && a.hasTo && a.hasValue
	case "create":
		t.from, t.to, t.value, t.creates = a.from, a.made, a.value, true
		t.moves = a.hasMade
		return a.hasFrom && a.hasValue
	case "suicide", "selfdestruct":
		t.from, t.to, t.value, t.moves = a.address, a.refund, a.balance, a.hasRefund
	}
	return true
}

func (s *scanner) traceAction(a *traceActionObject) {
	var seen uint32
	if !s.open('{') {
		return
	}
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			return
		}
		field := traceField(name)
		if field == 0 || s.isNull() {
			if field == 0 {
				s.skip()
			}
			continue
		}
		s.once(&seen, field)
		s.traceParty(a, string(name))
	}
}

// traceField numbers the fields of an action that are read.
func traceField(name []byte) uint32 {
	for i, known := range [...]string{"callType", "from", "to", "value", "address", "refundAddress", "balance"} {
		if string(name) == known {
			return 1 << i
		}
	}
	return 0
}

func (s *scanner) traceParty(a *traceActionObject, name string) {
	switch name {
	case "callType":
		a.callType = string(s.plain())
	case "from":
		a.hasFrom = true
		s.fixed(a.from[:])
	case "to":
		a.hasTo = true
		s.fixed(a.to[:])
	case "value":
		a.hasValue = true
		s.uint256(&a.value)
	case "address":
		s.fixed(a.address[:])
	case "refundAddress":
		a.hasRefund = true
		s.fixed(a.refund[:])
	case "balance":
		s.uint256(&a.balance)
	}
}

// traceResult reads the address of a contract that was made.
func (s *scanner) traceResult(a *traceActionObject) {
	if s.isNull() || !s.open('{') {
		return
	}
	for first := true; ; {
		name, ok := s.key(&first)
		switch {
		case !ok:
			return
		case string(name) != "address":
			s.skip()
		case a.hasMade:
			s.fail("a field twice")
		case !s.isNull():
			a.hasMade = true
			s.fixed(a.made[:])
		}
	}
}

// count reads a plain JSON number without sign, fraction or exponent.
func (s *scanner) count() (n uint64) {
	s.space()
	start := s.pos
	s.number()
	text := s.data[start:s.pos]
	if s.err == nil && len(text) > 9 {
		s.fail("a count out of range")
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			s.fail("want a count")
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// maxTracePath bounds the text of a place in the tree of calls: the EVM stops at
// a depth of 1,024.
const maxTracePath = 4096

// tracePath writes the place in the tree of calls as text.
func (s *scanner) tracePath() string {
	var buf [32]byte
	out := buf[:0]
	if !s.open('[') {
		return ""
	}
	for first := true; s.more(']', &first); {
		s.space()
		start := s.pos
		s.count()
		if len(out) > 0 {
			out = append(out, '.')
		}
		if s.err == nil {
			out = append(out, s.data[start:s.pos]...)
		}
		if len(out) > maxTracePath {
			s.fail("a call tree too deep")
		}
	}
	return string(out)
}
