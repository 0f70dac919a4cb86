package chaintest

import (
	"errors"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func prepareChecks() []check {
	return []check{
		{"Prepare/Native", checkPrepareNative},
		{"Prepare/AllNative", checkPrepareAllNative},
		{"Prepare/Token", checkPrepareToken},
		{"Prepare/AllToken", checkPrepareAllToken},
		{"Prepare/NoReturnToken", checkPrepareNoReturn},
		{"Prepare/NeedsOfTokenWithoutGas", checkNeeds},
		{"Prepare/InsufficientNative", checkInsufficientNative},
		{"Prepare/InsufficientToken", checkInsufficientToken},
		{"Prepare/NothingToSweep", checkNothing},
		{"Prepare/FeeTooHigh", checkFeeTooHigh},
		{"Prepare/TakenLocksAvoided", checkTaken},
		{"Prepare/ReuseHoldsTheLocks", checkReuse},
		{"Prepare/Cancel", checkCancel},
		{"Prepare/ManyMovesOrUnsupported", checkManyMoves},
		{"Bump/Replaces", checkBump},
	}
}

func checkPrepareNative(s *suite) {
	from, to := s.rich("from"), s.account("to").Address
	d := s.prepare(intent(from, to, s.info.Native, units(1000)))
	require.Equal(s, units(1000), d.Intent.Moves[0].Amount)
	require.Equal(s, from, d.Intent.Moves[0].From)
	again := s.prepare(intent(from, to, s.info.Native, units(1000)))
	require.Equal(s, d.Locks, again.Locks, "preparing consumes nothing")
	signed := s.sign(d)
	s.broadcast(signed)
	s.Mine(1)
	require.Equal(s, chain.TxIncluded, s.status(signed.ID).State)
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, 1)
	require.Equal(s, signed.ID, p.Transfers[0].ID.Tx)
	require.Equal(s, units(1000), p.Transfers[0].Amount)
}

func checkPrepareAllNative(s *suite) {
	from, to := s.rich("from"), s.account("to").Address
	d, st := s.send(all(from, to, s.info.Native))
	require.Equal(s, chain.TxIncluded, st.State)
	rest, err := s.coins(1).Sub(d.Fee)
	require.NoError(s, err)
	require.Equal(s, rest, d.Intent.Moves[0].Amount, "all is what the greatest fee leaves")
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, 1)
	require.Equal(s, rest, p.Transfers[0].Amount)
}

func checkPrepareToken(s *suite) { s.sendToken(TokenPlain, false) }

func checkPrepareAllToken(s *suite) { s.sendToken(TokenPlain, true) }

func checkPrepareNoReturn(s *suite) { s.sendToken(TokenNoReturn, true) }

func (s *suite) sendToken(kind TokenKind, everything bool) {
	s.Helper()
	a, from, to := s.token(kind), s.rich("from"), s.account("to").Address
	s.PayToken(kind, from.Address, units(700))
	s.Mine(1)
	in, want := intent(from, to, a, units(300)), units(300)
	if everything {
		in, want = all(from, to, a), units(700)
	}
	d, st := s.send(in)
	require.Equal(s, want, d.Intent.Moves[0].Amount, "the amount is fixed")
	require.Equal(s, chain.TxIncluded, st.State)
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, 1)
	require.Equal(s, want, p.Transfers[0].Amount)
	require.Equal(s, a.ID, p.Transfers[0].Asset)
}

// checkNeeds is the way of every token sweep from a fresh address: the draft
// says what is missing, that is paid, and the second draft is payable.
func checkNeeds(s *suite) {
	a, from, to := s.Tokens[TokenPlain], s.account("from"), s.account("to").Address
	s.PayToken(TokenPlain, from.Address, units(700))
	s.Mine(1)
	in := all(from, to, a)
	d, err := s.Client.Prepare(s.ctx, in)
	require.NoError(s, err, "a missing fee is a need and no error")
	require.Len(s, d.Needs, 1)
	need := d.Needs[0]
	require.Equal(s, from, need.Account)
	require.Equal(s, s.info.Native.ID, need.Asset.ID)
	require.False(s, need.Amount.IsZero())
	_, err = s.Client.Sign(s.ctx, d, s.signer)
	require.Error(s, err, "a draft with needs cannot be signed")
	s.Fund(from.Address, need.Amount)
	_, st := s.send(in)
	require.Equal(s, chain.TxIncluded, st.State, "with exactly that it is payable")
}

func (s *suite) insufficient(in chain.Intent, account chain.Account, asset chain.Asset) *chain.InsufficientFundsError {
	s.Helper()
	_, err := s.Client.Prepare(s.ctx, in)
	var short *chain.InsufficientFundsError
	require.ErrorAs(s, err, &short)
	require.Equal(s, account.Address, short.Account)
	require.Equal(s, asset.ID, short.Asset.ID)
	require.True(s, short.Available.Less(short.Required), "%s of %s", short.Available, short.Required)
	return short
}

func checkInsufficientNative(s *suite) {
	from, to := s.rich("from"), s.account("to").Address
	short := s.insufficient(intent(from, to, s.info.Native, s.coins(2)), from, s.info.Native)
	require.Equal(s, s.coins(1), short.Available)
	require.False(s, short.Required.Less(s.coins(2)), "the fee comes on top")
	// The amount alone would fit; with the fee it does not.
	s.insufficient(intent(from, to, s.info.Native, s.coins(1)), from, s.info.Native)
}

