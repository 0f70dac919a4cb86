package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// seeing is a client whose nodes stream what is pending, in the worlds that have
// such nodes.
type seeing struct{ client }

var _ chain.MempoolWatcher = seeing{}

func (w *world) client(p *process) chain.Client {
	if w.params.sights {
		return seeing{client{w, p}}
	}
	return client{w, p}
}

// WatchMempool streams, until the connection breaks: now and then a sight is lost,
// or is not what its transaction says.
func (c seeing) WatchMempool(ctx context.Context, watch chain.Watch, out chan<- chain.Sight) error {
	_, err := ask(ctx, c.client, chaintest.MethodWatchMempool, "", func(*chaintest.Client) (none struct{}, err error) { return none, nil })
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	heard := make(chan chain.Sight, 100)
	var running sync.WaitGroup
	running.Go(func() { _ = c.w.chain.Client().WatchMempool(inner, watch, heard) }) // ends with inner alone
	defer running.Wait()
	defer cancel()
	for {
		select {
		case s := <-heard:
			switch luck := chance(c.w.o.Seed, "sight "+c.p.name+" "+s.ID.String()) % 20; {
			case c.w.o.Calm:
			case luck == 0:
				continue
			case luck == 1:
				s.Amount = chain.NewAmount(luck + 1e9)
			case luck == 2:
				return fmt.Errorf("%w: sim: the stream broke", chain.ErrTransient)
			}
			select {
			case out <- s:
			default:
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c seeing) Fates(ctx context.Context, final chain.BlockHash, of ...chain.Waiting) ([]chain.Fate, error) {
	return ask(ctx, c.client, chaintest.MethodFates, fmt.Sprint(final, of), func(l *chaintest.Client) ([]chain.Fate, error) { return l.Fates(ctx, final, of...) })
}

// mayRegret has some who paid take their payment back before it is mined, where
// somebody may have seen it.
func (w *world) mayRegret(id chain.TxID) {
	luck := chance(w.o.Seed, "regret "+string(id))
	if !w.params.sights || luck%4 != 0 {
		return
	}
	w.after(time.Duration(luck>>8%uint64(w.params.blockTime)), func() {
		if slices.Contains(w.chain.Mempool(), id) {
			by := w.chain.Replace(id, w.treasury, w.eth, chain.NewAmount(1))
			w.note("%s is replaced by %s", id[:10], by[:10])
		}
	})
}
