package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// blockGas is what fits into a block: a single transaction can fill it.
const blockGas = 8_000_000

// openOnDemand starts geth as a node of a chain of its own, of which this process is
// the consensus: it asks for each block through the engine API, and makes it the head.
func openOnDemand(t testing.TB) (*Network, func(), error) {
	path := program(t, "geth", "BURSAR_GETH")
	//nolint:usetesting // the node outlives the test that starts it, and a socket's path must be short
	dir, err := os.MkdirTemp("", "geth")
	if err != nil {
		return nil, nil, err
	}
	clean := func() { _ = os.RemoveAll(dir) } // a leftover of a test is no failure
	n, stop, err := onDemandIn(dir, path)
	if err != nil {
		clean()
		return nil, nil, err
	}
	return n, func() { stop(); clean() }, nil
}

func onDemandIn(dir, path string) (*Network, func(), error) {
	genesis, err := json.Marshal(firstBlock())
	if err != nil {
		return nil, nil, err
	}
	file, socket := filepath.Join(dir, "genesis.json"), filepath.Join(dir, "ipc")
	if err := os.WriteFile(file, genesis, 0o600); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, "init", "--datadir", dir, file).CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("%s init: %w: %s", path, err, out)
	}
	p, url, err := start(regexp.MustCompile(`HTTP server started\s+endpoint=(\S+) auth=false`), path,
		"--datadir", dir, "--syncmode", "full", "--http", "--http.addr", "127.0.0.1", "--http.port", "0",
		"--http.api", "eth,net,web3,debug,txpool", "--ipcpath", socket,
		"--rpc.allow-unprotected-txs", // the deployment proxy comes by such a one
		"--port", "0", "--authrpc.port", "0", "--nodiscover", "--maxpeers", "0", "--nat", "none",
		"--rpc.txfeecap", "0", "--miner.gasprice", "1", "--miner.gaslimit", fmt.Sprint(blockGas))
	if err != nil {
		return nil, nil, err
	}
	// Only the socket has the engine API without a token.
	e, err := rpc.Dial(socket)
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	stop := func() { e.Close(); p.stop() }
	b := &builder{engine: e}
	n, err := connect(&Network{Name: "geth on demand", URL: url, mine: b.mine})
	if err != nil {
		stop()
		return nil, nil, err
	}
	return n, stop, nil
}

// firstBlock makes our accounts rich, under the rules of Prague: releases of geth
// differ in what they must be told of later ones.
func firstBlock() *core.Genesis {
	g := core.DeveloperGenesisBlock(blockGas, nil)
	g.Config.OsakaTime, g.Config.BogotaTime = nil, nil
	for _, account := range rich() {
		g.Alloc[account] = types.Account{Balance: riches()}
	}
	return g
}

// builder asks a geth for blocks.
type builder struct {
	engine *rpc.Client
	asked  uint64 // asked counts the payloads, so that each is another one.
}

// payload is a block that was built, as far as it is looked at.
type payload struct {
	Hash         common.Hash     `json:"blockHash"`
	Transactions []hexutil.Bytes `json:"transactions"`
}

// built is an answer of engine_getPayload. What is handed back stays as it came.
type built struct {
	Payload  json.RawMessage `json:"executionPayload"`
	Requests json.RawMessage `json:"executionRequests"`
}

// mine makes blocks, and more of them while something waits that the next one would have.
func (b *builder) mine(n *Network, count int) error {
	full, err := n.settle()
	for ; err == nil && (full || count > 0); count-- {
		if err = b.block(n, full); err == nil {
			full, err = n.settle()
		}
	}
	return err
}

// block makes one block; full says whether the pool has something for it. A node has an
// empty block ready at once and looks into its pool then, so that an empty one was asked
// for too early.
func (b *builder) block(n *Network, full bool) error {
	ctx, cancel := n.context()
	defer cancel()
	head, err := n.Eth.HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		answer, block, err := b.build(ctx, head, pause)
		switch {
		case err != nil:
			return err
		case !full || len(block.Transactions) > 0:
			return b.adopt(ctx, answer, block.Hash)
		}
	}
}

