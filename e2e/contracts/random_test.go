package contracts_test

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm/runtime"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/chain/evm/evmtest/sweeptokens"
)

// stage is a state with money in it, on which calls of strangers are tried
// without a chain around.
type stage struct {
	t     testing.TB
	rules *params.ChainConfig
	state *state.StateDB
	// ours are the addresses with money: two accounts that delegate, a forwarder,
	// the Sweeper.
	ours       []common.Address
	strangers  []common.Address
	sponsor    common.Address // zero: anybody sweeps
	treasury   common.Address
	token, nft common.Address
	// words are what calls are composed of.
	words [][]byte
}

func newStage(t testing.TB, sponsor common.Address) *stage {
	s := &stage{t: t, treasury: common.Address{0x11}, strangers: []common.Address{{0x55}, {0x33}, {0x11}}, sponsor: sponsor}
	rules := *params.AllDevChainProtocolChanges
	rules.BogotaTime = nil
	s.rules = &rules
	made, err := contracts.New(contracts.Params{Treasury: s.treasury, Owner: common.Address{0x22}, Sponsor: sponsor})
	require.NoError(t, err)
	s.state, err = state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	require.NoError(t, err)
	salt := contracts.Salt{7: 1}
	s.ours = []common.Address{{0xd1}, {0xd2}, made.Forwarder(salt), made.Address()}
	for i, code := range [][]byte{made.Delegation(), made.Delegation(), made.ForwarderCode(), made.Code()} {
		s.state.SetCode(s.ours[i], code, tracing.CodeChangeUnspecified)
		s.state.SetBalance(s.ours[i], uint256.NewInt(payment), tracing.BalanceChangeUnspecified)
	}
	for _, a := range s.strangers {
		s.state.SetBalance(a, uint256.NewInt(1e18), tracing.BalanceChangeUnspecified)
	}
	for name, at := range map[string]*common.Address{"OzLike": &s.token, "Nft": &s.nft} {
		_, *at, _, err = runtime.Create(sweeptokens.Init(name), s.config(s.strangers[0], 0))
		require.NoError(t, err)
	}
	s.must(s.token, "mint(address[],uint256)", s.ours, big.NewInt(payment))
	for i, a := range s.ours {
		s.must(s.nft, "mint(address,uint256)", a, big.NewInt(int64(i)))
	}

	for _, signature := range []string{"sweep(address,uint256)", "execute(address,uint256,bytes)", "sweepBatch()", "flushBatch()", "deployBatch()", "deploy(bytes32,address,uint256)", "approve(address,uint256)", "transfer(address,uint256)", "transferFrom(address,address,uint256)"} {
		s.words = append(s.words, selector(signature))
	}
	for _, a := range append(append([]common.Address{{}, s.treasury, s.token, s.nft, {0x22}}, s.ours...), s.strangers...) {
		s.words = append(s.words, common.LeftPadBytes(a[:], 32), a[:])
	}
	for _, n := range []uint64{0, 1, payment, 150_000, 0x60, 0x44} {
		s.words = append(s.words, binary.BigEndian.AppendUint64(nil, n), binary.BigEndian.AppendUint64(make([]byte, 4), n), binary.BigEndian.AppendUint64(make([]byte, 24), n))
	}
	s.words = append(s.words, salt[:])
	return s
}

func (s *stage) config(from common.Address, value uint64) *runtime.Config {
	return &runtime.Config{ChainConfig: s.rules, Origin: from, State: s.state, GasLimit: 3_000_000, Value: new(big.Int).SetUint64(value), BlockNumber: new(big.Int)}
}

func (s *stage) must(to common.Address, signature string, args ...any) []byte {
	s.t.Helper()
	out, _, err := runtime.Call(to, pack(s.t, signature, args...), s.config(s.strangers[0], 0))
	require.NoError(s.t, err, signature)
	return out
}

// compose makes a call of bytes: most stand for a word that means something, the
// others for themselves.
func (s *stage) compose(recipe []byte) (data []byte) {
	for _, b := range recipe {
		if int(b) < len(s.words) {
			data = append(data, s.words[b]...)
		} else {
			data = append(data, b)
		}
	}
	return data
}

// at is what each of ours has of the token and of the coin.
func (s *stage) at() (out []uint64) {
	for _, a := range s.ours {
		out = append(out, new(big.Int).SetBytes(s.must(s.token, "balanceOf(address)", a)).Uint64(), s.state.GetBalance(a).Uint64())
	}
	return out
}

// wealth is all of the token and of the coin that is ours or the treasury's.
func (s *stage) wealth() (tokens, coins uint64) {
	for _, a := range append([]common.Address{s.treasury}, s.ours...) {
		tokens += new(big.Int).SetBytes(s.must(s.token, "balanceOf(address)", a)).Uint64()
		coins += s.state.GetBalance(a).Uint64()
	}
	return tokens, coins
}

