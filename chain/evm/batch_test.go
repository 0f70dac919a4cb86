package evm

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

func TestPrepareBatch(t *testing.T) {
	f := newField(t)
	in := f.token(2, 3)
	f.sources[in.Moves[1].From.Address].nonce = 7
	d, err := f.prepare(in)
	require.NoError(t, err)
	require.Empty(t, d.Needs)
	require.Equal(t, in, d.Intent)
	first, second := in.Moves[0].From.Address, in.Moves[1].From.Address
	require.Equal(t, []chain.Lock{nonceLock(alice, 5), nonceLock(first, 0), nonceLock(second, 7)}, d.Locks)
	tx := draftOf(t, d)
	require.Equal(t, f.sweeper.Address(), tx.To)
	require.True(t, tx.Value.IsZero())
	require.Len(t, tx.Auths, 2)
	for _, a := range tx.Auths {
		require.Equal(t, f.sweeper.Address(), a.Address)
		require.Equal(t, uint64(1), a.ChainID.Uint64())
	}
	batch, err := contracts.DecodeBatch(tx.Data)
	require.NoError(t, err)
	require.Equal(t, contracts.OpSweep, batch.Op)
	require.Equal(t, rawAddress(t, usdc), batch.Asset)
	require.Len(t, batch.Entries, 5)
	for i, e := range batch.Entries {
		require.Equal(t, rawAddress(t, in.Moves[i].From.Address), e.Account)
		require.Equal(t, in.Moves[i].Amount, e.Amount, "exactly")
	}
	require.ElementsMatch(t, []string{string(first), string(second)}, f.lentTo, "the dry run has their delegations")
	cost, err := contracts.CostOf(contracts.Reused, contracts.Plain)
	require.NoError(t, err)
	require.GreaterOrEqual(t, tx.Gas, cost.Limit(5, entryGas)+2*22_700, "never below the model")
	require.Equal(t, uint64(21*gwei), tx.FeeCap.Uint64())
	require.Equal(t, chain.NewAmount(tx.Gas*21*gwei), d.Fee)
}

// Addresses that were used before need no authorisation, and no type of its own.
func TestPrepareBatchOfUsedAddresses(t *testing.T) {
	f := newField(t)
	d, err := f.prepare(f.token(0, 3))
	require.NoError(t, err)
	require.Equal(t, byte(dynamicFeePrefix), d.Payload[0])
	require.Len(t, d.Locks, 1)
	require.Empty(t, f.lentTo)
	s := f.sign(d)
	var tx types.Transaction
	require.NoError(t, tx.UnmarshalBinary(s.Raw))
	require.Equal(t, uint8(types.DynamicFeeTxType), tx.Type())

	f = newField(t)
	f.base = nil
	d, err = f.prepare(f.token(0, 3))
	require.NoError(t, err)
	require.True(t, draftOf(t, d).Legacy)
	_, err = f.prepare(f.token(1, 1))
	require.ErrorIs(t, err, chain.ErrUnsupported, "a delegation needs EIP-1559")
}

func TestPrepareBatchAmounts(t *testing.T) {
	f := newField(t)
	in := f.token(1, 2)
	for i := range in.Moves {
		in.Moves[i].All = true
	}
	in.Moves[1].Amount = chain.NewAmount(7)      // bounded
	in.Moves[2].Amount = chain.NewAmount(10_000) // by what is there
	in.Moves[0].Amount = chain.Amount{}
	d, err := f.prepare(in)
	require.NoError(t, err)
	for i, want := range []uint64{1000, 7, 1002} {
		require.Equal(t, chain.NewAmount(want), d.Intent.Moves[i].Amount)
	}
	// The coin works the same: the fee is the sponsor's.
	f = newField(t)
	in = f.collect(nativeAsset(1), 2, 0)
	in.Moves[1].All, in.Moves[1].Amount = true, chain.Amount{}
	d, err = f.prepare(in)
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(1001), d.Intent.Moves[1].Amount)
	batch, err := contracts.DecodeBatch(draftOf(t, d).Data)
	require.NoError(t, err)
	require.Zero(t, batch.Asset)
}

