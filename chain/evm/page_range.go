package evm

import (
	"context"
	"slices"
)

// manyLogs is where the answer to a question by range is no longer believed to
// be whole: providers that cut answers short without a word do so at round
// numbers from a thousand on.
const manyLogs = 1000

// logQuestion is a question for logs that goes into the first request.
type logQuestion struct {
	blocks int // how many it covers
	found  bool
	logs   []logObject
}

// firstLogs asks for the logs together with the blocks: those of a range below
// the head, or those of the block that Head named. The latter are of use only
// where that is still the block.
func (p *pageReader) firstLogs(calls *[]*call) []*logQuestion {
	switch {
	case len(p.listed.contracts) == 0:
		return nil
	case p.plan.byRange:
		return p.rangeQuestions(calls)
	case p.plan.guess != nil:
		q := &logQuestion{blocks: 1}
		hash := p.plan.guess.ref()
		*calls = append(*calls,
			newCall("eth_getLogs", q.read, map[string]any{"blockHash": hash, "address": p.contracts(), "topics": []string{transferTopic}}),
			p.plan.count.call(hash))
		return []*logQuestion{q}
	}
	return nil
}

func (q *logQuestion) read(s *scanner) { q.logs, q.found = s.logs(q.logs[:0], nil) }

// rangeQuestions asks for the logs of stretches that the node takes, and names
// the receivers where they are few.
func (p *pageReader) rangeQuestions(calls *[]*call) []*logQuestion {
	step := uint64(p.plan.n)
	if limit := p.client.limits.logRange.Load(); limit > 0 {
		step = min(step, limit)
	}
	var names [][]string
	for chunk := range slices.Chunk(p.plan.receivers, max(p.client.limits.receivers(), 1)) {
		topics := make([]string, len(chunk))
		for i := range chunk {
			topics[i] = topicOf(&chunk[i])
		}
		names = append(names, topics)
	}
	contracts, last := p.contracts(), p.plan.from+uint64(p.plan.n)-1
	var out []*logQuestion
	for from := p.plan.from; from <= last; from += step {
		to := min(from+step-1, last)
		filter := map[string]any{"fromBlock": hexQuantity(from), "toBlock": hexQuantity(to), "address": contracts, "topics": []any{transferTopic}}
		for i := range max(len(names), 1) {
			if len(names) > 0 {
				filter = map[string]any{"fromBlock": filter["fromBlock"], "toBlock": filter["toBlock"], "address": contracts, "topics": []any{transferTopic, nil, names[i]}}
			}
			q := &logQuestion{blocks: int(to - from + 1)}
			out = append(out, q)
			*calls = append(*calls, newCall("eth_getLogs", q.read, filter))
		}
	}
	return out
}

// topicOf writes an address as a topic.
func topicOf(address *[addressLength]byte) string {
	var word [32]byte
	copy(word[12:], address[:])
	return hexHash(&word)
}

// takeFirstLogs takes the answers of the first request, where they answer the
// question; otherwise the logs are read by hash.
func (p *pageReader) takeFirstLogs(questions []*logQuestion, calls []*call) error {
	if len(questions) == 0 {
		return nil
	}
	if !p.plan.byRange {
		return p.takeGuess(questions[0], calls)
	}
	total := 0
	for k, q := range questions {
		if err := calls[k].err; err != nil || !q.found {
			p.client.learnLogs(err, q.blocks, p.plan.named())
			return nil
		}
		total += len(q.logs)
	}
	if p.plan.named() && total >= manyLogs {
		return nil
	}
	return p.spread(questions)
}

// takeGuess takes the logs of the block that Head named, where it is still the
// block.
func (p *pageReader) takeGuess(q *logQuestion, calls []*call) error {
	b := &p.blocks[0]
	if b.hash != p.plan.guess.hash || calls[0].err != nil || calls[1].err != nil || !q.found || !p.plan.count.known {
		return nil
	}
	if err := p.plan.count.check(calls[1], b); err != nil {
		return err
	}
	p.logs[0], p.settled = append(p.logs[0][:0], q.logs...), true
	if err := p.checkLogs(0); err != nil {
		return err
	}
	// The bloom may know of logs that are not in the list.
	p.settled = !p.suspicious(0)
	return nil
}

// spread gives each block its logs. A log of a block that is not in the page
// comes from another branch.
func (p *pageReader) spread(questions []*logQuestion) error {
	at := make(map[[32]byte]int, len(p.blocks))
	for i := range p.blocks {
		at[p.blocks[i].hash] = i
		p.logs[i] = p.logs[i][:0]
	}
	most := p.client.Info().PageBlocks
	if p.plan.halved {
		most /= 2
	}
	for _, q := range questions {
		for k := range q.logs {
			l := &q.logs[k]
			i, ok := at[l.blockHash]
			switch {
			case ok:
				p.logs[i] = append(p.logs[i], *l)
			case l.removed:
				p.client.stats.removed.Add(1)
			case len(p.blocks) == p.plan.n:
				return &ReorgError{Height: p.plan.from, Reason: "a log of a block that is not there"}
			}
		}
		grow(&p.client.limits.logRange, q.blocks, most)
	}
	for i := range p.blocks {
		if err := p.checkLogs(i); err != nil {
			return err
		}
	}
	p.settled = true
	return nil
}

