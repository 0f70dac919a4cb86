package node

import (
	"context"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
)

// riches is what a rich account has: a billion coins.
func riches() *big.Int { return new(big.Int).Mul(big.NewInt(1e18), big.NewInt(1e9)) }

func openAnvil(t testing.TB) (*Network, func(), error) {
	p, url, err := start(regexp.MustCompile(`^Listening on (\S+)`), program(t, "anvil", "BURSAR_ANVIL"),
		"--host", "127.0.0.1", "--port", "0", "--no-mining", "--order", "fifo")
	if err != nil {
		return nil, nil, err
	}
	n, err := connect(&Network{Name: "anvil", URL: url, mine: mineAnvil, reorg: reorgAnvil})
	for _, account := range rich() {
		if err == nil {
			err = n.rpc(nil, "anvil_setBalance", account, (*hexutil.Big)(riches()))
		}
	}
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	return n, p.stop, nil
}

func mineAnvil(n *Network, count int) error {
	return n.rpc(nil, "anvil_mine", hexutil.Uint64(count))
}

// reorgAnvil hands the dropped transactions back, because anvil forgets them.
// The replacing blocks have none of them, so that each transaction moves to another one.
func reorgAnvil(n *Network, depth int, instead []*types.Transaction) error {
	_, raws, err := n.dropped(depth, instead)
	if err != nil {
		return err
	}
	// An anvil whose clock runs ahead gives each block the second after its
	// parent's, and would make the same empty blocks once more: something must be
	// in the first of them.
	other, err := n.other()
	if err != nil {
		return err
	}
	if err := n.rpc(nil, "anvil_reorg", depth, []any{[]any{other, 0}}); err != nil {
		return err
	}
	if err := n.stir(); err != nil {
		return err
	}
	for _, raw := range raws {
		if err := n.resend(raw); err != nil {
			return err
		}
	}
	return mineAnvil(n, 1)
}

// openGeth starts geth --dev, whose account is unlocked, and makes our
// accounts rich.
func openGeth(t testing.TB) (*Network, func(), error) {
	p, url, err := start(regexp.MustCompile(`HTTP server started\s+endpoint=(\S+)`), program(t, "geth", "BURSAR_GETH"),
		"--dev", "--http", "--http.addr", "127.0.0.1", "--http.port", "0", "--http.api", "eth,net,web3,debug,txpool,dev",
		"--ws", "--ws.addr", "127.0.0.1", "--ws.port", "0", "--ws.api", "eth", // the same port: both are 0
		"--port", "0", "--authrpc.port", "0", "--ipcdisable", "--nodiscover", "--nat", "none",
		"--rpc.allow-unprotected-txs") // the deployment proxy comes by such a one
	if err != nil {
		return nil, nil, err
	}
	n, err := connect(&Network{Name: "geth", URL: url, MinesAtOnce: true, mine: mineGeth, reorg: reorgGeth})
	if err == nil {
		err = enrich(n)
	}
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	return n, p.stop, nil
}

func enrich(n *Network) error {
	var unlocked []common.Address
	if err := n.rpc(&unlocked, "eth_accounts"); err != nil {
		return err
	}
	var hash common.Hash
	for i, account := range rich() {
		// The chain is new, so that the nonces are known; see Network.nonce.
		payment := map[string]any{"from": unlocked[0], "to": account, "value": (*hexutil.Big)(riches()), "nonce": hexutil.Uint64(i)}
		if err := n.rpc(&hash, "eth_sendTransaction", payment); err != nil {
			return err
		}
	}
	_, err := n.receipt(hash)
	return err
}

// mineGeth sends transactions of nothing, since only a transaction makes a
// block. What waited before is in the same block or in an earlier one.
func mineGeth(n *Network, count int) error {
	self := n.Stranger()
	for range count {
		if _, err := n.pay(&self, new(big.Int), nil, 21_000); err != nil {
			return err
		}
	}
	return nil
}

// reorgGeth rewinds the chain, makes a block that was not there before, and
// hands the dropped transactions back.
func reorgGeth(n *Network, depth int, instead []*types.Transaction) error {
	head, raws, err := n.dropped(depth, instead)
	if err != nil {
		return err
	}
	if err := n.rpc(nil, "debug_setHead", hexutil.Uint64(head-uint64(depth))); err != nil {
		return err
	}
	if err := n.stir(); err != nil {
		return err
	}
	for _, raw := range raws {
		var tx types.Transaction
		if err := tx.UnmarshalBinary(raw); err != nil {
			return err
		}
		if err := n.resend(raw); err != nil {
			return err
		}
		if _, err := n.receipt(tx.Hash()); err != nil {
			return err
		}
	}
	ctx, cancel := n.context()
	defer cancel()
	for {
		now, err := n.Eth.BlockNumber(ctx)
		if err != nil || now > head {
			return err
		}
		if err := mineGeth(n, 1); err != nil {
			return err
		}
	}
}

func openSimulated(testing.TB) (*Network, func(), error) {
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	alloc := types.GenesisAlloc{}
	for _, account := range rich() {
		alloc[account] = types.Account{Balance: riches()}
	}
	backend := simulated.NewBackend(alloc, func(n *node.Config, c *ethconfig.Config) {
		// The rules of Osaka: the development chain switches those after it on in part.
		rules := *c.Genesis.Config
		rules.BogotaTime = nil
		c.Genesis.Config = &rules
		n.HTTPHost, n.HTTPPort, n.HTTPModules = "127.0.0.1", port, []string{"eth", "net", "debug", "txpool"}
		n.AllowUnprotectedTxs = true // the deployment proxy comes by such a one
	})
	stop := func() { _ = backend.Close() } // an in-memory chain has nothing to lose
	n, err := connect(&Network{
		Name: "simulated", URL: "http://127.0.0.1:" + strconv.Itoa(port),
		mine: func(n *Network, count int) error { return commit(n, backend, count) },
		reorg: func(n *Network, depth int, instead []*types.Transaction) error {
			return reorgSimulated(n, backend, depth, instead)
		},
		switchTo: backend.Fork,
	})
	if err != nil {
		stop()
		return nil, nil, err
	}
	return n, stop, nil
}

// commit makes blocks until nothing is left that could be in one. A few rounds
// must do: what offers less than the base fee waits for ever.
func commit(n *Network, backend *simulated.Backend, count int) error {
	for range count {
		backend.Commit()
	}
	for range 5 {
		left, err := n.settle()
		if err != nil || !left {
			return err
		}
		backend.Commit()
	}
	return nil
}

// reorgSimulated goes back and builds another branch. A bystander's transaction
// comes first, so that each of the others gets another place.
func reorgSimulated(n *Network, backend *simulated.Backend, depth int, instead []*types.Transaction) error {
	head, raws, err := n.dropped(depth, instead)
	if err != nil {
		return err
	}
	ctx, cancel := n.context()
	defer cancel()
	parent, err := n.Eth.HeaderByNumber(ctx, new(big.Int).SetUint64(head-uint64(depth)))
	if err != nil {
		return err
	}
	if err := backend.Fork(parent.Hash()); err != nil {
		return err
	}
	if err := n.stir(); err != nil {
		return err
	}
	for _, raw := range raws {
		if err := n.resend(raw); err != nil {
			return err
		}
	}
	return commit(n, backend, depth+1)
}

// freePort asks the system for a port. Another program could take it before it
// is used, which has not been seen to happen on a loopback.
func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address, err := netip.ParseAddrPort(l.Addr().String())
	return int(address.Port()), errors.Join(err, l.Close())
}