// Each account that is in the way is named at once, and nothing is drafted.
func TestThreat_B21_SourcesInTheWayAreNamed(t *testing.T) {
	f := newField(t)
	in := f.token(5, 2)
	at := func(i int) *source { return f.sources[in.Moves[i].From.Address] }
	other := append([]byte(delegationPrefix), make([]byte, addressLength)...)
	at(0).code = other
	at(1).code = []byte{0x60, 0x00}
	at(2).holding = 1
	at(5).code = append(f.sweeper.Delegation(), 0)
	in.Taken = []chain.Lock{nonceLock(in.Moves[3].From.Address, 0), nonceLock(in.Moves[6].From.Address, 9)}
	_, err := f.prepare(in)
	bad := named(t, err)
	require.Len(t, bad, 5, "%v", bad)
	require.Contains(t, bad[in.Moves[0].From.Address], "delegates to 0x")
	require.Equal(t, "has code", bad[in.Moves[1].From.Address])
	require.Contains(t, bad[in.Moves[2].From.Address], "needs")
	require.Equal(t, "has code", bad[in.Moves[5].From.Address])
	require.Contains(t, bad[in.Moves[3].From.Address], "held by another attempt")
	var poor *chain.InsufficientFundsError
	require.ErrorAs(t, err, &poor)
	require.Equal(t, in.Moves[2].From.Address, poor.Account)

	// What does not fit an entry's 96 bits goes by itself.
	at(4).whale = true
	over, err := chain.ParseAmount("79228162514264337593543950336", 0)
	require.NoError(t, err)
	large := in
	large.Moves = []chain.Move{in.Moves[4], in.Moves[6]}
	large.Moves[0].Amount = over
	_, err = f.prepare(large)
	require.Len(t, named(t, err), 1)
	require.Contains(t, named(t, err)[in.Moves[4].From.Address], "2^96")
	at(4).whale = false

	// Without them it does.
	in.Moves = []chain.Move{in.Moves[4], in.Moves[6]}
	_, err = f.prepare(in)
	require.NoError(t, err, "one that delegates needs no nonce, whoever holds one")

	// What only the dry run tells is named too.
	f.sources[in.Moves[0].From.Address].frozen = true
	_, err = f.prepare(in)
	require.Equal(t, map[chain.Address]string{in.Moves[0].From.Address: "a dry run does not sweep it"}, named(t, err))
	var revert *chain.RevertError
	require.ErrorAs(t, err, &revert)
}

func TestBatchIntentsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*field, *chain.Intent)
		what   string // empty: unsupported
	}{
		"no amount":            {func(_ *field, in *chain.Intent) { in.Moves[1].Amount = chain.Amount{} }, "intent's amount"},
		"another treasury":     {func(_ *field, in *chain.Intent) { in.Moves[1].To = alice }, "intent's destination"},
		"a source twice":       {func(_ *field, in *chain.Intent) { in.Moves[1].From = in.Moves[0].From }, "intent's source"},
		"the sweeper":          {func(f *field, in *chain.Intent) { in.Moves[1].From.Address = checksummed(f.sweeper.Address()) }, "intent's source"},
		"the token":            {func(_ *field, in *chain.Intent) { in.Moves[1].From.Address = usdc }, "intent's source"},
		"the treasury":         {func(_ *field, in *chain.Intent) { in.Moves[1].From.Address = bob }, "intent's destination"},
		"no address":           {func(_ *field, in *chain.Intent) { in.Moves[1].From.Address = "0x1" }, "address"},
		"no sponsor's address": {func(_ *field, in *chain.Intent) { in.FeePayer.Address = "0x1" }, "address"},
		"another fee payer":    {func(f *field, in *chain.Intent) { in.FeePayer = f.source(5) }, "intent's fee payer"},
		"locks of others":      {func(_ *field, in *chain.Intent) { in.Reuse = []chain.Lock{nonceLock(bob, 5)} }, "intent's reused lock"},
		"another asset":        {func(_ *field, in *chain.Intent) { in.Moves[1].Asset = nativeAsset(1) }, ""},
		"coins":                {func(_ *field, in *chain.Intent) { in.Coins = []chain.Coin{{}} }, ""},
		"a source pays":        {func(_ *field, in *chain.Intent) { in.FeePayer = in.Moves[1].From }, ""},
		"nobody pays":          {func(_ *field, in *chain.Intent) { in.FeePayer = chain.Account{} }, ""},
		"a withdrawal":         {func(_ *field, in *chain.Intent) { in.Purpose = chain.PurposeWithdrawal }, ""},
		"no sweeper":           {func(f *field, _ *chain.Intent) { f.sweeper = nil }, ""},
	} {
		f := newField(t)
		in := f.token(2, 0)
		c.change(f, &in)
		_, err := f.prepare(in)
		if c.what == "" {
			require.ErrorIs(t, err, chain.ErrUnsupported, name)
		} else {
			requireFormat(t, err, c.what)
		}
		require.Empty(t, f.asked, "%s: before any question", name)
	}
}

