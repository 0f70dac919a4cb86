package node

import (
	"sync"
	"testing"
)

// Pool has at most one node of each kind. Its zero value is ready. It is safe
// for concurrent use; the networks it hands out are not.
type Pool struct {
	mu    sync.Mutex
	nodes map[string]*Network
	stops []func()
}

// Main runs the tests, then ends the nodes. It returns the exit code.
func (p *Pool) Main(m *testing.M) int {
	defer p.Close()
	return m.Run()
}

// Close ends the nodes.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, stop := range p.stops {
		stop()
	}
	p.stops, p.nodes = nil, nil
}

// opener starts a node of a kind. stop ends it.
type opener func(t testing.TB) (n *Network, stop func(), err error)

// get returns the node of a kind, which it starts the first time. The network is
// a fresh copy, bound to the test.
func (p *Pool) get(t testing.TB, kind string, open opener) *Network {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.nodes[kind]
	if !ok {
		started, stop, err := open(t)
		if err != nil {
			t.Fatalf("starting %s: %v", kind, err)
		}
		n = started
		if p.nodes == nil {
			p.nodes = map[string]*Network{}
		}
		p.nodes[kind] = n
		p.stops = append(p.stops, stop)
	}
	bound := *n
	bound.t = t
	return &bound
}

// Anvil returns an anvil that makes blocks only when told to.
func (p *Pool) Anvil(t testing.TB) *Network { return p.get(t, "anvil", openAnvil) }

// Geth returns a geth in its development mode, which makes a block for each
// transaction.
func (p *Pool) Geth(t testing.TB) *Network { return p.get(t, "geth", openGeth) }

// GethOnDemand returns a geth that makes blocks only when told to, so that what is
// sent waits in its pool, and for ever what offers too little. It cannot reorganise.
func (p *Pool) GethOnDemand(t testing.TB) *Network {
	return p.get(t, "geth on demand", openOnDemand)
}

// Simulated returns go-ethereum's simulated backend, which makes blocks only
// when told to.
func (p *Pool) Simulated(t testing.TB) *Network { return p.get(t, "simulated", openSimulated) }
