package evm

import (
	"errors"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// sent prepares and signs an intent as alice.
func sent(t testing.TB, n *figures, in chain.Intent) chain.Signed {
	d, err := prepare(t, n, in)
	require.NoError(t, err)
	s, err := n.writer().sign(t.Context(), d, &fakeSigner{key: aliceKey(t)})
	require.NoError(t, err)
	return s
}

func TestSignAgreesWithGoEthereum(t *testing.T) {
	for name, in := range map[string]chain.Intent{
		"native": payNative(1000), "token": payToken(1000), "sweep": payAll(nativeAsset(1)), "cancel": cancellation(),
	} {
		for _, legacy := range []bool{false, true} {
			n := newNode(t)
			if legacy {
				n.base = nil
			}
			s := sent(t, n, in)
			var tx types.Transaction
			require.NoError(t, tx.UnmarshalBinary(s.Raw), name)
			require.Equal(t, string(s.ID), tx.Hash().Hex(), name)
			require.True(t, tx.Protected())
			require.Equal(t, int64(1), tx.ChainId().Int64())
			from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), &tx)
			require.NoError(t, err)
			require.Equal(t, string(alice), from.Hex())
			require.Equal(t, chain.ID("eip155:1"), s.Chain)
			require.Equal(t, []chain.Lock{nonceLock(alice, 5)}, s.Locks)
		}
	}
}

// Whatever the figures, the bytes are those of another implementation, and they
// are read back to the same transaction and signer.
func TestSignedBytesAgreeWithGoEthereum(t *testing.T) {
	key := aliceKey(t)
	rapid.Check(t, func(t *rapid.T) {
		tx := drawTx(t)
		payload := payloadOf(t, tx)
		signer := &fakeSigner{key: key}
		r := request(payload)
		r.Chain = chain.ID("eip155:" + tx.ChainID.Dec())
		signatures, err := signer.Sign(nil, []chain.SignRequest{r}) //nolint:staticcheck // the fake does not use it
		require.NoError(t, err)
		sig := signatures[0]
		raw, err := tx.signed(new(uint256.Int).SetBytes(sig[:32]), new(uint256.Int).SetBytes(sig[32:64]), sig[64])
		require.NoError(t, err)

		want, err := inGoEthereum(tx).WithSignature(types.LatestSignerForChainID(tx.ChainID.ToBig()), sig)
		require.NoError(t, err)
		wantRaw, err := want.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, wantRaw, raw)

		back, from, err := decodeSigned(raw)
		require.NoError(t, err)
		require.Equal(t, common.HexToAddress(string(alice)), common.Address(from))
		require.Equal(t, payload, payloadOf(t, back))
	})
}

func TestSignRequest(t *testing.T) {
	own := chain.KeyRef{Wallet: "w", Path: "m/44'/60'/0'/0/1"}
	approval := &chain.Approval{Payout: "p"}
	in := payNative(1000)
	in.Moves[0].Own, in.Approval = &own, approval
	n := newNode(t)
	d, err := prepare(t, n, in)
	require.NoError(t, err)
	asked := len(n.asked)
	signer := &fakeSigner{key: aliceKey(t)}
	_, err = n.writer().sign(t.Context(), d, signer)
	require.NoError(t, err)
	require.Equal(t, []chain.SignRequest{{
		Chain: "eip155:1", Purpose: chain.SignTransaction, Scheme: chain.ECDSA, Key: aliceAccount.Key, Payload: d.Payload,
		Own: []chain.OwnTarget{{Address: bob, Key: own}}, Approval: approval,
	}}, signer.seen)
	require.Len(t, n.asked, asked, "signing asks no node")

	// A stranger is no own target; the source of a cancellation is.
	d, err = prepare(t, n, payNative(1))
	require.NoError(t, err)
	_, err = n.writer().sign(t.Context(), d, signer)
	require.NoError(t, err)
	require.Empty(t, signer.seen[1].Own)
	d, err = prepare(t, n, cancellation())
	require.NoError(t, err)
	_, err = n.writer().sign(t.Context(), d, signer)
	require.NoError(t, err)
	require.Equal(t, []chain.OwnTarget{{Address: alice, Key: aliceAccount.Key}}, signer.seen[2].Own)
}

