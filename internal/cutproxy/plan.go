package cutproxy

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// Direction is which way a message goes.
type Direction int

// The directions.
const (
	ToServer Direction = iota + 1
	ToClient
)

// Message is one message on its way, after the connection's startup.
type Message struct {
	// Conn numbers connections from 1, in the order they came.
	Conn int64
	// Dir is where it goes, N its number in this connection and direction, from 1.
	Dir Direction
	N   int64
	// Type is the protocol's letter; Payload what follows the length, at most its
	// first MaxPayload bytes. A Plan must not change or keep it.
	Type    byte
	Payload []byte
	// Commit says that the message commits a transaction, or tells of it.
	Commit bool
}

// Decision is what becomes of a message.
type Decision int

const (
	// Pass passes it on.
	Pass Decision = iota
	// CutBefore cuts the connection instead of passing it on.
	CutBefore
	// CutAfter passes it on, then cuts the connection. Of what is answered to it
	// nothing reaches the client.
	CutAfter
	// Stall holds it and all of its connection until Resume, then passes it on.
	Stall
)

// Plan decides about every message. It is called by all connections concurrently,
// in both directions, and holds up the one it is called for.
type Plan func(Message) Decision

// Pick says of one thing after the other whether it is meant. It may be called
// concurrently.
type Pick func() bool

// On returns the plan that decides so for the messages that match and are picked,
// and passes the others. Only those that match are put to pick.
func On(match func(Message) bool, pick Pick, decision Decision) Plan {
	return func(m Message) Decision {
		if match(m) && pick() {
			return decision
		}
		return Pass
	}
}

// commit matches COMMIT on its way in one direction.
func commit(dir Direction) func(Message) bool {
	return func(m Message) bool { return m.Commit && m.Dir == dir }
}

// AfterCommit cuts once COMMIT was passed on to the server, which then commits or
// finds that it cannot; the client never learns which.
func AfterCommit(pick Pick) Plan { return On(commit(ToServer), pick, CutAfter) }

// BeforeCommit cuts instead of passing COMMIT on: the server rolls back.
func BeforeCommit(pick Pick) Plan { return On(commit(ToServer), pick, CutBefore) }

// OnAnswer cuts when the server has said that it committed, before the client
// hears of it. Unlike after AfterCommit the transaction is known to be committed
// once the client sees the cut.
func OnAnswer(pick Pick) Plan { return On(commit(ToClient), pick, CutBefore) }

// StallCommit holds COMMIT until Resume.
func StallCommit(pick Pick) Plan { return On(commit(ToServer), pick, Stall) }

// AfterMessages cuts each connection after it has passed n messages on to the
// server, the startup not counted. n is at least 1.
func AfterMessages(n int64) Plan {
	return On(func(m Message) bool { return m.Dir == ToServer && m.N == n }, Always, CutAfter)
}

// Always picks everything.
func Always() bool { return true }

// Nth picks the nth thing alone, counted from 1.
func Nth(n int64) Pick {
	var count atomic.Int64
	return func() bool { return count.Add(1) == n }
}

// Every picks each nth thing: n, 2n and so on. n is at least 1.
func Every(n int64) Pick {
	var count atomic.Int64
	return func() bool { return count.Add(1)%max(n, 1) == 0 }
}

// OneIn picks one of n things on average, by chance, with the same choices for
// the same seed. n is at least 1.
func OneIn(n int, seed uint64) Pick {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(max(n, 1)) == 0
	}
}