// Nobody but the sponsor has anything swept: what another one would send is never
// drafted, and never signed where it was.
func TestThreat_F4_BatchesAreTheSponsors(t *testing.T) {
	f := newField(t)
	in := f.token(1, 1)
	d, err := f.prepare(in)
	require.NoError(t, err)
	other := f.source(5)
	sponsor, payer := f.sweeper.Params().Sponsor, in.FeePayer
	in.FeePayer, d.Intent.FeePayer = other, other
	for name, refused := range map[string]error{
		"prepare": func() error { _, err := f.prepare(in); return err }(),
		"sign":    func() error { _, err := f.writer().sign(t.Context(), d, &keyring{f: f}); return err }(),
	} {
		var bad *chain.FormatError
		require.ErrorAs(t, refused, &bad, name)
		require.Equal(t, "intent's fee payer", bad.What)
		require.Equal(t, string(other.Address), bad.Text)
		require.Contains(t, bad.Reason, string(checksummed(sponsor)))
	}
	in.FeePayer, in.FeePayer.Address = payer, chain.Address(strings.ToLower(string(payer.Address)))
	_, err = f.prepare(in)
	require.NoError(t, err, "however the address is written")

	// Of a contract without a sponsor anybody is.
	in = f.open().token(1, 1)
	in.FeePayer = other
	_, err = f.prepare(in)
	require.NoError(t, err)
}

func TestBatching(t *testing.T) {
	client := func(s *contracts.Sweeper) *Client {
		c, err := New(Config{Preset: Local(1), URL: "http://127.0.0.1:1", Sweeper: s})
		require.NoError(t, err)
		return c
	}
	f := newField(t)
	batcher, ok := chain.As[chain.Batcher](client(f.sweeper))
	require.True(t, ok)
	b := batcher.Batching()
	require.Equal(t, chain.Batching{Treasury: bob, FeePayer: alice, MaxMoves: 424}, b)
	// Of the dearest tokens so many fit, all of them fresh, by a node as by the model,
	// which has a little more room.
	f.each = 14_050
	_, err := f.prepare(f.token(b.MaxMoves, 0))
	require.NoError(t, err)
	_, err = f.prepare(f.token(b.MaxMoves+10, 0))
	var many *chain.TooManyMovesError
	require.ErrorAs(t, err, &many)
	require.GreaterOrEqual(t, many.Fit, b.MaxMoves)
	f.old = true
	_, err = f.prepare(f.token(b.MaxMoves, 0))
	require.NoError(t, err)

	require.Zero(t, client(nil).Batching(), "no contract")
	require.Zero(t, client(f.open().sweeper).Batching(), "anybody sweeps")
}

// A transaction never asks for more gas than EIP-7825 lets it.
func TestBatchTooLarge(t *testing.T) {
	f := newField(t)
	_, err := f.prepare(f.token(0, 1700))
	var many *chain.TooManyMovesError
	require.ErrorAs(t, err, &many)
	require.Equal(t, 1700, many.Moves)
	require.Greater(t, many.Fit, 1400)
	require.Empty(t, f.asked, "more than any batch")

	f = newField(t)
	_, err = f.prepare(f.token(600, 0))
	require.ErrorAs(t, err, &many)
	require.InDelta(t, 485, many.Fit, 10)

	// So many do fit, and the gas of all of them is asked for.
	f = newField(t)
	d, err := f.prepare(f.token(many.Fit, 0))
	require.NoError(t, err)
	require.LessOrEqual(t, draftOf(t, d).Gas, uint64(maxGas))
	require.NotEmpty(t, f.sign(d).Raw)

	// A token that is dearer than any known one: fewer fit.
	f = newField(t)
	f.each = 60_000
	_, err = f.prepare(f.token(0, 400))
	require.ErrorAs(t, err, &many)
	require.Less(t, many.Fit, 280)
	_, err = f.prepare(f.token(0, many.Fit))
	require.NoError(t, err)
}