func TestSignRefusesSignatures(t *testing.T) {
	highS := func(sig []byte) []byte {
		var s secp256k1.ModNScalar
		s.SetByteSlice(sig[32:64])
		s.Negate()
		b := s.Bytes()
		copy(sig[32:], b[:])
		sig[64] ^= 1
		return sig
	}
	one := func(f func([]byte) []byte) func([][]byte) [][]byte {
		return func(s [][]byte) [][]byte { return [][]byte{f(s[0])} }
	}
	zero := func(from, to int) func([][]byte) [][]byte {
		return one(func(s []byte) []byte { clear(s[from:to]); return s })
	}
	for name, bend := range map[string]func([][]byte) [][]byte{
		"none":     func([][]byte) [][]byte { return nil },
		"two":      func(s [][]byte) [][]byte { return append(s, s[0]) },
		"empty":    one(func([]byte) []byte { return nil }),
		"64 bytes": one(func(s []byte) []byte { return s[:64] }),
		"66 bytes": one(func(s []byte) []byte { return append(s, 0) }),
		"id of 27": one(func(s []byte) []byte { s[64] += 27; return s }),
		"id of 2":  one(func(s []byte) []byte { s[64] += 2; return s }),
		"other id": one(func(s []byte) []byte { s[64] ^= 1; return s }),
		"high s":   one(highS),
		"s over the order": one(func(s []byte) []byte {
			copy(s[32:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
			return s
		}),
		"r of zero":         zero(0, 32),
		"s of zero":         zero(32, 64),
		"one bit elsewhere": one(func(s []byte) []byte { s[10] ^= 1; return s }),
	} {
		n := newNode(t)
		d, err := prepare(t, n, payNative(1000))
		require.NoError(t, err)
		signed, err := n.writer().sign(t.Context(), d, &fakeSigner{key: aliceKey(t), bend: bend})
		require.ErrorIs(t, err, chain.ErrInvalidSignature, name)
		require.Empty(t, signed, name)
	}
	n := newNode(t)
	d, err := prepare(t, n, payNative(1000))
	require.NoError(t, err)
	_, err = n.writer().sign(t.Context(), d, &fakeSigner{key: secp256k1.PrivKeyFromBytes([]byte{7})})
	require.ErrorIs(t, err, chain.ErrInvalidSignature, "another key's signature")
}

func TestSignKeepsTheSignersError(t *testing.T) {
	n := newNode(t)
	d, err := prepare(t, n, payNative(1000))
	require.NoError(t, err)
	refusal := &chain.PolicyError{Rule: "treasury", Detail: "not the treasury"}
	_, err = n.writer().sign(t.Context(), d, &fakeSigner{err: refusal})
	require.True(t, errors.Is(err, refusal))
}

// A draft that was stored, and changed there, is not signed.
func TestThreat_F1_ChangedDraftNotSigned(t *testing.T) {
	changePayload := func(f func(*transaction)) func(*chain.Draft) {
		return func(d *chain.Draft) {
			tx := txOf(t, *d)
			f(tx)
			d.Payload = payloadOf(t, tx)
		}
	}
	for name, change := range map[string]func(*chain.Draft){
		"other receiver":  changePayload(func(tx *transaction) { tx.To[0] ^= 1 }),
		"other amount":    changePayload(func(tx *transaction) { tx.Value.AddUint64(&tx.Value, 1) }),
		"other nonce":     changePayload(func(tx *transaction) { tx.Nonce++ }),
		"higher fee":      changePayload(func(tx *transaction) { tx.FeeCap.AddUint64(&tx.FeeCap, 1) }),
		"other chain":     changePayload(func(tx *transaction) { tx.ChainID.SetUint64(5) }),
		"a token call":    func(d *chain.Draft) { d.Payload = payloadOf(t, sampleTransfer(t)) },
		"other intent":    func(d *chain.Draft) { d.Intent.Moves[0].Amount = chain.NewAmount(1) },
		"other lock":      func(d *chain.Draft) { d.Locks = []chain.Lock{nonceLock(alice, 6)} },
		"no lock":         func(d *chain.Draft) { d.Locks = nil },
		"no payload":      func(d *chain.Draft) { d.Payload = nil },
		"long payload":    func(d *chain.Draft) { d.Payload = make([]byte, maxPayload+1) },
		"garbage":         func(d *chain.Draft) { d.Payload = []byte{0xff} },
		"unmet needs":     func(d *chain.Draft) { d.Needs = []chain.Need{{}} },
		"draft of others": func(d *chain.Draft) { d.Chain = "eip155:5" },
		"no moves":        func(d *chain.Draft) { d.Intent.Moves = nil },
	} {
		n := newNode(t)
		d, err := prepare(t, n, payNative(1000))
		require.NoError(t, err)
		change(&d)
		signer := &fakeSigner{key: aliceKey(t)}
		_, err = n.writer().sign(t.Context(), d, signer)
		var format *chain.FormatError
		require.ErrorAs(t, err, &format, name)
		require.Empty(t, signer.seen, name)
	}
}

func TestDecodeSignedRefuses(t *testing.T) {
	s := sent(t, newNode(t), payNative(1000))
	n := newNode(t)
	n.base = nil
	legacy := sent(t, n, payNative(1000))
	for name, raw := range map[string][]byte{
		"nil":          nil,
		"long":         make([]byte, maxPayload+1),
		"cut":          s.Raw[:len(s.Raw)-1],
		"legacy cut":   legacy.Raw[:len(legacy.Raw)-1],
		"bytes behind": append(append([]byte(nil), s.Raw...), 0),
		"unsigned":     payloadOf(t, sample(t)),
		"type 4":       append([]byte{4}, s.Raw[1:]...),
	} {
		_, _, err := decodeSigned(raw)
		requireFormat(t, err, "signed transaction")
		_ = name
	}
}

func FuzzDecodeSigned(f *testing.F) {
	n := newNode(f)
	f.Add(sent(f, n, payNative(1000)).Raw)
	f.Add(sent(f, n, payToken(1000)).Raw)
	n.base = nil
	f.Add(sent(f, n, payNative(1000)).Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		tx, from, err := decodeSigned(raw)
		if err != nil {
			return
		}
		var want types.Transaction
		if err := want.UnmarshalBinary(raw); err != nil {
			t.Fatalf("go-ethereum does not read it: %v", err)
		}
		sender, err := types.Sender(types.LatestSignerForChainID(tx.ChainID.ToBig()), &want)
		if err != nil || sender != common.Address(from) {
			t.Fatalf("sender %s, %v, want %s", sender, err, common.Address(from))
		}
	})
}
