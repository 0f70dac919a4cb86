package evm

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

func TestDeploySweeper(t *testing.T) {
	f := newField(t)
	f.code, f.gas = nil, 400_000
	in := chain.Intent{Purpose: chain.PurposeDeployment, FeePayer: aliceAccount, Taken: []chain.Lock{nonceLock(alice, 5)}}
	d, err := f.writer().deploySweeper(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, []chain.Lock{nonceLock(alice, 6)}, d.Locks)
	k := &keyring{f: f}
	s, err := f.writer().sign(t.Context(), d, k)
	require.NoError(t, err)
	require.Equal(t, aliceAccount.Key, k.rounds[0][0].Key)
	effects, _, err := CodecWith(f.sweeper).Decode(k.rounds[0][0])
	require.NoError(t, err)
	require.Equal(t, chain.Effects{Contract: checksummed(f.sweeper.Address()), MaxFee: d.Fee, Once: "nonce:6"}, effects)
	tx := unsigned(t, s)
	to, data := f.sweeper.Deployment()
	require.Equal(t, to, tx.To)
	require.Equal(t, data, tx.Data)
	require.Equal(t, uint64(500_000), tx.Gas)

	// Another installation's is not signed, nor one that was changed.
	other, err := contracts.New(contracts.Params{Treasury: contracts.Address{0: 9}, Owner: contracts.Address{0: 9}})
	require.NoError(t, err)
	_, _, err = CodecWith(other).Decode(k.rounds[0][0])
	requireFormat(t, err, "payload")
	changed := d
	tx.Data[len(tx.Data)-1] ^= 1
	changed.Payload = payloadOf(t, tx)
	_, err = f.writer().sign(t.Context(), changed, k)
	requireFormat(t, err, "payload")

	f.code = f.sweeper.Code()
	_, err = f.writer().deploySweeper(t.Context(), in)
	require.ErrorIs(t, err, ErrSweeperDeployed)
	f.code = []byte{1}
	_, err = f.writer().deploySweeper(t.Context(), in)
	var wrong *SweeperCodeError
	require.ErrorAs(t, err, &wrong)
	f.code, f.proxy = nil, nil
	_, err = f.writer().deploySweeper(t.Context(), in)
	require.ErrorIs(t, err, chain.ErrNoContract)
	f.proxy, f.balance = contracts.DeployerCode(), "7"
	d, err = f.writer().deploySweeper(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, d.Needs, 1)
	in.Moves = make([]chain.Move, 1)
	_, err = f.writer().deploySweeper(t.Context(), in)
	requireFormat(t, err, "intent's moves")
	f.sweeper = nil
	w := f.figures.writer()
	_, err = w.deploySweeper(t.Context(), in)
	require.ErrorIs(t, err, chain.ErrUnsupported)
}

func withSweeper(s *contracts.Sweeper) func(*Config) {
	return func(c *Config) { c.Sweeper = s }
}

// A client says at its start what stands at the sweeper's address.
func TestThreat_B7_SweeperCodeIsCheckedAtStart(t *testing.T) {
	s := testSweeper(t)
	n := newFakeNode(t)
	c := n.client(t, withSweeper(s))
	key := strings.ToLower("eth_getCode/" + string(checksummed(s.Address())))
	_, err := c.Identify(t.Context())
	var wrong *SweeperCodeError
	require.ErrorAs(t, err, &wrong)
	require.ErrorIs(t, err, chain.ErrNoContract)
	require.Empty(t, wrong.Got)
	want := s.CodeHash()
	require.Equal(t, hexHash(&want), wrong.Want)

	n.state[key] = "0x6001"
	_, err = c.Identify(t.Context())
	require.ErrorAs(t, err, &wrong)
	require.False(t, errors.Is(err, chain.ErrNoContract))
	sum := keccak256([]byte{0x60, 1})
	require.Equal(t, hexHash(&sum), wrong.Got)
	require.ErrorContains(t, err, wrong.Got)
	require.ErrorContains(t, err, wrong.Want)

	n.state[key] = hexBytes(s.Code())
	_, err = c.Identify(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.VerifySweeper(t.Context()))

	require.ErrorIs(t, n.client(t).VerifySweeper(t.Context()), chain.ErrUnsupported)
	_, err = New(Config{Preset: Local(1337), URL: n.URL, Sweeper: new(contracts.Sweeper)})
	var field *ConfigError
	require.ErrorAs(t, err, &field)
	require.Equal(t, "Sweeper", field.Field)
}

// unsweptOf is the data of a log: so many tried, and one failed.
func unsweptOf(tried uint64, account contracts.Address, amount uint64) string {
	return word(tried) + word(64)[2:] + word(1)[2:] + hex.EncodeToString(account[:]) + word(amount)[42:]
}