// Nodes that lend no code: the model says the gas, and transfers are tried one by
// one.
func TestBatchOnOldNodes(t *testing.T) {
	f := newField(t)
	f.old = true
	in := f.token(2, 1)
	d, err := f.prepare(in)
	require.NoError(t, err)
	b := batch{moves: make([]move, 3), contract: rawAddress(t, usdc)}
	want, err := b.model(contracts.Checked, 2)
	require.NoError(t, err)
	require.Equal(t, want, draftOf(t, d).Gas)

	f.returned = "0x" + "00"
	_, err = f.prepare(in)
	require.Len(t, named(t, err), 2)
	_, err = f.prepare(f.token(0, 1))
	require.NoError(t, err, "nothing has to be lent")
}

// A lying estimate neither shortens a batch nor burns the sponsor's money.
func TestThreat_F11_EstimatesAreHeldAgainstTheModel(t *testing.T) {
	f := newField(t)
	f.answers["eth_estimateGas"] = "0x5208"
	d, err := f.prepare(f.token(0, 3))
	require.NoError(t, err)
	b := batch{moves: make([]move, 3), contract: rawAddress(t, usdc)}
	least, err := b.model(contracts.Plain, 0)
	require.NoError(t, err)
	require.Equal(t, least, draftOf(t, d).Gas)
	// The dry run finds that it is too little.
	f.each = 100_000
	in := f.token(0, 30)
	d, err = f.prepare(in)
	require.NoError(t, err)
	require.Greater(t, draftOf(t, d).Gas, uint64(3_000_000))

	f.answers["eth_estimateGas"] = "0xffffffffff"
	d, err = f.prepare(in)
	require.NoError(t, err)
	require.Less(t, draftOf(t, d).Gas, uint64(30*(entryGas+5_000)+250_000), "what all entries may use at most")
}

func TestBatchSponsorNeedsCoin(t *testing.T) {
	f := newField(t)
	f.balance = "1"
	d, err := f.prepare(f.token(2, 0))
	require.NoError(t, err)
	require.Len(t, d.Needs, 1)
	require.Equal(t, aliceAccount, d.Needs[0].Account)
	require.Equal(t, nativeAsset(1), d.Needs[0].Asset)
	require.Equal(t, d.Fee.SubFloor(chain.NewAmount(1)), d.Needs[0].Amount)
	require.Empty(t, d.Locks)

	in := f.token(2, 0)
	in.MaxFee = chain.NewAmount(1)
	_, err = f.prepare(in)
	var high *chain.FeeTooHighError
	require.ErrorAs(t, err, &high)
}

// What is not the sweeper is not delegated to.
func TestThreat_B21_AnotherCodeAtTheSweepersAddress(t *testing.T) {
	for name, code := range map[string][]byte{"nothing": nil, "other code": {0x60}} {
		f := newField(t)
		f.code = code
		_, err := f.prepare(f.token(1, 1))
		var wrong *SweeperCodeError
		require.ErrorAs(t, err, &wrong, name)
		require.Equal(t, code == nil, errors.Is(err, chain.ErrNoContract))
		require.Zero(t, f.calls)
	}
}

// A node that answers with nothing is not one that says zero.
func TestThreat_C5_NothingIsNoAnswer(t *testing.T) {
	for _, method := range []string{"eth_getCode", "eth_getTransactionCount"} {
		f := newField(t)
		f.answers[method] = nil
		_, err := f.prepare(f.token(1, 0))
		require.ErrorIs(t, err, chain.ErrTransient, method)
	}
}

