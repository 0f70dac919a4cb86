package bursar

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/internal/lifecycle"
)

// Announcing costs its sender nothing, since what is announced need not be mined.
// These bounds keep a flood of it out of the store, and out of its reader's way.
const (
	// maxPending is how many announced transfers of a chain wait at a time.
	maxPending = 1000
	// maxSights is how many an address may have that wait, or were announced within
	// sightMemory, and were never in a block.
	maxSights   = 16
	sightMemory = 24 * time.Hour
	// sightRoom is how many sights wait to be written, sightBatch how many are
	// written at once, sightPause the time between two writes. What comes faster is
	// not announced; its block tells of it.
	sightRoom  = 256
	sightBatch = 64
	sightPause = 100 * time.Millisecond
)

// announced is what a process knows of the transfers of a chain that wait in the
// mempool. The rows are in the store; this paces the looking after them.
type announced struct {
	mu sync.Mutex
	// counted is true once the rows were counted; room is how many more there may be.
	counted bool
	room    int
	// unknown is since when no node knows a transaction.
	unknown map[chain.TxID]time.Time
	// next is where the turn of those that are asked about goes on.
	next int
}

// left is how many more transfers may be announced. Before the rows were counted
// there is no room: the loss of a sight is harmless.
func (a *announced) left() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.room
}

func (a *announced) count(pending int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counted, a.room = true, maxPending-pending
}

func (a *announced) took(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.room -= n
}

// mempoolLanes are what follows a chain's mempool: one announces, where that is
// wanted, and one looks after what was announced, also where it no longer is.
func (g *Gateway) mempoolLanes(net *network) (out []lifecycle.Lane) {
	watcher, ok := chain.As[chain.MempoolWatcher](net.client)
	if !ok {
		return nil
	}
	if net.cfg.Mempool {
		out = append(out, lifecycle.Lane{Name: net.info.Name + "/mempool", Run: func(ctx context.Context) error { return g.followMempool(ctx, net, watcher) }})
	}
	return append(out, lifecycle.Lane{Name: net.info.Name + "/pending", Run: g.loop(func(ctx context.Context) (time.Duration, error) { return g.tendStep(ctx, net) }, nil)})
}

// leads reports whether this instance does the chain's work, and can.
func (n *network) leads() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.verified && n.ready && n.broken == nil && n.fence.Name != ""
}

// followMempool keeps a subscription to pending transactions, as long as this
// instance does the chain's work: of several, one listens.
func (g *Gateway) followMempool(ctx context.Context, net *network, watcher chain.MempoolWatcher) error {
	pause, told := minResubscribe, false
	for ctx.Err() == nil {
		if !net.leads() {
			sleep(ctx, g.lookAgain(), nil)
			continue
		}
		began := time.Now()
		err := g.listen(ctx, net, watcher)
		switch {
		case err == nil:
			continue // the lease or the assets are others now
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, chain.ErrUnsupported):
			g.log.WarnContext(ctx, "the node streams no pending transactions", "chain", string(net.info.ID), "err", err)
			return nil
		}
		if time.Since(began) >= maxResubscribe {
			pause, told = minResubscribe, false
		}
		if !told {
			told = true
			g.log.WarnContext(ctx, "the mempool is not seen", "chain", string(net.info.ID), "err", err)
		}
		sleep(ctx, pause, nil)
		pause = min(2*pause, maxResubscribe)
	}
	return nil
}

// listen writes what one subscription tells, until it fails, or nil where another
// one is needed.
func (g *Gateway) listen(ctx context.Context, net *network, watcher chain.MempoolWatcher) error {
	assets := net.known()
	inner, cancel := context.WithCancel(ctx)
	out, ended := make(chan chain.Sight, sightRoom), make(chan struct{})
	var fault error // written before ended is closed
	var running sync.WaitGroup
	running.Go(func() {
		defer close(ended)
		fault = calmly(func() error { return watcher.WatchMempool(inner, watch{net.book, assets.list}, out) })
	})
	defer running.Wait()
	defer cancel()
	look := time.NewTicker(g.lookAgain())
	defer look.Stop()
	for {
		var sights []chain.Sight
		select {
		case s := <-out:
			sights = append(sights, s)
		case <-look.C:
		case <-ended:
		}
		// Of several that are ready, the one that woke us must not matter: what was
		// told is written before an end is noticed.
		if sights = gather(sights, out); len(sights) > 0 {
			if err := g.sight(ctx, net, sights); err != nil && ctx.Err() == nil {
				// Lost, as others are: the block tells what there is to tell.
				g.log.DebugContext(ctx, "sights were not written", "chain", string(net.info.ID), "err", err)
				g.breaks(ctx, net, err)
			}
			sleep(ctx, sightPause, nil)
		} else if over(ended) {
			return errors.Join(fault, errEnded)
		}
		if ctx.Err() != nil || !net.leads() || net.known() != assets {
			return ctx.Err()
		}
	}
}