func checkInsufficientToken(s *suite) {
	a, from, to := s.Tokens[TokenPlain], s.rich("from"), s.account("to").Address
	s.PayToken(TokenPlain, from.Address, units(700))
	s.Mine(1)
	short := s.insufficient(intent(from, to, a, units(701)), from, a)
	require.Equal(s, units(700), short.Available)
	require.Equal(s, units(701), short.Required)
}

func checkNothing(s *suite) {
	from, to := s.account("from"), s.account("to").Address
	s.insufficient(all(from, to, s.info.Native), from, s.info.Native)
	s.insufficient(all(from, to, s.Tokens[TokenPlain]), from, s.Tokens[TokenPlain])
}

func checkFeeTooHigh(s *suite) {
	in := intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000))
	in.MaxFee = units(1)
	_, err := s.Client.Prepare(s.ctx, in)
	var high *chain.FeeTooHighError
	require.ErrorAs(s, err, &high)
	require.Equal(s, units(1), high.Cap)
	require.True(s, high.Cap.Less(high.Fee))

	in.MaxFee = chain.Amount{}
	in.MaxFee = s.prepare(in).Fee
	d := s.prepare(in)
	require.False(s, in.MaxFee.Less(d.Fee), "a fee at the cap is within it")
}

func checkTaken(s *suite) {
	in := intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000))
	seen := map[chain.Lock]bool{}
	var drafts []chain.Draft
	for range 3 {
		d := s.prepare(in)
		for _, l := range d.Locks {
			require.False(s, seen[l], "%s is taken", l)
			seen[l] = true
		}
		in.Taken = append(in.Taken, d.Locks...)
		drafts = append(drafts, d)
	}
	for _, d := range drafts {
		s.broadcast(s.sign(d))
	}
	s.Mine(1)
	require.Len(s, s.scan(s.watch(in.Moves[0].To)).Transfers, len(drafts), "all of them can be mined")
}

// checkReuse: whoever is mined, it is one of both. The network may find the
// second too cheap, since Prepare does not know what the first one offered.
func checkReuse(s *suite) {
	s.need(!s.MinesAtOnce, "on this network nothing ever waits")
	in := intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000))
	first := s.sign(s.prepare(in))
	s.broadcast(first)
	in.Reuse, in.Taken = first.Locks, first.Locks
	in.Moves[0].Amount = units(2000)
	d := s.prepare(in)
	require.Equal(s, first.Locks, d.Locks, "a replacement holds the same locks")
	second := s.sign(d)
	if err := s.tryBroadcast(second); err != nil {
		require.ErrorIs(s, err, chain.ErrUnderpriced)
	}
	s.Mine(1)
	require.Len(s, s.scan(s.watch(in.Moves[0].To)).Transfers, 1, "both can never be mined")
}

// checkCancel spends a lock by paying nothing to oneself.
func checkCancel(s *suite) {
	from := s.rich("from")
	in := intent(from, from.Address, s.info.Native, units(0))
	in.Purpose = chain.PurposeCancel
	d, st := s.send(in)
	require.Equal(s, chain.TxIncluded, st.State)
	require.Empty(s, st.Transfers, "it moves nothing")
	s.checkFacts(st, from, d)
}

// replaces broadcasts a replacement, and checks that it and only it is mined.
func (s *suite) replaces(old, by chain.Signed, to chain.Address, n chain.Amount) {
	s.Helper()
	require.NotEqual(s, old.ID, by.ID)
	s.broadcast(by)
	s.Mine(1)
	require.Equal(s, chain.TxIncluded, s.status(by.ID).State)
	require.Equal(s, chain.TxUnknown, s.status(old.ID).State, "what was replaced is gone")
	p := s.scan(s.watch(to))
	require.Len(s, p.Transfers, 1, "only one of both was mined")
	require.Equal(s, n, p.Transfers[0].Amount)
}

func checkBump(s *suite) {
	bumper, ok := chain.As[chain.FeeBumper](s.Client)
	s.need(ok, "the client is no FeeBumper")
	s.need(!s.MinesAtOnce, "on this network nothing ever waits")
	in := intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000))
	cheap := s.prepare(in)
	old := s.sign(cheap)
	s.broadcast(old)
	d, err := bumper.Bump(s.ctx, in, old)
	require.NoError(s, err)
	require.Equal(s, old.Locks, d.Locks)
	require.True(s, cheap.Fee.Less(d.Fee), "it offers more")
	s.replaces(old, s.sign(d), in.Moves[0].To, units(1000))

	_, err = bumper.Bump(s.ctx, withCap(in, units(1)), old)
	var high *chain.FeeTooHighError
	require.True(s, errors.As(err, &high) || errors.Is(err, chain.ErrLockSpent), "a cap holds for replacements too: %v", err)
}

func withCap(in chain.Intent, most chain.Amount) chain.Intent {
	in.MaxFee = most
	return in
}

// checkManyMoves: an adapter may do it in one transaction, or say that it
// cannot. It must not leave moves out.
func checkManyMoves(s *suite) {
	in := intent(s.rich("a"), s.account("to").Address, s.info.Native, units(1000))
	in.Moves = append(in.Moves, intent(s.rich("b"), s.account("to").Address, s.info.Native, units(2000)).Moves...)
	d, err := s.Client.Prepare(s.ctx, in)
	if errors.Is(err, chain.ErrUnsupported) {
		return
	}
	require.NoError(s, err)
	require.Len(s, d.Intent.Moves, 2)
	_, st := s.send(in)
	require.Equal(s, chain.TxIncluded, st.State)
	require.Len(s, s.scan(s.watch(in.Moves[0].To)).Transfers, 2)
}
