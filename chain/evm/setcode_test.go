package evm

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// signedBatch is the transaction of a batch, signed.
func signedBatch(t testing.TB, f *field, in chain.Intent) (chain.Draft, chain.Signed) {
	d, err := f.prepare(in)
	require.NoError(t, err)
	return d, f.sign(d)
}

// unsigned is the payload of a signed transaction, with its authorisations.
func unsigned(t testing.TB, s chain.Signed) *transaction {
	tx, _, err := decodeSigned(s.Raw)
	require.NoError(t, err)
	return tx
}

// What a batch does is one movement for each entry.
func TestDecodeBatchEffects(t *testing.T) {
	f := newField(t)
	for name, in := range map[string]chain.Intent{"token": f.token(2, 2), "coin": f.collect(nativeAsset(1), 1, 1), "used": f.token(0, 2)} {
		d, s := signedBatch(t, f, in)
		tx := unsigned(t, s)
		effects, digest, err := CodecWith(f.sweeper).Decode(request(payloadOf(t, tx)))
		require.NoError(t, err, name)
		want := keccak256(payloadOf(t, tx))
		require.Equal(t, want[:], digest)
		contract := checksummed(f.sweeper.Address())
		require.Equal(t, contract, effects.Contract)
		require.Equal(t, "nonce:5", effects.Once)
		require.Equal(t, d.Fee, effects.MaxFee)
		require.Empty(t, effects.Delegate)
		require.Equal(t, d.Locks[1:], append([]chain.Lock{}, effects.Locks...))
		require.Len(t, effects.Effects, len(in.Moves))
		for i, e := range effects.Effects {
			m := in.Moves[i]
			require.Equal(t, chain.Effect{From: m.From.Address, To: bob, Asset: m.Asset.ID, Amount: m.Amount}, e)
		}
		// Without the sweeper nobody knows whom it pays.
		_, _, err = Codec().Decode(request(payloadOf(t, tx)))
		requireFormat(t, err, "payload")
	}
	contract, treasury := CodecWith(f.sweeper).(chain.ContractCodec).Contract()
	require.Equal(t, [2]chain.Address{checksummed(f.sweeper.Address()), bob}, [2]chain.Address{contract, treasury})
	contract, treasury = Codec().(chain.ContractCodec).Contract()
	require.Empty(t, contract+treasury)
}

