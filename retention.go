package bursar

import (
	"context"
	"fmt"
	"time"
)

// pruneEvery is the pause between two looks at what can be forgotten.
const pruneEvery = time.Hour

// prune has the store forget deliveries that ended long ago. Every instance does
// it: what one has deleted the next does not find.
func (g *Gateway) prune(ctx context.Context) (time.Duration, error) {
	store, ok := g.cfg.Store.(Pruner)
	if !ok {
		return pruneEvery, nil
	}
	var now time.Time
	if err := g.store.Read(ctx, func(r Reader) error { now = r.Now(); return nil }); err != nil {
		return pruneEvery, fmt.Errorf("bursar: retention: %w", err)
	}
	n, err := store.Prune(ctx, now.Add(-g.cfg.Retention))
	if n > 0 {
		g.log.InfoContext(ctx, "old deliveries forgotten", "deliveries", n)
	}
	if err != nil {
		return pruneEvery, fmt.Errorf("bursar: retention: %w", err)
	}
	return pruneEvery, nil
}
