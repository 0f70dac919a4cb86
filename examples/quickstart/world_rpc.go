package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/ethclient"
)

// rpcWorld is a running development node. Both kinds it knows have unlocked
// accounts with more coin than anybody needs; on any other node there are none,
// and the demo refuses to begin: it must never spend real money.
type rpcWorld struct {
	eth   *ethclient.Client
	at    string
	kind  string // "anvil" or "geth"
	id    uint64
	rich  common.Address
	miner *account // makes empty blocks on geth
}

func newRPCWorld(ctx context.Context, endpoint string) (_ *rpcWorld, err error) {
	w := &rpcWorld{at: endpoint}
	if w.eth, err = ethclient.DialContext(ctx, endpoint); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.eth.Close()
		}
	}()
	// A node that does not answer at once will not carry a demo.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var version string
	if err := w.call(ctx, &version, "web3_clientVersion"); err != nil {
		return nil, fmt.Errorf("no node answers: %w", err)
	}
	switch lower := strings.ToLower(version); {
	case strings.HasPrefix(lower, "anvil"):
		w.kind = "anvil"
	case strings.HasPrefix(lower, "geth"):
		w.kind = "geth"
	default:
		return nil, fmt.Errorf("the node is %q, want anvil or geth --dev", version)
	}
	number, err := w.eth.ChainID(ctx)
	if err != nil {
		return nil, err
	}
	w.id = number.Uint64()
	var unlocked []common.Address
	if err := w.call(ctx, &unlocked, "eth_accounts"); err != nil {
		return nil, err
	}
	if len(unlocked) == 0 {
		return nil, errors.New("the node has no unlocked account, so it is no development node (geth needs --dev)")
	}
	w.rich = unlocked[0]
	if w.miner, err = newAccount(); err != nil {
		return nil, err
	}
	ether := new(big.Int).SetUint64(1e18)
	return w, w.fund(ctx, w.miner, ether)
}

func (w *rpcWorld) about() string {
	if u, err := url.Parse(w.at); err == nil {
		return fmt.Sprintf("%s at %s, chain %d", w.kind, u.Host, w.id)
	}
	return w.kind
}

func (w *rpcWorld) url() string               { return w.at }
func (w *rpcWorld) number() uint64            { return w.id }
func (w *rpcWorld) client() *ethclient.Client { return w.eth }
func (w *rpcWorld) can() abilities            { return abilities{time: w.kind == "anvil"} }

func (w *rpcWorld) call(ctx context.Context, out any, method string, args ...any) error {
	return w.eth.Client().CallContext(ctx, out, method, args...)
}

func (w *rpcWorld) fund(ctx context.Context, who *account, wei *big.Int) error {
	var id common.Hash
	err := w.call(ctx, &id, "eth_sendTransaction", map[string]any{
		"from": w.rich, "to": who.address, "value": (*hexutil.Big)(wei),
	})
	if err != nil {
		return fmt.Errorf("funding from the node's own account: %w", err)
	}
	if w.kind == "anvil" {
		return mineAll(ctx, w, id) // it may run with --no-mining
	}
	return w.mined(ctx, id)
}

// mined waits until a transaction is in a block that the node makes by itself.
func (w *rpcWorld) mined(ctx context.Context, id common.Hash) error {
	return until(ctx, "the node to mine "+id.Hex(), func() (bool, error) {
		found, err := receipt(ctx, w.eth, id)
		return found != nil, err
	})
}

// mine makes a block. geth --dev makes none without a transaction, so somebody
// pays himself nothing.
func (w *rpcWorld) mine(ctx context.Context) error {
	if w.kind == "anvil" {
		return w.call(ctx, nil, "evm_mine")
	}
	tx, err := w.miner.send(ctx, w, coin(w.miner.address, new(big.Int)))
	if err != nil {
		return err
	}
	return w.mined(ctx, tx.Hash())
}

func (w *rpcWorld) passTime(ctx context.Context, d time.Duration) error {
	if !w.can().time {
		return errors.New("the node's time cannot be moved")
	}
	if err := w.call(ctx, nil, "evm_increaseTime", int64(d/time.Second)); err != nil {
		return err
	}
	return w.mine(ctx)
}

func (w *rpcWorld) reorg(context.Context, common.Hash, int) error {
	return errors.New("blocks of a running node are left alone")
}

func (w *rpcWorld) close() error {
	w.eth.Close()
	return nil
}
