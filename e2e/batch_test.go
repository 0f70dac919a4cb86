package e2e

import (
	"errors"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	sweeping "github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/chain/evm/evmtest/sweeptokens"
	"github.com/bursar-go/bursar/e2e/node"
	"github.com/bursar-go/bursar/hdwallet"
)

// fleet is deposit addresses, a sponsor and the contract that sweeps them, on one
// node; what is signed passes a policy signer.
type fleet struct {
	t       *testing.T
	n       *node.Network
	client  *evm.Client
	sweeper *sweeping.Sweeper
	wallet  *hdwallet.Wallet
	account *hdwallet.Account
	signer  chain.Signer
	usd     chain.Asset
	to      chain.Address
	made    uint32
}

const devWords = "test test test test test test test test test test test junk"

func newFleet(t *testing.T, n *node.Network) *fleet { return newFleetOf(t, n, "OzLike") }

// newFleetOf is a fleet whose deposits are of one of the tokens of sweeptokens.
func newFleetOf(t *testing.T, n *node.Network, kind string) *fleet {
	wallet, err := hdwallet.FromMnemonic(devWords, t.Name()) // addresses that no other test uses
	require.NoError(t, err)
	return fleetOf(t, n, kind, wallet)
}

// fleetOf is a fleet of that wallet's addresses.
func fleetOf(t *testing.T, n *node.Network, kind string, wallet *hdwallet.Wallet) *fleet {
	f := &fleet{t: t, n: n, wallet: wallet}
	var err error
	f.account, err = f.wallet.Account(60)
	require.NoError(t, err)
	f.to = f.at(1, 9).Address
	treasury, owner := common.HexToAddress(string(f.to)), crypto.CreateAddress(n.Stranger(), 1<<40)
	f.sweeper, err = sweeping.New(sweeping.Params{Treasury: treasury, Owner: owner, Sponsor: common.HexToAddress(string(f.sponsor().Address))})
	require.NoError(t, err)
	token := n.Deploy(sweeptokens.Init(kind))
	n.Mine(1)
	id := evm.Local(n.ChainID).Info.ID
	f.usd, err = evm.Token(id, token.Hex(), "USD", 6)
	require.NoError(t, err)
	f.client, err = evm.New(evm.Config{Preset: evm.Local(n.ChainID), URL: n.URL, Sweeper: f.sweeper, Tokens: []chain.Asset{f.usd}})
	require.NoError(t, err)
	f.signer, err = hdwallet.NewSigner(hdwallet.Policy{
		Codecs:   map[chain.ID]chain.Codec{id: evm.CodecWith(f.sweeper)},
		Treasury: map[chain.ID][]chain.Address{id: {f.to}},
	}, f.wallet)
	require.NoError(t, err)
	n.Fund(common.HexToAddress(string(f.sponsor().Address)), new(big.Int).Mul(big.NewInt(1e18), big.NewInt(10)))
	n.Mine(1)
	return f
}

// at is an account of the wallet.
func (f *fleet) at(change, index uint32) chain.Account {
	public, err := f.account.PublicKey(change, index)
	require.NoError(f.t, err)
	raw, err := evm.Codec().FromPublicKey(nil, public)
	require.NoError(f.t, err)
	a, err := evm.Codec().Format(raw)
	require.NoError(f.t, err)
	return chain.Account{Address: a, Key: f.account.KeyRef(change, index)}
}

func (f *fleet) sponsor() chain.Account { return f.at(1, 0) }

// fresh are deposit addresses that nobody used.
func (f *fleet) fresh(count int) (out []chain.Account) {
	for range count {
		out = append(out, f.at(0, f.made))
		f.made++
	}
	return out
}

const deposit = 123_456_789

// pay gives each account a deposit.
func (f *fleet) pay(to ...chain.Account) {
	f.t.Helper()
	var raw []common.Address
	for _, a := range to {
		raw = append(raw, common.HexToAddress(string(a.Address)))
	}
	f.mint(raw...)
}

