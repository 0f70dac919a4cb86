package chaintest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// field is a world with a sweeper, a sponsor that has coin, and a treasury.
type field struct {
	*world
	t                 *testing.T
	sweeper           *contracts.Sweeper
	sponsor, treasury chain.Account
	token             chain.Asset
	rounds            [][]chain.SignRequest // what the signer was asked for
}

// newField makes a field whose token is of a kind that its owner can freeze.
func newField(t *testing.T, o chaintest.Options) *field {
	t.Helper()
	f := &field{t: t}
	keys := chaintest.NewSigner(evm.Codec(), t.Name())
	f.sponsor, f.treasury = keys.Account("sponsor"), keys.Account("treasury")
	f.sweeper = chaintest.NewSweeper(f.sponsor.Address, f.treasury.Address)
	o.Sweeper = f.sweeper
	f.world = newWorld(t, o)
	f.token = f.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenBlacklist, Symbol: "USDT", Decimals: 6})
	f.Grant(f.sponsor.Address, f.eth, ether(10))
	f.Mine(1)
	return f
}

// Sign lets the field's signer sign, and remembers what it was asked for.
func (f *field) Sign(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
	f.rounds = append(f.rounds, r)
	return f.signer.Sign(ctx, r)
}

// source is the n-th deposit account.
func (f *field) source(n int) chain.Account { return f.signer.Account(fmt.Sprintf("deposit %d", n)) }

// collect is an intent to collect 100+n of a token from the sources from to to, which
// hold 1000 of it more.
func (f *field) collect(token chain.Asset, from, to int) chain.Intent {
	in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: f.sponsor}
	for n := from; n < to; n++ {
		f.Grant(f.source(n).Address, token, amount(1000))
		in.Moves = append(in.Moves, chain.Move{From: f.source(n), To: f.treasury.Address, Asset: token, Amount: amount(100 + uint64(n))})
	}
	f.Mine(1)
	return in
}

func (f *field) prepare(in chain.Intent) chain.Draft {
	f.t.Helper()
	d, err := f.client.Prepare(f.t.Context(), in)
	require.NoError(f.t, err)
	require.Empty(f.t, d.Needs)
	return d
}

func (f *field) sign(d chain.Draft) chain.Signed {
	f.t.Helper()
	s, err := f.client.Sign(f.t.Context(), d, f)
	require.NoError(f.t, err)
	require.Equal(f.t, d.Locks, s.Locks)
	return s
}

// sent signs and broadcasts a draft.
func (f *field) sent(d chain.Draft) chain.Signed {
	f.t.Helper()
	s := f.sign(d)
	require.NoError(f.t, f.client.Broadcast(f.t.Context(), s))
	return s
}

func (f *field) status(id chain.TxID) chain.TxStatus {
	f.t.Helper()
	s, err := f.client.Status(f.t.Context(), id)
	require.NoError(f.t, err)
	return s[0]
}

// swept is what a transaction moved by source.
func (f *field) swept(s chain.TxStatus) map[chain.Address]uint64 {
	out := map[chain.Address]uint64{}
	for _, x := range s.Transfers {
		require.Equal(f.t, f.treasury.Address, x.To)
		out[x.From] += x.Amount.Big().Uint64()
	}
	return out
}

// named are the sources of a *chain.SourcesError, with why.
func named(t *testing.T, err error) map[chain.Address]string {
	t.Helper()
	var sources *chain.SourcesError
	require.ErrorAs(t, err, &sources)
	out := map[chain.Address]string{}
	for _, s := range sources.Sources {
		out[s.Account] = s.Reason
	}
	return out
}

// contract is the sweeper's address.
func (f *field) contract() chain.Address {
	return chain.Address(common.Address(f.sweeper.Address()).Hex())
}

func lock(a chain.Account, nonce int) chain.Lock {
	return chain.Lock(fmt.Sprintf("nonce:%s:%d", a.Address, nonce))
}

