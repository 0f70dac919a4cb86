package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
)

// world is the chain that the demo takes place on, and what may be done with
// it from outside. The gateway knows nothing of it but its URL.
type world interface {
	// about describes the chain in a few words.
	about() string
	// url is where its JSON-RPC interface answers over HTTP.
	url() string
	// number is its EIP-155 number.
	number() uint64
	// client reads the chain past the gateway, to check what that says.
	client() *ethclient.Client
	// fund makes somebody rich enough to play the rest of the world, in a block
	// that is there when it returns.
	fund(ctx context.Context, who *account, wei *big.Int) error
	// mine makes a block of what waits, also an empty one.
	mine(ctx context.Context) error
	// can says which of the following work here.
	can() abilities
	// passTime makes a block that is so much later than the one before.
	passTime(ctx context.Context, d time.Duration) error
	// reorg replaces all blocks above parent by as many empty ones as asked for
	// and empties the mempool.
	reorg(ctx context.Context, parent common.Hash, blocks int) error
	close() error
}

// abilities are what differs between the chains.
type abilities struct {
	// reorg: blocks can be replaced. time: the chain's clock can be moved.
	reorg, time bool
}

// account is somebody outside of the gateway: a customer, the operator.
type account struct {
	key     *ecdsa.PrivateKey
	address common.Address
	nonce   uint64
}

func newAccount() (*account, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	return &account{key: key, address: crypto.PubkeyToAddress(key.PublicKey)}, nil
}

// call is one transaction to be made; to is nil for a deployment.
type call struct {
	to    *common.Address
	value *big.Int
	data  []byte
}

// send signs a transaction and hands it to the node.
func (a *account) send(ctx context.Context, w world, c call) (*types.Transaction, error) {
	head, err := w.client().HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for the head: %w", err)
	}
	// What a call costs differs between forks by more than a constant can cover.
	gas, err := w.client().EstimateGas(ctx, ethereum.CallMsg{From: a.address, To: c.to, Value: c.value, Data: c.data})
	if err != nil {
		return nil, fmt.Errorf("trying a transaction: %w", err)
	}
	tip := big.NewInt(1e9)
	price := new(big.Int).Add(tip, new(big.Int).Mul(head.BaseFee, big.NewInt(2)))
	id := new(big.Int).SetUint64(w.number())
	tx, err := types.SignNewTx(a.key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: a.nonce, GasTipCap: tip, GasFeeCap: price, Gas: gas + gas/4, To: c.to, Value: c.value, Data: c.data,
	})
	if err != nil {
		return nil, err
	}
	if err := submit(ctx, w, tx); err != nil {
		return nil, err
	}
	a.nonce++
	return tx, nil
}

// submit hands a transaction to the node. A node's mempool learns of the newest
// block a moment after that is there; until then it may not know what an account
// has, or that a reorg gave a nonce back.
func submit(ctx context.Context, w world, tx *types.Transaction) error {
	return until(ctx, "the node to take a transaction", func() (bool, error) {
		err := w.client().SendTransaction(ctx, tx)
		if err == nil {
			return true, nil
		}
		for _, behind := range []string{"insufficient funds", "nonce too low"} {
			if strings.Contains(err.Error(), behind) {
				return false, nil
			}
		}
		return false, err
	})
}

// receipt returns a transaction's receipt, or nil while there is none.
func receipt(ctx context.Context, c *ethclient.Client, id common.Hash) (*types.Receipt, error) {
	found, err := c.TransactionReceipt(ctx, id)
	switch {
	case errors.Is(err, ethereum.NotFound):
		return nil, nil
	case err != nil && strings.Contains(err.Error(), "indexing is in progress"):
		return nil, nil // geth says so in its first second
	case err != nil:
		return nil, err
	}
	return found, nil
}

// slow is after how many looks another block is made for what should have been
// in the last one. A busy node may have sealed that before its mempool was done.
const slow = 50

// mineAll makes a block and returns when all the transactions are in blocks.
func mineAll(ctx context.Context, w world, ids ...common.Hash) error {
	if err := w.mine(ctx); err != nil {
		return fmt.Errorf("mining: %w", err)
	}
	for _, id := range ids {
		looks := 0
		err := until(ctx, "transaction "+id.Hex(), func() (bool, error) {
			found, err := receipt(ctx, w.client(), id)
			switch {
			case err != nil:
				return false, err
			case found != nil && found.Status != types.ReceiptStatusSuccessful:
				return false, fmt.Errorf("it failed, with %d gas used", found.GasUsed)
			}
			if looks++; found == nil && looks%slow == 0 {
				err = w.mine(ctx)
			}
			return found != nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// coin is a payment in the chain's own coin.
func coin(to common.Address, wei *big.Int) call {
	return call{to: &to, value: wei}
}

// token is a payment in a token.
func token(contract, to common.Address, units *big.Int) call {
	return call{to: &contract, data: tokens.Transfer(to, units)}
}
