package chaintest

import (
	"fmt"
	"math"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func transferChecks() []check {
	return []check{
		{"Transfers/PagesHaveNoGap", checkPages},
		{"Transfers/StopAtTo", checkPageStops},
		{"Transfers/NotFoundAboveHead", checkPageAbove},
		{"Transfers/NativeFound", checkNative},
		{"Transfers/KeysAreTheWatchs", checkKeys},
		{"Transfers/UnwatchedIgnored", checkUnwatched},
		{"Transfers/ZeroIgnored", checkZero},
		{"Transfers/FailedIgnored_B1", checkFailed},
		{"Transfers/SeveralBlocksInOrder", checkOrder},
	}
}

func tokenChecks() []check {
	return []check{
		{"Tokens/PlainFound", func(s *suite) { s.checkToken(TokenPlain) }},
		{"Tokens/NoReturnFound", func(s *suite) { s.checkToken(TokenNoReturn) }},
		{"Tokens/FalseReturningNotCredited_B2", func(s *suite) { s.checkNoToken(TokenFalse) }},
		{"Tokens/LookAlikeIgnored_B3", func(s *suite) { s.checkNoToken(TokenLookAlike) }},
		{"Tokens/SpoofedEventIgnored_B4", func(s *suite) { s.checkNoToken(TokenSpoofer) }},
		{"Tokens/LongDataIgnored_B4", func(s *suite) { s.checkNoToken(TokenLongData) }},
		{"Tokens/FourTopicsIgnored_B5", func(s *suite) { s.checkNoToken(TokenNFT) }},
		{"Tokens/NotAskedForIgnored", checkNotAsked},
		{"Tokens/SeveralInOneTransaction_B15", checkSeveral},
	}
}

func reorgChecks() []check {
	return []check{
		{"Reorg/SeenByParentHash", checkReorgSeen},
		{"Reorg/IdentityStable_A3_A4", checkIdentity},
		{"Reorg/StatusFollows", checkReorgStatus},
	}
}

func checkPages(s *suite) {
	// One page is full and another follows, where a page is not huge.
	s.Mine(int(min(s.info.PageBlocks, 60)) + 1)
	head := s.head()
	p := s.scan(s.watch(s.account("nobody").Address))
	s.linked(p.Blocks)
	require.Equal(s, head, p.Last(), "the pages lead to the head")
	refs, err := s.Client.Headers(s.ctx, head.Height-1, head.Height)
	require.NoError(s, err)
	require.Equal(s, refs, p.Blocks[len(p.Blocks)-2:], "pages and headers say the same")
	require.Empty(s, p.Transfers)
	require.Empty(s, p.Spends)
}

func checkPageStops(s *suite) {
	s.Mine(3)
	p, err := s.Client.Transfers(s.ctx, s.start, s.start, s.watch())
	require.NoError(s, err)
	require.Len(s, p.Blocks, 1, "to is the last block")
	require.Equal(s, s.start, p.Blocks[0].Height)
	head := s.head()
	p, err = s.Client.Transfers(s.ctx, head.Height, math.MaxUint64, s.watch())
	require.NoError(s, err, "to may lie anywhere above the head")
	require.Equal(s, []chain.BlockRef{head}, p.Blocks)
}

func checkPageAbove(s *suite) {
	head := s.head()
	_, err := s.Client.Transfers(s.ctx, head.Height+100, head.Height+101, s.watch())
	require.ErrorIs(s, err, chain.ErrNotFound)
}

func checkNative(s *suite) {
	to := s.account("to").Address
	id := s.PayNative(to, units(1_234_567))
	s.Mine(1)
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, 1)
	x := p.Transfers[0]
	require.Equal(s, id, x.ID.Tx)
	require.NotEmpty(s, x.ID.Ordinal)
	if s.info.ID.Namespace() == "eip155" {
		require.Equal(s, "n", x.ID.Ordinal, "the ordinal of the transaction's own value")
	}
	require.Equal(s, s.info.Native.ID, x.Asset)
	require.Equal(s, to, x.To, "the receiver in canonical form")
	require.NotEqual(s, to, x.From)
	require.Equal(s, units(1_234_567), x.Amount)
	require.Equal(s, chain.ViaDirect, x.Via)
	require.Equal(s, chain.TxIncluded, s.status(id).State)
	require.Equal(s, s.status(id).Block.Height, x.Block, "page and status say the same block")
	require.Equal(s, s.status(id).TxIndex, x.TxIndex, "page and status say the same place")
	require.Empty(s, p.Spends, "a stranger's transaction is no spend of ours")
}