func TestBatching(t *testing.T) {
	f := newField(t, chaintest.Options{})
	b, ok := chain.As[chain.Batcher](f.client)
	require.True(t, ok)
	require.Equal(t, chain.Batching{Treasury: f.treasury.Address, FeePayer: f.sponsor.Address, MaxMoves: 100}, b.Batching())
	require.Equal(t, 7, newField(t, chaintest.Options{MaxMoves: 7}).client.Batching().MaxMoves)

	without := newWorld(t, chaintest.Options{})
	require.Zero(t, without.client.Batching())
	require.Equal(t, evm.Codec(), without.client.Codec())
	in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: f.sponsor, Moves: []chain.Move{
		{From: f.source(0), To: f.treasury.Address, Asset: without.usd, Amount: amount(1)},
		{From: f.source(1), To: f.treasury.Address, Asset: without.usd, Amount: amount(1)},
	}}
	_, err := without.client.Prepare(t.Context(), in)
	require.ErrorIs(t, err, chain.ErrUnsupported)

	lone, err := contracts.New(contracts.Params{Treasury: contracts.Address{0: 1}, Owner: contracts.Address{0: 2}})
	require.NoError(t, err)
	require.Panics(t, func() { chaintest.New(chaintest.Options{Sweeper: lone}) })
}

// TestBatchSweeps: accounts that do not delegate yet do so in the transaction, and
// from then on need nothing but the sponsor.
func TestBatchSweeps(t *testing.T) {
	f := newField(t, chaintest.Options{})
	in := f.collect(f.token, 0, 3)
	d := f.prepare(in)
	require.Equal(t, in, d.Intent)
	require.Equal(t, []chain.Lock{lock(f.sponsor, 0), lock(f.source(0), 0), lock(f.source(1), 0), lock(f.source(2), 0)}, d.Locks)
	require.Empty(t, d.After)
	id := f.sent(d).ID
	require.Len(t, f.rounds, 2, "the authorisations at once, then the transaction")
	require.Len(t, f.rounds[0], 3)
	for i, r := range f.rounds[0] {
		require.Equal(t, chain.SignAuthorization, r.Purpose)
		require.Equal(t, f.source(i).Key, r.Key)
	}
	require.Equal(t, f.sponsor.Key, f.rounds[1][0].Key)
	effects, _, err := evm.CodecWith(f.sweeper).Decode(f.rounds[1][0])
	require.NoError(t, err)
	require.Len(t, effects.Effects, 3)
	require.Equal(t, d.Locks[1:], effects.Locks)

	f.Mine(1)
	s := f.status(id)
	require.Equal(t, chain.TxIncluded, s.State)
	require.Equal(t, d.Locks, s.Locks)
	require.Nil(t, s.Unswept)
	require.Equal(t, map[chain.Address]uint64{f.source(0).Address: 100, f.source(1).Address: 101, f.source(2).Address: 102}, f.swept(s))
	require.Equal(t, amount(303), f.BalanceOf(f.treasury.Address, f.token))
	require.Equal(t, f.sponsor.Address, s.From)
	require.False(t, d.Fee.Less(s.Fee))
	first := s.GasUsed
	require.Greater(t, first, uint64(21_000+3*(25_000+9_000)))
	for n := range 3 {
		require.Equal(t, amount(900-uint64(n)), f.BalanceOf(f.source(n).Address, f.token))
		require.Equal(t, f.contract(), f.Delegate(f.source(n).Address))
		require.Equal(t, uint64(1), f.Nonce(f.source(n).Address))
	}
	require.Empty(t, f.Delegate(f.source(3).Address))

	f.rounds = nil
	d = f.prepare(in)
	require.Equal(t, []chain.Lock{lock(f.sponsor, 1)}, d.Locks)
	id = f.sent(d).ID
	require.Len(t, f.rounds, 1)
	f.Mine(1)
	s = f.status(id)
	require.Len(t, s.Transfers, 3)
	require.Less(t, s.GasUsed+3*25_000, first, "no authorisations, and the treasury's slot is there")
}

func TestBatchAmounts(t *testing.T) {
	f := newField(t, chaintest.Options{})
	in := f.collect(f.token, 0, 3)
	for i := range in.Moves {
		in.Moves[i].All = true
	}
	in.Moves[0].Amount, in.Moves[1].Amount, in.Moves[2].Amount = chain.Amount{}, amount(7), amount(5000)
	d := f.prepare(in)
	for i, want := range []uint64{1000, 7, 1000} {
		require.Equal(t, amount(want), d.Intent.Moves[i].Amount)
	}
	f.sent(d)
	f.Mine(1)
	require.Equal(t, amount(2007), f.BalanceOf(f.treasury.Address, f.token))

	// The coin works the same, and shows in traces alone.
	coin := f.collect(f.eth, 0, 2)
	id := f.sent(f.prepare(coin)).ID
	f.Mine(1)
	require.Empty(t, f.status(id).Transfers)
	require.Equal(t, amount(201), f.BalanceOf(f.treasury.Address, f.eth))
	inner, ok := f.InternalIn(f.Head().Hash)
	require.True(t, ok)
	require.Len(t, inner, 2)
	require.Equal(t, f.source(1).Address, inner[1].From)
	require.Equal(t, "i:1.0", inner[1].ID.Ordinal)
}

