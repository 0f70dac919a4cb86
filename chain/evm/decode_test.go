package evm

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

func request(payload []byte) chain.SignRequest {
	return chain.SignRequest{Chain: "eip155:1", Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Payload: payload}
}

func rawAddress(t require.TestingT, a chain.Address) [addressLength]byte {
	raw, err := parseAddress(string(a))
	require.NoError(t, err)
	return raw
}

// sample is a plain payment on chain 1.
func sample(t require.TestingT) *transaction {
	return &transaction{
		ChainID: *uint256.NewInt(1), Nonce: 7, TipCap: *uint256.NewInt(2 * gwei), FeeCap: *uint256.NewInt(30 * gwei),
		Gas: 21000, To: rawAddress(t, bob), Value: *uint256.NewInt(1e18),
	}
}

func sampleTransfer(t require.TestingT) *transaction {
	tx := sample(t)
	tx.To, tx.Gas, tx.Value = rawAddress(t, usdc), 60000, uint256.Int{}
	tx.Data = encodeTransfer(rawAddress(t, bob), chain.NewAmount(25_000_000))
	return tx
}

func payloadOf(t require.TestingT, tx *transaction) []byte {
	payload, err := tx.payload()
	require.NoError(t, err)
	return payload
}

func drawTx(t *rapid.T) *transaction {
	word := func(name string, n int) uint256.Int {
		return *new(uint256.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, n).Draw(t, name))
	}
	tx := &transaction{
		Legacy: rapid.Bool().Draw(t, "legacy"), Nonce: rapid.Uint64().Draw(t, "nonce"), Gas: rapid.Uint64().Draw(t, "gas"),
		FeeCap: word("cap", 16), To: [20]byte(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "to")),
	}
	tx.ChainID.SetUint64(rapid.Uint64Range(1, 1<<62).Draw(t, "chain"))
	tx.TipCap = tx.FeeCap
	if !tx.Legacy && !tx.FeeCap.IsZero() {
		share := uint256.NewInt(rapid.Uint64Range(1, 100).Draw(t, "share"))
		tx.TipCap.Div(&tx.FeeCap, share)
	}
	if rapid.Bool().Draw(t, "token") {
		units := word("units", 32)
		tx.Data = encodeTransfer([20]byte(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "receiver")), amountOf(&units))
	} else {
		tx.Value = word("value", 32)
	}
	return tx
}

// inGoEthereum is the same transaction in the types of another implementation.
func inGoEthereum(tx *transaction) *types.Transaction {
	to := common.Address(tx.To)
	if tx.Legacy {
		return types.NewTx(&types.LegacyTx{
			Nonce: tx.Nonce, GasPrice: tx.FeeCap.ToBig(), Gas: tx.Gas, To: &to, Value: tx.Value.ToBig(), Data: tx.Data,
		})
	}
	return types.NewTx(&types.DynamicFeeTx{
		ChainID: tx.ChainID.ToBig(), Nonce: tx.Nonce, GasTipCap: tx.TipCap.ToBig(), GasFeeCap: tx.FeeCap.ToBig(),
		Gas: tx.Gas, To: &to, Value: tx.Value.ToBig(), Data: tx.Data,
	})
}

func TestDecodeAgreesWithGoEthereum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tx := drawTx(t)
		payload := payloadOf(t, tx)
		r := request(payload)
		r.Chain = chain.ID("eip155:" + tx.ChainID.Dec())
		effects, digest, err := Codec().Decode(r)
		require.NoError(t, err)
		want := types.LatestSignerForChainID(tx.ChainID.ToBig()).Hash(inGoEthereum(tx))
		require.Equal(t, want.Bytes(), digest)
		back, err := decodeTx(payload)
		require.NoError(t, err)
		require.Equal(t, payload, payloadOf(t, back))
		require.Equal(t, new(big.Int).Mul(tx.FeeCap.ToBig(), new(big.Int).SetUint64(tx.Gas)).String(), effects.MaxFee.String())
		require.Len(t, effects.Effects, 1)
		require.Empty(t, effects.From, "the payload does not say it")
		require.Empty(t, effects.Locks)
	})
}

func TestDecodeEffects(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		native, token := sample(t), sampleTransfer(t)
		native.Legacy, token.Legacy = legacy, legacy
		if legacy {
			native.TipCap, token.TipCap = native.FeeCap, token.FeeCap
		}
		effects, _, err := Codec().Decode(request(payloadOf(t, native)))
		require.NoError(t, err)
		require.Equal(t, chain.Effects{Once: "nonce:7",
			Effects: []chain.Effect{{To: bob, Asset: "eip155:1/slip44:60", Amount: chain.NewAmount(1e18)}},
			MaxFee:  chain.NewAmount(21000 * 30 * gwei),
		}, effects)
		effects, _, err = Codec().Decode(request(payloadOf(t, token)))
		require.NoError(t, err)
		require.Equal(t, chain.Effects{Once: "nonce:7",
			Effects: []chain.Effect{{To: bob, Asset: chain.AssetID("eip155:1/erc20:" + string(usdc)), Amount: chain.NewAmount(25_000_000)}},
			MaxFee:  chain.NewAmount(60000 * 30 * gwei),
		}, effects)
	}
}

