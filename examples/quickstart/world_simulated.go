package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
)

// simulatedNumber is the chain id of go-ethereum's simulated chain.
const simulatedNumber = 1337

// simulatedWorld is go-ethereum's own EVM in this process, with a real HTTP
// interface on loopback. Blocks come when mine says so, and can be replaced.
type simulatedWorld struct {
	backend *simulated.Backend
	eth     *ethclient.Client
	rich    *account
	at      string
}

func newSimulatedWorld(ctx context.Context) (*simulatedWorld, error) {
	rich, err := newAccount()
	if err != nil {
		return nil, err
	}
	w := &simulatedWorld{rich: rich}
	// Between finding a free port and listening on it another process may take
	// it; a few tries make that irrelevant.
	for range 5 {
		if err = w.listen(); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("starting the simulated chain: %w", err)
	}
	if w.eth, err = ethclient.DialContext(ctx, w.at); err != nil {
		return nil, errors.Join(err, w.backend.Close())
	}
	w.backend.Commit() // the genesis block alone has no usable time
	return w, nil
}

// listen starts the chain on a free port.
func (w *simulatedWorld) listen() (err error) {
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
	ether := new(big.Int).SetUint64(1e18)
	alloc := types.GenesisAlloc{w.rich.address: {Balance: new(big.Int).Mul(ether, big.NewInt(1_000_000))}}
	w.backend = simulated.NewBackend(alloc, func(n *node.Config, _ *ethconfig.Config) {
		n.HTTPHost, n.HTTPPort, n.HTTPModules = "127.0.0.1", port, []string{"eth", "net"}
	})
	w.at = fmt.Sprintf("http://127.0.0.1:%d", port)
	return nil
}

func (w *simulatedWorld) about() string             { return "an EVM in this process (go-ethereum, simulated)" }
func (w *simulatedWorld) url() string               { return w.at }
func (w *simulatedWorld) number() uint64            { return simulatedNumber }
func (w *simulatedWorld) client() *ethclient.Client { return w.eth }
func (w *simulatedWorld) can() abilities            { return abilities{reorg: true, time: true} }

func (w *simulatedWorld) fund(ctx context.Context, who *account, wei *big.Int) error {
	tx, err := w.rich.send(ctx, w, coin(who.address, wei))
	if err != nil {
		return err
	}
	return mineAll(ctx, w, tx.Hash())
}

func (w *simulatedWorld) mine(context.Context) error {
	w.backend.Commit()
	return nil
}

func (w *simulatedWorld) passTime(ctx context.Context, d time.Duration) error {
	return until(ctx, "an empty mempool", func() (bool, error) {
		err := w.backend.AdjustTime(d)
		if err != nil && strings.Contains(err.Error(), "non-empty") {
			w.backend.Commit()
			return false, nil
		}
		return err == nil, err
	})
}

func (w *simulatedWorld) reorg(_ context.Context, parent common.Hash, blocks int) error {
	if err := w.backend.Fork(parent); err != nil {
		return fmt.Errorf("fork: %w", err)
	}
	// The node puts the transactions of the lost blocks back into its mempool.
	// Emptying that shows the harder case: the network has forgotten them.
	w.backend.Rollback()
	for range blocks {
		w.backend.Commit()
	}
	return nil
}

func (w *simulatedWorld) close() error {
	w.eth.Close()
	return w.backend.Close()
}
