package contracts_test

import (
	"context"
	"crypto/ecdsa"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/chain/evm/evmtest/sweeptokens"
)

// payment is how much each deposit is: three bytes are not zero, as of most
// amounts of a token with six decimals.
const payment = 123_456_789

// entryGas is the limit of an entry in most tests.
const entryGas = 150_000

// blocks is how many a transaction may take.
const blocks = 50

// account is one with a key.
type account struct {
	key *ecdsa.PrivateKey
	at  common.Address
}

// keyed returns the account of a name.
func keyed(t *testing.T, name string) account {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("test account " + name)))
	require.NoError(t, err)
	return account{key, crypto.PubkeyToAddress(key.PublicKey)}
}

// world is a chain on which the Sweeper is deployed.
type world struct {
	t       *testing.T
	backend *simulated.Backend
	sweeper *contracts.Sweeper
	// at is the Sweeper.
	at                                 common.Address
	sponsor, owner, stranger, treasury account
	made                               int
	gas                                uint64 // that transactions ask for, unless they say
	nonces                             map[common.Address]uint64
}

// newWorld starts a chain with the rules of Osaka: those after it are left out,
// which the development chain switches on in part.
func newWorld(t *testing.T) *world { return newWorldOf(t, osaka) }

// rules change those of the development chain.
type rules func(*params.ChainConfig)

// osaka are the rules that chains have today.
func osaka(c *params.ChainConfig) { c.BogotaTime = nil }

// amsterdam are those of the fork after it.
func amsterdam(c *params.ChainConfig) {
	c.BogotaTime, c.AmsterdamTime = nil, new(uint64)
}

// newWorldOf starts a chain with some rules.
func newWorldOf(t *testing.T, change rules) *world {
	w := &world{
		gas: contracts.TxGas, t: t, sponsor: keyed(t, "sponsor"), owner: keyed(t, "owner"), stranger: keyed(t, "stranger"), treasury: keyed(t, "treasury"),
		nonces: map[common.Address]uint64{},
	}
	coins := new(big.Int).Mul(big.NewInt(1e18), big.NewInt(1000))
	proxy, _ := w.newSweeper(w.treasury.at, w.sponsor.at).Deployment()
	alloc := types.GenesisAlloc{proxy: {Code: contracts.DeployerCode(), Balance: new(big.Int)}}
	for _, a := range []account{w.sponsor, w.owner, w.stranger, w.treasury} {
		alloc[a.at] = types.Account{Balance: coins}
	}
	w.backend = simulated.NewBackend(alloc, func(_ *node.Config, c *ethconfig.Config) {
		rules := *c.Genesis.Config
		change(&rules)
		c.Genesis.Config = &rules
	})
	t.Cleanup(func() { require.NoError(t, w.backend.Close()) })
	w.use(w.treasury.at, w.sponsor.at)
	return w
}

// newOpenWorld is one without a sponsor, where anybody may sweep.
func newOpenWorld(t *testing.T) *world {
	w := newWorld(t)
	w.use(w.treasury.at, common.Address{})
	return w
}

func (w *world) newSweeper(treasury, sponsor common.Address) *contracts.Sweeper {
	s, err := contracts.New(contracts.Params{Treasury: treasury, Owner: w.owner.at, Sponsor: sponsor})
	require.NoError(w.t, err)
	return s
}

// use deploys the Sweeper of a treasury and a sponsor, and makes it the world's.
func (w *world) use(treasury, sponsor common.Address) {
	w.sweeper = w.newSweeper(treasury, sponsor)
	w.at = w.sweeper.Address()
	to, data := w.sweeper.Deployment()
	w.ok(w.send(w.stranger, to, data))
	require.Equal(w.t, w.sweeper.Code(), w.code(w.at))
}

// tx is what of a transaction is not the same everywhere.
type tx struct {
	value int64
	gas   uint64
	auths []types.SetCodeAuthorization
}

// send has a transaction mined and returns its receipt.
func (w *world) send(from account, to common.Address, data []byte, with ...func(*tx)) *types.Receipt {
	w.t.Helper()
	return w.transact(from, &to, data, with...)
}

