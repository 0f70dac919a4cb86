package bursar

import (
	"context"

	"github.com/bursar-go/bursar/chain"
)

// Sight announces what a node would have streamed; see Chain.Mempool.
func (g *Gateway) Sight(ctx context.Context, id ChainID, sights ...chain.Sight) error {
	return g.sight(ctx, g.nets[id], sights)
}

// MaxPending and MaxSights are the bounds of what is announced.
const (
	MaxPending = maxPending
	MaxSights  = maxSights
)
