package differential

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// mine makes a block on both chains and compares all of it.
func (p *pair) mine() {
	p.t.Helper()
	parent := p.head().header
	b := p.evm.mine()
	p.sim.WalkFees(parent.GasUsed, parent.GasLimit/2)
	require.Equal(p.t, b.header.BaseFee.String(), p.sim.Fees().BaseFee.String(), "base fee after %d of %d gas", parent.GasUsed, parent.GasLimit)

	var order []chain.TxID
	for _, tx := range p.strangers(b.txs) {
		order = append(order, chain.TxID(tx.Hash().Hex()))
	}
	p.compareChoice(order)
	p.note("block %d: %d transactions", b.header.Number, len(order))
	p.mineOnly(order)
	p.attach(b)
	p.compareBlock(b)
	p.compareState()
	p.comparePools()
	p.done.blocks++
}

// strangers leaves out what the owner of the tokens did.
func (p *pair) strangers(txs types.Transactions) types.Transactions {
	owner := crypto.PubkeyToAddress(p.owner.PublicKey)
	return slices.DeleteFunc(slices.Clone(txs), func(tx *types.Transaction) bool {
		from, err := types.Sender(signer, tx)
		return err == nil && from == owner
	})
}

// compareChoice has the simulated chain choose a block of its own, and takes it
// back. Miners choose the order as they like; which transactions are in is the
// same as long as nobody has more waiting than it can pay for: else it depends on
// the order whether somebody is paid in time.
func (p *pair) compareChoice(want []chain.TxID) {
	p.t.Helper()
	for owner, cost := range p.waitingCosts() {
		if cost.Cmp(p.sim.BalanceOf(text(owner), p.sim.Info().Native).Big()) > 0 {
			return
		}
	}
	// The EVM's miner wants a wei for itself; the protocol does not.
	base := p.sim.Fees().BaseFee.Big()
	leave := slices.DeleteFunc(p.sim.Mempool(), func(id chain.TxID) bool { return p.sent[id].GasFeeCapIntCmp(base) > 0 })
	ref := p.sim.MineWith(chaintest.MineOptions{Leave: leave})
	var got []chain.TxID
	for _, s := range p.sim.Transactions(ref.Height) {
		got = append(got, s.ID)
	}
	p.sim.Rewind(1)
	require.ElementsMatch(p.t, want, got, "which transactions a block takes")
	p.done.choices++
}

// waitingCosts is what each account could have to pay for all that waits.
func (p *pair) waitingCosts() map[common.Address]*big.Int {
	out := map[common.Address]*big.Int{}
	for _, id := range p.sim.Mempool() {
		tx := p.sent[id]
		from, err := types.Sender(signer, tx)
		require.NoError(p.t, err)
		add(out, from, tx.Cost())
	}
	return out
}

// mineOnly turns the panic over a transaction that cannot be executed into a
// failure that tells the script.
func (p *pair) mineOnly(order []chain.TxID) {
	p.t.Helper()
	defer func() {
		if e := recover(); e != nil {
			require.Fail(p.t, "the EVM mined what the simulated chain cannot", e)
		}
	}()
	p.sim.MineOnly(order...)
}

// compareBlock compares the receipts of the newest block.
func (p *pair) compareBlock(b evmBlock) {
	p.t.Helper()
	receipts := map[chain.TxID]*types.Receipt{}
	for _, r := range b.receipts {
		receipts[chain.TxID(r.TxHash.Hex())] = r
	}
	mined := p.sim.Transactions(b.header.Number.Uint64())
	for i, tx := range p.strangers(b.txs) {
		s := mined[i]
		require.Equal(p.t, chain.TxID(tx.Hash().Hex()), s.ID, "order within the block")
		p.compareReceipt(tx, receipts[s.ID], s)
	}
}

// compareReceipt leaves out gas and fee of calls: models in Go use no real gas.
func (p *pair) compareReceipt(tx *types.Transaction, r *types.Receipt, s chain.TxStatus) {
	p.t.Helper()
	what := describe(tx)
	from, err := types.Sender(signer, tx)
	require.NoError(p.t, err)
	require.Equal(p.t, text(from), s.From, what)
	require.Equal(p.t, []chain.Lock{chain.Lock(fmt.Sprintf("nonce:%s:%d", from.Hex(), tx.Nonce()))}, s.Locks, what)
	require.Equal(p.t, r.Status == types.ReceiptStatusSuccessful, s.State == chain.TxIncluded, "success of %s", what)
	require.Equal(p.t, r.EffectiveGasPrice.String(), s.GasPrice.String(), "gas price of %s", what)
	if !p.code[*tx.To()] {
		require.Equal(p.t, r.GasUsed, s.GasUsed, "gas of %s", what)
	}
	paid := new(big.Int).Mul(s.GasPrice.Big(), new(big.Int).SetUint64(s.GasUsed))
	require.Equal(p.t, paid.String(), s.Fee.String(), "fee of %s", what)
	logs := p.sim.Logs(s.ID)
	require.Len(p.t, logs, len(r.Logs), "logs of %s", what)
	for i, l := range r.Logs {
		want := chaintest.Log{Contract: text(l.Address), Data: l.Data}
		for _, topic := range l.Topics {
			want.Topics = append(want.Topics, topic)
		}
		require.Equal(p.t, fmt.Sprintf("%x", want), fmt.Sprintf("%x", logs[i]), "log %d of %s", i, what)
	}
	p.done.txs++
	p.done.logs += len(logs)
	if s.State == chain.TxFailed {
		p.done.failed++
	}
}

