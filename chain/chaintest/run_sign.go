package chaintest

import (
	"context"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func signChecks() []check {
	return []check{
		{"Sign/DecodeSaysExactlyTheEffects", checkDecodeNative},
		{"Sign/DecodeSaysTheToken", checkDecodeToken},
		{"Sign/RequestIsComplete", checkRequest},
		{"Sign/RefusalIsReturned", checkRefusal},
		{"Sign/WrongSignaturesRefused", checkWrongSignatures},
		{"Sign/OtherChainRefused", checkSignOtherChain},
	}
}

func broadcastChecks() []check {
	return []check{
		{"Broadcast/Idempotent", checkIdempotent},
		{"Broadcast/LockSpent", checkLockSpent},
		{"Broadcast/GarbageRefused", checkGarbage},
	}
}

// signerFunc is a signer made of a function.
type signerFunc func(context.Context, []chain.SignRequest) ([][]byte, error)

func (f signerFunc) Sign(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
	return f(ctx, r)
}

// decoded checks that signing d shows the signer these effects and no more.
func (s *suite) decoded(d chain.Draft, want ...chain.Effect) {
	s.Helper()
	before := len(s.signer.Signed())
	s.sign(d)
	seen := s.signer.Signed()[before:]
	require.NotEmpty(s, seen, "the signer was asked")
	var got []chain.Effect
	for _, e := range seen {
		got = append(got, e.Effects...)
		require.False(s, d.Fee.Less(e.MaxFee), "the draft says the most that it can cost: %s, %s", d.Fee, e.MaxFee)
	}
	require.Equal(s, want, got)
}

func checkDecodeNative(s *suite) {
	to := s.account("to").Address
	d := s.prepare(intent(s.rich("from"), to, s.info.Native, units(1000)))
	s.decoded(d, chain.Effect{To: to, Asset: s.info.Native.ID, Amount: units(1000)})
}

func checkDecodeToken(s *suite) {
	from, to, a := s.rich("from"), s.account("to").Address, s.Tokens[TokenPlain]
	s.PayToken(TokenPlain, from.Address, units(700))
	s.Mine(1)
	d := s.prepare(all(from, to, a))
	s.decoded(d, chain.Effect{To: to, Asset: a.ID, Amount: units(700)})
}

func checkRequest(s *suite) {
	from, to := s.rich("from"), s.account("to")
	in := intent(from, to.Address, s.info.Native, units(1000))
	in.Purpose = chain.PurposeTopUp
	in.Moves[0].Own = &to.Key
	in.Approval = &chain.Approval{Payout: "p1", Asset: s.info.Native.ID, To: to.Address, Amount: units(1000), Signature: []byte{1}}
	var seen []chain.SignRequest
	_, err := s.Client.Sign(s.ctx, s.prepare(in), signerFunc(func(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
		seen = append(seen, r...)
		return s.signer.Sign(ctx, r)
	}))
	require.NoError(s, err)
	require.NotEmpty(s, seen)
	for _, r := range seen {
		require.Equal(s, s.info.ID, r.Chain)
		require.NotEmpty(s, r.Payload, "the signer gets the payload, not a digest")
		require.Equal(s, from.Key, r.Key)
		if r.Purpose == chain.SignTransaction {
			require.Contains(s, r.Own, chain.OwnTarget{Address: to.Address, Key: to.Key})
			require.Equal(s, in.Approval, r.Approval)
		}
	}
}

func checkRefusal(s *suite) {
	d := s.prepare(intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000)))
	refusal := &chain.PolicyError{Rule: "test", Detail: "never"}
	_, err := s.Client.Sign(s.ctx, d, signerFunc(func(context.Context, []chain.SignRequest) ([][]byte, error) {
		return nil, refusal
	}))
	var got *chain.PolicyError
	require.ErrorAs(s, err, &got)
	require.Equal(s, refusal, got)
}

