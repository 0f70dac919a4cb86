package node

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// Network is a running node with a rich account of a stranger. Its methods fail
// the test that it was handed to. Copies of one node must not be used at the same
// time.
type Network struct {
	// Name is the kind of node, URL its endpoint, ChainID its EIP-155 number.
	Name    string
	URL     string // URL is the node's HTTP endpoint.
	ChainID uint64 // ChainID is its EIP-155 number.
	// MinesAtOnce is true where each transaction makes a block.
	MinesAtOnce bool
	// Eth and RPC are clients of the node, for what this type has no method for.
	Eth *ethclient.Client
	RPC *rpc.Client // RPC calls the node.

	t        testing.TB
	stranger *ecdsa.PrivateKey
	// Shared by all copies of the network: the stranger's next nonce, and the
	// number of reorgs. The nonce is counted here, because a node's own idea of
	// it lags behind while its pool follows a new block.
	nonce  *uint64
	reorgs *int64
	mine   func(n *Network, count int) error
	reorg  func(n *Network, depth int, instead []*types.Transaction) error
	// switchTo makes a block the head that the node has; nil where it cannot.
	switchTo func(block common.Hash) error
}

// patience is how long a node may take for anything.
const patience = 30 * time.Second

// keyOf derives a key from a name, since it is worth nothing.
func keyOf(name string) *ecdsa.PrivateKey {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("bursar e2e " + name)))
	if err != nil {
		panic(err) // the names are constant
	}
	return key
}

// connect fills in the clients.
func connect(n *Network) (*Network, error) {
	client, err := rpc.Dial(n.URL)
	if err != nil {
		return nil, err
	}
	n.RPC, n.Eth = client, ethclient.NewClient(client)
	n.stranger, n.nonce, n.reorgs = keyOf("stranger"), new(uint64), new(int64)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id, err := n.Eth.ChainID(ctx)
	if err != nil {
		return nil, err
	}
	n.ChainID = id.Uint64()
	return n, nil
}

// Stranger is the address of the rich account.
func (n *Network) Stranger() common.Address { return addressOf(n.stranger) }

func addressOf(key *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(key.PublicKey) }

// maxReorgs is how many reorgs a node can make. Each one has a bystander of its
// own, whose only transaction makes the blocks of the new branch differ from
// those of the old one; an account that was used before could get in the way of
// its own earlier transaction.
const maxReorgs = 64

func bystander(number int64) *ecdsa.PrivateKey { return keyOf(fmt.Sprintf("bystander %d", number)) }

// rich are the accounts that a node must fund.
func rich() []common.Address {
	out := []common.Address{addressOf(keyOf("stranger"))}
	for i := range int64(maxReorgs) {
		out = append(out, addressOf(bystander(i)))
	}
	return out
}

// Mine makes at least count blocks; what waits and can be executed is in a block
// afterwards.
func (n *Network) Mine(count int) {
	n.t.Helper()
	n.must(n.mine(n, count))
}

// CanReorg reports whether the node can be made to reorganise.
func (n *Network) CanReorg() bool { return n.reorg != nil }

// Reorg replaces the newest depth blocks by more than that with the same
// transactions, behind one of the stranger's own.
func (n *Network) Reorg(depth int) {
	n.t.Helper()
	n.Rewrite(depth)
}

// Rewrite is Reorg with transactions of which each takes the place of a dropped
// one of the same account and nonce, or is new. They come before the dropped ones
// that are left.
func (n *Network) Rewrite(depth int, instead ...*types.Transaction) {
	n.t.Helper()
	if n.reorg == nil {
		n.t.Fatalf("%s cannot reorganise", n.Name)
	}
	n.must(n.reorg(n, depth, instead))
}

// SwitchTo makes a block the head again that a reorg dropped. What is on the
// branch that is left goes back to the pool.
func (n *Network) SwitchTo(block common.Hash) {
	n.t.Helper()
	if n.switchTo == nil {
		n.t.Fatalf("%s cannot go back to a block", n.Name)
	}
	n.must(n.switchTo(block))
}

// Send has the stranger send a transaction and returns once the node has taken
// it. to is nil for a contract creation. The gas limit is fixed, so that
// transactions which fail are sent too. Where each transaction makes a block,
// it is in one when Send returns.
func (n *Network) Send(to *common.Address, value *big.Int, data []byte, gas uint64) common.Hash {
	n.t.Helper()
	hash, err := n.pay(to, value, data, gas)
	n.must(err)
	return hash
}