func TestDecodeRefuses(t *testing.T) {
	change := func(f func(*transaction)) []byte {
		tx := sampleTransfer(t)
		f(tx)
		return payloadOf(t, tx)
	}
	list := func(prefix []byte, items ...any) []byte {
		body, err := rlp.EncodeToBytes(items)
		require.NoError(t, err)
		return append(prefix, body...)
	}
	plain := payloadOf(t, sample(t))
	to, other := rawAddress(t, bob), types.AccessList{{Address: common.Address{1}}}
	for name, payload := range map[string][]byte{
		"empty":               nil,
		"type only":           {2},
		"no list":             {2, 0x80},
		"oversize":            bytes.Repeat([]byte{0xc0}, maxPayload+1),
		"bytes behind":        append(bytes.Clone(plain), 0),
		"cut short":           plain[:len(plain)-1],
		"type 1":              append([]byte{1}, plain[1:]...),
		"type 3":              append([]byte{3}, plain[1:]...),
		"type 4":              append([]byte{4}, plain[1:]...),
		"authorisation":       list([]byte{5}, uint(1), to, uint(0)),
		"creation":            list([]byte{2}, uint(1), uint(0), uint(1), uint(1), uint(21000), []byte{}, uint(0), []byte{}, []any{}),
		"short destination":   list([]byte{2}, uint(1), uint(0), uint(1), uint(1), uint(21000), to[:19], uint(0), []byte{}, []any{}),
		"access list":         list([]byte{2}, uint(1), uint(0), uint(1), uint(1), uint(21000), to, uint(0), []byte{}, other),
		"a field more":        list([]byte{2}, uint(1), uint(0), uint(1), uint(1), uint(21000), to, uint(0), []byte{}, []any{}, uint(0)),
		"signed":              list([]byte{2}, uint(1), uint(0), uint(1), uint(1), uint(21000), to, uint(0), []byte{}, []any{}, uint(0), uint(1), uint(1)),
		"leading zero":        list([]byte{2}, []byte{0, 1}, uint(0), uint(1), uint(1), uint(21000), to, uint(0), []byte{}, []any{}),
		"number over 256 bit": list([]byte{2}, uint(1), uint(0), uint(1), bytes.Repeat([]byte{1}, 33), uint(21000), to, uint(0), []byte{}, []any{}),
		"fee over 256 bit":    list([]byte{2}, uint(1), uint(0), uint(1), bytes.Repeat([]byte{1}, 32), uint(21000), to, uint(0), []byte{}, []any{}),
		"tip over cap":        list([]byte{2}, uint(1), uint(0), uint(2), uint(1), uint(21000), to, uint(0), []byte{}, []any{}),
		"legacy creation":     list(nil, uint(0), uint(1), uint(21000), []byte{}, uint(0), []byte{}, uint(1), uint(0), uint(0)),
		"legacy signed":       list(nil, uint(0), uint(1), uint(21000), to, uint(0), []byte{}, uint(1), uint(1), uint(1)),
		"approve":             change(func(tx *transaction) { copy(tx.Data, "\x09\x5e\xa7\xb3") }),
		"transferFrom":        change(func(tx *transaction) { copy(tx.Data, "\x23\xb8\x72\xdd") }),
		"selector only":       change(func(tx *transaction) { tx.Data = tx.Data[:4] }),
		"one byte of data":    change(func(tx *transaction) { tx.Data = []byte{0} }),
		"data cut":            change(func(tx *transaction) { tx.Data = tx.Data[:67] }),
		"data longer":         change(func(tx *transaction) { tx.Data = append(tx.Data, 0) }),
		"dirty padding":       change(func(tx *transaction) { tx.Data[4] = 1 }),
		"transfer and value":  change(func(tx *transaction) { tx.Value.SetOne() }),
	} {
		effects, digest, err := Codec().Decode(request(payload))
		requireFormat(t, err, "payload")
		require.Empty(t, effects, name)
		require.Nil(t, digest, name)
	}
}

func TestDecodeRefusesRequests(t *testing.T) {
	for what, change := range map[string]func(*chain.SignRequest){
		"chain id": func(r *chain.SignRequest) { r.Chain = "bip122:1" },
		"scheme":   func(r *chain.SignRequest) { r.Scheme = chain.BIP340 },
		"purpose":  func(r *chain.SignRequest) { r.Purpose = "" },
		"payload":  func(r *chain.SignRequest) { r.Purpose = chain.SignAuthorization },
	} {
		r := request(payloadOf(t, sample(t)))
		change(&r)
		_, _, err := Codec().Decode(r)
		requireFormat(t, err, what)
	}
}