// checkWrongSignatures hands back what no honest signer would.
func checkWrongSignatures(s *suite) {
	d := s.prepare(intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000)))
	cases := map[string]func(good [][]byte) [][]byte{
		"none":      func([][]byte) [][]byte { return nil },
		"nil":       func([][]byte) [][]byte { return [][]byte{nil} },
		"short":     func(g [][]byte) [][]byte { return [][]byte{g[0][:len(g[0])-1]} },
		"long":      func(g [][]byte) [][]byte { return [][]byte{append(g[0], 0)} },
		"too many":  func(g [][]byte) [][]byte { return append(g, g[0]) },
		"zeros":     func(g [][]byte) [][]byte { return [][]byte{make([]byte, len(g[0]))} },
		"changed":   func(g [][]byte) [][]byte { g[0][3] ^= 1; return g },
		"other key": nil,
	}
	if s.info.Curve == chain.Secp256k1 {
		cases["high s"] = func(g [][]byte) [][]byte { return [][]byte{highS(g[0])} }
		cases["recovery id 27"] = func(g [][]byte) [][]byte { g[0][64] += 27; return g }
	}
	for name, spoil := range cases {
		_, err := s.Client.Sign(s.ctx, d, signerFunc(func(ctx context.Context, r []chain.SignRequest) ([][]byte, error) {
			if name == "other key" {
				for i := range r {
					r[i].Key = s.account("other").Key
				}
				return s.signer.Sign(ctx, r)
			}
			good, err := s.signer.Sign(ctx, r)
			if err != nil {
				return nil, err
			}
			return spoil(good), nil
		}))
		require.ErrorIs(s, err, chain.ErrInvalidSignature, name)
	}
	s.sign(d)
}

// highS returns the twin of a secp256k1 signature: valid for the same message,
// but the transaction would have another id.
func highS(signature []byte) []byte {
	out := append([]byte(nil), signature...)
	sv := new(big.Int).SetBytes(out[32:64])
	new(big.Int).Sub(crypto.S256().Params().N, sv).FillBytes(out[32:64])
	out[64] ^= 1
	return out
}

func checkSignOtherChain(s *suite) {
	d := s.prepare(intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000)))
	d.Chain = "eip155:424242"
	_, err := s.Client.Sign(s.ctx, d, s.signer)
	require.Error(s, err, "a draft of another chain is not signed")
}

func checkIdempotent(s *suite) {
	to := s.account("to").Address
	signed := s.sign(s.prepare(intent(s.rich("from"), to, s.info.Native, units(1000))))
	s.broadcast(signed)
	require.NoError(s, s.tryBroadcast(signed), "already known is no error")
	s.Mine(1)
	require.NoError(s, s.tryBroadcast(signed), "already mined is no error")
	s.Mine(3)
	require.NoError(s, s.tryBroadcast(signed), "nor is long mined")
	require.Len(s, s.scan(s.watch(to)).Transfers, 1, "and it was mined once")
}

func checkLockSpent(s *suite) {
	from, to := s.rich("from"), s.account("to").Address
	// Preparing consumes nothing, so that both want the same lock.
	winner := s.sign(s.prepare(intent(from, to, s.info.Native, units(1000))))
	loser := s.sign(s.prepare(intent(from, to, s.info.Native, units(2000))))
	require.Equal(s, winner.Locks, loser.Locks)
	s.broadcast(winner)
	s.Mine(1)
	require.ErrorIs(s, s.tryBroadcast(loser), chain.ErrLockSpent)
	require.NoError(s, s.tryBroadcast(winner), "one's own lock is no obstacle")
	require.Equal(s, chain.TxUnknown, s.status(loser.ID).State)
}

func checkGarbage(s *suite) {
	signed := s.sign(s.prepare(intent(s.rich("from"), s.account("to").Address, s.info.Native, units(1000))))
	for name, raw := range map[string][]byte{
		"empty": nil, "text": []byte("no transaction"), "cut": signed.Raw[:len(signed.Raw)-1],
	} {
		bad := signed
		bad.Raw = raw
		err := s.Client.Broadcast(s.ctx, bad)
		require.Error(s, err, name)
		require.False(s, errors.Is(err, chain.ErrLockSpent) || errors.Is(err, chain.ErrUnderpriced), "%s: %v", name, err)
	}
}
