package chaintest

import (
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func statusChecks() []check {
	return []check{
		{"Status/InOrderOfTheIDs", checkStatusOrder},
		{"Status/Pending", checkStatusPending},
		{"Status/NoIDs", checkStatusNone},
		{"Spends/NativeComplete", checkSpendNative},
		{"Spends/TokenComplete", checkSpendToken},
		{"Spends/FailedComplete", checkSpendFailed},
		{"Spends/BetweenOurOwn_B16", checkSpendOwn},
	}
}

// nowhere is an id that no transaction has.
const nowhere chain.TxID = "0x00000000000000000000000000000000000000000000000000000000deadbeef"

func checkStatusOrder(s *suite) {
	to := s.account("to").Address
	a, b := s.PayNative(to, units(1)), s.PayToken(TokenPlain, to, units(2))
	s.Mine(1)
	ids := []chain.TxID{b, nowhere, a, b}
	out := s.statuses(ids...)
	require.Len(s, out, len(ids), "one entry for each id, asked twice or not")
	for i, x := range out {
		require.Equal(s, ids[i], x.ID, "in the same order")
	}
	require.Equal(s, chain.TxStatus{ID: nowhere, State: chain.TxUnknown}, out[1], "an unknown transaction has no facts")
	require.Equal(s, chain.TxIncluded, out[0].State)
	require.Equal(s, chain.TxIncluded, out[2].State)
	require.Equal(s, out[0], out[3])
}

func checkStatusPending(s *suite) {
	s.need(!s.MinesAtOnce, "on this network nothing ever waits")
	// Nodes index transactions, and some only after their first block.
	s.Mine(1)
	to := s.account("to").Address
	id := s.PayNative(to, units(1))
	require.Equal(s, chain.TxStatus{ID: id, State: chain.TxPending}, s.status(id), "a waiting transaction has no facts")
	require.Empty(s, s.scan(s.watch(to)).Transfers, "what waits is no transfer")
	s.Mine(1)
	require.Equal(s, chain.TxIncluded, s.status(id).State)
}

func checkStatusNone(s *suite) {
	out, err := s.Client.Status(s.ctx)
	require.NoError(s, err)
	require.Empty(s, out)
}

// checkFacts checks what the status of every mined transaction of ours says.
func (s *suite) checkFacts(st chain.TxStatus, from chain.Account, d chain.Draft) {
	s.Helper()
	require.Equal(s, from.Address, st.From, "who signed it")
	require.Equal(s, d.Locks, st.Locks, "what was prepared is what it consumed")
	require.False(s, st.Fee.IsZero(), "it had a fee")
	require.False(s, d.Fee.Less(st.Fee), "the fee is within what the draft said: %s, %s", st.Fee, d.Fee)
	if st.GasUsed > 0 {
		product, err := st.GasPrice.Mul(st.GasUsed)
		require.NoError(s, err)
		require.False(s, st.Fee.Less(product), "the fee covers the gas")
	}
	refs, err := s.Client.Headers(s.ctx, st.Block.Height, st.Block.Height)
	require.NoError(s, err)
	require.Equal(s, []chain.BlockRef{st.Block}, refs, "the block is one of the chain")
	for _, x := range st.Transfers {
		require.Equal(s, st.ID, x.ID.Tx)
		require.Equal(s, st.Block.Hash, x.Hash)
		require.Equal(s, st.Block.Height, x.Block)
		require.Equal(s, st.TxIndex, x.TxIndex)
		require.Zero(s, x.Key, "a status has no watched keys")
	}
	spends := s.scan(s.watch(from.Address)).Spends
	for _, x := range spends {
		if x.ID == st.ID {
			require.Equal(s, st, x, "page and status say the same")
			return
		}
	}
	require.Fail(s, "the page misses what a watched account signed", "%s", st.ID)
}

func checkSpendNative(s *suite) {
	from, to := s.rich("from"), s.account("stranger").Address
	d, st := s.send(intent(from, to, s.info.Native, units(1000)))
	require.Equal(s, chain.TxIncluded, st.State)
	require.Len(s, st.Transfers, 1, "movements to strangers are there")
	x := st.Transfers[0]
	require.Equal(s, s.info.Native.ID, x.Asset)
	require.Equal(s, from.Address, x.From)
	require.Equal(s, to, x.To)
	require.Equal(s, units(1000), x.Amount)
	s.checkFacts(st, from, d)
}

func checkSpendToken(s *suite) {
	from, to, a := s.rich("from"), s.account("stranger").Address, s.Tokens[TokenPlain]
	s.PayToken(TokenPlain, from.Address, units(500))
	s.Mine(1)
	d, st := s.send(intent(from, to, a, units(300)))
	require.Equal(s, chain.TxIncluded, st.State)
	require.Len(s, st.Transfers, 1)
	x := st.Transfers[0]
	s.tokenOrdinal(a, to, 0, x.ID.Ordinal)
	require.Equal(s, a.ID, x.Asset)
	require.Equal(s, from.Address, x.From)
	require.Equal(s, to, x.To)
	require.Equal(s, units(300), x.Amount)
	s.checkFacts(st, from, d)
}

// checkSpendFailed prepares two transfers of the same tokens before either is
// sent: each would succeed alone, and the second one fails in its block.
func checkSpendFailed(s *suite) {
	from, to, a := s.rich("from"), s.account("stranger").Address, s.Tokens[TokenPlain]
	s.PayToken(TokenPlain, from.Address, units(500))
	s.Mine(1)
	in := intent(from, to, a, units(500))
	first := s.prepare(in)
	in.Taken = first.Locks
	second := s.prepare(in)
	one, two := s.sign(first), s.sign(second)
	s.broadcast(one)
	s.broadcast(two)
	s.Mine(1)
	require.Equal(s, chain.TxIncluded, s.status(one.ID).State)
	st := s.status(two.ID)
	require.Equal(s, chain.TxFailed, st.State)
	require.Empty(s, st.Transfers, "what failed moved nothing")
	s.checkFacts(st, from, second)
}

// checkSpendOwn moves coin between two watched accounts: it is a transfer to
// the one and a spend of the other, and only the reader knows that both are its
// own.
func checkSpendOwn(s *suite) {
	from, to := s.rich("from"), s.account("to")
	_, st := s.send(intent(from, to.Address, s.info.Native, units(1000)))
	p := s.scanFrom(st.Block.Height, s.watch(from.Address, to.Address))
	require.Len(s, p.Transfers, 1)
	require.Equal(s, from.Address, p.Transfers[0].From)
	require.Equal(s, uint32(1), p.Transfers[0].Key)
	require.Len(s, p.Spends, 1)
	require.Equal(s, st.ID, p.Spends[0].ID)
}
