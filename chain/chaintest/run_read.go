package chaintest

import (
	"math"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func readChecks() []check {
	return []check{
		{"Info/Sane", checkInfo},
		{"Head/Grows", checkHeadGrows},
		{"Head/Finalized", checkHeadFinalized},
		{"Headers/Linked", checkHeadersLinked},
		{"Headers/SingleBlock", checkHeadersSingle},
		{"Headers/StopAtHead", checkHeadersStop},
		{"Headers/NoneAboveHead", checkHeadersAbove},
	}
}

func checkInfo(s *suite) {
	i := s.info
	_, err := chain.ParseID(string(i.ID))
	require.NoError(s, err, "ID")
	require.NotEmpty(s, i.Name, "Name")
	require.Equal(s, strings.ToLower(i.Name), i.Name, "Name is lower case")
	_, err = chain.ParseAssetID(string(i.Native.ID))
	require.NoError(s, err, "Native.ID")
	require.Equal(s, i.ID, i.Native.Chain(), "the native coin lives on the chain")
	require.True(s, i.Native.Native(), "the native coin has no contract")
	require.NotEmpty(s, i.Native.Symbol, "Native.Symbol")
	require.LessOrEqual(s, i.Native.Decimals, uint8(chain.MaxDecimals), "Native.Decimals")
	require.Contains(s, []chain.Curve{chain.Secp256k1, chain.Ed25519}, i.Curve, "Curve")
	require.Positive(s, i.BlockTime, "BlockTime")
	require.GreaterOrEqual(s, i.Confirmations, uint64(1), "Confirmations")
	require.GreaterOrEqual(s, i.FinalityDepth, i.Confirmations, "FinalityDepth")
	require.GreaterOrEqual(s, i.MaxReorg, i.Confirmations, "MaxReorg")
	require.GreaterOrEqual(s, i.PageBlocks, uint64(1), "PageBlocks")
	require.GreaterOrEqual(s, int64(i.InclusionSlack), int64(0), "InclusionSlack")
	require.Equal(s, i, s.Client.Info(), "Info is the same for the client's whole life")
	require.NotNil(s, s.Client.Codec(), "Codec")
}

func checkHeadGrows(s *suite) {
	before := s.head()
	s.Mine(2)
	after := s.head()
	require.GreaterOrEqual(s, after.Height, before.Height+2, "the head sees new blocks")
	require.NotEqual(s, before.Hash, after.Hash)
}

func checkHeadFinalized(s *suite) {
	s.Mine(1)
	h, err := s.Client.Head(s.ctx)
	require.NoError(s, err)
	s.need(h.Finalized != nil, "the chain, or its configuration, has no finality tag")
	require.LessOrEqual(s, h.Finalized.Height, h.Latest.Height)
	refs, err := s.Client.Headers(s.ctx, h.Finalized.Height, h.Finalized.Height)
	require.NoError(s, err)
	require.Equal(s, []chain.BlockRef{*h.Finalized}, refs, "the final block lies on the present branch")
}

func checkHeadersLinked(s *suite) {
	s.Mine(5)
	head := s.head()
	from := s.start
	var all []chain.BlockRef
	for from <= head.Height {
		refs, err := s.Client.Headers(s.ctx, from, head.Height)
		require.NoError(s, err)
		require.NotEmpty(s, refs, "a block that exists is returned")
		require.Equal(s, from, refs[0].Height, "no gap at the beginning")
		all = append(all, refs...)
		from = refs[len(refs)-1].Height + 1
	}
	s.linked(all)
	require.Equal(s, head, all[len(all)-1], "Headers and Head say the same")
}

func checkHeadersSingle(s *suite) {
	s.Mine(2)
	refs, err := s.Client.Headers(s.ctx, s.start, s.start)
	require.NoError(s, err)
	require.Len(s, refs, 1, "both ends are included")
	require.Equal(s, s.start, refs[0].Height)
}

func checkHeadersStop(s *suite) {
	s.Mine(1)
	head := s.head()
	refs, err := s.Client.Headers(s.ctx, head.Height, head.Height+5)
	require.NoError(s, err)
	require.Equal(s, []chain.BlockRef{head}, refs)
	refs, err = s.Client.Headers(s.ctx, head.Height, math.MaxUint64)
	require.NoError(s, err, "to may lie anywhere above")
	require.Equal(s, []chain.BlockRef{head}, refs)
}

func checkHeadersAbove(s *suite) {
	head := s.head()
	refs, err := s.Client.Headers(s.ctx, head.Height+100, head.Height+101)
	require.NoError(s, err, "above the head is no error")
	require.Empty(s, refs, "above the head is nothing")
}
