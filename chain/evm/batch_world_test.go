package evm

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// source is what the fake node knows of one account.
type source struct {
	code    []byte
	nonce   uint64
	holding uint64
	frozen  bool
	whale   bool // it holds 2^96 and not holding
}

// field is a fake node with a sweeper on it, whose calls run as the contract does.
type field struct {
	*figures
	sweeper *contracts.Sweeper
	code    []byte // at the sweeper's address
	proxy   []byte
	sources map[chain.Address]*source
	keys    map[string]*secp256k1.PrivateKey
	// each is what an entry uses of gas; old makes the node one that takes no
	// changed state.
	each uint64
	old  bool
	// calls counts the calls of the sweeper; lentTo are the accounts with lent code
	// of the last.
	calls  int
	lentTo []string
}

// testSweeper pays bob.
func testSweeper(t require.TestingT) *contracts.Sweeper {
	s, err := contracts.New(contracts.Params{Treasury: rawAddress(t, bob), Owner: contracts.Address{0: 0xbb}, Sponsor: rawAddress(t, alice)})
	require.NoError(t, err)
	return s
}

func newField(t testing.TB) *field {
	s := testSweeper(t)
	f := &field{
		figures: newNode(t), sweeper: s, code: s.Code(), proxy: contracts.DeployerCode(), sources: map[chain.Address]*source{},
		keys: map[string]*secp256k1.PrivateKey{aliceAccount.Key.Path: aliceKey(t)}, each: 9_000,
	}
	return f
}

// open takes the sponsor away: the contract is one of which anybody sweeps.
func (f *field) open() *field {
	p := f.sweeper.Params()
	p.Sponsor = contracts.Address{}
	s, err := contracts.New(p)
	require.NoError(f.t, err)
	f.sweeper, f.code = s, s.Code()
	return f
}

func (f *field) writer() writer {
	w := f.figures.writer()
	w.node, w.sweeper = f, f.sweeper
	return w
}

// source makes an account that the chain has never seen, and which holds so much.
func (f *field) source(holding uint64) chain.Account {
	i := len(f.sources)
	seed := keccak256([]byte("source " + strconv.Itoa(i)))
	key := secp256k1.PrivKeyFromBytes(seed[:])
	raw, err := codec{}.FromPublicKey(nil, key.PubKey().SerializeUncompressed())
	require.NoError(f.t, err)
	a := chain.Account{Address: checksummed([addressLength]byte(raw)), Key: chain.KeyRef{Wallet: "w", Path: fmt.Sprintf("m/44'/60'/0'/0/%d", i+10)}}
	f.sources[a.Address] = &source{holding: holding}
	f.keys[a.Key.Path] = key
	return a
}

// collect is an intent of fresh sources with 100, 101, 102 … and of others that
// delegate already.
func (f *field) collect(asset chain.Asset, fresh, reused int) chain.Intent {
	in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: aliceAccount}
	for i := range fresh + reused {
		a := f.source(1000 + uint64(i))
		if i >= fresh {
			f.sources[a.Address].code, f.sources[a.Address].nonce = f.sweeper.Delegation(), 1
		}
		in.Moves = append(in.Moves, chain.Move{From: a, To: bob, Asset: asset, Amount: chain.NewAmount(100 + uint64(i))})
	}
	return in
}

func (f *field) token(fresh, reused int) chain.Intent {
	return f.collect(tokenAsset(1, usdc), fresh, reused)
}

func (f *field) prepare(in chain.Intent) (chain.Draft, error) {
	return f.writer().prepare(f.t.Context(), in, nil)
}

func (f *field) many(ctx context.Context, questions []question) error {
	for i := range questions {
		q := &questions[i]
		q.err = f.call(ctx, q.method, q.out, q.params...)
	}
	return ctx.Err()
}

func (f *field) call(ctx context.Context, method string, out any, params ...any) error {
	text, err := json.Marshal(params)
	require.NoError(f.t, err)
	var p []any
	require.NoError(f.t, json.Unmarshal(text, &p))
	answer, ok, err := f.answers1(method, p)
	if err != nil {
		f.asked = append(f.asked, method)
		return err
	}
	if !ok {
		return f.figures.call(ctx, method, out, params...)
	}
	f.asked = append(f.asked, method)
	raw, err := json.Marshal(answer)
	require.NoError(f.t, err)
	return json.Unmarshal(raw, out)
}

