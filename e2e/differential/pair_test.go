package differential

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// Classes of what a node says to a broadcast.
const (
	taken       = "taken"
	known       = "already known"
	spent       = "nonce too low"
	poor        = "insufficient funds"
	replacement = "replacement underpriced"
	cheap       = "tip too low"
	lowGas      = "gas limit too low"
)

// kinds are the tokens of both chains, and the contracts that are their like.
var kinds = []struct {
	kind chaintest.TokenKind
	name string
}{
	{chaintest.TokenPlain, "Plain"}, {chaintest.TokenNoReturn, "NoReturn"}, {chaintest.TokenFalse, "ReturnsFalse"},
	{chaintest.TokenFee, "Fee"}, {chaintest.TokenNFT, "FourTopics"}, {chaintest.TokenLongData, "LongData"},
	{chaintest.TokenSpoofer, "Spoofer"}, {chaintest.TokenRebasing, "Rebasing"}, {chaintest.TokenPausable, "Pausable"},
	{chaintest.TokenBlacklist, "Blacklist"}, {chaintest.TokenLookAlike, "Plain"},
}

// pair is the two chains in the same state.
type pair struct {
	t    testing.TB
	sim  *chaintest.Chain
	view *chaintest.Client
	evm  *ethereum

	tokens   []chain.Asset
	keys     []*ecdsa.PrivateKey // of the accounts that send
	owner    *ecdsa.PrivateKey   // of the tokens, on the EVM alone
	accounts []common.Address    // all that are compared, those of keys first
	code     map[common.Address]bool
	sent     map[chain.TxID]*types.Transaction
	owned    uint64 // transactions of the owner so far

	blocks []evmBlock                                  // the present branch by height
	like   map[common.Hash]chain.BlockHash             // the simulated chain's block for each of the EVM's
	fees   map[common.Hash]map[common.Address]*big.Int // by how much the EVM's fees exceed, up to a block
	script []string                                    // what was done, to be told where they differ
	done   *tally
}

// tally counts what was compared.
type tally struct {
	scripts, blocks, choices, txs, failed, logs, forks, returns, lost, transfers, edicts int
	classes                                                                              map[string]int
}

var signer = types.LatestSignerForChainID(big.NewInt(1337))

func key(name string) *ecdsa.PrivateKey {
	k, err := crypto.ToECDSA(crypto.Keccak256([]byte("bursar differential " + name)))
	if err != nil {
		panic(err) // the names are constant
	}
	return k
}

func raw(a chain.Address) common.Address { return common.HexToAddress(string(a)) }

func text(a common.Address) chain.Address { return chain.Address(a.Hex()) }

func units(n *big.Int) chain.Amount {
	a, err := chain.AmountFromBig(n)
	if err != nil {
		panic(err)
	}
	return a
}

// milli is a thousandth of a coin. Fees are a tiny part of it, see startFee.
func milli(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e15)) }

// wealth is what the sending accounts begin with: two are rich, one can afford a
// few payments, one just a single one, and one has nothing.
func wealth() []*big.Int {
	// The frugal account.
	one := new(big.Int).Add(milli(3), big.NewInt(21_000*2_000))
	return []*big.Int{milli(1e6), milli(1e6), milli(40), one, new(big.Int)}
}

// frugal is the account that can afford a single payment, see script.call.
const frugal = 3

const tokenWealth = 1_000_000

func newPair(t testing.TB, done *tally) *pair {
	t.Helper()
	p := &pair{
		t: t, done: done, owner: key("owner"), code: map[common.Address]bool{}, sent: map[chain.TxID]*types.Transaction{},
		like: map[common.Hash]chain.BlockHash{}, fees: map[common.Hash]map[common.Address]*big.Int{},
		sim: chaintest.New(chaintest.Options{Fees: fees(big.NewInt(startFee))}),
	}
	p.view = p.sim.Client()
	alloc := types.GenesisAlloc{crypto.PubkeyToAddress(p.owner.PublicKey): {Balance: milli(1e6)}}
	p.people(alloc)
	p.contracts(alloc)
	p.evm = openEVM(t, alloc)
	p.sim.Mine(1) // which pays the grants
	genesis, err := p.evm.backend.Client().HeaderByNumber(t.Context(), new(big.Int))
	require.NoError(t, err)
	p.fees[genesis.Hash()] = map[common.Address]*big.Int{}
	p.blocks = []evmBlock{{header: genesis}}
	p.attach(p.evm.mine())
	p.sim.SetFees(fees(p.head().header.BaseFee))
	p.compareState()
	return p
}

func fees(base *big.Int) chaintest.Fees {
	return chaintest.Fees{BaseFee: units(base), Tip: chain.NewAmount(1), MinTip: chain.NewAmount(1)}
}

// people gives the accounts their coins.
func (p *pair) people(alloc types.GenesisAlloc) {
	for i, coins := range wealth() {
		k := key(fmt.Sprint("sender ", i))
		a := crypto.PubkeyToAddress(k.PublicKey)
		p.keys, p.accounts = append(p.keys, k), append(p.accounts, a)
		alloc[a] = types.Account{Balance: coins}
		p.sim.Grant(text(a), p.sim.Info().Native, units(coins))
	}
	for i := range 3 {
		p.accounts = append(p.accounts, common.BytesToAddress(crypto.Keccak256([]byte{byte(i)})))
	}
}

