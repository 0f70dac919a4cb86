package evm

import (
	"cmp"
	"slices"
	"strconv"

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

// txTrace is what is kept of one transaction's trace: calls to the receivers that
// were asked about, and which calls failed. A block may hold a hundred thousand
// others.
type txTrace struct {
	whole  bool // the transaction's own call is among them
	kept   []traceObject
	failed map[string]bool // by path
}

func (x *txTrace) add(f traceObject, to map[[addressLength]byte]bool) {
	if f.path == "" {
		x.whole = true
	}
	if f.failed {
		if x.failed == nil {
			x.failed = map[string]bool{}
		}
		x.failed[f.path] = true
	}
	// What a transaction itself sends is in its value, and told with it.
	if to[f.to] && f.moves && f.value != [32]byte{} && f.from != f.to && f.path != "" {
		x.kept = append(x.kept, f)
	}
}

// effective are the kept calls that took effect: none that failed, and none inside
// one that did.
func (x *txTrace) effective() []traceObject {
	return slices.DeleteFunc(x.kept, func(f traceObject) bool {
		if x.failed[""] || x.failed[f.path] {
			return true
		}
		for n := range len(f.path) {
			if f.path[n] == '.' && x.failed[f.path[:n]] {
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

// parity takes the answer of trace_block, a flat list.
func (t *trace) parity(s *scanner) {
	frames, ok := s.traces(nil)
	if !ok {
		t.refuse("no trace")
	}
	for _, f := range frames {
		if chain.BlockHash(hexHash(&f.blockHash)) != t.hash {
			t.refuse("a trace of another block")
		}
		if !f.reward {
			t.of(f.txHash).add(f, t.to)
		}
	}
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
				t.tree(s, &x, "", 0)
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
func (t *trace) tree(s *scanner, x *txTrace, path string, deep int) {
	if deep > maxCallDepth {
		s.fail("calls nested too deep")
		return
	}
	depth := s.depth
	s.depth = 0
	defer func() { s.depth = depth }()
	var (
		seen uint32
		kind string
	)
	f := traceObject{path: path}
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
			n := 0
			s.array(func() {
				t.tree(s, x, inside(path, n), deep+1)
				n++
			})
		default:
			s.skip()
		}
	})
	s.need(seen, 1|2)
	// The other kinds act on the caller's own account.
	f.moves = slices.Contains([]string{"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"}, kind)
	x.add(f, t.to)
}

// inside is the path of the n-th call that a call makes.
func inside(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}