// Everything that is not exactly such a batch is refused.
func TestThreat_F1_BatchesThatAreNotUnderstood(t *testing.T) {
	sign := func(t testing.TB, f *field, tx *transaction) { // as a signer without rules would
		byAuthority := map[[addressLength]byte]string{}
		for path, key := range f.keys {
			raw, err := codec{}.FromPublicKey(nil, key.PubKey().SerializeUncompressed())
			require.NoError(t, err)
			byAuthority[[addressLength]byte(raw)] = path
		}
		for i := range tx.Auths {
			d := &tx.Auths[i]
			key := f.keys[byAuthority[d.Authority]].ToECDSA()
			auth, err := types.SignSetCode(key, types.SetCodeAuthorization{ChainID: d.ChainID, Address: d.Address, Nonce: d.Nonce})
			require.NoError(t, err)
			d.Parity, d.R, d.S = uint64(auth.V), auth.R, auth.S
		}
	}
	entries := func(change func(*contracts.Batch)) func(*field, *transaction) {
		return func(_ *field, tx *transaction) {
			b, err := contracts.DecodeBatch(tx.Data)
			require.NoError(t, err)
			change(&b)
			tx.Data, err = b.Encode()
			require.NoError(t, err)
		}
	}
	for name, change := range map[string]func(*field, *transaction){
		"wrong delegate": func(_ *field, tx *transaction) { tx.Auths[0].Address[0] ^= 1 },
		"chain 0":        func(_ *field, tx *transaction) { tx.Auths[0].ChainID.Clear() },
		"chain 5":        func(_ *field, tx *transaction) { tx.Auths[0].ChainID.SetUint64(5) },
		"other batcher":  func(_ *field, tx *transaction) { tx.To[0] ^= 1 },
		"twice":          func(_ *field, tx *transaction) { tx.Auths[1] = tx.Auths[0] },
		"by the sponsor": func(_ *field, tx *transaction) { tx.Auths[1].Authority = rawAddress(t, alice) },
		"value":          func(_ *field, tx *transaction) { tx.Value.SetOne() },
		"another call":   func(_ *field, tx *transaction) { tx.Data = contracts.Sweep(contracts.Address{1}, chain.NewAmount(1)) },
		"execute": func(_ *field, tx *transaction) {
			tx.Data = contracts.Execute(contracts.Address{1}, chain.Amount{}, nil)
		},
		"no data":            func(_ *field, tx *transaction) { tx.Data = nil },
		"bytes behind":       func(_ *field, tx *transaction) { tx.Data = append(tx.Data, 0) },
		"all of an account":  entries(func(b *contracts.Batch) { b.Entries[0].Amount = chain.Amount{} }),
		"an account dropped": entries(func(b *contracts.Batch) { b.Entries = b.Entries[1:] }),
		"forwarders": entries(func(b *contracts.Batch) {
			b.Op, b.Entries = contracts.OpFlush, []contracts.Entry{{Salt: contracts.Salt{1}, Amount: chain.NewAmount(1)}}
		}),
		"a transfer to the contract": func(f *field, tx *transaction) {
			tx.Data = encodeTransfer(rawAddress(t, bob), chain.NewAmount(1))
		},
	} {
		f := newField(t)
		_, s := signedBatch(t, f, f.token(2, 0))
		tx := unsigned(t, s)
		change(f, tx)
		sign(t, f, tx)
		effects, digest, err := CodecWith(f.sweeper).Decode(request(payloadOf(t, tx)))
		requireFormat(t, err, "payload")
		require.Empty(t, effects, name)
		require.Empty(t, digest)
	}
	f := newField(t)
	_, s := signedBatch(t, f, f.token(2, 0))
	for name, change := range map[string]func(*delegation){
		"high recovery id": func(d *delegation) { d.Parity = 2 },
		"no signature":     func(d *delegation) { d.R, d.S = uint256.Int{}, uint256.Int{} },
		"high s":           func(d *delegation) { d.S = *new(uint256.Int).SetAllOne() },
		"another's":        func(d *delegation) { d.R.AddUint64(&d.R, 1) },
	} {
		tx := unsigned(t, s)
		change(&tx.Auths[0])
		_, _, err := CodecWith(f.sweeper).Decode(request(payloadOf(t, tx)))
		requireFormat(t, err, "payload")
		_ = name
	}
	// Forwarders have no accounts in the call: who pays would have to be derived.
	for _, op := range []contracts.Op{contracts.OpFlush, contracts.OpDeploy} {
		data, err := contracts.Batch{Op: op, Gas: entryGas, Entries: []contracts.Entry{{Salt: contracts.Salt{1}, Amount: chain.NewAmount(1)}}}.Encode()
		require.NoError(t, err)
		tx := sample(t)
		tx.To, tx.Value, tx.Data = f.sweeper.Address(), uint256.Int{}, data
		_, _, err = CodecWith(f.sweeper).Decode(request(payloadOf(t, tx)))
		requireFormat(t, err, "payload")
	}
	// A draft is no payload: its authorisations are not signed.
	d, err := f.prepare(f.token(1, 0))
	require.NoError(t, err)
	_, _, err = CodecWith(f.sweeper).Decode(request(d.Payload))
	requireFormat(t, err, "payload")
	empty := unsigned(t, s)
	raw, err := typed(setCodePrefix, setCode(empty, []signedAuth{}))
	require.NoError(t, err)
	_, _, err = CodecWith(f.sweeper).Decode(request(raw))
	requireFormat(t, err, "payload")
	// The sweeper's own codec still refuses the kinds it always did.
	_, _, err = CodecWith(f.sweeper).Decode(request(make([]byte, maxBatchPayload+1)))
	requireFormat(t, err, "payload")
}

func bumpField(f *field, in chain.Intent, s chain.Signed) (chain.Draft, error) {
	return f.writer().bump(f.t.Context(), in, s)
}