func (f *fleet) mint(to ...common.Address) {
	f.t.Helper()
	list, err := abi.NewType("address[]", "", nil)
	require.NoError(f.t, err)
	number, err := abi.NewType("uint256", "", nil)
	require.NoError(f.t, err)
	args, err := abi.Arguments{{Type: list}, {Type: number}}.Pack(to, big.NewInt(deposit))
	require.NoError(f.t, err)
	contract := common.HexToAddress(string(f.usd.Contract))
	f.n.Send(&contract, nil, append(crypto.Keccak256([]byte("mint(address[],uint256)"))[:4], args...), 100_000+60_000*uint64(len(to)))
	f.n.Mine(1)
}

// collect is the intent that sweeps accounts.
func (f *fleet) collect(of ...chain.Account) chain.Intent {
	in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: f.sponsor()}
	for _, a := range of {
		in.Moves = append(in.Moves, chain.Move{From: a, To: f.to, Asset: f.usd, Amount: chain.NewAmount(deposit)})
	}
	return in
}

// signed prepares and signs an intent.
func (f *fleet) signed(in chain.Intent) (chain.Draft, chain.Signed) {
	f.t.Helper()
	d, err := f.client.Prepare(f.t.Context(), in)
	require.NoError(f.t, err)
	require.Empty(f.t, d.Needs)
	s, err := f.client.Sign(f.t.Context(), d, f.signer)
	require.NoError(f.t, err)
	return d, s
}

// lands broadcasts what was signed and returns what became of it.
func (f *fleet) lands(s chain.Signed) chain.TxStatus {
	f.t.Helper()
	require.NoError(f.t, f.client.Broadcast(f.t.Context(), s))
	require.NoError(f.t, f.client.Broadcast(f.t.Context(), s), "again, to no other effect")
	f.n.Mine(1)
	var out []chain.TxStatus
	require.Eventually(f.t, func() bool {
		var err error
		out, err = f.client.Status(f.t.Context(), s.ID)
		return err == nil && out[0].State == chain.TxIncluded
	}, patience, tick)
	return out[0]
}

// swept requires that a batch moved the deposits of the accounts, and nothing else.
func (f *fleet) swept(status chain.TxStatus, of ...chain.Account) {
	f.t.Helper()
	var from, want []chain.Address
	for _, x := range status.Transfers {
		require.Equal(f.t, f.to, x.To)
		require.Equal(f.t, chain.NewAmount(deposit), x.Amount)
		from = append(from, x.From)
	}
	for _, a := range of {
		want = append(want, a.Address)
	}
	require.Equal(f.t, want, from)
}

// proxy makes sure that the deployment proxy is there, by the one transaction that
// nobody has the key of.
func (f *fleet) proxy() {
	to, _ := f.sweeper.Deployment()
	code, err := f.n.Eth.CodeAt(f.t.Context(), to, nil)
	require.NoError(f.t, err)
	if len(code) > 0 {
		return
	}
	deploy := "604580600e600039806000f350fe" + common.Bytes2Hex(sweeping.DeployerCode())
	twos := new(big.Int).SetBytes(common.FromHex("2222222222222222222222222222222222222222222222222222222222222222"))
	tx := types.NewTx(&types.LegacyTx{GasPrice: big.NewInt(100e9), Gas: 100_000, Data: common.FromHex(deploy), V: big.NewInt(27), R: twos, S: twos})
	from, err := types.Sender(types.HomesteadSigner{}, tx)
	require.NoError(f.t, err)
	f.n.Fund(from, big.NewInt(1e17))
	f.n.Mine(1)
	raw, err := tx.MarshalBinary()
	require.NoError(f.t, err)
	require.NoError(f.t, f.n.RPC.CallContext(f.t.Context(), nil, "eth_sendRawTransaction", hexutil.Bytes(raw)))
	f.n.Mine(1)
	require.Equal(f.t, to, sweeping.Address(crypto.CreateAddress(from, 0)))
}

// deploy puts the sweeper on the chain.
func (f *fleet) deploy() {
	f.t.Helper()
	f.proxy()
	_, err := f.client.Identify(f.t.Context())
	var missing *evm.SweeperCodeError
	require.ErrorAs(f.t, err, &missing)
	_, err = f.client.Prepare(f.t.Context(), f.collect(f.fresh(1)...))
	require.True(f.t, errors.As(err, &missing), "%v", err)
	d, err := f.client.DeploySweeper(f.t.Context(), f.sponsor())
	require.NoError(f.t, err)
	s, err := f.client.Sign(f.t.Context(), d, f.signer)
	require.NoError(f.t, err)
	f.lands(s)
	require.NoError(f.t, f.client.VerifySweeper(f.t.Context()))
	_, err = f.client.Identify(f.t.Context())
	require.NoError(f.t, err)
	_, err = f.client.DeploySweeper(f.t.Context(), f.sponsor())
	require.ErrorIs(f.t, err, evm.ErrSweeperDeployed)
}

