package chaintest

import (
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func traceChecks() []check {
	return []check{
		{"Internal/ContractSentCoin", checkInternal},
		{"Internal/ForcedCoin", checkForced},
		{"Internal/RevertedMovesNothing", checkInternalReverted},
		{"Internal/ReceiversAlone", checkInternalReceivers},
		{"Internal/UnknownBlock", checkInternalUnknown},
		{"Internal/IdentityIsKept", checkInternalReorg},
	}
}

func (s *suite) tracer() chain.Tracer {
	s.Helper()
	tracer, ok := chain.As[chain.Tracer](s.Client)
	s.need(ok && s.Traces, "the node traces nothing")
	return tracer
}

// internal asks for what one block moved.
func (s *suite) internal(t chain.Tracer, at chain.BlockRef, to ...chain.Address) []chain.Transfer {
	s.Helper()
	got, err := patiently(s, func() (chain.Internals, error) { return t.Internal(s.ctx, at, to) })
	require.NoError(s, err, "Internal")
	return got.Transfers
}

// sent checks the one internal transfer of a transaction.
func (s *suite) sent(t chain.Tracer, id chain.TxID, to chain.Address, n chain.Amount) chain.Transfer {
	s.Helper()
	at := s.status(id)
	got := s.internal(t, at.Block, to)
	require.Len(s, got, 1)
	x := got[0]
	require.Equal(s, id, x.ID.Tx)
	require.True(s, strings.HasPrefix(x.ID.Ordinal, "i:"), "the ordinal of an internal call is %q", x.ID.Ordinal)
	require.Equal(s, s.info.Native.ID, x.Asset)
	require.Equal(s, to, x.To)
	require.NotEqual(s, to, x.From)
	require.Equal(s, n, x.Amount)
	require.Equal(s, chain.ViaContract, x.Via)
	require.Equal(s, at.Block.Height, x.Block)
	require.Equal(s, at.Block.Hash, x.Hash)
	require.Equal(s, at.TxIndex, x.TxIndex)
	return x
}

func checkInternal(s *suite) {
	t := s.tracer()
	s.need(s.SendCoin != nil, "the network has no contract that sends coin")
	to := s.account("to").Address
	id := s.SendCoin(to, units(1234))
	s.Mine(1)
	want := s.sent(t, id, to, units(1234))
	for _, x := range s.scan(s.watch(to)).Transfers {
		require.Equal(s, want, x, "a page that shows it says the same")
	}
}

func checkForced(s *suite) {
	t := s.tracer()
	s.need(s.ForceCoin != nil, "the network has no contract that is destroyed")
	to := s.account("to").Address
	id := s.ForceCoin(to, units(77))
	s.Mine(1)
	s.sent(t, id, to, units(77))
}

func checkInternalReverted(s *suite) {
	t := s.tracer()
	s.need(s.SendReverted != nil, "the network has no contract that reverts a call")
	to := s.account("to").Address
	id := s.SendReverted(to, units(9))
	s.Mine(1)
	at := s.status(id)
	require.Equal(s, chain.TxIncluded, at.State, "the transaction itself succeeds")
	require.Empty(s, s.internal(t, at.Block, to), "what was reverted moved nothing")
}

func checkInternalReceivers(s *suite) {
	t := s.tracer()
	s.need(s.SendCoin != nil, "the network has no contract that sends coin")
	a, b := s.account("a").Address, s.account("b").Address
	direct := s.PayNative(a, units(5))
	id := s.SendCoin(b, units(6))
	s.Mine(1)
	require.Empty(s, s.internal(t, s.status(direct).Block, a), "a transaction's own value is in pages")
	require.Empty(s, s.internal(t, s.status(id).Block, a), "a receiver that nobody asked about")
	require.Empty(s, s.internal(t, s.status(id).Block))
}

func checkInternalUnknown(s *suite) {
	t := s.tracer()
	at := s.head()
	at.Hash = chain.BlockHash(nowhere)
	_, err := t.Internal(s.ctx, at, []chain.Address{s.account("to").Address})
	require.Error(s, err, "an unknown block is never answered by another one")
}

func checkInternalReorg(s *suite) {
	t := s.tracer()
	s.need(s.SendCoin != nil && s.Reorg != nil, "the network has no such contract, or no reorgs")
	to := s.account("to").Address
	id := s.SendCoin(to, units(31))
	s.Mine(1)
	before := s.sent(t, id, to, units(31))
	s.Reorg(int(s.head().Height - before.Block + 1))
	s.Mine(1)
	after := s.sent(t, id, to, units(31))
	require.Equal(s, before.ID, after.ID)
	require.NotEqual(s, before.Hash, after.Hash)
}