// learnLogs draws the conclusions from a refused question for logs.
func (c *Client) learnLogs(err error, blocks int, named bool) {
	switch {
	case err == nil:
	case named && isTopicLimit(err):
		shrink(&c.limits.named, c.limits.receivers())
	case isRangeLimit(err):
		shrink(&c.limits.logRange, blocks)
		if blocks == 1 {
			c.limits.rangePause.Store(pauseAfterRefusal)
		}
	case named && refusedWith(err, codeInvalidParams):
		shrink(&c.limits.named, c.limits.receivers())
	}
}

// doubtful lists the blocks whose empty answers are asked for again, by hash and
// without receivers: each one whose bloom says that there is something, where it
// can tell; where it says so of any block, one of them in turn.
func (p *pageReader) doubtful() []int {
	question := newBloomQuestion(p.listed, p.plan.receivers)
	var sure, unsure []int
	for i := range p.blocks {
		b := &p.blocks[i]
		if len(p.logs[i]) > 0 {
			continue
		}
		if !b.hasBloom {
			unsure = append(unsure, i)
			continue
		}
		switch yes, doubt := question.possible(&b.bloom); {
		case yes && doubt < evidence:
			sure = append(sure, i)
		case yes:
			unsure = append(unsure, i)
		}
	}
	if len(unsure) > 0 {
		turn := p.client.samples.Add(1)
		sure = append(sure, unsure[int(turn%uint64(len(unsure)))])
	}
	return sure
}

// How many pages are read by hash after answers by range were refused for a
// single block, and after one of them lacked a log.
const (
	pauseAfterRefusal = 64
	pauseAfterLie     = 1024
)

// evidence is how many misleading bits may be expected by chance where the bloom
// counts as a witness.
const evidence = certain / 2

// suspicious reports whether a block's bloom says that there are Transfer logs
// of a listed token, and no answer had any.
func (p *pageReader) suspicious(i int) bool {
	b := &p.blocks[i]
	if len(p.logs[i]) > 0 || !b.hasBloom {
		return false
	}
	yes, doubt := newBloomQuestion(p.listed, nil).possible(&b.bloom)
	return yes && doubt < evidence
}

// lastDoubts judges the answers by hash. A block that was asked for again and
// has a log for us after all shows that answers by range cannot be trusted: the
// page fails, and the following ones ask by hash. An empty answer by hash that
// the bloom contradicts is asked for once more, and of the receipts.
func (p *pageReader) lastDoubts(ctx context.Context, r *rest) error {
	var odd []int
	for _, i := range r.asked {
		if p.suspicious(i) {
			odd = append(odd, i)
		}
		if !p.settled {
			continue
		}
		if slices.ContainsFunc(p.logs[i], func(l logObject) bool { return p.toWatched(&l) }) {
			p.client.limits.rangePause.Store(pauseAfterLie)
			return &IncoherentError{Height: p.blocks[i].height, Reason: "a log that was missing from the answer by range"}
		}
		if p.plan.named() {
			p.logs[i] = p.logs[i][:0]
		}
	}
	if len(odd) == 0 {
		return nil
	}
	return p.askAgain(ctx, odd)
}

// askAgain asks a second time for the logs of blocks of which the node had none
// though the bloom speaks of some, and where it can, for their receipts.
func (p *pageReader) askAgain(ctx context.Context, odd []int) error {
	caps := p.client.caps.Load()
	contracts := p.contracts()
	found, fromReceipts := make([]bool, len(odd)), make([]int, len(odd))
	var calls []*call
	for k, i := range odd {
		calls = append(calls, p.logsByHash(i, contracts, &found[k]))
	}
	if caps != nil && caps.BlockReceipts {
		for k, i := range odd {
			calls = append(calls, newCall("eth_getBlockReceipts", func(s *scanner) { fromReceipts[k] = s.countTransfers(p.listed) }, p.page.Blocks[i].Hash))
		}
	}
	if err := p.client.do(ctx, calls...); err != nil {
		return err
	}
	for k, i := range odd {
		if calls[k].err != nil {
			return calls[k].err
		}
		if len(p.logs[i]) > 0 || fromReceipts[k] > 0 {
			return &IncoherentError{Height: p.blocks[i].height, Reason: "no logs, then some"}
		}
	}
	return nil
}

// countTransfers counts the Transfer logs of listed tokens in a block's receipts.
func (s *scanner) countTransfers(listed *tokenTable) (n int) {
	if s.isNull() || !s.open('[') {
		return 0
	}
	var r receipt
	for first := true; s.more(']', &first); {
		s.receipt(&r, listed)
		n += len(r.logs)
	}
	return n
}