// pay sends with the stranger's next nonce.
func (n *Network) pay(to *common.Address, value *big.Int, data []byte, gas uint64) (common.Hash, error) {
	hash, err := n.send(n.stranger, *n.nonce, to, value, data, gas, 2)
	if err == nil {
		*n.nonce++
	}
	return hash, err
}

// send offers tip gwei above the base fee.
func (n *Network) send(key *ecdsa.PrivateKey, nonce uint64, to *common.Address, value *big.Int, data []byte, gas uint64, tip int64) (common.Hash, error) {
	ctx, cancel := n.context()
	defer cancel()
	gwei := big.NewInt(1e9)
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(new(big.Int).SetUint64(n.ChainID)), &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(n.ChainID), Nonce: nonce, To: to, Value: value, Data: data, Gas: gas,
		GasTipCap: new(big.Int).Mul(gwei, big.NewInt(tip)), GasFeeCap: new(big.Int).Mul(gwei, big.NewInt(100)),
	})
	if err != nil {
		return common.Hash{}, err
	}
	if err := n.Eth.SendTransaction(ctx, tx); err != nil {
		return common.Hash{}, err
	}
	if n.MinesAtOnce {
		if _, err = n.receipt(tx.Hash()); err == nil {
			_, err = n.settle()
		}
	}
	return tx.Hash(), err
}

// settle waits until a geth's pool has followed the newest block, and reports
// whether anything in it could be in the next one, by its nonce and its price. The pool works a moment behind: a
// funded account cannot pay yet, a used nonce is still free, and what was sent
// just now is not yet offered to the next block. What shows it is a transaction
// that waits with a used nonce, or one that is queued though its turn has come.
func (n *Network) settle() (executable bool, err error) {
	ctx, cancel := n.context()
	defer cancel()
	for {
		var pool struct{ Pending, Queued waiting }
		if err := n.RPC.CallContext(ctx, &pool, "txpool_content"); err != nil {
			return false, err
		}
		used, next, err := pool.Pending.compare(ctx, n)
		if err != nil {
			return false, err
		}
		stuck, ready, err := pool.Queued.compare(ctx, n)
		if err != nil {
			return false, err
		}
		if !used && !stuck && len(ready) == 0 {
			return n.affords(ctx, next)
		}
		if err := nap(ctx); err != nil {
			return false, fmt.Errorf("%s: the pool does not follow: %w", n.Name, err)
		}
	}
}

// waiting are transactions of a pool by account and nonce.
type waiting map[common.Address]map[string]offer

// offer is what a transaction pays at most for a unit of gas; a pool calls it so for
// each kind.
type offer struct {
	Cap *hexutil.Big `json:"gasPrice"`
}

// compare tells whether any of them has a used nonce, and which have the next one.
func (w waiting) compare(ctx context.Context, n *Network) (used bool, next []offer, err error) {
	for account, nonces := range w {
		count, err := n.Eth.NonceAt(ctx, account, nil)
		if err != nil {
			return false, nil, err
		}
		for text, o := range nonces {
			nonce, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return false, nil, err
			}
			used = used || nonce < count
			if nonce == count {
				next = append(next, o)
			}
		}
	}
	return used, next, nil
}

// affords reports whether any of the offers is above the next block's base fee.
func (n *Network) affords(ctx context.Context, offers []offer) (bool, error) {
	if len(offers) == 0 {
		return false, nil
	}
	fee, err := n.baseFee(ctx)
	return slices.ContainsFunc(offers, func(o offer) bool { return fee != nil && o.Cap.ToInt().Cmp(fee) > 0 }), err
}

// baseFee is that of the next block, in wei.
func (n *Network) baseFee(ctx context.Context) (*big.Int, error) {
	past, err := n.Eth.FeeHistory(ctx, 1, nil, nil)
	if err != nil {
		return nil, err
	}
	if len(past.BaseFee) < 2 {
		return nil, fmt.Errorf("%s: no base fee of the next block: %v", n.Name, past.BaseFee)
	}
	return past.BaseFee[1], nil
}

// nap waits before a node is asked again.
func nap(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Millisecond):
		return nil
	}
}

// resend hands a dropped transaction back and waits until the node has it. While
// its pool is still on the old branch, it calls the nonce used.
func (n *Network) resend(raw hexutil.Bytes) error {
	ctx, cancel := n.context()
	defer cancel()
	for {
		err := n.RPC.CallContext(ctx, nil, "eth_sendRawTransaction", raw)
		switch {
		case err == nil, strings.Contains(err.Error(), "already known"), strings.Contains(err.Error(), "already imported"):
			return nil
		case !strings.Contains(err.Error(), "nonce too low"):
			return err
		}
		if nap(ctx) != nil {
			return err
		}
	}
}