func (w *world) transact(from account, to *common.Address, data []byte, with ...func(*tx)) *types.Receipt {
	w.t.Helper()
	x := tx{gas: w.gas}
	for _, f := range with {
		f(&x)
	}
	ctx, client := context.Background(), w.backend.Client()
	nonce, err := client.NonceAt(ctx, from.at, nil) // the pool may not have heard of the last block
	require.NoError(w.t, err)
	id := big.NewInt(1337)
	tip, most := big.NewInt(1e9), big.NewInt(20e9)
	var inner types.TxData = &types.DynamicFeeTx{ChainID: id, Nonce: nonce, GasTipCap: tip, GasFeeCap: most, Gas: x.gas, To: to, Value: big.NewInt(x.value), Data: data}
	if x.auths != nil {
		inner = &types.SetCodeTx{
			ChainID: uint256.MustFromBig(id), Nonce: nonce, GasTipCap: uint256.MustFromBig(tip), GasFeeCap: uint256.MustFromBig(most),
			Gas: x.gas, To: *to, Value: uint256.NewInt(uint64(x.value)), Data: data, AuthList: x.auths,
		}
	}
	signed, err := types.SignNewTx(from.key, types.LatestSignerForChainID(id), inner)
	require.NoError(w.t, err)
	// The pool hears of a block a moment later. Until then it has the authorisations of
	// the block before as waiting, and refuses the authority's transaction or drops it
	// again; more blocks pass the time.
	var receipt *types.Receipt
	for i := 0; receipt == nil && i < blocks; i++ {
		refused := client.SendTransaction(ctx, signed)
		w.backend.Commit()
		if receipt, err = client.TransactionReceipt(ctx, signed.Hash()); err != nil && refused != nil {
			err = refused
		}
	}
	require.NoError(w.t, err)
	return receipt
}

func value(wei int64) func(*tx)  { return func(x *tx) { x.value = wei } }
func limit(gas uint64) func(*tx) { return func(x *tx) { x.gas = gas } }
func with(auths ...types.SetCodeAuthorization) func(*tx) {
	return func(x *tx) { x.auths = append([]types.SetCodeAuthorization{}, auths...) }
}

// ok requires a transaction's success.
func (w *world) ok(r *types.Receipt) *types.Receipt {
	w.t.Helper()
	require.Equal(w.t, types.ReceiptStatusSuccessful, r.Status, "status")
	return r
}

// failed requires that it was included and failed.
func (w *world) failed(r *types.Receipt) {
	w.t.Helper()
	require.Equal(w.t, types.ReceiptStatusFailed, r.Status, "status")
}

// contract deploys one of the contracts for tests.
func (w *world) contract(name string, args ...common.Address) common.Address {
	w.t.Helper()
	var words [][32]byte
	for _, a := range args {
		words = append(words, [32]byte(common.LeftPadBytes(a[:], 32)))
	}
	init := sweeptokens.Init(name, words...)
	require.NotNil(w.t, init, name)
	return w.ok(w.transact(w.stranger, nil, init)).ContractAddress
}

// token deploys a token by the name of a figure: oz, usdt, usdc.
func (w *world) token(name string) common.Address {
	switch name {
	case "coin":
		return common.Address{}
	case "usdt":
		return w.contract("UsdtLike")
	case "usdc":
		return w.contract("Proxy", w.contract("UsdcLike"))
	}
	return w.contract("OzLike")
}

// do calls a function of a contract for tests, by its signature.
func (w *world) do(to common.Address, signature string, args ...any) {
	w.t.Helper()
	w.ok(w.send(w.stranger, to, pack(w.t, signature, args...)))
}

// pack encodes a call by the function's signature.
func pack(t testing.TB, signature string, args ...any) []byte {
	t.Helper()
	data := selector(signature)
	var in abi.Arguments
	from := 0
	for i := range signature {
		switch signature[i] {
		case '(':
			from = i + 1
		case ',', ')':
			if i > from {
				is, err := abi.NewType(signature[from:i], "", nil)
				require.NoError(t, err)
				in = append(in, abi.Argument{Type: is})
			}
			from = i + 1
		}
	}
	packed, err := in.Pack(args...)
	require.NoError(t, err)
	return append(data, packed...)
}

// mint gives everybody a payment of a token, or of the coin.
func (w *world) mint(token common.Address, to ...common.Address) {
	w.t.Helper()
	if token == (common.Address{}) {
		for _, a := range to {
			w.ok(w.send(w.stranger, a, nil, value(payment)))
		}
		return
	}
	for len(to) > 0 {
		n := min(len(to), 500)
		w.do(token, "mint(address[],uint256)", to[:n], big.NewInt(payment))
		to = to[n:]
	}
}

// call asks without a transaction.
func (w *world) call(from, to common.Address, data []byte) ([]byte, error) {
	return w.backend.Client().CallContract(context.Background(), ethereum.CallMsg{From: from, To: &to, Data: data, Gas: contracts.TxGas}, nil)
}