// Status tells whose nonces a batch used up, and what it did not move.
func TestStatusOfBatch(t *testing.T) {
	f := newField(t)
	in := f.token(2, 1)
	d, s := signedBatch(t, f, in)
	var tx types.Transaction
	require.NoError(t, tx.UnmarshalBinary(s.Raw))
	shown, err := json.Marshal(tx.SetCodeAuthorizations())
	require.NoError(t, err)
	var list []any
	require.NoError(t, json.Unmarshal(shown, &list))
	topic := contracts.UnsweptTopic()
	require.Equal(t, unsweptTopicRaw, string(topic[:]))

	n := newFakeNode(t)
	n.chainID = 1
	at := string(checksummed(f.sweeper.Address()))
	failed := rawAddress(t, in.Moves[2].From.Address)
	mined := fakeTx{from: string(alice), to: at, nonce: 5, logs: []fakeLog{
		{address: other, topics: []string{hexHash(&topic)}, data: unsweptOf(3, failed, 7)}, // anybody's
		{address: at, topics: []string{hexHash(&topic)}, data: unsweptOf(3, failed, 102)},
		transferLog(string(usdc), string(in.Moves[0].From.Address), string(bob), 100),
	}}
	b := n.mine(mined)
	object := b.txs[0]
	object["type"] = "0x4"
	object["authorizationList"] = list
	client := func(id uint64, s *contracts.Sweeper) *Client {
		asset, err := Token(Local(id).Info.ID, string(usdc), "USDC", 6)
		require.NoError(t, err)
		c, err := New(Config{Preset: Local(id), URL: n.URL, Sweeper: s, Tokens: []chain.Asset{asset}})
		require.NoError(t, err)
		return c
	}
	status := func(c *Client) chain.TxStatus {
		t.Helper()
		out, err := c.Status(t.Context(), chain.TxID(txHashOf(mined)))
		require.NoError(t, err)
		return out[0]
	}
	got := status(client(1, f.sweeper))
	require.Equal(t, d.Locks, got.Locks)
	require.Equal(t, &chain.Unswept{Tried: 3, Failed: []chain.UnsweptMove{{Account: in.Moves[2].From.Address, Amount: chain.NewAmount(102)}}}, got.Unswept)
	require.Len(t, got.Transfers, 1)
	require.Equal(t, in.Moves[0].From.Address, got.Transfers[0].From)

	require.Nil(t, status(client(1, nil)).Unswept, "nobody's log")
	require.Len(t, status(client(5, f.sweeper)).Locks, 1, "authorisations for another chain use up nothing here")

	// As a page tells of the sponsor's own transactions.
	page, err := client(1, f.sweeper).Transfers(t.Context(), b.height, b.height, watching(nil, string(alice)))
	require.NoError(t, err)
	require.Equal(t, d.Locks, page.Spends[0].Locks)
	require.NotNil(t, page.Spends[0].Unswept)

	// What strangers put there stops nobody: the chain takes it and skips it.
	good := list[1]
	for name, strange := range map[string]any{
		"null": nil, "no list": "x", "empty": []any{}, "numbers": []any{1, 2},
		"too long":       []any{map[string]any{"r": "0x" + strings.Repeat("f", 65)}},
		"no signature":   []any{map[string]any{"chainId": "0x1", "address": at, "nonce": "0x0", "yParity": "0x0", "r": "0x0", "s": "0x0"}},
		"short address":  []any{map[string]any{"chainId": "0x1", "address": "0x12", "nonce": "0x0", "yParity": "0x0", "r": "0x1", "s": "0x1"}},
		"odd digits":     []any{map[string]any{"chainId": "1"}},
		"another parity": []any{map[string]any{"chainId": "0x1", "address": at, "nonce": "0x0", "yParity": "0xff", "r": "0x1", "s": "0x1"}},
	} {
		object["authorizationList"] = strange
		require.Equal(t, d.Locks[:1], status(client(1, f.sweeper)).Locks, name)
	}
	object["authorizationList"] = []any{good, good, map[string]any{"chainId": "0x1", "address": at, "nonce": "0x0", "yParity": "0x0", "r": "0x0", "s": "0x0"}}
	require.Equal(t, []chain.Lock{d.Locks[0], d.Locks[2]}, status(client(1, f.sweeper)).Locks, "each once, and what is none is left out")

	// Data that is none of the contract's says nothing.
	b.receipts[0]["logs"].([]any)[1].(map[string]any)["data"] = "0x00"
	require.Nil(t, status(client(1, f.sweeper)).Unswept)
}

// A raw block tells the same as the node's own list.
func TestRawBlockTellsAuthorities(t *testing.T) {
	f := newField(t)
	d, s := signedBatch(t, f, f.token(2, 0))
	encoded, err := rlp.EncodeToBytes(s.Raw)
	require.NoError(t, err)
	var raw rawTx
	_, known, bad := rlpTx(&raw, encoded)
	require.Nil(t, bad)
	require.True(t, known)
	o, ok := raw.object(1)
	require.True(t, ok)
	require.Equal(t, rawAddress(t, alice), o.from)
	c, err := New(Config{Preset: Local(1), URL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	require.Equal(t, d.Locks[1:], c.delegationLocks(&o))

	// Every chain's authorisation counts here too.
	key := f.keys["m/44'/60'/0'/0/10"]
	auth, err := types.SignSetCode(key.ToECDSA(), types.SetCodeAuthorization{Address: f.sweeper.Address(), Nonce: 9})
	require.NoError(t, err)
	o.auths = []authorizationObject{{signedAuth: signedAuth{Address: auth.Address, Nonce: 9, Parity: uint64(auth.V), R: auth.R, S: auth.S}}}
	require.Len(t, c.delegationLocks(&o), 1)
}

func FuzzAuthorizationList(f *testing.F) {
	f.Add([]byte(`[{"chainId":"0x1","address":"0x0000000000000000000000000000000000000001","nonce":"0x0","yParity":"0x0","r":"0x1","s":"0x1"}]`))
	f.Add([]byte(`null`))
	c, err := New(Config{Preset: Local(1), URL: "http://127.0.0.1:1"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{data: text}
		o := transactionObject{auths: s.authorizations()}
		_ = c.delegationLocks(&o)
		raw := rawTx{kind: setCodeType, encoding: append([]byte{setCodeType}, text...)}
		o.auths = raw.authorizations()
		_ = c.delegationLocks(&o)
	})
}
