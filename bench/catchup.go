package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/scanner"
)

// recorder keeps the bodies of requests, so that they can be sent again.
type recorder struct {
	through http.RoundTripper
	mu      sync.Mutex
	bodies  [][]byte
	calls   int
}

func newRecorder() *recorder { return &recorder{through: &http.Transport{DisableCompression: true}} }

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.bodies = append(r.bodies, body)
	r.calls += bytes.Count(body, []byte(`"method"`))
	r.mu.Unlock()
	again := q.Clone(q.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	return r.through.RoundTrip(again)
}

// connections is how many requests the client has under way at once.
const connections = 2

// replay sends the bodies again, in their order and as many at once as the client
// does, and throws the answers away.
func replay(url string, bodies [][]byte) (took time.Duration, size int64, err error) {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	var next, total atomic.Int64
	errs := make([]error, connections)
	var running sync.WaitGroup
	begin := time.Now()
	for i := range connections {
		running.Go(func() {
			for errs[i] == nil {
				at := int(next.Add(1)) - 1
				if at >= len(bodies) {
					return
				}
				var n int64
				n, errs[i] = send(client, url, bodies[at])
				total.Add(n)
			}
		})
	}
	running.Wait()
	return time.Since(begin), total.Load(), errors.Join(errs...)
}

// send posts a body, and returns the length of the answer.
func send(client *http.Client, url string, body []byte) (int64, error) {
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	return n, errors.Join(err, resp.Body.Close())
}

// reads is a stretch of blocks that was read: how many in what time, by which
// requests.
type reads struct {
	took   time.Duration
	blocks int
	rec    *recorder
	cpu    time.Duration
}

func (r reads) rate() float64 { return float64(r.blocks) / r.took.Seconds() }

// client is an EVM client of a node of the chain.
func (c *busyChain) client(url string, source evm.NativeSource) (*evm.Client, *recorder, error) {
	rec := newRecorder()
	client, err := evm.New(evm.Config{Preset: evm.Local(c.about.ChainID), URL: url, HTTP: &http.Client{Transport: rec}, Native: source})
	return client, rec, err
}

// pages reads the blocks from from to to, page by page.
func (c *busyChain) pages(url string, source evm.NativeSource, from, to uint64) (reads, error) {
	client, rec, err := c.client(url, source)
	if err != nil {
		return reads{}, err
	}
	w, err := c.watch()
	if err != nil {
		return reads{}, err
	}
	ctx, found := context.Background(), 0
	cpu, err := cpuTime()
	if err != nil {
		return reads{}, err
	}
	begin := time.Now()
	if _, err := client.Head(ctx); err != nil {
		return reads{}, err
	}
	for next := from; next <= to; {
		page, err := client.Transfers(ctx, next, to, w)
		if err != nil {
			return reads{}, err
		}
		for _, transfer := range page.Transfers {
			if transfer.Via == chain.ViaDirect {
				found++
			}
		}
		next = page.Last().Height + 1
	}
	took := time.Since(begin)
	after, err := cpuTime()
	if want := c.payments(from, to); found != want {
		return reads{}, fmt.Errorf("%d transfers, want %d", found, want)
	}
	return reads{took: took, blocks: int(to - from + 1), rec: rec, cpu: after - cpu}, err
}

// sink is a scanner's sink that only counts.
type sink struct {
	watch  chain.Watch
	start  uint64
	recent []chain.BlockRef
	blocks int
	found  int
}

// Cursor implements scanner.Sink.
func (s *sink) Cursor(context.Context) (scanner.Cursor, error) {
	return scanner.Cursor{Recent: s.recent, Start: s.start}, nil
}

// Watch implements scanner.Sink.
func (s *sink) Watch(context.Context) (chain.Watch, error) { return s.watch, nil }

// Commit implements scanner.Sink.
func (s *sink) Commit(_ context.Context, step scanner.Step) error {
	s.blocks += len(step.Connect.Blocks)
	s.found += len(step.Connect.Transfers)
	s.recent = step.Recent
	return nil
}

// Report implements scanner.Sink.
func (*sink) Report(context.Context, scanner.Condition) error { return nil }

