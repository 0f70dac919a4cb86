package quorum

import (
	"context"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// subscribe runs a subscription per provider until ctx ends.
func (q *Client) subscribe(ctx context.Context, wake chan<- struct{}) error {
	var wg sync.WaitGroup
	for _, p := range q.providers {
		if source, ok := chain.As[chain.HeadSubscriber](p.Client); ok {
			wg.Go(func() { q.listen(ctx, p, source, wake) })
		}
	}
	wg.Wait()
	return ctx.Err()
}

// listen keeps one subscription alive. What fails is no fault of the provider in
// the books: heads that are pushed are hints, and polling tells the truth.
func (q *Client) listen(ctx context.Context, p *provider, source chain.HeadSubscriber, wake chan<- struct{}) {
	for ctx.Err() == nil {
		// The error is of no use to anybody: whatever it is, the next attempt
		// follows, and a provider that is away shows in its other calls.
		_, _ = contain(ctx, p, func(ctx context.Context, _ *provider) (struct{}, error) {
			return struct{}{}, source.SubscribeHeads(ctx, wake)
		})
		timer := time.NewTimer(q.cfg.Cooldown)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}