// receipt waits for a transaction to be in a block, and for the node to say that this
// block is its head or below: geth has receipts a moment before it counts their block.
func (n *Network) receipt(hash common.Hash) (*types.Receipt, error) {
	ctx, cancel := n.context()
	defer cancel()
	for {
		r, err := n.Eth.TransactionReceipt(ctx, hash)
		if err != nil && !errors.Is(err, ethereum.NotFound) && !isIndexing(err) {
			return r, err
		}
		if err == nil {
			head, err := n.Eth.BlockNumber(ctx)
			if err != nil || head >= r.BlockNumber.Uint64() {
				return r, err
			}
		}
		if err := nap(ctx); err != nil {
			return nil, fmt.Errorf("%s: %s is in no block: %w", n.Name, hash, err)
		}
	}
}

// isIndexing: a geth that has just started has not indexed its transactions.
func isIndexing(err error) bool { return err.Error() == "transaction indexing is in progress" }

// Deploy creates a contract and returns its address.
func (n *Network) Deploy(code []byte) common.Address {
	n.t.Helper()
	hash := n.Send(nil, new(big.Int), code, 3_000_000)
	n.Mine(1)
	r, err := n.receipt(hash)
	n.must(err)
	if r.Status != types.ReceiptStatusSuccessful {
		n.t.Fatalf("%s: the deployment failed", n.Name)
	}
	return r.ContractAddress
}

// Call is Send to a contract, without value.
func (n *Network) Call(to common.Address, data []byte) common.Hash {
	n.t.Helper()
	return n.Send(&to, new(big.Int), data, 500_000)
}

// Pay has the stranger send native coin.
func (n *Network) Pay(to common.Address, amount *big.Int) common.Hash {
	n.t.Helper()
	return n.Send(&to, amount, nil, 60_000)
}

// Fund pays and waits for the block.
func (n *Network) Fund(to common.Address, amount *big.Int) {
	n.t.Helper()
	hash := n.Pay(to, amount)
	n.Mine(1)
	_, err := n.receipt(hash)
	n.must(err)
}

// Head is the number of the newest block.
func (n *Network) Head() uint64 {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	head, err := n.Eth.BlockNumber(ctx)
	n.must(err)
	return head
}

// other is a signed transaction of a bystander that was never sent.
func (n *Network) other() (hexutil.Bytes, error) {
	if *n.reorgs >= maxReorgs {
		return nil, fmt.Errorf("more than %d reorgs on one node", maxReorgs)
	}
	key := bystander(*n.reorgs)
	*n.reorgs++
	self, number := addressOf(key), new(big.Int).SetUint64(n.ChainID)
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(number), &types.DynamicFeeTx{
		ChainID: number, To: &self, Gas: 21_000, GasTipCap: big.NewInt(2e9), GasFeeCap: big.NewInt(100e9),
	})
	if err != nil {
		return nil, err
	}
	return tx.MarshalBinary()
}

// stir has a bystander send itself nothing, for a fee that puts it first.
func (n *Network) stir() error {
	if *n.reorgs >= maxReorgs {
		return fmt.Errorf("more than %d reorgs on one node", maxReorgs)
	}
	key := bystander(*n.reorgs)
	*n.reorgs++
	self := addressOf(key)
	_, err := n.send(key, 0, &self, new(big.Int), nil, 21_000, 50)
	return err
}

func (n *Network) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// rpc calls a method of the node.
func (n *Network) rpc(out any, method string, params ...any) error {
	ctx, cancel := n.context()
	defer cancel()
	return n.RPC.CallContext(ctx, out, method, params...)
}

func (n *Network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
}

// dropped is what a reorg is about to undo: the height of the head, and the
// signed transactions of the newest depth blocks in order, behind and but for
// those that come instead.
func (n *Network) dropped(depth int, instead []*types.Transaction) (head uint64, raws []hexutil.Bytes, err error) {
	ctx, cancel := n.context()
	defer cancel()
	if head, err = n.Eth.BlockNumber(ctx); err != nil {
		return 0, nil, err
	}
	if uint64(depth) > head {
		return 0, nil, fmt.Errorf("a reorg of %d blocks of %d", depth, head)
	}
	for height := head - uint64(depth) + 1; height <= head; height++ {
		block, err := n.Eth.BlockByNumber(ctx, new(big.Int).SetUint64(height))
		if err != nil {
			return 0, nil, err
		}
		for _, tx := range block.Transactions() {
			raw, err := tx.MarshalBinary()
			if err != nil {
				return 0, nil, err
			}
			raws = append(raws, raw)
		}
	}
	raws, err = n.again(raws, instead)
	return head, raws, err
}