func checkKeys(s *suite) {
	to := []chain.Address{s.account("a").Address, s.account("b").Address, s.account("c").Address}
	for i, a := range to {
		s.PayNative(a, units(uint64(i)+1))
		s.PayToken(TokenPlain, a, units(uint64(i)+1))
	}
	s.Mine(1)
	p := s.scan(s.watch(to...))
	require.Len(s, p.Transfers, 2*len(to))
	for _, x := range p.Transfers {
		require.Less(s, x.Key, uint32(len(to)))
		require.Equal(s, to[x.Key], x.To, "Key is the number that Match returned")
		require.Equal(s, units(uint64(x.Key)+1), x.Amount)
	}
}

func checkUnwatched(s *suite) {
	s.PayNative(s.account("stranger").Address, units(5))
	s.PayToken(TokenPlain, s.account("stranger").Address, units(5))
	ours := s.PayNative(s.account("ours").Address, units(6))
	s.Mine(1)
	p := s.scan(s.watch(s.account("ours").Address))
	require.Len(s, p.Transfers, 1)
	require.Equal(s, ours, p.Transfers[0].ID.Tx)
}

func checkZero(s *suite) {
	to := s.account("to").Address
	native, token := s.PayNative(to, units(0)), s.PayToken(TokenPlain, to, units(0))
	s.Mine(1)
	require.Equal(s, chain.TxIncluded, s.status(native).State)
	require.Equal(s, chain.TxIncluded, s.status(token).State)
	require.Empty(s, s.scan(s.watch(to)).Transfers, "a transfer of nothing is none")
}

func checkFailed(s *suite) {
	s.need(s.Rejecter != "", "the network has no contract that rejects payments")
	id := s.PayNative(s.Rejecter, units(5))
	s.Mine(1)
	st := s.status(id)
	require.Equal(s, chain.TxFailed, st.State)
	require.Empty(s, st.Transfers, "what failed moved nothing")
	require.Empty(s, s.scan(s.watch(s.Rejecter)).Transfers, "what failed is no payment")
}

func checkOrder(s *suite) {
	to := s.account("to").Address
	var ids []chain.TxID
	for range 2 {
		ids = append(ids, s.PayNative(to, units(1)), s.PayToken(TokenPlain, to, units(2)))
		s.Mine(1)
	}
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, len(ids))
	place := map[string]bool{}
	for _, x := range p.Transfers {
		at := fmt.Sprint(x.Block, "/", x.TxIndex)
		require.False(s, place[at], "two transactions at one place")
		place[at] = true
	}
	require.ElementsMatch(s, ids[:2], []chain.TxID{p.Transfers[0].ID.Tx, p.Transfers[1].ID.Tx}, "the first block first")
}

// tokenOrdinal is the ordinal that EVM chains give the k-th log of a token to
// an address in one transaction.
func (s *suite) tokenOrdinal(a chain.Asset, to chain.Address, k int, got string) {
	s.Helper()
	if s.info.ID.Namespace() == "eip155" {
		require.Equal(s, fmt.Sprintf("t:%s:%s:%d", a.Contract, to, k), got)
	}
}

func (s *suite) checkToken(kind TokenKind) {
	a, to := s.token(kind), s.account("to").Address
	id := s.PayToken(kind, to, units(25_000_000))
	s.Mine(1)
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, 1)
	x := p.Transfers[0]
	require.Equal(s, id, x.ID.Tx)
	s.tokenOrdinal(a, to, 0, x.ID.Ordinal)
	require.Equal(s, a.ID, x.Asset)
	require.Equal(s, to, x.To)
	require.NotEmpty(s, x.From)
	require.Equal(s, units(25_000_000), x.Amount)
	require.Equal(s, chain.ViaDirect, x.Via)
	require.Equal(s, s.status(id).Block.Height, x.Block)
	require.Empty(s, p.Spends)
}