func TestBatchSimulated(t *testing.T) { batches(t, nodes.Simulated(t), 102) }
func TestBatchGeth(t *testing.T)      { batches(t, nodes.Geth(t), 102) }

// Anvil grants refunds for new delegations that no chain does; it may only be
// cheaper.
func TestBatchAnvil(t *testing.T) { batches(t, nodes.Anvil(t), 102) }

// As many addresses as Batching says fit one transaction, all of them fresh and of the
// dearest token that is known, and their sweep moves all of them.
func TestBatchOfTheMost(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of accounts")
	}
	f := newFleetOf(t, nodes.Simulated(t), "UsdtLike")
	f.deploy()
	bound := f.client.Batching()
	require.Equal(t, f.to, bound.Treasury)
	require.Equal(t, f.sponsor().Address, bound.FeePayer)
	require.Equal(t, 424, bound.MaxMoves)
	of := f.fresh(bound.MaxMoves)
	for from := 0; from < len(of); from += 100 {
		f.pay(of[from:min(from+100, len(of))]...)
	}
	d, s := f.signed(f.collect(of...))
	require.Len(t, d.Locks, 1+len(of))
	status := f.lands(s)
	f.swept(status, of...)
	require.Nil(t, status.Unswept)
}

// batches sweeps fresh and used addresses; gas is bounded in percent of what
// docs/contracts.md says.
func batches(t *testing.T, n *node.Network, percent uint64) {
	f := newFleet(t, n)
	f.deploy()
	f.mint(common.HexToAddress(string(f.to)))
	costs := func(status chain.TxStatus, count, most uint64) {
		t.Helper()
		t.Logf("%d gas for each of %d", status.GasUsed/count, count)
		require.LessOrEqual(t, status.GasUsed/count*100, most*percent)
	}

	first := f.fresh(10)
	f.pay(first...)
	d, s := f.signed(f.collect(first...))
	require.Len(t, d.Locks, 11)
	status := f.lands(s)
	f.swept(status, first...)
	require.Equal(t, d.Locks, status.Locks, "whose nonces it used up is seen on the chain")
	require.Nil(t, status.Unswept)
	require.False(t, d.Fee.Less(status.Fee))
	costs(status, 10, 31_897)

	f.pay(first...)
	d, s = f.signed(f.collect(first...))
	require.Len(t, d.Locks, 1, "they delegate already")
	status = f.lands(s)
	f.swept(status, first...)
	costs(status, 10, 11_359)

	mixed := append(f.fresh(5), first[:5]...)
	f.pay(mixed...)
	d, s = f.signed(f.collect(mixed...))
	require.Len(t, d.Locks, 6)
	f.swept(f.lands(s), mixed...)

	hundred := f.fresh(100)
	for _, most := range []uint64{29_244, 9_235} {
		f.pay(hundred...)
		_, s = f.signed(f.collect(hundred...))
		status = f.lands(s)
		f.swept(status, hundred...)
		costs(status, 100, most)
	}

	f.strangers(first)
	f.badEntry(first)
	f.wrongNonce()
	f.inTheWay(first)
	f.replaced()
}

// strangers: somebody sweeps addresses before our batch does, which moves nothing; nor
// is a batch of anybody but the sponsor made.
func (f *fleet) strangers(used []chain.Account) {
	of := used[:2]
	f.pay(of...)
	in := f.collect(of...)
	in.FeePayer = f.at(1, 3)
	_, err := f.client.Prepare(f.t.Context(), in)
	var bad *chain.FormatError
	require.ErrorAs(f.t, err, &bad)
	require.Equal(f.t, "intent's fee payer", bad.What)

	_, s := f.signed(f.collect(of...))
	at, usd := common.HexToAddress(string(of[1].Address)), common.HexToAddress(string(f.usd.Contract))
	call, err := sweeping.Batch{Op: sweeping.OpSweep, Asset: usd, Gas: 100_000, Entries: []sweeping.Entry{{Account: common.HexToAddress(string(of[0].Address))}, {Account: at}}}.Encode()
	require.NoError(f.t, err)
	f.n.Send(&at, nil, sweeping.Sweep(usd, chain.Amount{}), 200_000)
	all := common.Address(f.sweeper.Address())
	f.n.Send(&all, nil, call, 400_000)
	f.n.Mine(1)
	status := f.lands(s)
	f.swept(status, of...)
	require.Nil(f.t, status.Unswept)
}

