package chaintest

import (
	"bytes"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/bursar-go/bursar/chain"
)

// Contracts that exist on every simulated chain.
var (
	rejecterAddress  = common.BytesToAddress(crypto.Keccak256([]byte("chaintest rejecter")))
	splitterAddress  = common.BytesToAddress(crypto.Keccak256([]byte("chaintest splitter")))
	regretterAddress = common.BytesToAddress(crypto.Keccak256([]byte("chaintest regretter")))
	// A destructor creates a contract with the coin it is sent, and has it
	// destroyed in favour of the address that its input names.
	destructorAddress = common.BytesToAddress(crypto.Keccak256([]byte("chaintest destructor")))
)

// Rejecter returns the address of a contract that reverts whatever it is paid.
func (c *Chain) Rejecter() chain.Address { return textAddress(rejecterAddress) }

// Splitter returns the address of the contract that PayMany calls.
func (c *Chain) Splitter() chain.Address { return textAddress(splitterAddress) }

// Destructor returns the address of the contract that PaySelfDestruct calls.
func (c *Chain) Destructor() chain.Address { return textAddress(destructorAddress) }

type rejecter struct{}

func (rejecter) call(m *message) ([]byte, error) {
	m.gas += gasReject
	return nil, reverted("rejected")
}

// splitter pays many receivers in one transaction, as exchanges do. Its input
// is a run of parts of 72 bytes: token (zero for native coin), receiver, amount.
// Tokens move from the caller, native coin from the value sent along: by
// internal calls, which no log and no transaction list shows.
type splitter struct{}

const splitterPart = 20 + 20 + 32

func splitterCall(token, to common.Address, amount chain.Amount) []byte {
	word := amount.Bytes32()
	return bytes.Join([][]byte{token[:], to[:], word[:]}, nil)
}

func (splitter) call(m *message) ([]byte, error) {
	if len(m.data) == 0 || len(m.data)%splitterPart != 0 {
		return nil, reverted("unknown function")
	}
	for part := m.data; len(part) > 0; part = part[splitterPart:] {
		m.gas += gasSplit
		contract, to := common.BytesToAddress(part[:20]), common.BytesToAddress(part[20:40])
		amount, err := chain.AmountFromBytes(part[40:splitterPart])
		if err != nil {
			return nil, reverted("overflow")
		}
		if contract == (common.Address{}) {
			if err := m.send(m.next(), to, amount); err != nil {
				return nil, err
			}
			continue
		}
		t, ok := m.c.contracts[contract].(*token)
		if !ok {
			return nil, reverted("no token")
		}
		m.gas += gasToken
		m.next()
		if _, err := t.transfer(m, m.from, to, amount); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// send is an internal call with native coin, which a receiving contract may refuse.
func (m *message) send(path string, to common.Address, amount chain.Amount) error {
	if err := moveNative(m.world, m.to, to, amount); err != nil {
		return err
	}
	if !amount.IsZero() {
		m.r.inner = append(m.r.inner, innerMove{path, m.to, to, amount})
	}
	code, ok := m.c.contracts[to]
	if !ok {
		return nil
	}
	inner := &message{c: m.c, world: m.world, from: m.to, to: to, value: amount, r: m.r, path: path + "."}
	_, err := code.call(inner)
	m.gas += inner.gas
	return err
}

// destructor forces native coin on an address: no code of the receiver runs, so
// that it cannot refuse, and nothing but its balance tells.
type destructor struct{}

func (destructor) call(m *message) ([]byte, error) {
	m.gas += gasDestruct
	if len(m.data) != common.AddressLength {
		return nil, reverted("unknown function")
	}
	// The call that creates the contract, and the one of its end.
	to, path := common.BytesToAddress(m.data), m.next()+".0"
	if !m.value.IsZero() {
		m.r.inner = append(m.r.inner, innerMove{path, m.to, to, m.value})
	}
	return nil, moveNative(m.world, m.to, to, m.value)
}

// regretter sends native coin on in a call that is reverted afterwards, and takes
// no notice: the transaction succeeds, a trace shows the call, and the coin stays
// with the contract.
type regretter struct{}

func (regretter) call(m *message) ([]byte, error) {
	m.gas += gasSplit
	return nil, nil
}
