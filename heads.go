package bursar

import (
	"context"
	"errors"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// The pauses between two tries to subscribe to a node's heads double between
// these two, and begin anew after a subscription that lasted.
const (
	minResubscribe = time.Second
	maxResubscribe = time.Minute
)

// followHeads keeps a subscription to a node's new heads, which wake the scanner.
// They are hints: whatever happens here, the scanner looks for itself after its
// poll interval.
func (g *Gateway) followHeads(ctx context.Context, net *network, heads chain.HeadSubscriber) error {
	pause, told := minResubscribe, false
	for {
		began := time.Now()
		err := heads.SubscribeHeads(ctx, net.heads)
		lasted := time.Since(began)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, chain.ErrUnsupported):
			g.log.DebugContext(ctx, "heads are not pushed", "chain", string(net.info.ID), "err", err)
			return nil
		}
		if lasted >= maxResubscribe {
			pause, told = minResubscribe, false
		}
		if !told {
			told = true
			g.log.WarnContext(ctx, "no heads are pushed, the node is polled", "chain", string(net.info.ID), "err", err)
		}
		sleep(ctx, pause, nil)
		pause = min(2*pause, maxResubscribe)
	}
}

// hint is what wakes the scanner: nothing where another instance does the work,
// which a new block is no news for.
func (n *network) hint() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fence.Name == "" {
		return nil
	}
	return n.heads
}
