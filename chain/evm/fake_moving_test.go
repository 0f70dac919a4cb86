package evm

import (
	"math/rand/v2"
	"testing"
)

// Keys of the random chains: ours, which sign now and then, and strangers.
const (
	ourKeys   = 4
	strangers = 4
)

// movingChain makes blocks in which little happens to ours, and everything that
// can: payments, failed ones, tokens, coin that contracts send and the protocol
// credits, sweeps of exactly what came, delegation and what it allows.
type movingChain struct {
	*fakeNode
	t      *testing.T
	rnd    *rand.Rand
	nonces map[int]uint64
	list   []signedTx
	moves  []fakeMove
	coded  map[int]bool
}

func newMovingChain(t *testing.T, seed uint64) *movingChain {
	m := &movingChain{fakeNode: newFakeNode(t), t: t, rnd: rand.New(rand.NewPCG(seed, 9)), nonces: map[int]uint64{}, coded: map[int]bool{}}
	m.states = true
	return m
}

func (m *movingChain) watch() *fakeWatch {
	all := []string{ann, ben, customer}
	for key := range ourKeys {
		all = append(all, keyAddress(key))
	}
	return watching([]string{coin, other}, all...)
}

func (m *movingChain) send(key int, to string, value uint64, change ...func(*signedTx)) {
	tx := signedTx{key: key, to: to, value: value, nonce: m.nonces[key]}
	m.nonces[key]++
	for _, f := range change {
		f(&tx)
	}
	m.list = append(m.list, tx)
}

func (m *movingChain) anybody() int { return ourKeys + m.rnd.IntN(strangers) }

func (m *movingChain) ours() string {
	names := []string{ann, ben, customer}
	if k := m.rnd.IntN(len(names) + ourKeys); k >= len(names) {
		return keyAddress(k - len(names))
	} else {
		return names[k]
	}
}

// happen adds one event of the random chain to the block in the making.
func (m *movingChain) happen() {
	failing := func(tx *signedTx) { tx.failed = true }
	switch m.rnd.IntN(11) {
	case 0:
		m.send(m.anybody(), m.ours(), m.rnd.Uint64N(3))
	case 1:
		m.send(m.anybody(), m.ours(), 5, failing)
	case 2:
		to := m.ours()
		m.send(m.anybody(), coin, 0, func(tx *signedTx) { tx.logs = []fakeLog{transferLog(coin, stranger, to, m.rnd.Uint64N(3))} })
	case 3: // a contract pays, whose call shows in a trace alone
		to := m.ours()
		m.send(m.anybody(), stranger, 0)
		m.moves = append(m.moves, fakeMove{account: to, amount: 7})
	case 4: // block fees, or a contract that ends in favour of one of ours
		m.moves = append(m.moves, fakeMove{account: m.ours(), amount: 3})
	case 5, 6: // in and out, the balance as before
		key := m.rnd.IntN(ourKeys)
		m.send(m.anybody(), keyAddress(key), fakeFee+9)
		if m.rnd.IntN(2) == 0 {
			m.seal()
		}
		m.send(key, stranger, 9)
	case 7:
		m.send(m.rnd.IntN(ourKeys), m.ours(), 1, failing)
	case 8:
		m.delegate(m.rnd.IntN(ourKeys))
	case 9: // the code of a delegated account is run by a stranger, and pays out what came
		for key := range ourKeys {
			if m.coded[key] {
				m.send(m.anybody(), keyAddress(key), 11)
				m.moves = append(m.moves, fakeMove{account: keyAddress(key), amount: -11})
			}
		}
	case 10:
		m.send(m.anybody(), stranger, 4)
	}
}

// delegate gives an account code, or takes it back; either costs a nonce, in a
// transaction that others may send.
func (m *movingChain) delegate(key int) {
	change := 1
	if m.coded[key] {
		change = -1
	}
	m.coded[key] = !m.coded[key]
	m.nonces[key]++
	m.moves = append(m.moves, fakeMove{account: keyAddress(key), nonces: 1, code: change})
}

func (m *movingChain) seal() {
	m.mineReal(m.t, m.list...)
	m.then(m.moves...)
	m.list, m.moves = nil, nil
}

// grow adds blocks. Delegations do not outlive them, so that they are found by
// comparing alone.
func (m *movingChain) grow(blocks int, often int) {
	for range blocks {
		if m.rnd.IntN(often) == 0 {
			for range 1 + m.rnd.IntN(2) {
				m.happen()
			}
		}
		m.seal()
	}
	for key := range ourKeys {
		if m.coded[key] {
			m.delegate(key)
		}
	}
	m.seal()
}

func (m *movingChain) last() uint64 { return uint64(len(m.blocks)) - 1 }
