package bursar

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Why a pool was moved ahead; RestoreData and Health show it.
const (
	// SkipMoved: the data are not where they were written: restored or copied.
	SkipMoved = "store_moved"
	// SkipLost: the place remembers reservations that the data have not.
	SkipLost = "commits_lost"
	// SkipRewound: the store handed out what it had handed out before.
	SkipRewound = "store_rewound"
	// SkipForeign: money came to an index that the store never handed out.
	SkipForeign = "foreign_issue"
	// SkipReused: the wallet was in use before its first use with this store;
	// see Config.ReuseWallet.
	SkipReused = "wallet_reused"
	// skipOpen: a transaction of the host's reserved, and nobody knows whether it
	// was committed. That is what any crash and any rollback may leave, and nobody
	// is told.
	skipOpen = "transaction_open"
)

// RestoreData tells of pools that were moved ahead, so that nothing is issued
// twice. Everything below the new marks stays watched.
type RestoreData struct {
	// Written is the mark that the data carried, Here that of the place they are
	// in now; see Origin. Both are empty where the store cannot tell.
	Written string `json:"written,omitempty"`
	Here    string `json:"here,omitempty"` // Here is the mark of the place.
	// Pools are what was left out.
	Pools []SkippedPool `json:"pools"`
}

// SkippedPool is a range of indexes of a pool that is never issued.
type SkippedPool struct {
	// Pool is the name, Reason one of the Skip constants.
	Pool   string `json:"pool"`
	Reason string `json:"reason"` // Reason is why.
	// From is the first index that is left out, To the next one to be issued.
	From uint32 `json:"from"`
	To   uint32 `json:"to"` // To is the next index to be issued.
}

// guard is what a gateway knows of its store's place.
type guard struct {
	original Original      // nil where the store cannot tell
	ahead    uint32        // Config.SkipAhead
	busy     chan struct{} // one at a time secures
}

func newGuard(s Store, ahead uint32) guard {
	o, _ := s.(Original)
	return guard{original: o, ahead: ahead, busy: make(chan struct{}, 1)}
}

// origin asks the store; one that cannot tell is where it always was.
func (g *Gateway) origin(ctx context.Context) (Origin, error) {
	if g.guard.original == nil {
		return Origin{}, nil
	}
	return g.guard.original.Origin(ctx)
}

// moved reports whether the data were written elsewhere. Before the first
// Settle they were written nowhere.
func (o Origin) moved() bool { return o.Written != "" && o.Written != o.Here }

// checkOrigin halts issuing where the database was replaced while the gateway
// runs, for example by a standby that lacks the last commits, or has less than
// its place remembers.
func (g *Gateway) checkOrigin(ctx context.Context) error {
	if g.guard.original == nil {
		return nil
	}
	o, err := g.origin(ctx) // first; see survey
	switch {
	case err != nil:
		return err
	case o.Written != o.Here:
		for _, b := range g.books {
			b.halt(trouble{SkipMoved, 0})
		}
		return nil
	case len(o.Reserved) == 0:
		return nil
	}
	return g.store.Read(ctx, func(r Reader) error {
		pools, err := r.Pools(ctx)
		if err != nil {
			return err
		}
		for _, b := range g.books {
			name := poolName(b.accounts[0])
			if reserved := o.Reserved[name]; reserved > nextOf(pools, name) {
				b.halt(trouble{SkipLost, reserved})
			}
		}
		return nil
	})
}

// survey is what decides about the pools.
type survey struct {
	origin Origin
	// marks are the pools' next indexes, also of those that have no row yet;
	// alien the first index above money that came to what was never handed out.
	marks, alien map[string]uint32
	// troubles are those of the books, by the name of their pool.
	troubles map[string]*trouble
	books    map[string]*book
}

