package evm

import (
	"context"
	"errors"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// errUnsuited makes a page that was to be read by balances one of blocks.
var errUnsuited = errors.New("evm: balances do not tell enough of the page")

// lightCall asks for a block's header, by itself where the node has that: the
// hashes of the transactions cost it more than all the rest of a quiet block.
func (p *pageReader) lightCall(b *block, at string) *call {
	b.light = true
	if caps := p.client.caps.Load(); caps != nil && caps.Headers {
		return newCall("eth_getHeaderByNumber", func(s *scanner) { s.light(b) }, at)
	}
	return newCall("eth_getBlockByNumber", func(s *scanner) { s.light(b) }, at, false)
}

// readMoved finds the page's blocks in which a watched account moved, and reads
// them. In all others nothing concerns the watch but what the logs tell.
func (p *pageReader) readMoved(ctx context.Context) error {
	if len(p.blocks) < p.plan.n || len(p.listed.contracts) > 0 && !p.settled {
		return errUnsuited
	}
	moved, err := p.moved(ctx)
	if err != nil {
		return err
	}
	p.plan.signers.still.judge(len(p.blocks), len(moved))
	return p.fill(ctx, moved)
}

// view is what some of the active accounts have in the state after the block at a
// place of the page, or before the first one.
type view struct {
	at int
	of []int // places in stillness.active
	*standing
}

// stretch is a part of the page: the blocks after the one at low up to the one at
// high. The views of its ends are of the same accounts.
type stretch struct{ low, high view }

// moved lists the places of the blocks in which an active account moved, or may
// have. It looks at some of the states in between, and between those where
// something differs at more of them.
func (p *pageReader) moved(ctx context.Context) ([]int, error) {
	still := p.plan.signers.still
	if len(still.active) == 0 {
		p.client.ending.Store(&ending{of: p.plan.signers, hash: p.blocks[len(p.blocks)-1].hash, standing: new(standing)})
		return nil, nil
	}
	all := make([]int, len(still.active))
	for i := range all {
		all[i] = i
	}
	open, err := p.pageViews(ctx, all)
	if err != nil {
		return nil, err
	}
	var found []int
	for {
		var wide []stretch
		for _, s := range open {
			rest, blocks, err := p.differing(s)
			switch {
			case err != nil:
				return nil, err
			case rest != nil:
				wide = append(wide, *rest)
			}
			found = append(found, blocks...)
		}
		if len(wide) == 0 {
			slices.Sort(found)
			return found, nil
		}
		if open, err = p.split(ctx, wide); err != nil {
			return nil, err
		}
	}
}

// fewActive is up to how many accounts are looked at in the middle of a page
// before it is known that anything differs at its end.
const fewActive = 32

// pageViews reads the views of the page's ends, and what it costs little to read
// along with them.
func (p *pageReader) pageViews(ctx context.Context, all []int) ([]stretch, error) {
	last := len(p.blocks) - 1
	whole := stretch{view{at: -1, of: all}, view{at: last, of: all}}
	points := []int{-1, last}
	if len(all) <= fewActive {
		points = slices.Concat([]int{-1}, whole.points(), []int{last})
	}
	known := p.client.ending.Load()
	if known != nil && known.of == p.plan.signers && known.hash == p.blocks[0].parent {
		points = points[1:]
	} else {
		known = nil
	}
	views := make([]view, len(points))
	for i, at := range points {
		views[i] = view{at: at, of: all}
	}
	if err := p.look(ctx, views); err != nil {
		return nil, err
	}
	if known != nil {
		views = slices.Insert(views, 0, view{-1, all, known.standing})
	}
	p.client.ending.Store(&ending{of: p.plan.signers, hash: p.blocks[last].hash, standing: views[len(views)-1].standing})
	return between(views), nil
}

// ending is what the active accounts of a stretch have where a page ended, and the
// next one begins.
type ending struct {
	of   *signers
	hash [32]byte
	*standing
}

// between makes stretches of views in a row.
func between(views []view) (out []stretch) {
	for i := 1; i < len(views); i++ {
		out = append(out, stretch{views[i-1], views[i]})
	}
	return out
}

// points are the places inside of a stretch that are looked at next: all of them
// where they are few, else so many that two more looks find the block.
func (s *stretch) points() (out []int) {
	const few = 16
	size, step := s.high.at-s.low.at, 1
	for size > few && step*step < size {
		step++
	}
	for at := s.low.at + step; at < s.high.at; at += step {
		out = append(out, at)
	}
	return out
}

// split looks inside of stretches.
func (p *pageReader) split(ctx context.Context, wide []stretch) ([]stretch, error) {
	var asked []view
	for i := range wide {
		for _, at := range wide[i].points() {
			asked = append(asked, view{at: at, of: wide[i].low.of})
		}
	}
	if err := p.look(ctx, asked); err != nil {
		return nil, err
	}
	var out []stretch
	for _, s := range wide {
		n := len(s.points())
		row := slices.Concat([]view{s.low}, asked[:n], []view{s.high})
		out, asked = append(out, between(row)...), asked[n:]
	}
	return out, nil
}

// look asks for the standing of each view, by the hash of its block.
func (p *pageReader) look(ctx context.Context, views []view) error {
	active := p.plan.signers.still.active
	var calls []*call
	takes := make([]func() *standing, len(views))
	for i, v := range views {
		hash := &p.blocks[0].parent
		if v.at >= 0 {
			hash = &p.blocks[v.at].hash
		}
		of := make([]account, len(v.of))
		for k, place := range v.of {
			of[k] = active[place]
		}
		var more []*call
		more, takes[i] = ask(stateOf(hash), of)
		calls = append(calls, more...)
	}
	if err := p.client.doBy(ctx, max(p.client.batchSize(), 1), calls...); err != nil {
		return err
	}
	for _, r := range calls {
		if r.err != nil {
			// Usually the state is gone. The blocks may be there.
			p.plan.signers.still.off.Store(true)
			return errUnsuited
		}
	}
	for i := range views {
		views[i].standing = takes[i]()
	}
	return nil
}

// differing compares the ends of a stretch. It returns it with the accounts alone
// that differ, or the blocks that must be read where there is nothing to divide.
func (p *pageReader) differing(s stretch) (rest *stretch, blocks []int, err error) {
	active := p.plan.signers.still.active
	var places []int
	for k, place := range s.low.of {
		signed := s.low.nonces[k] != s.high.nonces[k]
		if signed || s.low.balances[k] != s.high.balances[k] {
			places = append(places, k)
		}
		if !signed && !s.high.coded && fell(&s.low.balances[k], &s.high.balances[k]) {
			p.client.distrust(balancesMethod, "the balance of "+string(checksummed(active[place].key))+" fell, and it signed nothing")
			return nil, nil, errUnsuited
		}
	}
	switch size := s.high.at - s.low.at; {
	case s.high.coded || len(places) > 0 && size == 1:
		// Code at one end and the same nonce at both is code in all of it.
		for at := s.low.at + 1; at <= s.high.at; at++ {
			blocks = append(blocks, at)
		}
		return nil, blocks, nil
	case len(places) == 0:
		return nil, nil, nil
	}
	return &stretch{s.low.only(places), s.high.only(places)}, nil, nil
}

// only leaves some of a view's accounts.
func (v view) only(places []int) view {
	out := view{at: v.at, standing: &standing{coded: v.coded}}
	for _, k := range places {
		out.of = append(out.of, v.of[k])
		out.balances, out.nonces = append(out.balances, v.balances[k]), append(out.nonces, v.nonces[k])
	}
	return out
}

// fill reads the blocks in which somebody moved, as a page of such blocks would,
// and the hashes of the transactions where logs name some. By number as by hash,
// they must be the blocks whose states were compared.
func (p *pageReader) fill(ctx context.Context, moved []int) error {
	places := slices.Clone(moved)
	for i := range p.blocks {
		if _, found := slices.BinarySearch(moved, i); !found && len(p.logs[i]) > 0 && len(p.listed.contracts) > 0 {
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return nil
	}
	var calls []*call
	hashes := make([][32]byte, len(places))
	for k, i := range places {
		b := &p.blocks[i]
		hashes[k], b.light, b.noTraces = b.hash, false, false
		at, hash := hexQuantity(b.height), p.page.Blocks[i].Hash
		switch {
		case k >= len(moved), p.plan.detail == NativeTrace:
			calls = append(calls, newCall("eth_getBlockByHash", func(s *scanner) { s.hashes(b) }, hash, false))
		case p.plan.detail == NativeRaw:
			calls = append(calls, newCall("debug_getRawBlock", func(s *scanner) { s.rawBlock(b) }, at))
		default:
			calls = append(calls, newCall("eth_getBlockByHash", func(s *scanner) { s.block(b) }, hash, true))
		}
	}
	blocks := len(calls)
	if p.plan.detail == NativeTrace {
		for _, i := range moved {
			calls = append(calls, p.traceCall(&p.blocks[i], p.page.Blocks[i].Height))
		}
	}
	if err := p.client.do(ctx, calls...); err != nil {
		return err
	}
	for k, i := range places {
		if err := p.takeFilled(i, calls[k], &hashes[k]); err != nil {
			return err
		}
		if p.plan.detail == NativeTrace && k < len(moved) {
			if err := p.checkTraced(i, calls[blocks+k].err); err != nil {
				return err
			}
		}
		if err := p.matchFilled(i, k < len(moved)); err != nil {
			return err
		}
	}
	return nil
}

// takeFilled checks that a block that was read is the one that was meant.
func (p *pageReader) takeFilled(i int, r *call, hash *[32]byte) error {
	b, height := &p.blocks[i], p.page.Blocks[i].Height
	switch {
	case isUnknownBlock(r.err), r.err == nil && b.missing:
		return &ReorgError{Height: height, Reason: "the node no longer knows its hash"}
	case r.err != nil:
		return r.err
	case b.hash != *hash || b.height != height:
		return &ReorgError{Height: height, Reason: "it is another block now"}
	}
	return nil
}

// matchFilled looks for watched parties where they are to be looked for, and
// checks the logs against the transactions.
func (p *pageReader) matchFilled(i int, moved bool) error {
	var err error
	switch b := &p.blocks[i]; {
	case !moved:
	case p.plan.detail == NativeRaw:
		err = p.matchRaw(i)
	case p.plan.detail == NativeTrace:
		err = p.matchTraces(i)
	default:
		err = p.matchFull(i, b.list)
	}
	if err == nil && len(p.listed.contracts) > 0 {
		err = p.checkLogs(i)
	}
	return err
}

// kept answers a question for native balances from what the last page knows of its
// last block, and reports whether it knows all of it.
func (c *Client) kept(at chain.BlockHash, of [][addressLength]byte, dst []*chain.Amount) bool {
	end := c.ending.Load()
	if end == nil || at == "" || end.of.still == nil || chain.BlockHash(hexHash(&end.hash)) != at {
		return false
	}
	still := end.of.still
	have := make(map[[addressLength]byte][32]byte, len(still.active))
	for i, a := range still.active {
		have[a.key] = end.balances[i]
	}
	for i := range of {
		balance, ok := have[of[i]]
		if !ok {
			balance, ok = still.kept[of[i]]
		}
		if !ok {
			return false
		}
		*dst[i] = amountOfWord(&balance)
	}
	return true
}
