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

	"github.com/bursar-go/bursar"
)

// localChain is go-ethereum's EVM in this process, with a real HTTP interface on
// the loopback, and one customer who is rich.
type localChain struct {
	backend  *simulated.Backend
	url      string
	customer *ecdsa.PrivateKey
	nonce    uint64
}

func newLocalChain() (c *localChain, err error) {
	c = &localChain{}
	if c.customer, err = crypto.GenerateKey(); err != nil {
		return nil, err
	}
	// Between finding a free port and listening on it another process may take it;
	// a few tries make that irrelevant.
	for range 5 {
		if err = c.listen(); err == nil {
			c.backend.Commit() // the genesis block alone has no usable time
			return c, nil
		}
	}
	return nil, fmt.Errorf("starting the chain: %w", err)
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
	rich := types.GenesisAlloc{crypto.PubkeyToAddress(c.customer.PublicKey): {Balance: new(big.Int).SetUint64(10e18)}}
	c.backend = simulated.NewBackend(rich, func(n *node.Config, _ *ethconfig.Config) {
		n.HTTPHost, n.HTTPPort, n.HTTPModules = "127.0.0.1", port, []string{"eth"}
	})
	c.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	return nil
}

// number is the simulated chain's.
func (c *localChain) number() uint64 { return 1337 }

// pay sends what a payment asks for to its address, and waits for the block.
func (c *localChain) pay(ctx context.Context, p bursar.Payment) error {
	to, number := common.HexToAddress(string(p.Address)), new(big.Int).SetUint64(c.number())
	tx, err := types.SignNewTx(c.customer, types.LatestSignerForChainID(number), &types.DynamicFeeTx{
		ChainID: number, Nonce: c.nonce, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(10e9), Gas: 21_000, To: &to, Value: p.Amount.Big(),
	})
	if err != nil {
		return err
	}
	// The mempool learns of the newest block a moment after that is there.
	err = until(ctx, "the node to take a transaction", func() (bool, error) {
		err := c.backend.Client().SendTransaction(ctx, tx)
		if err != nil && (strings.Contains(err.Error(), "insufficient funds") || strings.Contains(err.Error(), "nonce too low")) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	c.nonce++
	return until(ctx, "the block of a transaction", func() (bool, error) {
		c.backend.Commit()
		_, err := c.backend.Client().TransactionReceipt(ctx, tx.Hash())
		if errors.Is(err, ethereum.NotFound) || err != nil && strings.Contains(err.Error(), "indexing is in progress") {
			return false, nil // geth says the latter in its first second
		}
		return err == nil, err
	})
}

// mine makes empty blocks.
func (c *localChain) mine(blocks uint64) {
	for range blocks {
		c.backend.Commit()
	}
}

func (c *localChain) close() error { return c.backend.Close() }

// until waits for a condition, with a deadline that names it.
func until(ctx context.Context, what string, met func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
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
