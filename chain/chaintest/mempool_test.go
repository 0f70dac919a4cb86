package chaintest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// A node streams what is submitted to watched receivers, and what it says of a
// transfer is what the block says later.
func TestTheMempoolIsStreamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, chaintest.Options{})
		to := w.Payer("shop")
		set := chaintest.NewWatch(w.client.Codec(), []chain.Asset{w.usd}, to)
		ctx, cancel := context.WithCancel(t.Context())
		out, ended := make(chan chain.Sight, 2), make(chan error, 1)
		go func() { ended <- w.client.WatchMempool(ctx, set, out) }()
		synctest.Wait()

		w.Pay("a", w.Payer("stranger"), w.usd, chain.NewAmount(5))
		w.Pay("a", to, w.usd, chain.Amount{})
		coin := w.Pay("a", to, w.Info().Native, chain.NewAmount(7))
		token := w.Pay("b", to, w.usd, chain.NewAmount(8))
		synctest.Wait()
		w.Pay("b", to, w.usd, chain.NewAmount(9)) // no room: lost
		synctest.Wait()
		require.Len(t, out, 2)
		first, second := <-out, <-out
		require.Len(t, w.Sights(w.usd), 4, "of all receivers")
		w.Mine(1)
		for id, s := range map[chain.TxID]chain.Sight{coin: first, token: second} {
			status, err := w.client.Status(t.Context(), id)
			require.NoError(t, err)
			mined := status[0].Transfers[0]
			require.Equal(t, chain.Sight{ID: mined.ID, Asset: mined.Asset, Amount: mined.Amount, From: mined.From, To: to, Lock: status[0].Locks[0]}, s)
		}
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		w.Pay("c", to, w.usd, chain.NewAmount(9))
		synctest.Wait()
		require.Empty(t, out)

		w.client.FailNext(chaintest.MethodWatchMempool, errNode, 1)
		require.ErrorIs(t, w.client.WatchMempool(t.Context(), set, out), errNode)
	})
}

// What became of a transaction that waited.
func TestFates(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	to := w.Payer("shop")
	mined := w.Pay("a", to, w.usd, chain.NewAmount(1))
	failed := w.PayFailed("b", to, w.usd, chain.NewAmount(1))
	gone := w.Pay("c", to, w.usd, chain.NewAmount(1))
	dropped := w.Pay("d", to, w.usd, chain.NewAmount(1))
	locks := map[chain.TxID]chain.Lock{}
	for _, s := range w.Sights(w.usd) {
		locks[s.ID.Tx] = s.Lock
	}
	by := w.Replace(gone, to, w.usd, chain.NewAmount(2))
	w.Drop(dropped)
	before := w.Head()
	w.Mine(1)
	waits := w.Pay("e", to, w.usd, chain.NewAmount(1))
	var of []chain.Waiting
	for _, id := range []chain.TxID{mined, failed, gone, dropped, waits} {
		of = append(of, chain.Waiting{ID: id, Lock: locks[id]})
	}
	want := []chain.Fate{
		{State: chain.TxIncluded, Block: w.Head()},
		{State: chain.TxFailed, Block: w.Head()},
		{State: chain.TxUnknown, Replaced: true, By: by},
		{State: chain.TxUnknown},
		{State: chain.TxPending},
	}
	got, err := w.client.Fates(t.Context(), w.Head().Hash, of...)
	require.NoError(t, err)
	require.Equal(t, want, got)

	want[2] = chain.Fate{State: chain.TxUnknown}
	for _, final := range []chain.BlockHash{"", before.Hash} {
		got, err = w.client.Fates(t.Context(), final, of...)
		require.NoError(t, err)
		require.Equal(t, want, got, "not up to that block")
	}
	_, err = w.client.Fates(t.Context(), "0xnone", of...)
	require.True(t, errors.Is(err, chain.ErrNotFound))
}
