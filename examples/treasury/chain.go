package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/params"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm"
	"github.com/bursar-go/bursar/chain/evm/contracts"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
)

// chainNumber is the EIP-155 number of go-ethereum's simulated chain.
const chainNumber = 1337

// gasPrice is what gas costs on this chain, in wei: 1 gwei.
const gasPrice = 1e9

// The token is like most stable coins.
const (
	symbol   = "USD"
	decimals = 6
)

// local is the preset of that chain.
func local() evm.Preset { return evm.Local(chainNumber) }

// localChain is go-ethereum's EVM in this process, with a real HTTP interface on
// the loopback, a token, and the world outside of the gateways:
// one account that deploys contracts and pays for the customers. A block is made
// when mine says so.
type localChain struct {
	backend *simulated.Backend
	url     string
	world   *ecdsa.PrivateKey
	nonce   uint64
	token   chain.Asset
}

func newLocalChain(ctx context.Context) (c *localChain, err error) {
	c = &localChain{}
	if c.world, err = crypto.GenerateKey(); err != nil {
		return nil, err
	}
	// Between finding a free port and listening on it another process may take it;
	// a few tries make that irrelevant.
	for range 5 {
		if err = c.listen(); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("starting the chain: %w", err)
	}
	c.backend.Commit() // the genesis block alone has no usable time
	if err := c.issue(ctx); err != nil {
		return nil, errors.Join(err, c.backend.Close())
	}
	return c, nil
}

func (c *localChain) listen() (err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return err
	}
	defer func() {
		// The backend panics where its node cannot start.
		if v := recover(); v != nil {
			err = fmt.Errorf("port %d: %v", port, v)
		}
	}()
	c.backend = simulated.NewBackend(genesis(c.address()), func(n *node.Config, e *ethconfig.Config) {
		n.HTTPHost, n.HTTPPort, n.HTTPModules = "127.0.0.1", port, []string{"eth"}
		e.Genesis.Config = osaka(*e.Genesis.Config)
		// The base fee would fall with each empty block, and what is tried last be the
		// cheapest: it begins at next to nothing, and the tip is the price.
		e.Genesis.BaseFee, e.Miner.GasPrice = big.NewInt(7), big.NewInt(gasPrice)
	})
	c.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	return nil
}

// osaka are the rules that chains have today. A simulated chain begins with later ones,
// whose prices nobody pays yet.
func osaka(rules params.ChainConfig) *params.ChainConfig {
	rules.BogotaTime = nil
	return &rules
}

// deployer is where the deterministic deployment proxy is, on every EVM chain.
const deployer = "0x4e59b44847b379578588920cA78FbF26c0B4956C"

// genesis has one rich account, and the proxy that real chains have.
func genesis(rich common.Address) types.GenesisAlloc {
	return types.GenesisAlloc{
		rich:                          {Balance: new(big.Int).Mul(big.NewInt(1e18), big.NewInt(1e6))},
		common.HexToAddress(deployer): {Code: contracts.DeployerCode()},
	}
}

func (c *localChain) address() common.Address { return crypto.PubkeyToAddress(c.world.PublicKey) }

// issue puts the token on the chain.
func (c *localChain) issue(ctx context.Context) error {
	at := crypto.CreateAddress(c.address(), c.nonce)
	if err := c.pay(ctx, call{data: tokens.Plain(symbol, decimals)}); err != nil {
		return fmt.Errorf("deploying the token: %w", err)
	}
	var err error
	c.token, err = evm.Token(local().Info.ID, at.Hex(), symbol, decimals)
	return err
}

// call is a transaction of the world outside; to is nil for a deployment.
type call struct {
	to    *common.Address
	value *big.Int
	data  []byte
}

// pay sends calls and has them in one block.
func (c *localChain) pay(ctx context.Context, calls ...call) error {
	var sent []*types.Transaction
	for _, it := range calls {
		tx, err := c.send(ctx, it)
		if err != nil {
			return err
		}
		sent = append(sent, tx)
	}
	c.mine()
	for _, tx := range sent {
		looks := 0
		err := until(ctx, "transaction "+tx.Hash().Hex(), func() (bool, error) {
			r, err := c.backend.Client().TransactionReceipt(ctx, tx.Hash())
			switch {
			case errors.Is(err, ethereum.NotFound):
				// The mempool works a moment behind, and what it overlooks for one block waits
				// for the next.
				if looks++; looks%slow == 0 {
					c.mine()
				}
				return false, nil
			case err != nil && strings.Contains(err.Error(), "indexing is in progress"):
				return false, nil // the node says so for a moment
			case err == nil && r.Status != types.ReceiptStatusSuccessful:
				return false, errors.New("it failed")
			}
			return err == nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *localChain) send(ctx context.Context, it call) (*types.Transaction, error) {
	client := c.backend.Client()
	gas, err := client.EstimateGas(ctx, ethereum.CallMsg{From: c.address(), To: it.to, Value: it.value, Data: it.data})
	if err != nil {
		return nil, fmt.Errorf("trying a transaction: %w", err)
	}
	id := big.NewInt(chainNumber)
	tx, err := types.SignNewTx(c.world, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: c.nonce, GasTipCap: big.NewInt(gasPrice), GasFeeCap: big.NewInt(2 * gasPrice), Gas: gas + gas/10, To: it.to, Value: it.value, Data: it.data,
	})
	if err != nil {
		return nil, err
	}
	// The mempool learns of the newest block a moment after that is there.
	err = until(ctx, "the node to take a transaction", func() (bool, error) {
		err := client.SendTransaction(ctx, tx)
		if err != nil && (strings.Contains(err.Error(), "insufficient funds") || strings.Contains(err.Error(), "nonce too low")) {
			return false, nil
		}
		return err == nil, err
	})
	c.nonce++
	return tx, err
}

// mine makes a block of what waits.
func (c *localChain) mine() { c.backend.Commit() }

// deposits are the calls by which each of some addresses gets so many units.
func (c *localChain) deposits(units int64, to []common.Address) (out []call) {
	contract := common.HexToAddress(string(c.token.Contract))
	for _, a := range to {
		out = append(out, call{to: &contract, data: tokens.Mint(a, big.NewInt(units))})
	}
	return out
}

// spent is what the transactions above a block used that the world outside did not
// send: the gateways', whatever they say.
func (c *localChain) spent(ctx context.Context, above uint64) (transactions int, gas uint64, err error) {
	client := c.backend.Client()
	head, err := client.BlockNumber(ctx)
	if err != nil {
		return 0, 0, err
	}
	for height := above + 1; height <= head; height++ {
		block, err := client.BlockByNumber(ctx, new(big.Int).SetUint64(height))
		if err != nil {
			return 0, 0, err
		}
		for _, tx := range block.Transactions() {
			from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
			if err != nil {
				return 0, 0, err
			}
			if from == c.address() {
				continue
			}
			r, err := client.TransactionReceipt(ctx, tx.Hash())
			if err != nil {
				return 0, 0, err
			}
			transactions, gas = transactions+1, gas+r.GasUsed
		}
	}
	return transactions, gas, nil
}

// slow is after how many looks another block is made for what should have been in the
// last one.
const slow = 25

// patience is how long one thing may take.
const patience = 20 * time.Second

// until waits for a condition, with a deadline that names it.
func until(ctx context.Context, what string, met func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		ok, err := met()
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}
