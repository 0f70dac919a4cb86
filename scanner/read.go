package scanner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// head asks the node for its head. A final block above the newest one comes
// from two nodes that do not agree; it is replaced by what was told before, and
// never by nil: nil would say that the chain has no finality of its own.
func (s *Scanner) head(ctx context.Context) (chain.Head, error) {
	head, err := s.cfg.Client.Head(ctx)
	if err != nil {
		return head, s.failed("Head", err)
	}
	if err := checkHead(head); err != nil {
		return head, err
	}
	if f := head.Finalized; f != nil && f.Height > head.Latest.Height {
		if head.Finalized = s.told.Finalized; head.Finalized == nil {
			return head, &IncoherentError{What: "head", Height: head.Latest.Height, Reason: fmt.Sprintf("the final block %d is above it", f.Height)}
		}
		s.log.WarnContext(ctx, "the node's final block is above its newest one", "final", f.Height, "head", head.Latest.Height)
	}
	s.update(func(p *Progress) { p.Head = head })
	s.watchdog.saw(head, time.Now())
	return head, nil
}

// transfers reads a page that begins at from, with the watched set as it is now.
func (s *Scanner) transfers(ctx context.Context, from uint64, head chain.Head) (chain.Page, error) {
	watch, err := s.cfg.Sink.Watch(ctx)
	if err == nil && watch == nil {
		err = errors.New("no watched set")
	}
	if err != nil {
		return chain.Page{}, s.failed("Watch", err)
	}
	to := head.Latest.Height
	if to-from >= s.info.PageBlocks {
		to = from + s.info.PageBlocks - 1
	}
	page, err := s.cfg.Client.Transfers(ctx, from, to, watch)
	if err != nil {
		return chain.Page{}, s.failed("Transfers", err)
	}
	return page, checkPage(page, from, to)
}

// depth returns how many blocks of the window are not on the node's branch. It
// walks back in batches that double, because most reorgs are shallow.
func (s *Scanner) depth(ctx context.Context, head chain.Head) (int, error) {
	oldest, tip := s.window.recent[0], s.window.recent[len(s.window.recent)-1]
	to := min(tip.Height, head.Latest.Height)
	var above []chain.BlockRef
	for size := uint64(4); ; size *= 2 {
		from := oldest.Height
		if to-from >= size {
			from = to - size + 1
		}
		refs, err := s.headers(ctx, from, to)
		if err != nil {
			return 0, err
		}
		last := refs[len(refs)-1]
		switch {
		case len(above) > 0 && !follows(last, above[0]), last.Height == head.Latest.Height && last.Hash != head.Latest.Hash:
			return 0, s.failed("Headers", chain.ErrReorg)
		}
		if depth, ok := s.window.Depth(refs); ok {
			return depth, nil
		}
		if from == oldest.Height {
			return 0, &DeepReorgError{Chain: s.info.ID, Oldest: oldest, Tip: tip, Other: refs[0]}
		}
		above, to = refs, from-1
	}
}

// headers returns exactly the blocks from to to of the node's branch.
func (s *Scanner) headers(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
	var out []chain.BlockRef
	for next := from; next <= to; next = out[len(out)-1].Height + 1 {
		refs, err := s.cfg.Client.Headers(ctx, next, to)
		if err != nil {
			return nil, s.failed("Headers", err)
		}
		switch {
		case len(refs) == 0:
			// The head was above: another node answered, one that is behind.
			return nil, s.failed("Headers", fmt.Errorf("height %d: %w", next, chain.ErrNotFound))
		case refs[0].Height != next:
			return nil, &IncoherentError{What: "headers", Height: next, Reason: fmt.Sprintf("they begin at %d", refs[0].Height)}
		case refs[len(refs)-1].Height > to:
			return nil, &IncoherentError{What: "headers", Height: refs[len(refs)-1].Height, Reason: fmt.Sprintf("asked for blocks up to %d", to)}
		}
		if len(out) > 0 && !follows(out[len(out)-1], refs[0]) {
			return nil, s.failed("Headers", chain.ErrReorg)
		}
		if err := checkLinks("headers", refs); err != nil {
			return nil, err
		}
		out = append(out, refs...)
	}
	return out, nil
}
