package cutproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	// MaxPayload is how much of a message a Plan is shown, and the proxy holds.
	// Longer ones pass all the same. Texts of statements are far shorter.
	MaxPayload = 1 << 20
	// defaultConns is the default of Options.MaxConns.
	defaultConns = 500
	acceptPause  = 5 * time.Millisecond
	// dialTimeout bounds how long the server may take to accept.
	dialTimeout = 10 * time.Second
)

// Options say what New makes.
type Options struct {
	// Server is where the server listens: host:port, or the path of its socket.
	Server string
	// Plan is the first plan; nil passes everything. See Proxy.SetPlan.
	Plan Plan
	// Reset has a cut reset the client's TCP connection, as a machine that was
	// lost and came back would. Otherwise the client sees its end.
	Reset bool
	// MaxConns is how many connections there may be at once; more are refused.
	// Default 500; at least 1.
	MaxConns int
}

// Stats count what happened since New.
type Stats struct {
	// Accepted and Refused are connections; Open those that there are now.
	Accepted, Refused, Open int64
	// Cut is how many connections a plan or CutAll has cut.
	Cut int64
	// Held is how often a plan has stalled a connection. What is counted ends with the
	// next Resume.
	Held int64
	// Commits counts messages of clients that commit, passed on or not; Committed
	// the server's answers that it did, passed on or not.
	Commits, Committed int64
	// Encrypted is how many clients were cut because the server wanted to encrypt;
	// Broken how many because one side does not speak the protocol.
	Encrypted, Broken int64
}

// Proxy listens on the loopback and leads to one server. Its methods may be
// called concurrently, also by a Plan; only Close waits for plans to return.
type Proxy struct {
	options  Options
	listener net.Listener
	done     sync.WaitGroup

	mu      sync.Mutex
	plan    Plan
	stats   Stats
	conns   map[*conn]bool
	refuse  bool
	stalled bool
	resume  chan struct{} // closed by the next Resume
	closed  bool
}

// New starts a proxy. It does not ask whether the server is there.
func New(options Options) (*Proxy, error) {
	if options.Server == "" {
		return nil, errors.New("cutproxy: Options.Server is empty")
	}
	if options.MaxConns == 0 {
		options.MaxConns = defaultConns
	}
	if options.MaxConns < 0 {
		return nil, fmt.Errorf("cutproxy: Options.MaxConns: %d is negative", options.MaxConns)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cutproxy: %w", err)
	}
	p := &Proxy{options: options, listener: listener, plan: options.Plan, conns: map[*conn]bool{}, resume: make(chan struct{})}
	p.done.Go(p.accept)
	return p, nil
}

// Addr returns host:port for clients.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetPlan replaces the plan for messages that come from now on; nil passes
// everything.
func (p *Proxy) SetPlan(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Refuse says whether new connections are closed before a byte is read. Those
// that there are stay.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// Stall has nothing pass in either direction, as a network that drops everything:
// neither side learns even that the other one is gone. New connections are
// accepted and wait.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
}

// Resume ends Stall and what the decision Stall holds. Nothing was lost.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = false
	close(p.resume)
	p.resume = make(chan struct{})
}

// CutAll cuts all connections there are, stalled or not, and returns how many.
func (p *Proxy) CutAll() int {
	p.mu.Lock()
	conns := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	n := 0
	for _, c := range conns {
		if c.cut() {
			n++
		}
	}
	return n
}

// Stats returns the counts.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Open = int64(len(p.conns))
	return s
}

// Close ends listening and all connections, without regard for what is on its
// way, and waits for all goroutines. It may be called twice.
func (p *Proxy) Close() error {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	conns := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	var err error
	if !closed {
		err = p.listener.Close()
	}
	for _, c := range conns {
		c.end()
	}
	p.done.Wait()
	return err
}

// count changes the counts.
func (p *Proxy) count(change func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.stats)
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// That client is gone again, or there are no file descriptors, which
			// takes a moment to change.
			<-time.After(acceptPause)
			continue
		}
		if c := p.enter(client); c != nil {
			p.done.Go(c.serve)
		} else {
			_ = client.Close() // it is refused
		}
	}
}

// enter makes a connection known; nil if it is refused.
func (p *Proxy) enter(client net.Conn) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refuse || len(p.conns) >= p.options.MaxConns {
		p.stats.Refused++
		return nil
	}
	p.stats.Accepted++
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{proxy: p, number: p.stats.Accepted, client: client, ctx: ctx, cancel: cancel, gone: make(chan struct{}), commits: newCommits()}
	p.conns[c] = true
	return c
}

// leave forgets a connection that has ended.
func (p *Proxy) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// decide asks the plan, without the lock.
func (p *Proxy) decide(m Message) Decision {
	p.mu.Lock()
	plan := p.plan
	if m.Commit && m.Dir == ToServer {
		p.stats.Commits++
	} else if m.Commit {
		p.stats.Committed++
	}
	p.mu.Unlock()
	if plan == nil {
		return Pass
	}
	return plan(m)
}

// dial opens the server's side.
func (p *Proxy) dial(ctx context.Context) (net.Conn, error) {
	network := "tcp"
	if strings.ContainsAny(p.options.Server, `/\`) {
		network = "unix"
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	return dialer.DialContext(ctx, network, p.options.Server)
}
