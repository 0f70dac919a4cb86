package evm

import (
	"cmp"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// creditedBlock is what a block says of credits beside its transactions.
type creditedBlock struct {
	missing     bool
	height      uint64
	hash        [32]byte
	miner       [addressLength]byte
	txs         [][32]byte
	withdrawals []withdrawal
}

type withdrawal struct {
	index, gwei uint64
	address     [addressLength]byte
}

const (
	creditNumber = 1 << iota
	creditHash
	creditMiner
	creditTxs
	creditWithdrawals
)

func (b *creditedBlock) read(s *scanner) {
	if b.missing = s.isNull(); b.missing {
		return
	}
	var seen uint32
	s.object(func(name string) {
		switch name {
		case "number":
			s.once(&seen, creditNumber)
			b.height = s.uint64()
		case "hash":
			s.once(&seen, creditHash)
			s.fixed(b.hash[:])
		case "miner":
			s.once(&seen, creditMiner)
			if !s.isNull() {
				s.fixed(b.miner[:])
			}
		case "transactions":
			s.once(&seen, creditTxs)
			s.array(func() {
				var hash [32]byte
				s.fixed(hash[:])
				b.txs = append(b.txs, hash)
			})
		case "withdrawals":
			s.once(&seen, creditWithdrawals)
			if !s.isNull() {
				s.array(func() { b.withdrawals = append(b.withdrawals, s.withdrawal()) })
			}
		default:
			s.skip()
		}
	})
	s.need(seen, creditNumber|creditHash|creditTxs)
}

func (s *scanner) withdrawal() (w withdrawal) {
	var seen uint32
	s.object(func(name string) {
		switch name {
		case "index":
			s.once(&seen, 1)
			w.index = s.uint64()
		case "address":
			s.once(&seen, 2)
			s.fixed(w.address[:])
		case "amount":
			s.once(&seen, 4)
			w.gwei = s.uint64()
		default:
			s.skip()
		}
	})
	s.need(seen, 1|2|4)
	return w
}

// object reads an object, a member at a time.
func (s *scanner) object(member func(name string)) {
	if !s.open('{') {
		return
	}
	for first := true; ; {
		name, ok := s.key(&first)
		if !ok {
			return
		}
		member(string(name))
	}
}

// array reads an array, an element at a time.
func (s *scanner) array(element func()) {
	if !s.open('[') {
		return
	}
	for first := true; s.more(']', &first); {
		element()
	}
}

// frame is one call of a transaction.
type frame struct {
	path     []uint64 // empty for the transaction itself
	from, to [addressLength]byte
	value    [32]byte // zero where the kind of call moves nothing
	failed   bool
}

// txTrace is what is kept of one transaction's trace: calls to the receivers that
// were asked about, and which calls failed. A block may hold a hundred thousand
// others.
type txTrace struct {
	whole  bool // the transaction's own call is among them
	kept   []frame
	failed map[string]bool // by path
}

func (x *txTrace) add(f frame, to map[[addressLength]byte]bool) {
	if len(f.path) == 0 {
		x.whole = true
	}
	if f.failed {
		if x.failed == nil {
			x.failed = map[string]bool{}
		}
		x.failed[pathText(f.path)] = true
	}
	if to[f.to] && f.value != [32]byte{} && f.from != f.to && len(f.path) > 0 {
		x.kept = append(x.kept, f)
	}
}

// effective are the kept calls that took effect: none that failed, and none inside
// one that did.
func (x *txTrace) effective() []frame {
	return slices.DeleteFunc(x.kept, func(f frame) bool {
		for n := range len(f.path) + 1 {
			if x.failed[pathText(f.path[:n])] {
				return true
			}
		}
		return false
	})
}

// trace collects the calls of a block in either dialect.
type trace struct {
	to     map[[addressLength]byte]bool
	hash   chain.BlockHash
	txs    map[[32]byte]*txTrace // each transaction of the block
	reason string                // why the answer contradicts the block
}

func newTrace(x *tracedBlock) *trace {
	t := &trace{to: x.to, hash: x.ref.Hash, txs: make(map[[32]byte]*txTrace, len(x.txs))}
	for hash := range x.txs {
		t.txs[hash] = &txTrace{}
	}
	return t
}

func (t *trace) refuse(reason string) { t.reason = cmp.Or(t.reason, reason) }

// of returns the place for a transaction's calls.
func (t *trace) of(hash [32]byte) *txTrace {
	if x := t.txs[hash]; x != nil {
		return x
	}
	t.refuse("a trace of a transaction that is not in it")
	return &txTrace{}
}

// check refuses what is not the trace of the whole block.
func (t *trace) check(height uint64) error {
	for _, x := range t.txs {
		if !x.whole {
			t.refuse("traces of some of its transactions only")
		}
	}
	if t.reason != "" {
		return &IncoherentError{Height: height, Reason: t.reason}
	}
	return nil
}

// parity reads the answer of trace_block, a flat list.
func (t *trace) parity(s *scanner) {
	if s.isNull() {
		t.refuse("no trace")
		return
	}
	s.array(func() {
		i := s.item()
		if i.block != t.hash {
			t.refuse("a trace of another block")
		}
		if i.hasTx { // else it is a reward
			t.of(i.tx).add(i.frame(), t.to)
		}
	})
}

// traceItem is an element of the answer of trace_block.
type traceItem struct {
	action  action
	kind    string
	block   chain.BlockHash
	tx      [32]byte
	hasTx   bool
	path    []uint64
	failed  bool
	created [addressLength]byte
}

func (i traceItem) frame() frame {
	f := frame{path: i.path, failed: i.failed, from: i.action.from}
	switch i.kind {
	case "call":
		f.to = i.action.to
		// The others act on the caller's own account.
		if i.action.callType == "call" || i.action.callType == "" {
			f.value = i.action.value
		}
	case "create":
		f.to, f.value = i.created, i.action.value
	case "suicide", "selfdestruct":
		f.from, f.to, f.value = i.action.address, i.action.refund, i.action.balance
	}
	return f
}

func (s *scanner) item() (i traceItem) {
	var seen uint32
	s.object(func(name string) {
		switch name {
		case "action":
			s.once(&seen, 1)
			i.action = s.action()
		case "type":
			s.once(&seen, 2)
			i.kind = string(s.plain())
		case "blockHash":
			s.once(&seen, 4)
			var hash [32]byte
			s.fixed(hash[:])
			i.block = chain.BlockHash(hexHash(&hash))
		case "transactionHash":
			s.once(&seen, 8)
			if i.hasTx = !s.isNull(); i.hasTx {
				s.fixed(i.tx[:])
			}
		case "traceAddress":
			s.once(&seen, 16)
			s.array(func() { i.path = append(i.path, s.decimal()) })
		case "error":
			s.once(&seen, 32)
			if i.failed = !s.isNull(); i.failed {
				s.skip()
			}
		case "result":
			s.once(&seen, 64)
			i.created = s.created()
		default:
			s.skip()
		}
	})
	s.need(seen, 1|2|4|16)
	return i
}

// action is the cause of a frame of trace_block.
type action struct {
	callType        string
	from, to        [addressLength]byte
	address, refund [addressLength]byte
	value, balance  [32]byte
}

func (s *scanner) action() (a action) {
	var seen uint32
	s.object(func(name string) {
		switch name {
		case "callType":
			s.once(&seen, 1)
			a.callType = string(s.plain())
		case "from":
			s.once(&seen, 2)
			s.fixed(a.from[:])
		case "to":
			s.once(&seen, 4)
			s.fixed(a.to[:])
		case "value":
			s.once(&seen, 8)
			s.uint256(&a.value)
		case "address":
			s.once(&seen, 16)
			s.fixed(a.address[:])
		case "refundAddress":
			s.once(&seen, 32)
			s.fixed(a.refund[:])
		case "balance":
			s.once(&seen, 64)
			s.uint256(&a.balance)
		default:
			s.skip()
		}
	})
	return a
}

// created reads the result of a frame for the address of a new contract.
func (s *scanner) created() (a [addressLength]byte) {
	if s.isNull() {
		return a
	}
	s.object(func(name string) {
		if name == "address" {
			s.fixed(a[:])
			return
		}
		s.skip()
	})
	return a
}

// decimal reads a small plain number.
func (s *scanner) decimal() (n uint64) {
	s.space()
	start := s.pos
	if !s.digits() {
		return 0
	}
	if s.pos-start > 9 {
		s.fail("a number too large")
		return 0
	}
	for _, c := range s.data[start:s.pos] {
		n = 10*n + uint64(c-'0')
	}
	return n
}

// calls reads the answer of debug_traceBlockByHash with callTracer: a tree for each
// transaction.
func (t *trace) calls(s *scanner) {
	if s.isNull() {
		t.refuse("no trace")
		return
	}
	s.array(func() {
		var (
			hash [32]byte
			x    txTrace
			seen uint32
		)
		s.object(func(name string) {
			switch name {
			case "txHash":
				s.once(&seen, 1)
				s.fixed(hash[:])
			case "result":
				s.once(&seen, 2)
				t.tree(s, &x, nil)
			default:
				s.skip()
			}
		})
		s.need(seen, 1|2)
		if old := t.of(hash); old.whole {
			t.refuse("two traces of one transaction")
		} else {
			*old = x
		}
	})
}

// maxCallDepth is how deep calls nest in the EVM, and one more.
const maxCallDepth = 1025

// tree reads a call with all that it makes. Calls nest deeper than anything else in
// an answer, so that the scanner's bound on depth is that of one call.
func (t *trace) tree(s *scanner, x *txTrace, path []uint64) {
	if len(path) > maxCallDepth {
		s.fail("calls nested too deep")
		return
	}
	depth := s.depth
	s.depth = 0
	defer func() { s.depth = depth }()
	f := frame{path: slices.Clone(path)}
	var (
		seen uint32
		kind string
	)
	s.object(func(name string) {
		switch name {
		case "type":
			s.once(&seen, 1)
			kind = string(s.plain())
		case "from":
			s.once(&seen, 2)
			s.fixed(f.from[:])
		case "to":
			s.once(&seen, 4)
			if !s.isNull() {
				s.fixed(f.to[:])
			}
		case "value":
			s.once(&seen, 8)
			if !s.isNull() {
				s.uint256(&f.value)
			}
		case "error":
			s.once(&seen, 16)
			f.failed = true
			s.skip()
		case "calls":
			s.once(&seen, 32)
			n := uint64(0)
			s.array(func() {
				t.tree(s, x, append(path, n))
				n++
			})
		default:
			s.skip()
		}
	})
	s.need(seen, 1|2)
	if moves := []string{"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"}; !slices.Contains(moves, kind) {
		f.value = [32]byte{} // the others act on the caller's own account
	}
	x.add(f, t.to)
}