// answers1 answers what concerns a source or the sweeper.
func (f *field) answers1(method string, params []any) (any, bool, error) {
	if _, set := f.figures.answers[method]; set || len(params) == 0 {
		return nil, false, nil
	}
	if name, ok := params[0].(string); ok {
		s, known := f.sources[chain.Address(name)]
		switch {
		case method == "eth_getCode" && name == string(checksummed(f.sweeper.Address())):
			return hexBytes(f.code), true, nil
		case method == "eth_getCode" && strings.EqualFold(name, "0x4e59b44847b379578588920ca78fbf26c0b4956c"):
			return hexBytes(f.proxy), true, nil
		case !known:
			return nil, false, nil
		case method == "eth_getCode":
			return hexBytes(s.code), true, nil
		case method == "eth_getTransactionCount":
			return hexQuantity(s.nonce), true, nil
		case method == "eth_getBalance":
			return hexQuantity(s.holding), true, nil
		}
		return nil, false, nil
	}
	args, ok := params[0].(map[string]any)
	if !ok {
		return nil, false, nil
	}
	input, _ := args["data"].(string)
	data, err := hex.DecodeString(strings.TrimPrefix(input, "0x"))
	require.NoError(f.t, err)
	switch {
	case len(data) == 36 && string(data[:4]) == balanceOfSelector:
		s := f.sources[checksummed([addressLength]byte(data[16:]))]
		if s.whale {
			return "0x" + strings.Repeat("0", 39) + "1" + strings.Repeat("0", 24), true, nil
		}
		return hexWord(s.holding), true, nil
	case args["to"] != string(checksummed(f.sweeper.Address())):
		return nil, false, nil
	}
	return f.sweep(method, args, data, params[2:])
}

// sweep runs a batch.
func (f *field) sweep(method string, args map[string]any, data []byte, more []any) (any, bool, error) {
	lent := map[string]any{}
	if len(more) > 0 {
		if f.old {
			return nil, true, refused(-32602, "too many arguments, want at most 2")
		}
		lent, _ = more[0].(map[string]any)
	}
	batch, err := contracts.DecodeBatch(data)
	require.NoError(f.t, err)
	used := 30_000 + uint64(len(batch.Entries))*f.each
	if method == "eth_estimateGas" {
		return hexQuantity(used - used/5), true, nil // what a node tells after refunds
	}
	f.calls++
	f.lentTo = nil
	for name, is := range lent {
		require.Equal(f.t, map[string]any{"code": hexBytes(f.sweeper.Delegation())}, is)
		f.lentTo = append(f.lentTo, name)
	}
	limit := uint256.MustFromHex(args["gas"].(string)).Uint64()
	sponsor := f.sweeper.Params().Sponsor
	barred := sponsor != (contracts.Address{}) && args["from"] != string(checksummed(sponsor))
	tried, failed := uint64(0), []byte{}
	for i, e := range batch.Entries {
		if limit < 30_000+uint64(i)*f.each+(contracts.Cost{}).Limit(0, batch.Gas) {
			break
		}
		tried++
		name := checksummed(e.Account)
		s := f.sources[name]
		if ours := bytes.Equal(s.code, f.sweeper.Delegation()) || lent[string(name)] != nil; !ours || barred || s.frozen || chain.NewAmount(s.holding).Less(e.Amount) {
			word := e.Amount.Bytes32()
			failed = append(append(failed, e.Account[:]...), word[20:]...)
		}
	}
	words := []byte{}
	for _, n := range []uint64{tried, 64, uint64(len(failed) / 32)} {
		word := chain.NewAmount(n).Bytes32()
		words = append(words, word[:]...)
	}
	return hexBytes(append(words, failed...)), true, nil
}

// keyring signs with the key that a request names, as a signer with the sweeper's
// codec does.
type keyring struct {
	f *field
	// rounds are the requests of each call; bend changes the answers of a round.
	rounds [][]chain.SignRequest
	bend   func(round int, answers [][]byte) [][]byte
}

func (k *keyring) Sign(_ context.Context, requests []chain.SignRequest) ([][]byte, error) {
	k.rounds = append(k.rounds, requests)
	var out [][]byte
	for _, r := range requests {
		_, digest, err := CodecWith(k.f.sweeper).Decode(r)
		if err != nil {
			return nil, err
		}
		compact := ecdsa.SignCompact(k.f.keys[r.Key.Path], digest, false)
		out = append(out, append(compact[1:], compact[0]-27))
	}
	if k.bend != nil {
		out = k.bend(len(k.rounds)-1, out)
	}
	return out, nil
}

// sign signs a draft.
func (f *field) sign(d chain.Draft) chain.Signed {
	f.t.Helper()
	s, err := f.writer().sign(f.t.Context(), d, &keyring{f: f})
	require.NoError(f.t, err)
	return s
}

// draftOf decodes a draft's payload.
func draftOf(t testing.TB, d chain.Draft) *transaction {
	tx, err := decodeDraft(d.Payload)
	require.NoError(t, err)
	return tx
}

// named are the accounts of a *chain.SourcesError, with why.
func named(t testing.TB, err error) map[chain.Address]string {
	t.Helper()
	var sources *chain.SourcesError
	require.ErrorAs(t, err, &sources)
	out := map[chain.Address]string{}
	for _, s := range sources.Sources {
		out[s.Account] = s.Reason
	}
	return out
}