func TestSignBatch(t *testing.T) {
	f := newField(t)
	in := f.token(2, 1)
	d, err := f.prepare(in)
	require.NoError(t, err)
	f.asked = nil
	k := &keyring{f: f}
	s, err := f.writer().sign(t.Context(), d, k)
	require.NoError(t, err)
	require.Empty(t, f.asked, "the node is asked nothing")
	require.Len(t, k.rounds, 2)
	require.Len(t, k.rounds[0], 2)
	for i, r := range k.rounds[0] {
		require.Equal(t, chain.SignAuthorization, r.Purpose)
		require.Equal(t, in.Moves[i].From.Key, r.Key)
	}
	require.Len(t, k.rounds[1], 1)
	require.Equal(t, chain.SignTransaction, k.rounds[1][0].Purpose)
	require.Equal(t, aliceAccount.Key, k.rounds[1][0].Key)
	require.Empty(t, k.rounds[1][0].Own)
	require.Equal(t, d.Locks, s.Locks)

	// go-ethereum reads it as we mean it.
	var tx types.Transaction
	require.NoError(t, tx.UnmarshalBinary(s.Raw))
	require.Equal(t, uint8(types.SetCodeTxType), tx.Type())
	require.Equal(t, string(s.ID), tx.Hash().Hex())
	from, err := types.Sender(types.NewPragueSigner(tx.ChainId()), &tx)
	require.NoError(t, err)
	require.Equal(t, string(alice), from.Hex())
	require.Equal(t, common.Address(f.sweeper.Address()), *tx.To())
	for i, a := range tx.SetCodeAuthorizations() {
		who, err := a.Authority()
		require.NoError(t, err)
		require.Equal(t, string(in.Moves[i].From.Address), who.Hex())
		require.Equal(t, common.Address(f.sweeper.Address()), a.Address)
		require.Equal(t, uint64(1), a.ChainID.Uint64())
	}
	again := f.sign(d)
	require.Equal(t, s, again, "deterministic")
	back, who, err := decodeSigned(s.Raw)
	require.NoError(t, err)
	require.Equal(t, rawAddress(t, alice), who)
	effects, err := back.effects(1, f.sweeper)
	require.NoError(t, err)
	require.Equal(t, d.Locks[1:], effects.Locks)
}

