package cutproxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// What a client's first message, which has no type, may be.
const (
	codeSSL    = 80877103
	codeGSS    = 80877104
	codeCancel = 80877102
	// maxStartup is what the server itself takes at most.
	maxStartup = 10000
	// drainTimeout bounds how long a server may go on answering to a client that
	// was cut.
	drainTimeout = 30 * time.Second
)

// Why a connection ends.
var (
	errCut       = errors.New("cutproxy: cut")
	errBroken    = errors.New("cutproxy: not the protocol")
	errEncrypted = errors.New("cutproxy: the server encrypts")
)

// conn is one client and its connection to the server. One goroutine reads from
// the client, another one from the server.
type conn struct {
	proxy          *Proxy
	number         int64
	client, server net.Conn // server is set before anybody else sees it, see serve
	commits        *commits

	// ctx ends when the connection must end at once.
	ctx    context.Context
	cancel context.CancelFunc
	// muted: nothing reaches the client any more. gone is closed by a cut: from
	// then on nothing reaches the server either.
	muted   atomic.Bool
	cutOnce sync.Once
	gone    chan struct{}

	// held is the proxy's resume channel at the time that a plan stalled this
	// connection; guarded by the proxy's lock.
	held chan struct{}
}

// serve works until both sides have ended.
func (c *conn) serve() {
	defer c.proxy.leave(c)
	defer c.cancel()
	defer c.client.Close() //nolint:errcheck // there is nobody to tell
	server, err := c.proxy.dial(c.ctx)
	if err != nil {
		return // as the client sees a server that is not there
	}
	defer server.Close() //nolint:errcheck // as above
	c.server = server
	// Reads and writes know no context; a deadline in the past ends them.
	ended := context.AfterFunc(c.ctx, func() {
		_ = c.client.SetDeadline(time.Unix(1, 0))
		_ = server.SetDeadline(time.Unix(1, 0))
	})
	defer ended()

	framed, err := c.startup()
	if err != nil {
		c.blame(err)
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() { c.answers(framed) })
	if framed {
		c.blame(c.pump(ToServer))
	}
	// The client has gone or was cut. What it said before still counts.
	closeWrite(server)
	_ = server.SetReadDeadline(time.Now().Add(drainTimeout))
	if c.ctx.Err() != nil {
		// It has ended meanwhile, and that deadline is now overwritten.
		_ = server.SetReadDeadline(time.Unix(1, 0))
	}
	answers.Wait()
}

// answers passes on what the server says, until it has said all.
func (c *conn) answers(framed bool) {
	if framed {
		c.blame(c.pump(ToClient))
	}
	// What is left after a cut, and the answer to a request to cancel, which is
	// the end of the connection.
	_, _ = io.Copy(io.Discard, c.server)
	_ = c.client.Close() // the client is told, and our reading from it ends
}

// blame counts why a connection ended, where somebody should know.
func (c *conn) blame(err error) {
	switch {
	case errors.Is(err, errEncrypted):
		c.proxy.count(func(s *Stats) { s.Encrypted++ })
	case errors.Is(err, errBroken):
		c.proxy.count(func(s *Stats) { s.Broken++ })
	}
}

// end ends the connection at once.
func (c *conn) end() { c.cancel() }

// cut ends the client's side, and reports whether this call did it.
func (c *conn) cut() (first bool) {
	c.cutOnce.Do(func() {
		first = true
		c.muted.Store(true)
		close(c.gone)
		c.proxy.count(func(s *Stats) { s.Cut++ })
		if tcp, ok := c.client.(*net.TCPConn); ok && c.proxy.options.Reset {
			_ = tcp.SetLinger(0) // an error leaves an ordinary end
		}
		_ = c.client.Close()
	})
	return first
}

// startup passes on what comes before the first message with a type. framed says
// that such messages follow.
func (c *conn) startup() (framed bool, err error) {
	for {
		var head [8]byte
		if _, err := io.ReadFull(c.client, head[:]); err != nil {
			return false, err
		}
		n, code := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
		if n < 8 || n > maxStartup {
			return false, fmt.Errorf("%w: a first message of %d bytes", errBroken, n)
		}
		message := append(head[:], make([]byte, n-8)...)
		if _, err := io.ReadFull(c.client, message[8:]); err != nil {
			return false, err
		}
		if !c.gate() {
			return false, errCut
		}
		if _, err := c.server.Write(message); err != nil {
			return false, err
		}
		switch code {
		case codeSSL, codeGSS:
			if err := c.encryption(); err != nil {
				return false, err
			}
		case codeCancel:
			return false, nil
		default:
			return true, nil
		}
	}
}

// encryption passes on the server's answer to whether it encrypts: one byte, N if
// it does not. The client goes on in plain text then.
func (c *conn) encryption() error {
	var answer [1]byte
	if _, err := io.ReadFull(c.server, answer[:]); err != nil {
		return err
	}
	if answer[0] != 'N' {
		return errEncrypted
	}
	_, err := c.client.Write(answer[:])
	return err
}

// pump passes messages on in one direction until one side ends or a plan cuts.
func (c *conn) pump(dir Direction) error {
	from, to := c.client, c.server
	if dir == ToClient {
		from, to = to, from
	}
	f := frames{from: from}
	for n := int64(1); ; n++ {
		if err := f.next(); err != nil {
			return err
		}
		// Nobody is asked about what goes nowhere: it was read along with what came
		// before the cut.
		if c.wasCut() || dir == ToClient && c.muted.Load() {
			return errCut
		}
		m := Message{Conn: c.number, Dir: dir, N: n, Type: f.kind(), Payload: f.payload()}
		if dir == ToServer {
			m.Commit = c.commits.see(m.Type, m.Payload)
		} else {
			m.Commit = isCommitted(m.Type, m.Payload)
		}
		if err := c.obey(c.proxy.decide(m), dir, to, &f); err != nil {
			return err
		}
	}
}

// obey does with a message what was decided.
func (c *conn) obey(decision Decision, dir Direction, to io.Writer, f *frames) error {
	switch decision {
	case CutBefore:
		c.cut()
		return errCut
	case CutAfter:
		// Before it is passed on: the answer may be quicker than the cut.
		if dir == ToServer {
			c.muted.Store(true)
		}
	case Stall:
		c.hold()
	}
	if !c.gate() || dir == ToClient && c.muted.Load() {
		return errCut // while the plan thought, or it waited
	}
	if err := f.pass(to); err != nil {
		return err
	}
	if decision == CutAfter {
		c.cut()
		return errCut
	}
	return nil
}

// hold stalls the connection until the next Resume.
func (c *conn) hold() {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	c.held = c.proxy.resume
	c.proxy.stats.Held++
}

// wasCut reports whether the connection was cut or must end.
func (c *conn) wasCut() bool {
	select {
	case <-c.gone:
		return true
	case <-c.ctx.Done():
		return true
	default:
		return false
	}
}

// gate waits while the proxy or the connection is stalled. It returns false once
// the connection was cut or must end.
func (c *conn) gate() bool {
	for {
		c.proxy.mu.Lock()
		resume := c.proxy.resume
		waits := c.proxy.stalled || c.held == resume
		c.proxy.mu.Unlock()
		if !waits {
			return !c.wasCut()
		}
		select {
		case <-resume:
		case <-c.gone:
			return false
		case <-c.ctx.Done():
			return false
		}
	}
}

// closeWrite tells a side that nothing more comes.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // an error means that it is gone
	}
}
