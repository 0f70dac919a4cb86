package evm

import (
	"cmp"
	"slices"

	"github.com/ethereum/go-ethereum/rlp"
)

// rootBuilder computes the root that a header has of its transactions or of their
// receipts: that of a Merkle-Patricia tree from a place, in RLP, to an encoding. It
// keeps its memory from block to block.
type rootBuilder struct {
	leaves []rootLeaf
	keys   []byte // nibbles of all leaves, one after the other
	out    []byte // the nodes under construction, as a stack
}

type rootLeaf struct {
	key   []byte // nibbles
	value []byte
}

// root returns the root of the transactions' encodings.
func (b *rootBuilder) root(txs []rawTx) [32]byte {
	return b.rootOf(len(txs), func(i int) []byte { return txs[i].encoding })
}

// rootOf returns the root of count encodings.
func (b *rootBuilder) rootOf(count int, encoding func(i int) []byte) [32]byte {
	if count == 0 {
		return keccak256([]byte{0x80})
	}
	b.leaves, b.keys, b.out = b.leaves[:0], b.keys[:0], b.out[:0]
	// Six nibbles are enough for 65,535 transactions, and a larger number only
	// makes the list move, which the slices of earlier keys survive.
	b.keys = slices.Grow(b.keys, 6*count)
	var place [9]byte
	for i := range count {
		start := len(b.keys)
		for _, c := range rlp.AppendUint64(place[:0], uint64(i)) {
			b.keys = append(b.keys, c>>4, c&15)
		}
		b.leaves = append(b.leaves, rootLeaf{key: b.keys[start:len(b.keys):len(b.keys)], value: encoding(i)})
	}
	slices.SortFunc(b.leaves, func(x, y rootLeaf) int { return cmp.Or(slices.Compare(x.key, y.key)) })
	start := b.node(b.leaves, 0)
	return keccak256(b.out[start:])
}

// node appends the encoding of the tree of the leaves, whose keys are alike
// before depth, and returns where it begins.
func (b *rootBuilder) node(leaves []rootLeaf, depth int) (start int) {
	first, last := leaves[0].key, leaves[len(leaves)-1].key
	if len(leaves) == 1 {
		return b.short(first[depth:], true, func() { b.out = rlpString(b.out, leaves[0].value) })
	}
	shared := depth
	for shared < len(first) && shared < len(last) && first[shared] == last[shared] {
		shared++
	}
	if shared > depth {
		return b.short(first[depth:shared], false, func() { b.child(leaves, shared) })
	}
	return b.list(func() {
		for nibble := range byte(16) {
			n := 0
			for n < len(leaves) && leaves[n].key[depth] == nibble {
				n++
			}
			if n == 0 {
				b.out = append(b.out, 0x80)
				continue
			}
			b.child(leaves[:n], depth+1)
			leaves = leaves[n:]
		}
		// No key is the beginning of another one, so no branch has a value.
		b.out = append(b.out, 0x80)
	})
}

// short appends a leaf or an extension: a list of a path and what follows.
func (b *rootBuilder) short(path []byte, leaf bool, rest func()) int {
	return b.list(func() {
		var packed [8]byte
		flag := byte(0)
		if leaf {
			flag = 0x20
		}
		out := packed[:1]
		if len(path)%2 == 1 {
			flag |= 0x10 | path[0]
			path = path[1:]
		}
		out[0] = flag
		for ; len(path) > 0; path = path[2:] {
			out = append(out, path[0]<<4|path[1])
		}
		b.out = rlpString(b.out, out)
		rest()
	})
}

// child appends a reference to a tree: its hash, or itself where it is shorter.
func (b *rootBuilder) child(leaves []rootLeaf, depth int) {
	start := b.node(leaves, depth)
	if len(b.out)-start < 32 {
		return
	}
	sum := keccak256(b.out[start:])
	b.out = rlpString(b.out[:start], sum[:])
}

// list appends a list of what content appends. Its prefix is written first and
// moved where the content turns out to need a longer one.
func (b *rootBuilder) list(content func()) (start int) {
	const room = 9
	start = len(b.out)
	b.out = append(b.out, make([]byte, room)...)
	content()
	var prefix [room]byte
	p := rlpPrefix(prefix[:0], 0xc0, len(b.out)-start-room)
	n := copy(b.out[start:], p)
	n += copy(b.out[start+n:], b.out[start+room:])
	b.out = b.out[:start+n]
	return start
}