// compareState compares what all accounts have at the head. Native balances are
// compared as if the fees had been the same.
func (p *pair) compareState() {
	p.t.Helper()
	var contracts []common.Address
	for _, a := range p.tokens {
		contracts = append(contracts, raw(a.Contract))
	}
	head := p.head().header.Hash()
	there := p.evm.state(head, p.accounts, contracts)
	for _, a := range p.accounts {
		have := there[a]
		if !p.code[a] { // a contract's nonce counts what it created, which no client asks for
			require.Equal(p.t, have.nonce, p.sim.Nonce(text(a)), "nonce of %s", a)
		}
		coin := new(big.Int).Set(have.coin)
		if excess := p.fees[head][a]; excess != nil {
			coin.Add(coin, excess)
		}
		require.Equal(p.t, coin.String(), p.sim.BalanceOf(text(a), p.sim.Info().Native).String(), "coin of %s", a)
		for i, token := range p.tokens {
			require.Equal(p.t, have.tokens[i].String(), p.sim.BalanceOf(text(a), token).String(), "%s of %s", kinds[i].kind, a)
		}
	}
}

// comparePools compares which transactions wait.
func (p *pair) comparePools() {
	p.t.Helper()
	require.ElementsMatch(p.t, p.poolOfEVM(), p.sim.Mempool(), "the mempool")
}

func (p *pair) poolOfEVM() []chain.TxID {
	_, all := p.evm.waiting()
	var out []chain.TxID
	for hash := range all {
		if id := chain.TxID(hash.Hex()); p.sent[id] != nil { // the owner's are not ours
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// clear empties both mempools where something could be mined: the EVM forks from
// nowhere else.
func (p *pair) clear() {
	p.t.Helper()
	if pending, _ := p.evm.waiting(); len(pending) == 0 {
		return
	}
	p.note("drop all that waits")
	p.evm.backend.Rollback()
	p.sim.Drop(p.sim.Mempool()...)
	p.comparePools()
}

// fork takes blocks off both chains. It returns the head that it left.
func (p *pair) fork(depth int) []evmBlock {
	p.t.Helper()
	p.clear()
	p.note("fork %d blocks back", depth)
	left := p.blocks
	p.blocks = slices.Clone(p.blocks[:len(p.blocks)-depth])
	p.evm.fork(p.head().header.Hash())
	p.sim.Rewind(depth)
	p.follow()
	p.done.forks++
	return left
}

// back makes an abandoned branch the present one again.
func (p *pair) back(to []evmBlock) {
	p.t.Helper()
	p.clear()
	p.note("back to %d %s", len(to)-1, to[len(to)-1].header.Hash().Hex()[:10])
	p.blocks = to
	p.evm.fork(p.head().header.Hash())
	p.sim.Return(p.like[p.head().header.Hash()])
	p.follow()
	p.done.returns++
}

// follow brings fees and mempools to the head that both chains went to, and
// compares the state there.
func (p *pair) follow() {
	p.t.Helper()
	head := p.head().header
	p.sim.SetFees(fees(head.BaseFee))
	p.forget()
	p.compareState()
	p.comparePools()
}

// forget drops what the EVM's pool has lost in a reorg. It takes dropped
// transactions in again one by one, and refuses those that their account cannot
// pay at the block it went back to, as where the payment that it spent was dropped
// with it. The simulated chain keeps them: its mempool is that of all nodes, and
// some node has them. Nothing else may be missing.
func (p *pair) forget() {
	p.t.Helper()
	kept := p.poolOfEVM()
	for _, id := range p.sim.Mempool() {
		if slices.Contains(kept, id) {
			continue
		}
		from, err := types.Sender(signer, p.sent[id])
		require.NoError(p.t, err)
		has, err := p.evm.backend.Client().BalanceAt(p.t.Context(), from, p.head().header.Number)
		require.NoError(p.t, err)
		require.Negative(p.t, has.Cmp(p.sent[id].Cost()), "lost in a reorg, though it could be paid: %s", describe(p.sent[id]))
		p.note("lost with the fork: %s", id[:10])
		require.True(p.t, p.sim.Drop(id))
		p.done.lost++
	}
}
