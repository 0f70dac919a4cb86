package bursar_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
)

// endless is a node of a chain that is worked out and kept nowhere: block 7 has
// the hash 0x…7. One of its blocks pays.
type endless struct {
	chain.Client
	tip   *uint64
	pays  *chain.Transfer
	read  *uint64       // the highest block that was read
	takes time.Duration // to read a page
	t     *testing.T
}

func (e endless) block(height uint64) chain.BlockRef {
	return chain.BlockRef{
		Height: height, Hash: chain.BlockHash(fmt.Sprintf("0x%064x", height)), Parent: chain.BlockHash(fmt.Sprintf("0x%064x", height-1)),
		Time: time.Unix(1_700_000_000, 0).Add(time.Duration(height) * 12 * time.Second).UTC(),
	}
}

func (e endless) Head(context.Context) (chain.Head, error) {
	return chain.Head{Latest: e.block(*e.tip)}, nil
}

func (e endless) Headers(_ context.Context, from, to uint64) (out []chain.BlockRef, err error) {
	for h := from; h <= min(to, *e.tip) && h-from < e.Info().PageBlocks; h++ {
		out = append(out, e.block(h))
	}
	return out, nil
}

func (e endless) Transfers(ctx context.Context, from, to uint64, _ chain.Watch) (chain.Page, error) {
	<-time.After(e.takes)
	blocks, err := e.Headers(ctx, from, to)
	if *e.read > 0 {
		require.Equal(e.t, *e.read+1, from, "no gap, and nothing twice")
	}
	*e.read = blocks[len(blocks)-1].Height
	page := chain.Page{Blocks: blocks}
	if p := e.pays; p.Block >= from && p.Block <= *e.read {
		page.Transfers = append(page.Transfers, *p)
	}
	return page, err
}

// As hides what the simulated chain would tell of another chain.
func (endless) As(any) bool { return false }

// TestThreat_C17_AnOutageOfAHundredThousandBlocks is caught up with without a gap,
// in bounded memory, and says how far it is.
func TestThreat_C17_AnOutageOfAHundredThousandBlocks(t *testing.T) {
	const outage = 100_000
	synctest.Test(t, func(t *testing.T) {
		c := chaintest.New(chaintest.Options{})
		node := endless{Client: c.Client(), tip: new(uint64), pays: new(chain.Transfer), read: new(uint64), takes: time.Second, t: t}
		*node.tip = 1000
		var log bytes.Buffer
		usdc := c.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
		cfg := bursar.Config{
			Store: memory.New(), Wallet: wallet(t, bursartest.Mnemonic, ""), TTL: 366 * 24 * time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Chains: []bursar.Chain{{Client: node, Assets: []chain.Asset{usdc}, Sweep: bursar.SweepOff}},
		}
		open := func() *bursar.Gateway {
			gw, err := bursar.New(cfg)
			require.NoError(t, err)
			require.NoError(t, gw.Start(t.Context()))
			return gw
		}
		gw := open()
		p, err := gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/USDC", Amount: amount("5")})
		require.NoError(t, err)
		require.NoError(t, gw.Stop(context.Background()))

		*node.tip += outage
		paid := node.block(1000 + outage/3)
		*node.pays = chain.Transfer{
			ID: chain.TransferID{Tx: "0x1", Ordinal: "t:" + string(usdc.Contract) + ":" + string(p.Address) + ":0"}, Asset: usdc.ID, From: c.Payer("ann"), To: p.Address,
			Amount: p.Amount, Block: paid.Height, Hash: paid.Hash, Via: chain.ViaDirect,
		}
		gw = open()
		defer func() { _ = gw.Stop(context.Background()) }()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		h := gw.Health(t.Context()).Chains[0]
		require.Positive(t, h.Lag)
		require.InDelta(t, 60*c.Info().PageBlocks, h.Rate, 120, "a page a second")
		require.InDelta(t, float64(h.Lag)/float64(c.Info().PageBlocks), h.Left.Seconds(), 30)
		before := heap()
		for gw.Health(t.Context()).Chains[0].Lag > 0 {
			time.Sleep(time.Minute)
		}
		require.Less(t, int64(heap())-int64(before), int64(4<<20), "nothing grows with the blocks")
		require.Equal(t, *node.tip, *node.read)
		got, err := gw.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, bursar.StatusConfirmed, got.Status)
		require.Equal(t, paid.Height, got.Block)
		h = gw.Health(t.Context()).Chains[0]
		require.Zero(t, h.Left)
		lines := strings.Count(log.String(), "catching up")
		require.InDelta(t, float64(outage)/float64(c.Info().PageBlocks)/30, lines, 3, "twice a minute")
		require.Contains(t, log.String(), "blocks_per_minute=3000")
	})
}

// heap is how much memory is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