// checkNoToken pays by a token whose transfer is not to be believed, beside an
// honest payment that must still be found.
func (s *suite) checkNoToken(kind TokenKind) {
	s.token(kind)
	to := s.account("to").Address
	fake := s.PayToken(kind, to, units(25_000_000))
	honest := s.PayToken(TokenPlain, to, units(7))
	s.Mine(1)
	require.Equal(s, chain.TxIncluded, s.status(fake).State, "the transaction itself succeeds")
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, 1, "only the honest token counts")
	require.Equal(s, honest, p.Transfers[0].ID.Tx)
	require.Equal(s, units(7), p.Transfers[0].Amount)
	require.Equal(s, s.Tokens[TokenPlain].ID, p.Transfers[0].Asset)
	require.Empty(s, s.status(fake).Transfers, "nor does the status believe it")
}

func checkNotAsked(s *suite) {
	to := s.account("to").Address
	s.PayToken(TokenPlain, to, units(7))
	s.Mine(1)
	w := NewWatch(s.Client.Codec(), nil, to)
	require.Empty(s, s.scan(w).Transfers, "tokens that Watch.Assets does not name do not count")
}

func checkSeveral(s *suite) {
	s.need(s.PayMany != nil, "the network has no contract that pays several times in one transaction")
	a, to := s.token(TokenPlain), s.account("to").Address
	id := s.PayMany(TokenPlain, to, units(10), units(10), units(30))
	s.Mine(1)
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, 3, "each movement is seen, equal ones too")
	for k, x := range p.Transfers {
		require.Equal(s, id, x.ID.Tx)
		s.tokenOrdinal(a, to, k, x.ID.Ordinal)
		require.Equal(s, []chain.Amount{units(10), units(10), units(30)}[k], x.Amount, "in the order of the logs")
	}
}

func checkReorgSeen(s *suite) {
	s.need(s.Reorg != nil, "the network has no reorgs")
	s.Mine(3)
	before := s.head()
	s.Reorg(2)
	after := s.head()
	require.Greater(s, after.Height, before.Height)
	refs, err := s.Client.Headers(s.ctx, before.Height, before.Height)
	require.NoError(s, err)
	require.Len(s, refs, 1)
	require.NotEqual(s, before.Hash, refs[0].Hash, "the old head is replaced")
	p, err := s.Client.Transfers(s.ctx, before.Height+1, before.Height+1, s.watch())
	require.NoError(s, err)
	require.NotEqual(s, before.Hash, p.Blocks[0].Parent, "who goes on from the old head sees it by the parent")
	s.linked(s.scan(s.watch()).Blocks)
}

func checkIdentity(s *suite) {
	s.need(s.Reorg != nil, "the network has no reorgs")
	to := s.account("to").Address
	s.PayNative(to, units(3))
	s.PayToken(TokenPlain, to, units(4))
	if s.PayMany != nil {
		s.PayMany(TokenPlain, to, units(5), units(5))
	}
	s.Mine(1)
	before := s.scan(s.watch(to)).Transfers
	s.Reorg(int(s.head().Height - s.start + 1))
	after := s.scan(s.watch(to)).Transfers
	require.Len(s, after, len(before))
	find := map[chain.TransferID]chain.Transfer{}
	for _, x := range after {
		find[x.ID] = x
	}
	for _, x := range before {
		again, ok := find[x.ID]
		require.True(s, ok, "%s keeps its identity in another block", x.ID)
		require.NotEqual(s, x.Hash, again.Hash, "but it is another observation")
		require.Equal(s, x.Amount, again.Amount)
	}
}

func checkReorgStatus(s *suite) {
	s.need(s.Reorg != nil, "the network has no reorgs")
	id := s.PayNative(s.account("to").Address, units(3))
	s.Mine(1)
	before := s.status(id)
	s.Reorg(int(s.head().Height - s.start + 1))
	after := s.status(id)
	require.Equal(s, chain.TxIncluded, after.State)
	require.NotEqual(s, before.Block.Hash, after.Block.Hash, "the status tells the present branch")
	refs, err := s.Client.Headers(s.ctx, after.Block.Height, after.Block.Height)
	require.NoError(s, err)
	require.Equal(s, []chain.BlockRef{after.Block}, refs)
}