func TestThreat_F21_BatchSignaturesAreVerified(t *testing.T) {
	highS := func(s []byte) []byte {
		out := slices.Clone(s)
		order, err := uint256.FromHex("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
		require.NoError(t, err)
		word := new(uint256.Int).Sub(order, new(uint256.Int).SetBytes(s[32:64])).Bytes32()
		copy(out[32:64], word[:])
		out[64] ^= 1
		return out
	}
	for name, bend := range map[string]func(round int, answers [][]byte) [][]byte{
		"authorisations swapped": func(round int, a [][]byte) [][]byte {
			if round == 0 {
				a[0], a[1] = a[1], a[0]
			}
			return a
		},
		"one too few": func(round int, a [][]byte) [][]byte { return a[:len(a)-1] },
		"one too many": func(round int, a [][]byte) [][]byte {
			return append(a, a[0])
		},
		"high s of an authorisation": func(round int, a [][]byte) [][]byte {
			if round == 0 {
				a[1] = highS(a[1])
			}
			return a
		},
		"high s of the transaction": func(round int, a [][]byte) [][]byte {
			if round == 1 {
				a[0] = highS(a[0])
			}
			return a
		},
		"cut": func(round int, a [][]byte) [][]byte { a[0] = a[0][:64]; return a },
		"the transaction by another": func(round int, a [][]byte) [][]byte {
			if round == 1 {
				a[0][3] ^= 1
			}
			return a
		},
	} {
		f := newField(t)
		d, err := f.prepare(f.token(2, 0))
		require.NoError(t, err)
		_, err = f.writer().sign(t.Context(), d, &keyring{f: f, bend: bend})
		require.ErrorIs(t, err, chain.ErrInvalidSignature, name)
	}
}

// A draft that was changed while it was stored is not signed: not one request
// leaves.
func TestThreat_F1_ChangedBatchNotSigned(t *testing.T) {
	payload := func(change func(*field, *transaction)) func(*field, *chain.Draft) {
		return func(f *field, d *chain.Draft) {
			tx := draftOf(t, *d)
			change(f, tx)
			var err error
			d.Payload, err = tx.draft()
			require.NoError(t, err)
		}
	}
	recode := func(change func(*contracts.Batch)) func(*field, *chain.Draft) {
		return payload(func(_ *field, tx *transaction) {
			b, err := contracts.DecodeBatch(tx.Data)
			require.NoError(t, err)
			change(&b)
			tx.Data, err = b.Encode()
			require.NoError(t, err)
		})
	}
	for name, change := range map[string]func(*field, *chain.Draft){
		"other amount":          recode(func(b *contracts.Batch) { b.Entries[1].Amount = chain.NewAmount(1) }),
		"all of it":             recode(func(b *contracts.Batch) { b.Entries[1].Amount = chain.Amount{} }),
		"other account":         recode(func(b *contracts.Batch) { b.Entries[2].Account[0] ^= 1 }),
		"other order":           recode(func(b *contracts.Batch) { b.Entries[0], b.Entries[1] = b.Entries[1], b.Entries[0] }),
		"one entry fewer":       recode(func(b *contracts.Batch) { b.Entries = b.Entries[:2] }),
		"other asset":           recode(func(b *contracts.Batch) { b.Asset[0] ^= 1 }),
		"other batcher":         payload(func(_ *field, tx *transaction) { tx.To[0] ^= 1 }),
		"other delegate":        payload(func(_ *field, tx *transaction) { tx.Auths[0].Address[0] ^= 1 }),
		"other authority":       payload(func(_ *field, tx *transaction) { tx.Auths[0].Authority[0] ^= 1 }),
		"the sponsor delegates": payload(func(_ *field, tx *transaction) { tx.Auths[0].Authority = rawAddress(t, alice) }),
		"authorisation's nonce": payload(func(_ *field, tx *transaction) { tx.Auths[1].Nonce++ }),
		"on every chain":        payload(func(_ *field, tx *transaction) { tx.Auths[1].ChainID.Clear() }),
		"on another chain":      payload(func(_ *field, tx *transaction) { tx.Auths[1].ChainID.SetUint64(5) }),
		"authorised twice":      payload(func(_ *field, tx *transaction) { tx.Auths[1] = tx.Auths[0] }),
		"authorisation dropped": payload(func(_ *field, tx *transaction) { tx.Auths = tx.Auths[:1] }),
		"none":                  payload(func(_ *field, tx *transaction) { tx.Auths = nil }),
		"other nonce":           payload(func(_ *field, tx *transaction) { tx.Nonce++ }),
		"value":                 payload(func(_ *field, tx *transaction) { tx.Value.SetOne() }),
		"higher fee":            payload(func(_ *field, tx *transaction) { tx.FeeCap.AddUint64(&tx.FeeCap, 1) }),
		"a deployment": payload(func(f *field, tx *transaction) {
			tx.Auths = nil
			tx.To, tx.Data = f.sweeper.Deployment()
		}),
		"lock dropped":    func(_ *field, d *chain.Draft) { d.Locks = d.Locks[:2] },
		"locks swapped":   func(_ *field, d *chain.Draft) { d.Locks[1], d.Locks[2] = d.Locks[2], d.Locks[1] },
		"lock added":      func(_ *field, d *chain.Draft) { d.Locks = append(d.Locks, nonceLock(bob, 1)) },
		"other intent":    func(_ *field, d *chain.Draft) { d.Intent.Moves[2].Amount = chain.NewAmount(1) },
		"other sponsor":   func(_ *field, d *chain.Draft) { d.Intent.FeePayer.Address = bob },
		"move dropped":    func(_ *field, d *chain.Draft) { d.Intent.Moves = d.Intent.Moves[:2] },
		"other treasury":  func(_ *field, d *chain.Draft) { d.Intent.Moves[0].To = alice },
		"long payload":    func(_ *field, d *chain.Draft) { d.Payload = make([]byte, maxBatchPayload+1) },
		"signed payload":  func(f *field, d *chain.Draft) { d.Payload = f.sign(*d).Raw },
		"another purpose": func(_ *field, d *chain.Draft) { d.Intent.Purpose = chain.PurposeDeployment },
	} {
		f := newField(t)
		in := f.token(2, 1)
		d, err := f.prepare(in)
		require.NoError(t, err)
		change(f, &d)
		k := &keyring{f: f}
		_, err = f.writer().sign(t.Context(), d, k)
		var format *chain.FormatError
		require.ErrorAs(t, err, &format, name)
		require.Empty(t, k.rounds, name)
	}
}
