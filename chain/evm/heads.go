package evm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// maxHeadMessage bounds one message of a subscription; a head has about 2 KiB.
const maxHeadMessage = 256 << 10

// pace is how long a subscription waits for what.
type pace struct {
	// beat is the time between two pings.
	beat time.Duration
	// silence is how long it may be without a head, or where a head may be long in
	// coming without an answer to a ping, before the connection is taken for dead.
	silence time.Duration
}

// pace follows from the chain: three blocks that do not come are no chance.
func (c *Client) pace() pace {
	return pace{beat: 10 * time.Second, silence: max(3*c.Info().BlockTime, 30*time.Second)}
}

// SubscribeHeads follows new heads over Config.WebSocket (eth_subscribe, newHeads)
// and sends on wake for each, without blocking, and once when the subscription
// begins. It returns when ctx ends, with its error, or when the subscription
// does: the caller subscribes again. A connection on which no head comes for
// three blocks' time, at least 30 s, ends as dead; on a chain that makes blocks
// on demand it is pings that must be answered.
//
// Errors: chain.ErrUnsupported without Config.WebSocket or where the node has no
// subscriptions, *WrongChainError, *RPCError, *HTTPError, *DecodeError and
// *TransportError.
func (c *Client) SubscribeHeads(ctx context.Context, wake chan<- struct{}) error {
	if c.cfg.WebSocket == "" {
		return fmt.Errorf("evm: %w: no Config.WebSocket", chain.ErrUnsupported)
	}
	return c.subscribe(ctx, wake, c.pace())
}

func (c *Client) subscribe(ctx context.Context, wake chan<- struct{}, p pace) error {
	return c.headStream(wake, p).run(ctx)
}

func (c *Client) headStream(wake chan<- struct{}, p pace) *stream {
	return &stream{
		client: c, pace: p, topics: []string{`"newHeads"`}, pongs: c.Info().OnDemandBlocks, limit: maxHeadMessage,
		// What a head says is not looked at: it is a hint, and the scanner asks for
		// itself. Hints that come while one is waiting are one.
		note: func(json.RawMessage) {
			select {
			case wake <- struct{}{}:
			default:
			}
		},
	}
}