// TestBatchRefusesIntents: what no batch can do is refused by name before the chain is
// looked at.
func TestBatchRefusesIntents(t *testing.T) {
	f := newField(t, chaintest.Options{})
	good := f.collect(f.token, 0, 2)
	f.prepare(good)
	for field, spoil := range map[string]func(in *chain.Intent){
		"fee payer":   func(in *chain.Intent) { in.FeePayer = f.signer.Account("other") },
		"destination": func(in *chain.Intent) { in.Moves[1].To = f.own.Address },
		"source":      func(in *chain.Intent) { in.Moves[1].From = in.Moves[0].From },
		"source ":     func(in *chain.Intent) { in.Moves[1].From.Address = f.token.Contract },
		" source":     func(in *chain.Intent) { in.Moves[1].From.Address = f.contract() },
		"amount":      func(in *chain.Intent) { in.Moves[1].Amount = chain.Amount{} },
		"reused lock": func(in *chain.Intent) { in.Reuse = []chain.Lock{lock(f.source(0), 0)} },
	} {
		in := good
		in.Moves = append([]chain.Move(nil), good.Moves...)
		spoil(&in)
		_, err := f.client.Prepare(t.Context(), in)
		var bad *chain.FormatError
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, "intent's "+strings.TrimSpace(field), bad.What)
	}
	mixed := good
	mixed.Moves = append([]chain.Move(nil), good.Moves...)
	mixed.Moves[1].Asset = f.usd
	_, err := f.client.Prepare(t.Context(), mixed)
	require.ErrorIs(t, err, chain.ErrUnsupported)
	refund := good
	refund.Purpose = chain.PurposeRefund
	_, err = f.client.Prepare(t.Context(), refund)
	require.ErrorIs(t, err, chain.ErrUnsupported)
	over := good
	over.Moves = append([]chain.Move(nil), good.Moves...)
	huge, err := chain.ParseAmount("79228162514264337593543950336", 0) // 2^96
	require.NoError(t, err)
	over.Moves[0].Amount = huge
	_, err = f.client.Prepare(t.Context(), over)
	require.Contains(t, named(t, err)[f.source(0).Address], "needs", "it does not have that")
	f.Grant(f.source(0).Address, f.token, huge)
	f.Mine(1)
	_, err = f.client.Prepare(t.Context(), over)
	require.Contains(t, named(t, err)[f.source(0).Address], "2^96")
}

// TestBatchNamesSourcesInTheWay: all at once, so that the others can go.
func TestBatchNamesSourcesInTheWay(t *testing.T) {
	f := newField(t, chaintest.Options{})
	in := f.collect(f.token, 0, 5)
	in.Moves[1].Amount = amount(1001)
	in.Taken = []chain.Lock{lock(f.source(2), 0)}
	elsewhere := newOutsider(t, f.world)
	elsewhere.delegates(t, f.source(3), common.Address{0: 0xcc}, 0)
	_, err := f.client.Prepare(t.Context(), in)
	bad := named(t, err)
	require.Len(t, bad, 3)
	require.Contains(t, bad[f.source(1).Address], "has 0.001 USDT, needs 0.001001")
	require.Contains(t, bad[f.source(2).Address], "its nonce 0 is held by another attempt")
	require.Contains(t, strings.ToLower(bad[f.source(3).Address]), "delegates to 0xcc")
	var poor *chain.InsufficientFundsError
	require.ErrorAs(t, err, &poor)
	require.Equal(t, amount(1001), poor.Required)

	// Without those it does. What the dry run does not sweep is told alone.
	in.Moves = append(in.Moves[:1:1], in.Moves[4])
	f.prepare(in)
	f.Blacklist(f.token, f.source(4).Address, true)
	f.Mine(1)
	_, err = f.client.Prepare(t.Context(), in)
	require.Equal(t, map[chain.Address]string{f.source(4).Address: "a dry run does not sweep it"}, named(t, err))
	var revert *chain.RevertError
	require.ErrorAs(t, err, &revert)

	f.Grant(f.Rejecter(), f.token, amount(1000))
	f.Mine(1)
	in.Moves[1].From.Address = f.Rejecter()
	_, err = f.client.Prepare(t.Context(), in)
	require.Equal(t, map[chain.Address]string{f.Rejecter(): "has code"}, named(t, err))

	no := f.DeployToken(chaintest.TokenSpec{Kind: chaintest.TokenFalse})
	_, err = f.client.Prepare(t.Context(), f.collect(no, 0, 2))
	require.Len(t, named(t, err), 2)
}