// A signature must be worth nothing on any other chain.
func TestThreat_F15_ChainIDIsBound(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		tx := sample(t)
		tx.Legacy, tx.TipCap = legacy, tx.FeeCap
		r := request(payloadOf(t, tx))
		for _, other := range []chain.ID{"eip155:5", "eip155:11", "eip155:137"} {
			r.Chain = other
			_, _, err := Codec().Decode(r)
			requireFormat(t, err, "payload")
		}
		tx.ChainID.Clear()
		_, _, err := Codec().Decode(request(payloadOf(t, tx)))
		requireFormat(t, err, "payload")
	}
	to := rawAddress(t, bob)
	before155, err := rlp.EncodeToBytes([]any{uint(0), uint(1), uint(21000), to, uint(1), []byte{}})
	require.NoError(t, err)
	_, _, err = Codec().Decode(request(before155))
	requireFormat(t, err, "payload")
	require.ErrorContains(t, err, "without chain id")
	everywhere, err := typed(authorizationPrefix, &authorization{Address: to})
	require.NoError(t, err)
	r := request(everywhere)
	r.Purpose = chain.SignAuthorization
	_, _, err = Codec().Decode(r)
	requireFormat(t, err, "payload")
}

// A deposit key must not be talked into delegating by a transaction, only by a
// request that says what it is.
func TestThreat_B21_SetCodeTransactionRefused(t *testing.T) {
	inner := types.NewTx(&types.SetCodeTx{
		ChainID: uint256.NewInt(1), GasTipCap: uint256.NewInt(1), GasFeeCap: uint256.NewInt(1), Gas: 60000,
		To: common.Address(rawAddress(t, bob)), Value: uint256.NewInt(0),
		AuthList: []types.SetCodeAuthorization{{ChainID: *uint256.NewInt(1), Address: common.Address{1}}},
	})
	raw, err := inner.MarshalBinary()
	require.NoError(t, err)
	_, _, err = Codec().Decode(request(raw))
	requireFormat(t, err, "payload")
	require.ErrorContains(t, err, "type 4")
}

func TestDecodeAuthorization(t *testing.T) {
	delegate := rawAddress(t, usdc)
	payload, err := typed(authorizationPrefix, &authorization{ChainID: *uint256.NewInt(1), Address: delegate, Nonce: 3})
	require.NoError(t, err)
	r := request(payload)
	r.Purpose = chain.SignAuthorization
	effects, digest, err := Codec().Decode(r)
	require.NoError(t, err)
	require.Equal(t, chain.Effects{Delegate: usdc, Once: "nonce:3"}, effects)

	// The digest is right when go-ethereum recovers the signer by it.
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	signed, err := types.SignSetCode(key, types.SetCodeAuthorization{
		ChainID: *uint256.NewInt(1), Address: common.Address(delegate), Nonce: 3,
	})
	require.NoError(t, err)
	require.Equal(t, signed.SigHash().Bytes(), digest)

	r.Chain = "eip155:2"
	_, _, err = Codec().Decode(r)
	requireFormat(t, err, "payload")
	r = request(append(payload, 0))
	r.Purpose = chain.SignAuthorization
	_, _, err = Codec().Decode(r)
	requireFormat(t, err, "payload")
}

func FuzzDecode(f *testing.F) {
	t := &testing.T{}
	for _, tx := range []*transaction{sample(t), sampleTransfer(t)} {
		f.Add(payloadOf(t, tx), false)
		tx.Legacy, tx.TipCap = true, tx.FeeCap
		f.Add(payloadOf(t, tx), false)
	}
	auth, err := typed(authorizationPrefix, &authorization{ChainID: *uint256.NewInt(1), Nonce: 3})
	require.NoError(f, err)
	f.Add(auth, true)
	f.Fuzz(func(t *testing.T, payload []byte, authorize bool) {
		r := request(payload)
		if authorize {
			r.Purpose = chain.SignAuthorization
		}
		effects, digest, err := Codec().Decode(r)
		if err != nil {
			var format *chain.FormatError
			require.ErrorAs(t, err, &format)
			return
		}
		want := keccak256(payload)
		require.Equal(t, want[:], digest)
		if authorize {
			require.Empty(t, effects.Effects)
			require.NotEmpty(t, effects.Delegate)
			return
		}
		require.Len(t, effects.Effects, 1)
		// What is understood has no second spelling.
		tx, err := decodeTx(payload)
		require.NoError(t, err)
		require.Equal(t, payload, payloadOf(t, tx))
		if !tx.Legacy || tx.ChainID.BitLen() < 60 {
			hash := types.LatestSignerForChainID(tx.ChainID.ToBig()).Hash(inGoEthereum(tx))
			require.Equal(t, hash.Bytes(), digest)
		}
	})
}