// balance is an account's of a token; of the coin where token is zero.
func (w *world) balance(token, of common.Address) int64 {
	w.t.Helper()
	if token == (common.Address{}) {
		n, err := w.backend.Client().BalanceAt(context.Background(), of, nil)
		require.NoError(w.t, err)
		if of == w.treasury.at {
			n.Sub(n, new(big.Int).Mul(big.NewInt(1e18), big.NewInt(1000)))
		}
		require.True(w.t, n.IsInt64())
		return n.Int64()
	}
	out, err := w.call(w.stranger.at, token, pack(w.t, "balanceOf(address)", of))
	require.NoError(w.t, err)
	return new(big.Int).SetBytes(out).Int64()
}

func (w *world) code(at common.Address) []byte {
	code, err := w.backend.Client().CodeAt(context.Background(), at, nil)
	require.NoError(w.t, err)
	return code
}

// account makes an account that the chain has never seen.
func (w *world) account() account {
	w.made++
	return keyed(w.t, w.t.Name()+" "+big.NewInt(int64(w.made)).String())
}

func (w *world) accounts(n int) []account {
	out := make([]account, n)
	for i := range out {
		out[i] = w.account()
	}
	return out
}

// authorise signs the delegation to the Sweeper, for this chain, unless told
// otherwise.
func (w *world) authorise(a account, change ...func(*types.SetCodeAuthorization)) types.SetCodeAuthorization {
	auth := types.SetCodeAuthorization{ChainID: *uint256.NewInt(1337), Address: w.at}
	for _, f := range change {
		f(&auth)
	}
	signed, err := types.SignSetCode(a.key, auth)
	require.NoError(w.t, err)
	return signed
}

// delegate has accounts delegate to the Sweeper.
func (w *world) delegate(of ...account) {
	w.t.Helper()
	for len(of) > 0 {
		n := min(len(of), 400)
		w.ok(w.send(w.sponsor, w.stranger.at, nil, with(w.authorisations(of[:n])...)))
		for _, a := range of[:n] {
			require.Equal(w.t, w.sweeper.Delegation(), w.code(a.at))
		}
		of = of[n:]
	}
}

// salts makes salts that nobody used.
func (w *world) salts(n int) []contracts.Salt {
	out := make([]contracts.Salt, n)
	for i := range out {
		w.made++
		out[i] = contracts.Salt(crypto.Keccak256(big.NewInt(int64(w.made)).Bytes())[:8])
	}
	return out
}

func (w *world) forwarders(salts []contracts.Salt) []common.Address {
	var out []common.Address
	for _, s := range salts {
		out = append(out, w.sweeper.Forwarder(s))
	}
	return out
}

func addresses(of []account) []common.Address {
	var out []common.Address
	for _, a := range of {
		out = append(out, a.at)
	}
	return out
}

// batch encodes one of accounts, each with the same amount.
func (w *world) batch(token common.Address, amount uint64, of ...common.Address) []byte {
	w.t.Helper()
	b := contracts.Batch{Op: contracts.OpSweep, Asset: token, Gas: entryGas}
	for _, a := range of {
		b.Entries = append(b.Entries, contracts.Entry{Account: a, Amount: chain.NewAmount(amount)})
	}
	return w.encode(b)
}

// salted encodes one of forwarders.
func (w *world) salted(op contracts.Op, token common.Address, amount uint64, salts ...contracts.Salt) []byte {
	w.t.Helper()
	b := contracts.Batch{Op: op, Asset: token, Gas: entryGas}
	for _, s := range salts {
		b.Entries = append(b.Entries, contracts.Entry{Salt: s, Amount: chain.NewAmount(amount)})
	}
	return w.encode(b)
}

func (w *world) encode(b contracts.Batch) []byte {
	w.t.Helper()
	data, err := b.Encode()
	require.NoError(w.t, err)
	return data
}

// unswept reads what a batch says that it did not do; nil where it says nothing.
func (w *world) unswept(op contracts.Op, r *types.Receipt) *contracts.Unswept {
	w.t.Helper()
	for _, l := range r.Logs {
		if l.Address == w.at && l.Topics[0] == contracts.UnsweptTopic() {
			u, err := contracts.DecodeUnswept(op, l.Data)
			require.NoError(w.t, err)
			return &u
		}
	}
	return nil
}

func selector(signature string) []byte { return crypto.Keccak256([]byte(signature))[:4] }