// badEntry: one address pays by itself first, and the others are swept all the same.
func (f *fleet) badEntry(used []chain.Account) {
	of := used[:3]
	f.pay(of...)
	_, s := f.signed(f.collect(of...))
	f.n.Fund(common.HexToAddress(string(of[1].Address)), big.NewInt(1e18))
	f.n.Mine(1)
	own := f.collect(of[1])
	own.FeePayer = chain.Account{}
	_, first := f.signed(own)
	f.swept(f.lands(first), of[1])
	status := f.lands(s)
	f.swept(status, of[0], of[2])
	require.Equal(f.t, &chain.Unswept{Tried: 3, Failed: []chain.UnsweptMove{{Account: of[1].Address, Amount: chain.NewAmount(deposit)}}}, status.Unswept)
}

// wrongNonce: an address sends a transaction of its own, which makes its
// authorisation one for a nonce that is past.
func (f *fleet) wrongNonce() {
	of := f.fresh(3)
	f.pay(of...)
	_, s := f.signed(f.collect(of...))
	own := common.HexToAddress(string(of[1].Address))
	f.n.Fund(own, big.NewInt(1e17))
	f.n.Mine(1)
	d, err := f.client.Prepare(f.t.Context(), chain.Intent{
		Purpose: chain.PurposeCancel, Moves: []chain.Move{{From: of[1], To: of[1].Address, Asset: f.client.Info().Native}},
	})
	require.NoError(f.t, err)
	cancel, err := f.client.Sign(f.t.Context(), d, f.signer)
	require.NoError(f.t, err)
	f.lands(cancel)
	status := f.lands(s)
	require.Equal(f.t, chain.TxIncluded, status.State, "the chain calls it a success")
	f.swept(status, of[0], of[2])
	require.Equal(f.t, []chain.UnsweptMove{{Account: of[1].Address, Amount: chain.NewAmount(deposit)}}, status.Unswept.Failed)

	// Prepared anew it has the right one.
	d, s = f.signed(f.collect(of[1]))
	require.Equal(f.t, chain.Lock("nonce:"+string(of[1].Address)+":1"), d.Locks[1])
	f.swept(f.lands(s), of[1])
}

// inTheWay: what cannot be swept is named before anything is signed.
func (f *fleet) inTheWay(used []chain.Account) {
	of := append(f.fresh(2), used[0])
	f.pay(of[1])
	_, err := f.client.Prepare(f.t.Context(), f.collect(of...))
	var sources *chain.SourcesError
	require.ErrorAs(f.t, err, &sources)
	require.Len(f.t, sources.Sources, 2)
	require.Equal(f.t, of[0].Address, sources.Sources[0].Account)
	require.Equal(f.t, of[2].Address, sources.Sources[1].Account)
}

// replaced: a dearer batch takes the place of one that waits.
func (f *fleet) replaced() {
	if f.n.MinesAtOnce {
		return
	}
	of := f.fresh(2)
	f.pay(of...)
	in := f.collect(of...)
	d, s := f.signed(in)
	require.NoError(f.t, f.client.Broadcast(f.t.Context(), s))
	next, err := f.client.Bump(f.t.Context(), in, s)
	require.NoError(f.t, err)
	require.Equal(f.t, d.Locks, next.Locks)
	dearer, err := f.client.Sign(f.t.Context(), next, f.signer)
	require.NoError(f.t, err)
	status := f.lands(dearer)
	f.swept(status, of...)
	require.Equal(f.t, d.Locks, status.Locks)
	require.ErrorIs(f.t, f.client.Broadcast(f.t.Context(), s), chain.ErrLockSpent)
}