// errEnded is a subscription that ended.
var errEnded = errors.New("bursar: the subscription ended")

// calmly turns a panic of a client into an error: it happens in a goroutine of
// ours, where nobody else could contain it.
func calmly(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("bursar: the client panicked while it watched the mempool")
		}
	}()
	return f()
}

// over reports whether done is closed.
func over(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// gather takes what waits behind the first sights, as far as one write takes them.
func gather(out []chain.Sight, more <-chan chain.Sight) []chain.Sight {
	for len(out) < sightBatch {
		select {
		case s := <-more:
			out = append(out, s)
		default:
			return out
		}
	}
	return out
}

// sight announces transfers that wait in a mempool. What is not worth a row is left
// out: the whole of it is a hint.
func (g *Gateway) sight(ctx context.Context, net *network, sights []chain.Sight) error {
	sights = slices.DeleteFunc(slices.Clone(sights), func(s chain.Sight) bool { return !net.worth(s) })
	if len(sights) == 0 || net.announced.left() <= 0 {
		return nil
	}
	fence, err := g.lease(ctx, net)
	if err != nil {
		return err
	}
	wrote := 0
	err = g.beside(ctx, net, fence, func(d *desk) (_ bool, err error) {
		wrote, err = d.announce(sights, net.announced.left())
		return wrote > 0, err
	})
	if err == nil {
		net.announced.took(wrote)
	}
	return err
}

// worth reports whether a sight can be of a transfer that would be booked, by what
// is known without the store.
func (n *network) worth(s chain.Sight) bool {
	asset, known := n.known().all[s.Asset]
	if !known || s.Amount.IsZero() || s.Amount.Less(asset.Minimum) || s.ID.Tx == "" || s.ID.Ordinal == "" {
		return false
	}
	if _, ours := n.book.own(s.From); ours {
		return false // what we send is followed from the page that has it
	}
	_, ours := n.book.own(s.To)
	return ours
}

// announce writes the rows of sights that are new, at most so many, and returns how
// many. A transfer that has a row is known, whatever became of it.
func (d *desk) announce(sights []chain.Sight, room int) (wrote int, err error) {
	if err := d.issuedOnly(sights); err != nil {
		return 0, err
	}
	for _, s := range sights {
		f := d.files[s.To]
		id := transactionID(d.net.info.ID, s.ID)
		if wrote >= room || f == nil || f.tx(id) != nil || f.sights(d.now) >= maxSights {
			continue
		}
		wrote++
		row := d.newIncoming(id, f, chain.Transfer{ID: s.ID, Asset: s.Asset, To: s.To})
		row.Amount, row.From, row.Via, row.Lock = s.Amount, s.From, chain.ViaDirect, s.Lock
		f.txs = append(f.txs, row)
		if err := d.seen(f, id); err != nil {
			return 0, err
		}
	}
	return wrote, d.fault
}

// seen applies that a new row is in the mempool.
func (d *desk) seen(f *file, id string) error {
	if f.payment {
		return d.decide(f, factSeen, id, func(t *Transaction) { d.turn(t, txSeen) })
	}
	t := f.tx(id)
	d.turn(t, txSeen)
	t.Counting, t.SeenAt = true, d.now
	f.dirty[id] = true
	f.notices = append(f.notices, d.transferNotice(TransactionDetected, f, *t))
	return nil
}

// issuedOnly opens the files of the receivers that somebody was given: what goes to
// others is no news before it is money.
func (d *desk) issuedOnly(sights []chain.Sight) error {
	var to []chain.Address
	for _, s := range sights {
		if !slices.Contains(to, s.To) {
			to = append(to, s.To)
		}
	}
	rows, err := d.tx.Addresses(d.ctx, AddressQuery{Addresses: to, Roles: []Role{RolePayment, RolePermanent}})
	if err != nil {
		return err
	}
	issued := make([]chain.Address, len(rows))
	for i, row := range rows {
		issued[i] = row.Address
	}
	return d.open(issued)
}

// sights counts what was announced at an address and never came.
func (f *file) sights(now time.Time) (n int) {
	for _, t := range f.txs {
		if t.Inclusion == 0 && (t.Status == TxPending || now.Sub(t.CreatedAt) < sightMemory) {
			n++
		}
	}
	return n
}
