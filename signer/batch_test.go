package signer_test

import (
	"bytes"
	"context"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/signer"
)

// sweeper is the contract that pays the treasury.
func sweeper(t testing.TB) *contracts.Sweeper {
	s, err := contracts.New(contracts.Params{Treasury: common.HexToAddress(string(treasury)), Owner: contracts.Address{0: 0xbb}})
	require.NoError(t, err)
	return s
}

// number is the chain's.
func number(t testing.TB) *big.Int {
	n, ok := new(big.Int).SetString(testnet.Reference(), 10)
	require.True(t, ok)
	return n
}

// payloadOf encodes a payload of a type.
func payloadOf(t testing.TB, kind byte, fields ...any) []byte {
	list, err := rlp.EncodeToBytes(fields)
	require.NoError(t, err)
	return append([]byte{kind}, list...)
}

// authorisation is a request to delegate a deposit address.
func (d *desk) authorisation(s *contracts.Sweeper, index uint32) chain.SignRequest {
	r := d.request(index, 1, treasury, 5)
	r.Purpose = chain.SignAuthorization
	r.Payload = payloadOf(d.t, 5, number(d.t), common.Address(s.Address()), uint64(0))
	return r
}

// batch is a request to sweep the first deposit address, with its authorisation.
func (d *desk) batch(s *contracts.Sweeper, account contracts.Address, signature []byte) chain.SignRequest {
	data, err := contracts.Batch{
		Op: contracts.OpSweep, Gas: 150_000, Entries: []contracts.Entry{{Account: account, Amount: chain.NewAmount(5)}},
	}.Encode()
	require.NoError(d.t, err)
	auth := []any{
		number(d.t), common.Address(s.Address()), uint64(0), uint64(signature[64]),
		new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:64]),
	}
	r := d.request(1, 1, treasury, 5)
	r.Payload = payloadOf(d.t, 4, number(d.t), uint64(7), big.NewInt(1), big.NewInt(100), uint64(200_000),
		common.Address(s.Address()), uint64(0), data, []any{}, []any{auth})
	return r
}

// TestThreat_F21_BatchesAreVerified: what comes back for an authorisation and for the
// transaction with it is held against key and payload.
func TestThreat_F21_BatchesAreVerified(t *testing.T) {
	s := sweeper(t)
	known := map[chain.ID]chain.Codec{testnet: evm.CodecWith(s)}
	d := newDesk(t, func(d *desk) { d.policy.Codecs = known })
	auth := d.authorisation(s, 0)
	given := d.real(auth)
	public, err := d.keys.PublicKey(auth.Key)
	require.NoError(t, err)
	raw, err := evm.Codec().FromPublicKey(nil, public)
	require.NoError(t, err)
	tx := d.batch(s, contracts.Address(raw), given[0])

	for _, r := range []chain.SignRequest{auth, tx} {
		right := d.real(r)
		verified := func(answer []byte) ([][]byte, error) {
			v, err := signer.Verified(signs(func(context.Context, []chain.SignRequest) ([][]byte, error) { return [][]byte{answer}, nil }), known, d.keys)
			require.NoError(t, err)
			return v.Sign(t.Context(), []chain.SignRequest{r})
		}
		got, err := verified(right[0])
		require.NoError(t, err)
		require.Equal(t, right, got)
		other := r
		other.Key = d.key(5)
		for name, wrong := range map[string][]byte{
			"another key": d.real(other)[0], "another message": d.real(d.request(1, 99, treasury, 5))[0], "high s": highS(right[0]),
			"parity": append(bytes.Clone(right[0][:64]), 1-right[0][64]),
		} {
			_, err = verified(wrong)
			require.ErrorIs(t, err, chain.ErrInvalidSignature, name)
		}
		// A gateway that does not know the contract does not know what it asks for.
		plain, err := signer.Verified(signs(func(context.Context, []chain.SignRequest) ([][]byte, error) {
			t.Error("asked")
			return right, nil
		}), codecs(), d.keys)
		require.NoError(t, err)
		if r.Purpose == chain.SignTransaction {
			_, err = plain.Sign(t.Context(), []chain.SignRequest{r})
			var format *chain.FormatError
			require.ErrorAs(t, err, &format)
		}
	}
}