// TestTooManyMoves: as many as it says fit, and no more.
func TestTooManyMoves(t *testing.T) {
	f := newField(t, chaintest.Options{BatchGas: 600_000})
	in := f.collect(f.token, 0, 40)
	_, err := f.client.Prepare(t.Context(), in)
	var many *chain.TooManyMovesError
	require.ErrorAs(t, err, &many)
	require.Equal(t, 40, many.Moves)
	require.Greater(t, many.Fit, 5)
	require.Less(t, many.Fit, 40)
	rest := in.Moves[many.Fit:]
	in.Moves = in.Moves[:many.Fit:many.Fit]
	d := f.prepare(in)
	require.Len(t, d.Locks, 1+many.Fit)
	in.Moves = append(in.Moves, rest[:3]...)
	_, err = f.client.Prepare(t.Context(), in)
	require.ErrorAs(t, err, &many)

	f = newField(t, chaintest.Options{BatchGas: 100_000})
	_, err = f.client.Prepare(t.Context(), f.collect(f.token, 0, 2))
	require.ErrorAs(t, err, &many)
	require.Zero(t, many.Fit)
	f = newField(t, chaintest.Options{BatchGas: 60_000})
	in = f.collect(f.token, 0, 4)
	in.Moves[0].Amount = amount(5000)
	_, err = f.client.Prepare(t.Context(), in)
	require.ErrorAs(t, err, &many, "where they can never fit, nobody looks at the sources")
}

// TestBatchNeedsGasOfTheSponsor: sources need no coin, and what the sponsor lacks is a
// need, not an error.
func TestBatchNeedsGasOfTheSponsor(t *testing.T) {
	f := newField(t, chaintest.Options{})
	in := f.collect(f.token, 0, 2)
	poor := newWorld(t, chaintest.Options{Sweeper: f.sweeper})
	for n := range 2 {
		poor.Grant(f.source(n).Address, poor.usd, amount(1000))
		in.Moves[n].Asset = poor.usd
	}
	poor.Mine(1)
	d, err := poor.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, []chain.Need{{Account: f.sponsor, Asset: poor.eth, Amount: d.Fee}}, d.Needs)
	require.Empty(t, d.Locks)
	require.Empty(t, d.Payload)
	_, err = poor.client.Sign(t.Context(), d, poor.signer)
	require.ErrorContains(t, err, "unmet needs")
	poor.Grant(f.sponsor.Address, poor.eth, d.Fee)
	poor.Mine(1)
	d, err = poor.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	require.Empty(t, d.Needs)

	in.MaxFee = amount(1)
	_, err = poor.client.Prepare(t.Context(), in)
	var high *chain.FeeTooHighError
	require.ErrorAs(t, err, &high)
	in.MaxFee, err = d.Fee.Mul(3)
	require.NoError(t, err)
	in.Bid = &chain.Bid{Part: 1, Of: 1}
	bold, err := poor.client.Prepare(t.Context(), in)
	require.NoError(t, err)
	require.True(t, d.Fee.Less(bold.Fee))
	require.False(t, in.MaxFee.Less(bold.Fee))
}