// follow has a scanner catch up with the whole chain.
func (c *busyChain) follow(url string) (reads, error) {
	client, rec, err := c.client(url, evm.NativeAuto)
	if err != nil {
		return reads{}, err
	}
	w, err := c.watch()
	if err != nil {
		return reads{}, err
	}
	s := &sink{watch: w, start: c.first()}
	follower, err := scanner.New(scanner.Config{Client: client, Sink: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return reads{}, err
	}
	begin := time.Now()
	for wait := time.Duration(0); wait == 0; {
		if wait, err = follower.Step(context.Background()); err != nil {
			return reads{}, err
		}
	}
	took := time.Since(begin)
	if want := c.payments(c.first(), c.last()); s.found != want {
		return reads{}, fmt.Errorf("%d transfers, want %d", s.found, want)
	}
	return reads{took: took, blocks: s.blocks, rec: rec}, nil
}

// fresh runs something on a geth that was started for it, so that nothing is in
// its caches.
func (c *busyChain) fresh(do func(url string) error) error {
	node, err := c.startGeth()
	if err != nil {
		return err
	}
	defer node.stop()
	return do(node.url)
}

// coldPair reads blocks on a fresh geth, and sends the same requests to another
// fresh one.
type coldPair struct {
	reads

	raw  time.Duration
	size int64
}

func (c *busyChain) cold(read func(url string) (reads, error)) (p coldPair, err error) {
	if err = c.fresh(func(url string) (err error) { p.reads, err = read(url); return err }); err != nil {
		return p, err
	}
	return p, c.fresh(func(url string) (err error) { p.raw, p.size, err = replay(url, p.rec.bodies); return err })
}

// colds repeats that, at most five times: a start of geth takes seconds.
func (b *bench) colds(c *busyChain, read func(url string) (reads, error)) ([]coldPair, error) {
	var out []coldPair
	for range min(b.rounds, 5) {
		p, err := c.cold(read)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// over returns the median of a value of the pairs.
func over(pairs []coldPair, value func(coldPair) float64) float64 {
	var values []float64
	for _, p := range pairs {
		values = append(values, value(p))
	}
	return median(values)
}

func (p coldPair) rawRate() float64 { return float64(p.blocks) / p.raw.Seconds() }

func (p coldPair) describe(n int) string {
	return fmt.Sprintf("%d rounds, %d blocks, %d requests, %d calls, %.1f KB a block, raw bytes %.0f blocks/s",
		n, p.blocks, len(p.rec.bodies), p.rec.calls, float64(p.size)/1000/float64(p.blocks), p.rawRate())
}

// deep are the blocks that are read as in a catch-up, whatever the head does.
func (c *busyChain) deep() (from, to uint64) { return c.first(), c.last() - 20 }

func scanAgainstRawGeth(b *bench) (reading, error) {
	c, err := b.busy()
	if err != nil {
		return reading{}, err
	}
	from, to := c.deep()
	pairs, err := b.colds(c, func(url string) (reads, error) { return c.pages(url, evm.NativeBlocks, from, to) })
	if err != nil {
		return reading{}, err
	}
	cpu := over(pairs, func(p coldPair) float64 { return p.cpuPerBlock() })
	ratio := over(pairs, func(p coldPair) float64 { return p.took.Seconds() / p.raw.Seconds() })
	rate := over(pairs, func(p coldPair) float64 { return p.rate() })
	return reading{ratio, fmt.Sprintf("%s, pages %.0f blocks/s, %.2f ms CPU of the client a block", pairs[0].describe(len(pairs)), rate, cpu)}, nil
}

// caughtUp are the runs of a scanner on geth.
type caughtUp struct{ pairs []coldPair }

func (b *bench) catchUp() (*caughtUp, error) {
	if b.caught != nil {
		return b.caught, nil
	}
	c, err := b.busy()
	if err != nil {
		return nil, err
	}
	pairs, err := b.colds(c, c.follow)
	if err != nil {
		return nil, err
	}
	b.caught = &caughtUp{pairs}
	return b.caught, nil
}

func (b *bench) ofCatchUp(value func(coldPair) float64) (reading, error) {
	u, err := b.catchUp()
	if err != nil {
		return reading{}, err
	}
	return reading{over(u.pairs, value), u.pairs[0].describe(len(u.pairs))}, nil
}

func catchUpGeth(b *bench) (reading, error) {
	return b.ofCatchUp(func(p coldPair) float64 { return p.rate() })
}

func catchUpAgainstRaw(b *bench) (reading, error) {
	return b.ofCatchUp(func(p coldPair) float64 { return p.rate() / p.rawRate() })
}

func requestsPerBlock(b *bench) (reading, error) {
	return b.ofCatchUp(func(p coldPair) float64 { return float64(len(p.rec.bodies)) / float64(p.blocks) })
}

// requestsLive reads the newest block, after a look at the head.
func requestsLive(b *bench) (reading, error) {
	c, err := b.busy()
	if err != nil {
		return reading{}, err
	}
	w, err := c.watch()
	if err != nil {
		return reading{}, err
	}
	var value float64
	err = c.fresh(func(url string) error {
		client, rec, err := c.client(url, evm.NativeAuto)
		if err != nil {
			return err
		}
		ctx := context.Background()
		if _, err := client.Head(ctx); err != nil {
			return err
		}
		// The first page asks what the node can do.
		if _, err := client.Transfers(ctx, c.last(), c.last(), w); err != nil {
			return err
		}
		before := len(rec.bodies)
		_, err = client.Transfers(ctx, c.last(), c.last(), w)
		value = float64(len(rec.bodies) - before)
		return err
	})
	return reading{value, "beside one for the head"}, err
}

// rates measures pages of one kind on geth, and beside them what the node gives of
// the same requests at best.
func rates(b *bench, source evm.NativeSource) (reading, error) {
	c, err := b.busy()
	if err != nil {
		return reading{}, err
	}
	from, to := c.deep()
	var all []reads
	var floor []float64
	for range min(b.rounds, 3) {
		var r reads
		if err := c.fresh(func(url string) (err error) { r, err = c.pages(url, source, from, to); return err }); err != nil {
			return reading{}, err
		}
		all = append(all, r)
		if err := c.fresh(func(url string) error {
			took, _, err := replay(url, r.rec.bodies)
			floor = append(floor, float64(r.blocks)/took.Seconds())
			return err
		}); err != nil {
			return reading{}, err
		}
	}
	out := inMiddle(all)
	out.how += fmt.Sprintf(", raw bytes %.0f blocks/s", median(floor))
	return out, nil
}

// inMiddle is the median rate of runs of one kind.
func inMiddle(all []reads) reading {
	var values []float64
	for _, r := range all {
		values = append(values, r.rate())
	}
	return reading{median(values), fmt.Sprintf("%d rounds, %d blocks, %d requests, %d calls, %.2f ms CPU of the client a block",
		len(all), all[0].blocks, len(all[0].rec.bodies), all[0].rec.calls, all[0].cpuPerBlock())}
}

// cpuPerBlock is what a block cost the client, in milliseconds.
func (r reads) cpuPerBlock() float64 { return r.cpu.Seconds() * 1000 / float64(r.blocks) }

func fullGeth(b *bench) (reading, error)  { return rates(b, evm.NativeFull) }
func rawGeth(b *bench) (reading, error)   { return rates(b, evm.NativeRaw) }
func probeGeth(b *bench) (reading, error) { return rates(b, evm.NativeProbe) }

// clientCPU reads raw blocks, which of all ways leave the most to the client. The
// node works in another process.
func clientCPU(b *bench) (reading, error) {
	c, err := b.busy()
	if err != nil {
		return reading{}, err
	}
	from, to := c.deep()
	var values []float64
	err = c.fresh(func(url string) error {
		for range min(b.rounds, 5) {
			r, err := c.pages(url, evm.NativeRaw, from, to)
			if err != nil {
				return err
			}
			values = append(values, r.cpuPerBlock())
		}
		return nil
	})
	if err != nil {
		return reading{}, err
	}
	return reading{median(values), fmt.Sprintf("%d rounds, %d raw blocks", len(values), int(to-from+1))}, nil
}

// anvilRuns are runs on anvil: by traces, with the same requests sent again, and by
// balances.
type anvilRuns struct {
	traced []coldPair
	probed []reads
}

// anvilBlocks is how many blocks are executed on anvil, which keeps them in
// memory.
const anvilBlocks = 200

// onAnvil reads the blocks in turn in both ways.
func (b *bench) onAnvil() (*anvilRuns, error) {
	if b.anvilRuns != nil {
		return b.anvilRuns, nil
	}
	c, err := b.busy()
	if err != nil {
		return nil, err
	}
	node, err := c.startAnvil(min(anvilBlocks, c.about.Blocks))
	if err != nil {
		return nil, err
	}
	defer node.stop()
	from, to := c.first(), uint64(min(anvilBlocks, c.about.Blocks))-20
	runs := new(anvilRuns)
	// The first round, when either side touches everything for the first time,
	// does not count.
	for round := range min(b.rounds, 7) + 1 {
		var p coldPair
		if p.reads, err = c.pages(node.url, evm.NativeTrace, from, to); err != nil {
			return nil, err
		}
		if p.raw, p.size, err = replay(node.url, p.rec.bodies); err != nil {
			return nil, err
		}
		probed, err := c.pages(node.url, evm.NativeProbe, from, to)
		if err != nil {
			return nil, err
		}
		if round > 0 {
			runs.traced, runs.probed = append(runs.traced, p), append(runs.probed, probed)
		}
	}
	b.anvilRuns = runs
	return runs, nil
}

func scanAgainstRawAnvil(b *bench) (reading, error) {
	runs, err := b.onAnvil()
	if err != nil {
		return reading{}, err
	}
	ratio := over(runs.traced, func(p coldPair) float64 { return p.took.Seconds() / p.raw.Seconds() })
	return reading{ratio, runs.traced[0].describe(len(runs.traced))}, nil
}

func traceAnvil(b *bench) (reading, error) {
	runs, err := b.onAnvil()
	if err != nil {
		return reading{}, err
	}
	rate := over(runs.traced, func(p coldPair) float64 { return p.rate() })
	return reading{rate, runs.traced[0].describe(len(runs.traced))}, nil
}

func probeAnvil(b *bench) (reading, error) {
	runs, err := b.onAnvil()
	if err != nil {
		return reading{}, err
	}
	return inMiddle(runs.probed), nil
}