// secure makes sure that no index can be issued twice: where the store may have
// forgotten reservations its pools are moved ahead, told before it is done and
// settled after, so that a crash in between is made good by the next try. Books
// that were halted for it issue again afterwards.
func (g *Gateway) secure(ctx context.Context) error {
	select {
	case g.guard.busy <- struct{}{}:
		defer func() { <-g.guard.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s, err := g.survey(ctx)
	if err != nil {
		return err
	}
	data, least, err := g.plan(ctx, s)
	if err != nil {
		return err
	}
	if len(data.Pools) > 0 {
		if data, err = g.announce(ctx, data); err != nil {
			return err
		}
		g.log.ErrorContext(ctx, "address indexes are left out, so that none is issued twice",
			"written", data.Written, "here", data.Here, "pools", fmt.Sprintf("%+v", data.Pools))
	}
	for _, p := range data.Pools {
		least[p.Pool] = max(p.To, least[p.Pool])
	}
	for _, name := range slices.Sorted(maps.Keys(least)) {
		if err := g.skip(ctx, name, s.marks[name], least[name]); err != nil {
			return err
		}
		s.marks[name] = max(s.marks[name], least[name])
	}
	if err := g.settle(ctx, s.origin); err != nil {
		return err
	}
	for name, t := range s.troubles {
		s.books[name].reopen(t, s.marks[name])
	}
	return nil
}

// settle makes the store's place the origin of its data. One that says so and
// does not do it would be taken for moved at every start, for ever.
func (g *Gateway) settle(ctx context.Context, o Origin) error {
	if g.guard.original == nil || o.Written == o.Here {
		return nil
	}
	if err := g.guard.original.Settle(ctx); err != nil {
		return fmt.Errorf("bursar: settle the store: %w", err)
	}
	o, err := g.origin(ctx)
	if err == nil && o.Written != o.Here {
		err = fmt.Errorf("%w: settled at %q, it says that it is at %q", ErrInvariant, o.Written, o.Here)
	}
	if err != nil {
		return fmt.Errorf("bursar: settle the store: %w", err)
	}
	return nil
}

// skip moves a pool ahead. It is committed by itself. Another instance that does
// the same at the same time moves it further, which is harmless.
func (g *Gateway) skip(ctx context.Context, pool string, mark, to uint32) error {
	if mark >= to {
		return nil
	}
	if _, err := g.store.Reserve(ctx, pool, to-mark); err != nil {
		return fmt.Errorf("bursar: move pool %s ahead to %d: %w", pool, to, err)
	}
	return nil
}

func (g *Gateway) survey(ctx context.Context) (survey, error) {
	s := survey{marks: map[string]uint32{}, alien: map[string]uint32{}, troubles: map[string]*trouble{}, books: map[string]*book{}}
	// The place is asked first: what it remembers is never more than what the
	// data have then, unless something was lost.
	var err error
	if s.origin, err = g.origin(ctx); err != nil {
		return s, fmt.Errorf("bursar: origin of the store: %w", err)
	}
	for _, b := range g.books {
		name := poolName(b.accounts[0])
		s.marks[name], s.books[name] = 0, b
		if t := b.troubled(); t != nil {
			s.troubles[name] = t
		}
	}
	err = g.store.Read(ctx, func(r Reader) error {
		clear(s.alien)
		pools, err := r.Pools(ctx)
		if err != nil {
			return err
		}
		for _, p := range pools {
			s.marks[p.Name] = p.Next
		}
		for name := range s.books {
			rows, err := r.Addresses(ctx, AddressQuery{Pool: name, Roles: []Role{RoleUnissued}, FromIndex: s.marks[name]})
			if err != nil {
				return err
			}
			if len(rows) > 0 {
				s.alien[name] = rows[len(rows)-1].Index + 1
			}
		}
		return nil
	})
	return s, err
}

// plan decides which pools must be moved ahead, and how far; least is the first
// index of each that is not known to be in use.
func (g *Gateway) plan(ctx context.Context, s survey) (data RestoreData, least map[string]uint32, err error) {
	data, least = RestoreData{Written: s.origin.Written, Here: s.origin.Here}, map[string]uint32{}
	for _, name := range slices.Sorted(maps.Keys(s.marks)) {
		mark := s.marks[name]
		reason, beyond, far := s.judge(name, g.guard.ahead)
		if reason == "" {
			continue
		}
		if b := s.books[name]; b != nil && reason == SkipMoved {
			beyond = max(beyond, g.lookEverywhere(ctx, b, beyond))
		}
		to := uint64(beyond)
		if far {
			n, err := g.spread(s.origin.Here, name)
			if err != nil {
				return data, nil, err
			}
			to += uint64(g.guard.ahead) + n
		}
		if to > indexEnd {
			return data, nil, fieldErr("Config.Wallet", CodeOutOfRange, "pool %s is used up: its indexes from %d on cannot be trusted, and there are none beyond; retire the wallet and configure a new one", name, mark)
		}
		least[name] = beyond
		if reason == skipOpen {
			continue
		}
		data.Pools = append(data.Pools, SkippedPool{Pool: name, Reason: reason, From: mark, To: uint32(to)})
	}
	return data, least, nil
}

// judge says why a pool must be moved, beyond which index, and whether what was
// issued may go further than is known.
func (s survey) judge(name string, ahead uint32) (reason string, beyond uint32, far bool) {
	mark := s.marks[name]
	beyond = max(mark, s.origin.Reserved[name], s.origin.Open[name], s.alien[name])
	t := s.troubles[name]
	if t != nil {
		beyond = max(beyond, t.beyond)
	}
	switch {
	case s.origin.moved(), t != nil && t.reason == SkipMoved && s.origin.Written != s.origin.Here:
		return SkipMoved, beyond, true
	// Another instance may have been here first, and then the mark is far off.
	case t != nil && t.unknown() && uint64(mark) < uint64(t.beyond)+uint64(ahead):
		return t.reason, beyond, true
	case s.alien[name] > mark:
		return SkipForeign, beyond, true
	case s.origin.Reserved[name] > mark:
		return SkipLost, beyond, false
	case s.origin.Open[name] > mark:
		return skipOpen, beyond, false
	}
	return "", mark, false
}

// spread is how many indexes beyond Config.SkipAhead are left out, fewer than as many again: by
// the place, and by chance, because two places may have one mark.
func (g *Gateway) spread(here, pool string) (uint64, error) {
	random, err := g.ids.draw()
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(append(random[:], here+"\x00"+pool...))
	return uint64(binary.BigEndian.Uint32(sum[:]) % g.guard.ahead), nil
}

// announce writes the event before anything is moved. Where that was done
// before, and ended in a crash, it returns what was told then, so that pools
// are not moved again and again: nothing is issued before the store is settled.
func (g *Gateway) announce(ctx context.Context, data RestoreData) (RestoreData, error) {
	event := g.restoreEvent(data)
	err := g.store.Write(ctx, func(tx Tx) error {
		old, err := tx.Events(ctx, EventQuery{IDs: []string{event.ID}})
		if err != nil {
			return err
		}
		if len(old) > 0 && old[0].Data.Restore != nil {
			data.Pools = merged(old[0].Data.Restore.Pools, data.Pools)
			return nil
		}
		if err := g.directory.learn(ctx, tx); err != nil {
			return err
		}
		event.Time = tx.Now()
		return tx.Apply(ctx, Batch{Events: []Event{event}, Deliveries: g.deliveries([]Event{event}, event.Time)})
	})
	if err != nil {
		return data, fmt.Errorf("bursar: tell that pools are moved ahead: %w", err)
	}
	g.wakePump()
	return data, nil
}

// merged are the pools of now, moved as far as was told before.
func merged(told, now []SkippedPool) []SkippedPool {
	out := slices.Clone(now)
	for i, p := range out {
		if at := slices.IndexFunc(told, func(q SkippedPool) bool { return q.Pool == p.Pool }); at >= 0 {
			out[i] = told[at]
		}
	}
	return out
}

// restoreEvent is the event of a plan. Its subject is of its own, because the
// sequence numbers of all others may have been set back, and receivers drop what
// is older than what they have. How far a pool goes is no part of the id, so
// that a repetition finds what was decided before.
func (g *Gateway) restoreEvent(data RestoreData) Event {
	parts := []string{data.Written, data.Here}
	reason := SkipMoved
	if data.Pools[0].Reason != SkipMoved {
		reason = data.Pools[0].Reason
		for _, p := range data.Pools {
			parts = append(parts, p.Pool, p.Reason, strconv.FormatUint(uint64(p.From), 10))
		}
	}
	subject := hashID("store_", parts...)
	return Event{
		ID: hashID("evt_", subject, string(AlertStoreRestored), reason), Kind: AlertStoreRestored, Subject: subject, Seq: 1, Livemode: g.live,
		Data: EventData{Subject: subject, Reason: reason, Restore: &data},
	}
}

// The search for money on addresses that were never issued.
const (
	lookWindow  = 200              // lookWindow: indexes looked at together.
	lookWindows = 10               // lookWindows: at most, each after one where something was found.
	lookTime    = 20 * time.Second // lookTime bounds the search on one chain.
)

// found is money on a deposit address.
type found struct {
	address chain.Address
	index   uint32
}

// look searches the deposit addresses of the active wallet from an index on for
// money on a chain, and returns the highest, nil where there is none. Addresses
// that were swept empty do not show.
func (g *Gateway) look(ctx context.Context, net *network, from uint32) (highest *found, err error) {
	reader, ok := chain.As[chain.BalanceReader](net.client)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	for range lookWindows {
		to := uint32(min(uint64(from)+lookWindow, indexEnd))
		addresses, err := net.book.preview(from, to)
		if err != nil || len(addresses) == 0 {
			return highest, err
		}
		var of []chain.Holding
		for _, a := range addresses {
			for _, asset := range net.cfg.Assets {
				of = append(of, chain.Holding{Address: a, Asset: asset})
			}
		}
		amounts, err := reader.Balances(ctx, "", of)
		if err == nil && len(amounts) != len(of) {
			err = fmt.Errorf("%w: %d balances for %d questions", chain.ErrTransient, len(amounts), len(of))
		}
		if err != nil {
			return highest, err
		}
		more := false
		for i, n := range amounts {
			if !n.IsZero() {
				more, highest = true, &found{of[i].Address, from + uint32(i/len(net.cfg.Assets))}
			}
		}
		if !more {
			break
		}
		from = to
	}
	return highest, nil
}

// preview are the deposit addresses of a range, which the book does not watch
// for that.
func (b *book) preview(from, to uint32) (out []chain.Address, err error) {
	var raw []byte
	err = b.accounts[0].PublicKeys(changeDeposit, from, int(to-from), func(_ uint32, key []byte) error {
		raw, err = b.codec.FromPublicKey(raw[:0], key)
		if err != nil {
			return err
		}
		a, err := b.codec.Format(raw)
		out = append(out, a)
		return err
	})
	return out, err
}

// lookEverywhere is the first index above all money found on the chains of a
// book that can be asked now. A node that cannot be asked does not keep the
// gateway from starting: what is left out goes far beyond in any case.
func (g *Gateway) lookEverywhere(ctx context.Context, b *book, from uint32) (beyond uint32) {
	for _, net := range g.order {
		if net.book != b || !net.isVerified() {
			continue
		}
		highest, err := g.look(ctx, net, from)
		if err != nil {
			g.log.WarnContext(ctx, "addresses not searched for money", "chain", string(net.info.ID), "err", err)
		}
		if highest != nil {
			beyond = max(beyond, highest.index+1)
		}
	}
	return beyond
}

// greet looks, before the first address of a wallet is issued from a store,
// whether the wallet is in use already: then another database issues from it,
// and two customers would get one address.
func (g *Gateway) greet(ctx context.Context, net *network) error {
	b := net.book
	name := poolName(b.accounts[0])
	o, err := g.origin(ctx)
	var pools []Pool
	if err == nil {
		err = g.store.Read(ctx, func(r Reader) (err error) {
			pools, err = r.Pools(ctx)
			return err
		})
	}
	switch {
	case err != nil:
		return &deadStoreError{err}
	case o.moved() || o.Reserved[name] > 0 || o.Open[name] > 0 || nextOf(pools, name) > 0:
		return nil // not the first use
	}
	// Own accounts do not count: the sponsor may be funded beforehand.
	highest, err := g.look(ctx, net, 0)
	switch {
	case errors.Is(err, chain.ErrUnsupported):
		g.log.WarnContext(ctx, "wallet not searched for money", "chain", string(net.info.ID), "err", err)
		return nil
	case err != nil:
		return err
	case highest == nil:
		return nil
	case !g.cfg.ReuseWallet:
		return fieldErr("Config.Wallet", CodeMismatch, "%s, index %d of pool %s, holds money on %s, and the store has never issued an address of this wallet: another database does; give each its own wallet, or set Config.ReuseWallet where the other one is gone", highest.address, highest.index, name, net.info.ID)
	}
	b.halt(trouble{SkipReused, highest.index + 1})
	if err := g.secure(ctx); err != nil {
		return &deadStoreError{err}
	}
	return nil
}