// verdict is an answer of the engine API.
type verdict struct {
	Status struct {
		Status string
		Error  string `json:"validationError"`
	} `json:"payloadStatus"`
	ID *hexutil.Bytes `json:"payloadId"`
}

// build has a block on the head built, for so long.
func (b *builder) build(ctx context.Context, head *types.Header, pause time.Duration) (answer built, block payload, err error) {
	b.asked++
	var v verdict
	err = b.engine.CallContext(ctx, &v, "engine_forkchoiceUpdatedV3", choice(head.Hash()), map[string]any{
		"timestamp":             hexutil.Uint64(max(head.Time+1, uint64(time.Now().Unix()))),
		"prevRandao":            common.BigToHash(new(big.Int).SetUint64(b.asked)),
		"suggestedFeeRecipient": common.Address{19: 0xFE},
		"withdrawals":           []any{},
		"parentBeaconBlockRoot": common.Hash{},
	})
	if err != nil {
		return answer, block, err
	}
	if v.ID == nil {
		return answer, block, fmt.Errorf("no block is built: %+v", v.Status)
	}
	select {
	case <-ctx.Done():
		return answer, block, fmt.Errorf("the block stays empty: %w", ctx.Err())
	case <-time.After(pause):
	}
	if err := b.engine.CallContext(ctx, &answer, "engine_getPayloadV4", v.ID); err != nil {
		return answer, block, err
	}
	return answer, block, json.Unmarshal(answer.Payload, &block)
}

// adopt makes a built block the head.
func (b *builder) adopt(ctx context.Context, answer built, hash common.Hash) error {
	var imported struct {
		Status string
		Error  string `json:"validationError"`
	}
	if err := b.engine.CallContext(ctx, &imported, "engine_newPayloadV4", answer.Payload, []common.Hash{}, common.Hash{}, answer.Requests); err != nil {
		return err
	}
	var v verdict
	if err := b.engine.CallContext(ctx, &v, "engine_forkchoiceUpdatedV3", choice(hash), nil); err != nil {
		return err
	}
	if imported.Status != "VALID" || v.Status.Status != "VALID" {
		return fmt.Errorf("block %s: %+v, %+v", hash, imported, v.Status)
	}
	return nil
}

// choice makes a block the head. Nothing is ever final.
func choice(head common.Hash) map[string]common.Hash {
	return map[string]common.Hash{"headBlockHash": head, "safeBlockHash": {}, "finalizedBlockHash": {}}
}

// Crowd has the stranger fill blocks until the next one's base fee is above so many
// wei. What costs no more than that for a unit of gas gets into none of them.
func (n *Network) Crowd(above *big.Int) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	fee, err := n.baseFee(ctx)
	for n.must(err); fee.Cmp(above) <= 0; {
		// It fails and so uses all of its gas, as much as a block has. The block's
		// maker gets more of it than of what is to be crowded out.
		tx, err := types.SignNewTx(n.stranger, types.LatestSignerForChainID(new(big.Int).SetUint64(n.ChainID)), &types.DynamicFeeTx{
			ChainID: new(big.Int).SetUint64(n.ChainID), Nonce: *n.nonce, Value: new(big.Int), Data: []byte{invalid}, Gas: blockGas,
			GasTipCap: above, GasFeeCap: new(big.Int).Lsh(above, 1),
		})
		n.must(err)
		n.must(n.Eth.SendTransaction(ctx, tx))
		*n.nonce++
		fee.Add(fee, new(big.Int).Rsh(fee, 3)) // a full block makes the next one dearer by an eighth
	}
	n.must(n.mine(n, 0))
	if fee, err = n.baseFee(ctx); err != nil || fee.Cmp(above) <= 0 {
		n.t.Fatalf("%s: a base fee of %s: %v", n.Name, fee, err)
	}
}

// invalid is the instruction that uses all gas.
const invalid = 0xFE
