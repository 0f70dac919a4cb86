package differential

import (
	"context"
	_ "embed" // for the contracts' code
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
)

//go:embed contracts/contracts.txt
var compiled string

// code returns a contract's code by its name in contracts.sol.
func code(t testing.TB, name string) []byte {
	t.Helper()
	for line := range strings.Lines(compiled) {
		if got, text, ok := strings.Cut(strings.TrimSpace(line), " "); ok && got == name {
			return common.FromHex(text)
		}
	}
	t.Fatalf("no contract %s in contracts.txt", name)
	return nil
}

// ethereum is go-ethereum's chain in this process.
type ethereum struct {
	t       testing.TB
	backend *simulated.Backend
	rpc     *rpc.Client
}

// startFee is the base fee of the genesis block: some blocks away from its floor,
// and of the size of what the scripts offer.
const startFee = 1000

func openEVM(t testing.TB, alloc types.GenesisAlloc) *ethereum {
	t.Helper()
	backend := simulated.NewBackend(alloc, func(_ *node.Config, c *ethconfig.Config) {
		c.Genesis.BaseFee = big.NewInt(startFee)
		// The rules of today: a fork that is no network's yet prices gas anew.
		config := *c.Genesis.Config
		config.BogotaTime = nil
		c.Genesis.Config = &config
		// Every offer above the base fee is mined, as on the simulated chain.
		c.Miner.GasPrice = big.NewInt(1)
	})
	t.Cleanup(func() { _ = backend.Close() })
	// The backend hides its connection behind a field of the same name as the
	// method that would tell it.
	inner, ok := reflect.ValueOf(backend.Client()).FieldByName("Client").Interface().(*ethclient.Client)
	require.True(t, ok)
	return &ethereum{t, backend, inner.Client()}
}

func (e *ethereum) call(out any, method string, params ...any) error {
	return e.rpc.CallContext(context.Background(), out, method, params...)
}

// settle waits until the pool has done its work in the background: Fork begins
// with that, and then refuses a block that never was.
func (e *ethereum) settle() {
	e.t.Helper()
	require.Error(e.t, e.backend.Fork(common.Hash{1}))
}

// send broadcasts, and tells the class of what the node says.
func (e *ethereum) send(raw []byte) string {
	err := e.call(nil, "eth_sendRawTransaction", hexutil.Encode(raw))
	e.settle()
	if err == nil {
		return taken
	}
	for text, class := range map[string]string{
		"already known":              known,
		"nonce too low":              spent,
		"insufficient funds":         poor,
		"replacement transaction":    replacement,
		"gas price below minimum":    cheap,
		"intrinsic gas too low":      lowGas,
		"gas for floor data gas":     lowGas,
		"insufficient gas for floor": lowGas,
	} {
		if strings.Contains(err.Error(), text) {
			return class
		}
	}
	return err.Error()
}

// evmBlock is a block with its receipts.
type evmBlock struct {
	header   *types.Header
	txs      types.Transactions
	receipts []*types.Receipt
}

// mine makes a block of what waits.
func (e *ethereum) mine() evmBlock {
	e.t.Helper()
	return e.block(e.backend.Commit()) // which begins with what settle does
}

func (e *ethereum) block(hash common.Hash) evmBlock {
	e.t.Helper()
	b, err := e.backend.Client().BlockByHash(context.Background(), hash)
	require.NoError(e.t, err)
	out := evmBlock{header: b.Header(), txs: b.Transactions()}
	require.NoError(e.t, e.call(&out.receipts, "eth_getBlockReceipts", hash))
	require.Len(e.t, out.receipts, len(out.txs))
	return out
}

// waiting is the pool: what could be mined, and what waits for another nonce.
func (e *ethereum) waiting() (pending, all map[common.Hash]bool) {
	e.t.Helper()
	e.settle()
	var content struct {
		Pending, Queued map[common.Address]map[string]struct{ Hash common.Hash }
	}
	require.NoError(e.t, e.call(&content, "txpool_content"))
	pending, all = map[common.Hash]bool{}, map[common.Hash]bool{}
	for _, of := range content.Pending {
		for _, tx := range of {
			pending[tx.Hash], all[tx.Hash] = true, true
		}
	}
	for _, of := range content.Queued {
		for _, tx := range of {
			all[tx.Hash] = true
		}
	}
	return pending, all
}

// fork moves the head to another block that once was.
func (e *ethereum) fork(to common.Hash) {
	e.t.Helper()
	e.settle()
	require.NoError(e.t, e.backend.Fork(to))
	e.settle()
}

// state reads balances, nonces and token balances at a block, in one batch.
func (e *ethereum) state(at common.Hash, accounts, tokens []common.Address) state {
	e.t.Helper()
	var batch []rpc.BatchElem
	ask := func(method string, params ...any) {
		batch = append(batch, rpc.BatchElem{Method: method, Args: append(params, map[string]any{"blockHash": at}), Result: new(string)})
	}
	for _, a := range accounts {
		ask("eth_getBalance", a)
		ask("eth_getTransactionCount", a)
		for _, token := range tokens {
			ask("eth_getStorageAt", token, slot(a))
		}
	}
	require.NoError(e.t, e.rpc.BatchCallContext(context.Background(), batch))
	next := func() *big.Int {
		require.NoError(e.t, batch[0].Error)
		n, ok := new(big.Int).SetString(strings.TrimPrefix(*batch[0].Result.(*string), "0x"), 16)
		require.True(e.t, ok)
		batch = batch[1:]
		return n
	}
	out := state{}
	for _, a := range accounts {
		holder := &holdings{coin: next(), nonce: next().Uint64()}
		for range tokens {
			holder.tokens = append(holder.tokens, next())
		}
		out[a] = holder
	}
	return out
}

// slot is where a token of contracts.sol keeps an account's balance.
func slot(a common.Address) common.Hash {
	return crypto.Keccak256Hash(common.LeftPadBytes(a[:], 32), make([]byte, 32))
}

// state is what accounts have at a block.
type state map[common.Address]*holdings

type holdings struct {
	coin   *big.Int
	nonce  uint64
	tokens []*big.Int
}