// try has somebody who is not the owner call one of ours, and requires that
// nothing went anywhere but to the treasury, and of who may not sweep nothing there
// either. It reports whether anything moved.
func (s *stage) try(who, at uint8, value uint16, recipe []byte) bool {
	s.t.Helper()
	kept := s.state
	s.state = kept.Copy()
	defer func() { s.state = kept }()
	from := s.strangers[int(who)%len(s.strangers)]
	to := s.ours[int(at)%len(s.ours)]
	data := s.compose(recipe)
	var codes [][]byte
	for _, a := range s.ours {
		codes = append(codes, s.state.GetCode(a))
	}
	tokens, coins := s.wealth()
	each := s.at()
	moved := s.state.GetBalance(s.treasury).Uint64()
	_, _, err := runtime.Call(to, data, s.config(from, uint64(value)))
	_ = err // most calls fail, and may
	tokensAfter, coinsAfter := s.wealth()
	require.Equal(s.t, tokens, tokensAfter, "tokens: %x by %x to %x", data, from, to)
	// What came along may have stayed.
	require.Contains(s.t, []uint64{coins, coins + uint64(value)}, coinsAfter, "coin: %x by %x to %x", data, from, to)
	if s.sponsor != (common.Address{}) && from != s.sponsor {
		for i, n := range s.at() {
			require.LessOrEqual(s.t, each[i], n, "of %x: %x by %x to %x", s.ours[i/2], data, from, to)
		}
	}
	for i, a := range s.ours {
		require.Equal(s.t, codes[i], s.state.GetCode(a), "code")
		require.Equal(s.t, a, common.BytesToAddress(s.must(s.nft, "ownerOf(uint256)", big.NewInt(int64(i)))), "%x", data)
		for _, by := range []common.Address{from, to} {
			_, _, err := runtime.Call(s.token, pack(s.t, "transferFrom(address,address,uint256)", a, s.strangers[0], big.NewInt(1)), s.config(by, 0))
			// An account of nothing has nothing to take.
			require.Error(s.t, err, "an allowance: %x by %x", data, by)
		}
	}
	return moved != s.state.GetBalance(s.treasury).Uint64() ||
		new(big.Int).SetBytes(s.must(s.token, "balanceOf(address)", s.treasury)).Sign() > 0
}

// recipe is a call that is meant: the tests of chance begin with these.
func recipes(s *stage) (out [][]byte) {
	index := func(word []byte) byte {
		for i, w := range s.words {
			if string(w) == string(word) {
				return byte(i)
			}
		}
		s.t.Fatalf("no word %x", word)
		return 0
	}
	word := func(a common.Address) byte { return index(common.LeftPadBytes(a[:], 32)) }
	number := func(n uint64) byte { return index(binary.BigEndian.AppendUint64(make([]byte, 24), n)) }
	sweep := contracts.Sweep(common.Address{}, chain.Amount{})[:4]
	execute := contracts.Execute(common.Address{}, chain.Amount{}, nil)[:4]
	return [][]byte{
		{index(sweep), word(s.token), number(0)},
		{index(sweep), number(0), number(1)},
		{2, index(s.token[:]), index(binary.BigEndian.AppendUint64(nil, 150_000)), index(s.ours[0][:]), index(binary.BigEndian.AppendUint64(make([]byte, 4), payment)), index(s.ours[1][:]), index(binary.BigEndian.AppendUint64(make([]byte, 4), 0))},
		{3, index(s.token[:]), index(binary.BigEndian.AppendUint64(nil, 150_000)), index([]byte{7: 1}), index(binary.BigEndian.AppendUint64(make([]byte, 4), payment))},
		{index(execute), word(s.token), number(0), number(0x60), number(0x44), 7, word(s.strangers[0]), number(1)},
	}
}

// Random calls, most of them made of words that mean something, move nothing but
// to the treasury, and some of them do move. A fuzz target would be no better: it is
// guided by what it covers of the Go code around the EVM, not of the contract.
func TestThreat_F1_RandomCallsPayOnlyTheTreasury(t *testing.T) {
	for name, sponsor := range map[string]common.Address{"with a sponsor": {0x33}, "without": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newStage(t, sponsor).tryAtRandom(t)
		})
	}
}

func (s *stage) tryAtRandom(t *testing.T) {
	known := recipes(s)
	random := rand.New(rand.NewPCG(1, 2))
	swept, rounds := 0, 1500
	if testing.Short() {
		rounds = 300
	}
	for range rounds {
		recipe := append([]byte{}, known[random.IntN(len(known))]...)
		for range random.IntN(4) {
			switch i := random.IntN(len(recipe)); random.IntN(3) {
			case 0:
				recipe[i] = byte(random.IntN(len(s.words) + 8))
			case 1:
				recipe = append(recipe[:i], recipe[min(i+1, len(recipe)-1):]...)
			default:
				recipe = append(recipe, byte(random.IntN(256)))
			}
		}
		if s.try(uint8(random.IntN(3)), uint8(random.IntN(4)), uint16(random.IntN(3)), recipe) {
			swept++
		}
	}
	t.Logf("%d of %d swept something", swept, rounds)
	require.Greater(t, swept, rounds/20, "calls that mean something")
	require.Less(t, swept, rounds*9/10)
}