// TestBatchBump: the same nonces and authorisations, dearer; a cancellation spends the
// sponsor's nonce alone.
func TestBatchBump(t *testing.T) {
	f := newField(t, chaintest.Options{})
	in := f.collect(f.token, 0, 3)
	in.Moves[0].All, in.Moves[0].Amount = true, chain.Amount{}
	d := f.prepare(in)
	old := f.sent(d)
	f.Grant(f.source(0).Address, f.token, amount(5))
	f.MineWith(chaintest.MineOptions{Empty: true})

	in.Taken = d.Locks
	_, err := f.client.Prepare(t.Context(), in)
	require.Len(t, named(t, err), 3)
	again := in
	again.Reuse = d.Locks[:1]
	_, err = f.client.Prepare(t.Context(), again)
	require.Len(t, named(t, err), 3, "the sponsor's nonce may be used again, theirs are held")
	again.Reuse = d.Locks
	require.Equal(t, d.Locks, f.prepare(again).Locks)
	again.Reuse, again.Taken = nil, d.Locks[:1]
	require.Equal(t, lock(f.sponsor, 1), f.prepare(again).Locks[0])

	by, err := f.client.Bump(t.Context(), in, old)
	require.NoError(t, err)
	require.Equal(t, d.Locks, by.Locks)
	require.True(t, d.Fee.Less(by.Fee))
	require.Equal(t, amount(1000), by.Intent.Moves[0].Amount, "no more than the old one gave up")
	dearer := f.sent(by)
	f.Mine(1)
	require.Equal(t, chain.TxUnknown, f.status(old.ID).State)
	require.Equal(t, chain.TxIncluded, f.status(dearer.ID).State)
	require.Equal(t, amount(1000+101+102), f.BalanceOf(f.treasury.Address, f.token))
	_, err = f.client.Bump(t.Context(), in, old)
	require.ErrorIs(t, err, chain.ErrLockSpent)

	fresh := f.collect(f.token, 3, 5)
	others := []chain.Intent{in, f.collect(f.token, 4, 6), f.collect(f.usd, 3, 5)}
	old = f.sent(f.prepare(fresh))
	for _, other := range others {
		_, err = f.client.Bump(t.Context(), other, old)
		var bad *chain.FormatError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "signed transaction", bad.What)
	}
	cancel := chain.Intent{Purpose: chain.PurposeCancel, Moves: []chain.Move{{From: f.sponsor, To: f.sponsor.Address, Asset: f.eth}}}
	c, err := f.client.Bump(t.Context(), cancel, old)
	require.NoError(t, err)
	require.Equal(t, old.Locks[:1], c.Locks)
	f.sent(c)
	f.Mine(1)
	require.Equal(t, chain.TxUnknown, f.status(old.ID).State)
	require.Zero(t, f.Nonce(f.source(3).Address))
	require.Len(t, f.prepare(fresh).Locks, 3, "their nonces are free again")
}

// TestBatchIsSignedAsMeant: a draft that was changed is not signed, nor is a signature
// of somebody else taken.
func TestBatchIsSignedAsMeant(t *testing.T) {
	f := newField(t, chaintest.Options{})
	good, others := f.prepare(f.collect(f.token, 0, 2)), f.prepare(f.collect(f.token, 2, 4))
	// An account that is not in it authorises the contract on the side.
	more := chaintest.WithAuthorisation(good.Payload, f.own.Address)
	for name, spoil := range map[string]func(d *chain.Draft){
		"authority": func(d *chain.Draft) {
			d.Payload, d.Locks = more, append(slices.Clone(d.Locks), lock(f.own, 0))
		},
		"amount":  func(d *chain.Draft) { d.Intent.Moves[0].Amount = amount(99) },
		"a move":  func(d *chain.Draft) { d.Intent.Moves = d.Intent.Moves[:1] },
		"locks":   func(d *chain.Draft) { d.Locks = d.Locks[:2] },
		"fee":     func(d *chain.Draft) { d.Fee = amount(1) },
		"cut":     func(d *chain.Draft) { d.Payload = d.Payload[:len(d.Payload)-1] },
		"nothing": func(d *chain.Draft) { d.Payload = nil },
		"others":  func(d *chain.Draft) { d.Payload, d.Locks = others.Payload, others.Locks },
		"chain":   func(d *chain.Draft) { d.Chain = "eip155:1" },
	} {
		d := good
		d.Intent.Moves = append([]chain.Move(nil), good.Intent.Moves...)
		spoil(&d)
		f.rounds = nil
		_, err := f.client.Sign(t.Context(), d, f)
		var bad *chain.FormatError
		require.ErrorAs(t, err, &bad, name)
		require.Empty(t, f.rounds, name)
	}
	for name, key := range map[string]func(r []chain.SignRequest){
		"another authority": func(r []chain.SignRequest) {
			if r[0].Purpose == chain.SignAuthorization {
				r[1].Key = f.own.Key
			}
		},
		"another sponsor": func(r []chain.SignRequest) {
			if r[0].Purpose == chain.SignTransaction {
				r[0].Key = f.own.Key
			}
		},
	} {
		_, err := f.client.Sign(t.Context(), good, bent{f.signer, key})
		require.ErrorIs(t, err, chain.ErrInvalidSignature, name)
	}
	_, err := f.client.Sign(t.Context(), good, missing{f.signer})
	require.ErrorIs(t, err, chain.ErrInvalidSignature)
	f.sign(good)
}

// bent changes requests before they are signed.
type bent struct {
	chain.Signer
	bend func([]chain.SignRequest)
}

func (b bent) Sign(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
	b.bend(r)
	return b.Signer.Sign(ctx, r)
}

// missing leaves the last signature out.
type missing struct{ chain.Signer }

func (m missing) Sign(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
	out, err := m.Signer.Sign(ctx, r)
	return out[:len(out)-1], err
}