func TestBumpBatch(t *testing.T) {
	f := newField(t)
	in := f.token(2, 1)
	d, s := signedBatch(t, f, in)
	next, err := bumpField(f, in, s)
	require.NoError(t, err)
	require.Equal(t, d.Locks, next.Locks)
	require.Equal(t, d.Intent.Moves, next.Intent.Moves)
	was, now := draftOf(t, d), draftOf(t, next)
	require.Equal(t, was.Data, now.Data)
	require.Len(t, now.Auths, 2)
	for i := range now.Auths {
		require.Equal(t, was.Auths[i].authorization, now.Auths[i].authorization)
	}
	least := new(uint256.Int).Add(&was.FeeCap, fraction(&was.FeeCap, 8))
	require.False(t, now.FeeCap.Lt(least))
	signed := f.sign(next)
	require.NotEqual(t, s.ID, signed.ID)
	old, again := unsigned(t, s), unsigned(t, signed)
	require.Equal(t, old.Auths, again.Auths, "signed again, they are the same")

	// Somebody used an authorisation first, and money came in meanwhile: the locks
	// stay, and so do the amounts.
	first := f.sources[in.Moves[0].From.Address]
	first.code, first.nonce, first.holding = f.sweeper.Delegation(), 1, 5000
	all := in
	all.Moves = append([]chain.Move{}, in.Moves...)
	all.Moves[0].All, all.Moves[0].Amount = true, chain.Amount{}
	next, err = bumpField(f, all, s)
	require.NoError(t, err)
	require.Equal(t, d.Locks, next.Locks)
	require.Equal(t, in.Moves[0].Amount, next.Intent.Moves[0].Amount)

	// An account that went its own way, that has nothing left, or of which the dry run
	// says that it fails, does not leave the others stuck: all locks stay.
	second := f.sources[in.Moves[1].From.Address]
	for name, spoil := range map[string]func(){
		"its own way": func() { second.nonce = 3 },
		"other code":  func() { second.code = []byte{1} },
		"spent":       func() { second.holding = 0 },
		"frozen":      func() { second.frozen = true },
	} {
		was := *second
		spoil()
		next, err = bumpField(f, in, s)
		require.NoError(t, err, name)
		require.Equal(t, d.Locks, next.Locks, name)
		require.Equal(t, in.Moves, next.Intent.Moves, name)
		require.GreaterOrEqual(t, draftOf(t, next).Gas, draftOf(t, d).Gas, name)
		*second = was
	}

	// Prepared anew with the locks of the old one: the sponsor's nonce, and the
	// sources' may be used.
	reuse := in
	reuse.Reuse, reuse.Taken = d.Locks, d.Locks
	fresh, err := f.prepare(reuse)
	require.NoError(t, err)
	require.Equal(t, []chain.Lock{d.Locks[0], d.Locks[2]}, fresh.Locks)
	f.count = 6
	_, err = f.prepare(reuse)
	require.ErrorIs(t, err, chain.ErrLockSpent)
	_, err = bumpField(f, in, s)
	require.ErrorIs(t, err, chain.ErrLockSpent)
}

// The sponsor gives a batch up by a payment of nothing to itself.
func TestCancelBatch(t *testing.T) {
	f := newField(t)
	d, s := signedBatch(t, f, f.token(2, 0))
	next, err := bumpField(f, cancellation(), s)
	require.NoError(t, err)
	require.Equal(t, d.Locks[:1], next.Locks)
	signed, err := f.writer().sign(t.Context(), next, &keyring{f: f})
	require.NoError(t, err)
	was, now := unsigned(t, s), unsigned(t, signed)
	require.True(t, was.FeeCap.Lt(&now.FeeCap))
	require.Equal(t, was.Nonce, now.Nonce)
}

func TestBumpBatchRefuses(t *testing.T) {
	f := newField(t)
	in := f.token(2, 1)
	_, s := signedBatch(t, f, in)
	for name, change := range map[string]func(*chain.Intent){
		"fewer moves":  func(in *chain.Intent) { in.Moves = in.Moves[:2] },
		"other order":  func(in *chain.Intent) { in.Moves = []chain.Move{in.Moves[1], in.Moves[0], in.Moves[2]} },
		"other source": func(in *chain.Intent) { in.Moves[2].From = f.source(1000) },
	} {
		changed := in
		changed.Moves = append([]chain.Move{}, in.Moves...)
		change(&changed)
		_, err := bumpField(f, changed, s)
		requireFormat(t, err, "signed transaction")
		_ = name
	}
	plain := sent(t, f.figures, payNative(1000))
	_, err := bumpField(f, in, plain)
	requireFormat(t, err, "signed transaction")
	one := payAll(nativeAsset(1))
	_, err = bumpField(f, one, s)
	requireFormat(t, err, "signed transaction")

	in.FeePayer.Address = checksummed([20]byte{7})
	_, err = bumpField(f, in, s)
	requireFormat(t, err, "intent's fee payer")
	f = newField(t).open()
	in = f.token(2, 1)
	_, s = signedBatch(t, f, in)
	in.FeePayer.Address = checksummed([20]byte{7})
	_, err = bumpField(f, in, s)
	requireFormat(t, err, "signed transaction")
}

