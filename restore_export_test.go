package bursar

import (
	"context"

	"github.com/bursar-go/bursar/sweeper"
)

// SkipAhead makes what is left out shorter, so that a test can derive it. It is
// called before Start.
func (g *Gateway) SkipAhead(n uint32) {
	g.guard.ahead = n
	for _, b := range g.books {
		b.leap = n
	}
}

// Plan is what a sweeper asks for, of a snapshot that may be of before the store
// was set back.
func (g *Gateway) Plan(ctx context.Context, id ChainID, plans ...sweeper.Plan) error {
	return (&journal{g, g.nets[id]}).Plan(ctx, plans)
}