// contracts puts the like of the simulated chain's contracts where it has them.
func (p *pair) contracts(alloc types.GenesisAlloc) {
	place := func(a chain.Address, name string, storage map[common.Hash]common.Hash) {
		alloc[raw(a)] = types.Account{Code: code(p.t, name), Storage: storage, Balance: new(big.Int)}
		p.code[raw(a)] = true
	}
	for _, c := range kinds {
		spec := chaintest.TokenSpec{Kind: c.kind, Decimals: 6}
		storage := map[common.Hash]common.Hash{}
		if c.kind == chaintest.TokenSpoofer {
			spec.Imitates = p.tokens[0]
			storage[common.BigToHash(big.NewInt(1))] = common.BytesToHash(common.FromHex(string(p.tokens[0].Contract)))
		}
		a := p.sim.DeployToken(spec)
		for _, holder := range p.accounts[:3] {
			p.sim.Grant(text(holder), a, chain.NewAmount(tokenWealth))
			storage[slot(holder)] = common.BigToHash(big.NewInt(tokenWealth))
		}
		place(a.Contract, c.name, storage)
		p.tokens = append(p.tokens, a)
	}
	for a, name := range map[chain.Address]string{p.sim.Rejecter(): "Rejecter", p.sim.Splitter(): "Splitter", p.sim.Destructor(): "Destructor"} {
		place(a, name, nil)
	}
	p.accounts = append(p.accounts, raw(p.sim.Rejecter()), raw(p.sim.Splitter()), raw(p.sim.Destructor()))
}

func (p *pair) note(format string, args ...any) {
	p.script = append(p.script, fmt.Sprintf(format, args...))
}

func (p *pair) head() evmBlock { return p.blocks[len(p.blocks)-1] }

// send broadcasts one transaction on both chains and compares what they say.
func (p *pair) send(tx *types.Transaction) {
	p.t.Helper()
	bytes, err := tx.MarshalBinary()
	require.NoError(p.t, err)
	id := chain.TxID(tx.Hash().Hex())
	want := ""
	switch {
	case slices.Contains(p.sim.Mempool(), id):
		want = known
	case p.mined(id):
		// The simulated chain answers as a chain.Client does: what is in a block is
		// taken well. A node calls its nonce used.
		want = spent
	}
	p.sent[id] = tx
	_, err = p.sim.Send(bytes)
	got := class(err)
	if want != "" && got == taken {
		got = want
	}
	says := p.evm.send(bytes)
	p.note("%s: EVM %s, simulated %s", describe(tx), says, got)
	p.done.classes[says]++
	require.Equal(p.t, says, got, "what a broadcast is answered")
	p.comparePools()
}

func (p *pair) mined(id chain.TxID) bool {
	st, err := p.view.Status(p.t.Context(), id)
	require.NoError(p.t, err)
	return st[0].State == chain.TxIncluded || st[0].State == chain.TxFailed
}

func class(err error) string {
	var short *chain.InsufficientFundsError
	switch {
	case err == nil:
		return taken
	case errors.As(err, &short):
		return poor
	case errors.Is(err, chain.ErrLockSpent):
		return spent
	case errors.Is(err, chain.ErrUnderpriced) && strings.Contains(err.Error(), "replacement"):
		return replacement
	case errors.Is(err, chain.ErrUnderpriced):
		return cheap
	case strings.Contains(err.Error(), "intrinsic gas"):
		return lowGas
	}
	return err.Error()
}

func describe(tx *types.Transaction) string {
	from, err := types.Sender(signer, tx)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s type %d from %s nonce %d to %s value %s gas %d tip %s cap %s data %x", tx.Hash().Hex()[:10], tx.Type(),
		from.Hex()[:8], tx.Nonce(), tx.To().Hex()[:8], tx.Value(), tx.Gas(), tx.GasTipCap(), tx.GasFeeCap(), tx.Data())
}

// attach notes a new block of the EVM and its counterpart.
func (p *pair) attach(b evmBlock) {
	p.blocks = append(p.blocks, b)
	p.like[b.header.Hash()] = p.sim.Head().Hash
	excess := maps.Clone(p.fees[b.header.ParentHash])
	for i, r := range b.receipts {
		from, err := types.Sender(signer, b.txs[i])
		require.NoError(p.t, err)
		add(excess, from, new(big.Int).Mul(r.EffectiveGasPrice, new(big.Int).SetUint64(r.GasUsed)))
	}
	for _, s := range p.sim.Transactions(b.header.Number.Uint64()) {
		add(excess, raw(s.From), new(big.Int).Neg(s.Fee.Big()))
	}
	p.fees[b.header.Hash()] = excess
}

// add replaces what is in the map, which other blocks share.
func add(to map[common.Address]*big.Int, a common.Address, n *big.Int) {
	sum := new(big.Int).Set(n)
	if old := to[a]; old != nil {
		sum.Add(sum, old)
	}
	to[a] = sum
}