// What we understand, go-ethereum reads as the same transaction, by the same
// authorities; and nothing panics.
func FuzzDecodeSetCode(f *testing.F) {
	field := newField(f)
	_, s := signedBatch(f, field, field.token(2, 1))
	f.Add(payloadOf(f, unsigned(f, s)), s.Raw)
	_, used := signedBatch(f, field, field.token(0, 2))
	f.Add(payloadOf(f, unsigned(f, used)), used.Raw)
	to, data := field.sweeper.Deployment()
	deploy := sample(f)
	deploy.To, deploy.Data, deploy.Value = to, data, uint256.Int{}
	f.Add(payloadOf(f, deploy), []byte{4})
	f.Fuzz(func(t *testing.T, payload, raw []byte) {
		effects, digest, err := CodecWith(field.sweeper).Decode(request(payload))
		if err == nil {
			tx, err := decodeTx(payload)
			require.NoError(t, err)
			require.Equal(t, payload, payloadOf(t, tx), "one payload for one transaction")
			require.Len(t, digest, 32)
			for _, e := range effects.Effects {
				require.True(t, e.From == "" || e.To == bob && effects.Contract != "")
			}
		}
		if len(payload) > 0 {
			if d, err := decodeDraft(payload); err == nil {
				again, err := d.draft()
				require.NoError(t, err)
				require.Equal(t, payload, again)
			}
		}
		tx, from, err := decodeSigned(raw)
		if err != nil || len(tx.Auths) == 0 {
			return
		}
		var want types.Transaction
		require.NoError(t, want.UnmarshalBinary(raw))
		sender, err := types.Sender(types.NewPragueSigner(tx.ChainID.ToBig()), &want)
		require.NoError(t, err)
		require.Equal(t, common.Address(from), sender)
		for i, a := range want.SetCodeAuthorizations() {
			who, err := a.Authority()
			require.NoError(t, err)
			require.Equal(t, common.Address(tx.Auths[i].Authority), who)
		}
		require.Equal(t, new(big.Int).SetUint64(tx.Nonce), new(big.Int).SetUint64(want.Nonce()))
	})
}

// The payload of an authorisation says nothing of who gives it, and is read as one for
// the contract.
func TestCodecMakesAuthorisations(t *testing.T) {
	f := newField(t)
	codec, ok := CodecWith(f.sweeper).(chain.AuthorizationCodec)
	require.True(t, ok)
	for _, nonce := range []uint64{0, 7, math.MaxUint64 - 1} {
		payload, err := codec.Authorization("eip155:1", nonce)
		require.NoError(t, err)
		r := chain.SignRequest{Chain: "eip155:1", Purpose: chain.SignAuthorization, Scheme: chain.ECDSA, Payload: payload}
		effects, _, err := codec.Decode(r)
		require.NoError(t, err)
		contract, _ := codec.Contract()
		require.Equal(t, chain.Effects{Delegate: contract, Once: fmt.Sprintf("nonce:%d", nonce)}, effects)
		r.Chain = "eip155:56"
		_, _, err = codec.Decode(r)
		require.Error(t, err, "for its chain alone")
	}
	var format *chain.FormatError
	for _, id := range []chain.ID{"eip155:0", "eip155:", "bip122:1", ""} {
		_, err := codec.Authorization(id, 0)
		require.ErrorAs(t, err, &format, id)
	}
	_, err := codec.Authorization("eip155:1", math.MaxUint64)
	require.ErrorAs(t, err, &format)
	_, err = Codec().(chain.AuthorizationCodec).Authorization("eip155:1", 0)
	require.ErrorIs(t, err, chain.ErrUnsupported)
}
