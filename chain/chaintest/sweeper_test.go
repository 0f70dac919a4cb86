package chaintest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// delegates sends the authorisation of an account for a contract in a transaction of
// the outsider's own that reverts.
func (o outsider) delegates(t *testing.T, a chain.Account, to common.Address, nonce uint64) chain.TxID {
	t.Helper()
	auth := types.SetCodeAuthorization{ChainID: *uint256.NewInt(1337), Address: to, Nonce: nonce}
	body, err := rlp.EncodeToBytes([]any{&auth.ChainID, auth.Address, auth.Nonce})
	require.NoError(t, err)
	signature, err := o.w.signer.Sign(t.Context(), []chain.SignRequest{{
		Chain: "eip155:1337", Purpose: chain.SignAuthorization, Scheme: chain.ECDSA, Key: a.Key, Payload: append([]byte{5}, body...),
	}})
	require.NoError(t, err)
	auth.R.SetBytes(signature[0][:32])
	auth.S.SetBytes(signature[0][32:64])
	auth.V = signature[0][64]
	by, err := auth.Authority()
	require.NoError(t, err)
	require.Equal(t, common.HexToAddress(string(a.Address)), by)
	id, err := o.w.Send(o.sign(&types.SetCodeTx{
		ChainID: uint256.NewInt(1337), Nonce: o.w.Nonce(o.address()), GasTipCap: uint256.NewInt(gwei), GasFeeCap: uint256.NewInt(2 * gwei),
		Gas: 100_000, To: common.HexToAddress(string(o.w.Rejecter())), Value: uint256.NewInt(1), AuthList: []types.SetCodeAuthorization{auth},
	}))
	require.NoError(t, err)
	o.w.Mine(1)
	return id
}

// TestDelegationOutlivesARevert, and a stale authorisation is skipped.
func TestDelegationOutlivesARevert(t *testing.T) {
	f := newField(t, chaintest.Options{})
	o := newOutsider(t, f.world)
	id := o.delegates(t, f.source(0), f.sweeper.Address(), 0)
	s := f.status(id)
	require.Equal(t, chain.TxFailed, s.State)
	require.Equal(t, []chain.Lock{s.Locks[0], lock(f.source(0), 0)}, s.Locks)
	require.Equal(t, uint64(1), f.Nonce(f.source(0).Address))
	require.NotEmpty(t, f.Delegate(f.source(0).Address))
	in := f.collect(f.token, 0, 1)
	require.Len(t, f.prepare(in).Locks, 1, "it needs no authorisation any more")

	id = o.delegates(t, f.source(0), common.Address{0: 0xcc}, 0)
	require.Equal(t, []chain.Lock{lock(f.source(0), 0)}, f.status(id).Locks[1:], "as the transaction names it")
	require.Equal(t, uint64(1), f.Nonce(f.source(0).Address))
	require.Len(t, f.prepare(in).Locks, 1)
	o.delegates(t, f.source(0), common.Address{}, 1)
	require.Empty(t, f.Delegate(f.source(0).Address), "an authorisation for nobody ends it")
	require.Equal(t, lock(f.source(0), 2), f.prepare(in).Locks[1])
}

// TestBatchEntriesAreIndependent: what happens between preparing and mining keeps
// nothing but itself back.
func TestBatchEntriesAreIndependent(t *testing.T) {
	f := newField(t, chaintest.Options{})
	in := f.collect(f.token, 0, 4)
	s := f.sign(f.prepare(in))
	f.Blacklist(f.token, f.source(0).Address, true)
	f.Grant(f.source(1).Address, f.eth, ether(1))
	f.Mine(1)
	// An account's own transaction makes its authorisation stale, and takes the money.
	own := chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: f.source(1), To: f.own.Address, Asset: f.token, Amount: amount(1)}}}
	f.sent(f.prepare(own))
	f.Mine(1)
	require.NoError(t, f.client.Broadcast(t.Context(), s))
	f.Mine(1)
	st := f.status(s.ID)
	require.Equal(t, chain.TxIncluded, st.State)
	require.Equal(t, map[chain.Address]uint64{f.source(2).Address: 102, f.source(3).Address: 103}, f.swept(st))
	require.Equal(t, &chain.Unswept{Tried: 4, Failed: []chain.UnsweptMove{
		{Account: f.source(0).Address, Amount: amount(100)}, {Account: f.source(1).Address, Amount: amount(101)},
	}}, st.Unswept)
	require.Equal(t, s.Locks, st.Locks)
	require.Equal(t, uint64(1), f.Nonce(f.source(0).Address), "its authorisation was used up all the same")
	require.Equal(t, amount(1000), f.BalanceOf(f.source(0).Address, f.token))
	require.Equal(t, amount(999), f.BalanceOf(f.source(1).Address, f.token))
	require.Empty(t, f.Delegate(f.source(1).Address))
	require.Len(t, f.Logs(s.ID), 3, "two transfers and Unswept")
}

// TestBatchOfAStrangerSweepsNothing: the accounts look who sent the transaction.
func TestBatchOfAStrangerSweepsNothing(t *testing.T) {
	f := newField(t, chaintest.Options{})
	in := f.collect(f.token, 0, 2)
	d := f.prepare(in)
	f.sent(d)
	f.Mine(1)
	o := newOutsider(t, f.world)
	call := contracts.Batch{Op: contracts.OpSweep, Asset: common.HexToAddress(string(f.token.Contract)), Gas: 150_000}
	for n := range 2 {
		call.Entries = append(call.Entries, contracts.Entry{Account: common.HexToAddress(string(f.source(n).Address))})
	}
	data, err := call.Encode()
	require.NoError(t, err)
	require.NoError(t, o.send(o.legacy(0, f.contract(), 0, 400_000, data)))
	f.Mine(1)
	s := f.last()
	require.Equal(t, chain.TxIncluded, s.State)
	require.Empty(t, s.Transfers)
	require.Len(t, s.Unswept.Failed, 2)
	require.Equal(t, amount(201), f.BalanceOf(f.treasury.Address, f.token))
}

// TestBatchWithTooLittleGasStops, and keeps what it did.
func TestBatchWithTooLittleGasStops(t *testing.T) {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte(t.Name())))
	require.NoError(t, err)
	sponsor := chain.Address(crypto.PubkeyToAddress(key.PublicKey).Hex())
	treasury := chain.Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
	sweeper := chaintest.NewSweeper(sponsor, treasury)
	w := newWorld(t, chaintest.Options{Sweeper: sweeper})
	o := newOutsider(t, w)
	require.Equal(t, sponsor, o.address())
	to := sweeper.Address()
	call := contracts.Batch{Op: contracts.OpSweep, Asset: common.HexToAddress(string(w.usd.Contract)), Gas: 150_000}
	for n := range 4 {
		a := w.signer.Account(fmt.Sprint(n))
		w.Grant(a.Address, w.usd, amount(9))
		o.delegates(t, a, to, 0)
		call.Entries = append(call.Entries, contracts.Entry{Account: common.HexToAddress(string(a.Address)), Amount: amount(1)})
	}
	data, err := call.Encode()
	require.NoError(t, err)
	for _, c := range []struct {
		gas   uint64
		tried int
	}{{160_000, 0}, {228_000, 2}, {300_000, 4}} {
		require.NoError(t, o.send(o.legacy(w.Nonce(sponsor), chain.Address(common.Address(to).Hex()), 0, c.gas, data)))
		w.Mine(1)
		s := w.last()
		require.Equal(t, chain.TxIncluded, s.State)
		require.Len(t, s.Transfers, c.tried)
		if c.tried < 4 {
			require.Equal(t, &chain.Unswept{Tried: c.tried}, s.Unswept)
		} else {
			require.Nil(t, s.Unswept)
		}
		require.Less(t, s.GasUsed, c.gas)
	}

	// An entry has a limit of its own too: the receiver's first one costs more.
	fresh := w.DeployToken(chaintest.TokenSpec{})
	call.Asset, call.Gas = common.HexToAddress(string(fresh.Contract)), contracts.MinEntryGas
	call.Entries = call.Entries[:1]
	w.Grant(w.signer.Account("0").Address, fresh, amount(9))
	w.Mine(1)
	data, err = call.Encode()
	require.NoError(t, err)
	require.NoError(t, o.send(o.legacy(w.Nonce(sponsor), chain.Address(common.Address(to).Hex()), 0, 300_000, data)))
	w.Mine(1)
	require.Empty(t, w.last().Transfers)
	require.Len(t, w.last().Unswept.Failed, 1)
	require.Less(t, w.last().GasUsed, uint64(60_000))
}

// TestDelegatedAccountsLiveOn: they take coin, and send what they sign themselves.
func TestDelegatedAccountsLiveOn(t *testing.T) {
	f := newField(t, chaintest.Options{})
	f.sent(f.prepare(f.collect(f.token, 0, 1)))
	f.Mine(1)
	a := f.source(0)
	f.Pay("alice", a.Address, f.eth, ether(1))
	f.Mine(1)
	require.Equal(t, ether(1), f.BalanceOf(a.Address, f.eth))
	in := chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: a, To: f.own.Address, Asset: f.token, Amount: amount(7)}}}
	d := f.prepare(in)
	require.Equal(t, []chain.Lock{lock(a, 1)}, d.Locks)
	require.Equal(t, []chain.Lock{lock(a, 0)}, d.After)
	id := f.sent(d).ID
	f.Mine(1)
	require.Equal(t, chain.TxIncluded, f.status(id).State)
	require.Equal(t, amount(7), f.BalanceOf(f.own.Address, f.token))
	require.NotEmpty(t, f.Delegate(a.Address))
}

// TestReorgTakesDelegationsBack, and the nonces with them.
func TestReorgTakesDelegationsBack(t *testing.T) {
	f := newField(t, chaintest.Options{})
	in := f.collect(f.token, 0, 2)
	d := f.prepare(in)
	s := f.sent(d)
	f.Mine(1)
	require.NotEmpty(t, f.Delegate(f.source(0).Address))
	old := f.Rewind(1)
	require.Empty(t, f.Delegate(f.source(0).Address))
	require.Zero(t, f.Nonce(f.source(0).Address))
	require.Equal(t, chain.TxPending, f.status(s.ID).State)
	require.Equal(t, d, f.prepare(in), "as if it had not been")

	// On the new branch the account uses its nonce first: its entry fails there.
	f.Drop(s.ID)
	f.Grant(f.source(0).Address, f.eth, ether(1))
	f.Mine(1)
	f.sent(f.prepare(chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: f.source(0), To: f.own.Address, Asset: f.token, Amount: amount(1)}}}))
	f.Mine(1)
	require.NoError(t, f.client.Broadcast(t.Context(), s))
	f.Mine(1)
	require.Equal(t, map[chain.Address]uint64{f.source(1).Address: 101}, f.swept(f.status(s.ID)))

	f.Return(old)
	require.Len(t, f.swept(f.status(s.ID)), 2)
	require.NotEmpty(t, f.Delegate(f.source(0).Address))
	require.Equal(t, uint64(1), f.Nonce(f.source(0).Address))
}

// TestSetCodeNeedsASweeper: without one the chain knows no such transactions.
func TestSetCodeNeedsASweeper(t *testing.T) {
	w := newWorld(t, chaintest.Options{})
	o := newOutsider(t, w)
	tx := &types.SetCodeTx{
		ChainID: uint256.NewInt(1337), GasTipCap: uint256.NewInt(1), GasFeeCap: uint256.NewInt(2 * gwei), Gas: 100_000, Value: new(uint256.Int),
		AuthList: []types.SetCodeAuthorization{{ChainID: *uint256.NewInt(1337)}},
	}
	require.ErrorContains(t, o.send(o.sign(tx)), "transaction type 4 is not simulated")
	f := newField(t, chaintest.Options{})
	o = newOutsider(t, f.world)
	id, err := f.Send(o.sign(tx))
	require.NoError(t, err, "what nobody signed is skipped")
	f.Mine(1)
	require.Len(t, f.status(id).Locks, 1)
	elsewhere, err := types.SignSetCode(o.key, types.SetCodeAuthorization{ChainID: *uint256.NewInt(1), Address: common.Address{0: 0xcc}, Nonce: 2})
	require.NoError(t, err)
	tx.AuthList, tx.Nonce = []types.SetCodeAuthorization{elsewhere}, 1
	require.NoError(t, o.send(o.sign(tx)))
	f.Mine(1)
	require.Empty(t, f.Delegate(o.address()), "nor does one for another chain count")
	require.Len(t, f.last().Locks, 1)
	tx.AuthList, tx.Nonce = nil, 2
	require.ErrorContains(t, o.send(o.sign(tx)), "without authorisations")
	tx.AuthList, tx.Gas = make([]types.SetCodeAuthorization, 2), 21_000+2*25_000-1
	require.ErrorContains(t, o.send(o.sign(tx)), "intrinsic gas too low")
}

// TestRandomBatches: whatever fails in whichever order, nothing is lost, and Status
// tells exactly what moved.
func TestRandomBatches(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newField(t, chaintest.Options{})
		sources := rapid.IntRange(1, 8).Draw(r, "sources")
		total := uint64(sources) * 1000
		f.collect(f.token, 0, sources)
		held := func(a chain.Address) uint64 { return f.BalanceOf(a, f.token).Big().Uint64() }
		for range rapid.IntRange(1, 4).Draw(r, "batches") {
			in := chain.Intent{Purpose: chain.PurposeCollection, FeePayer: f.sponsor}
			for n := range sources {
				if rapid.Bool().Draw(r, "takes part") {
					in.Moves = append(in.Moves, chain.Move{From: f.source(n), To: f.treasury.Address, Asset: f.token, Amount: amount(rapid.Uint64Range(1, 400).Draw(r, "amount"))})
				}
			}
			d, err := f.client.Prepare(t.Context(), in)
			if len(in.Moves) == 0 || err != nil {
				var inTheWay *chain.SourcesError
				require.True(t, len(in.Moves) == 0 || errors.As(err, &inTheWay), "%v", err)
				continue
			}
			s := f.sign(d)
			fails := map[chain.Address]bool{}
			for _, m := range in.Moves {
				a := m.From
				switch rapid.IntRange(0, 4).Draw(r, "fate") {
				case 0:
					f.Blacklist(f.token, a.Address, true)
					fails[a.Address] = true
				case 1: // it spends itself what it has, and its nonce
					if f.Delegate(a.Address) == "" || held(a.Address) > 0 {
						f.Grant(a.Address, f.eth, ether(1))
						f.Mine(1)
						all := chain.Intent{Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: a, To: f.own.Address, Asset: f.token, All: true}}}
						if own, err := f.client.Prepare(t.Context(), all); err == nil {
							f.sent(own)
							fails[a.Address] = true
						}
					}
				}
			}
			f.Mine(1)
			before := map[chain.Address]uint64{}
			for n := range sources {
				before[f.source(n).Address] = held(f.source(n).Address)
			}
			treasury := held(f.treasury.Address)
			require.NoError(t, f.client.Broadcast(t.Context(), s))
			f.Mine(1)
			if depth := rapid.IntRange(0, 1).Draw(r, "reorg"); depth > 0 {
				f.Reorg(depth)
			}
			st := f.status(s.ID)
			require.Equal(t, chain.TxIncluded, st.State)
			moved, sum := f.swept(st), uint64(0)
			for _, m := range d.Intent.Moves {
				a := m.From.Address
				if want := m.Amount.Big().Uint64(); fails[a] {
					require.Zero(t, moved[a])
				} else {
					require.Equal(t, want, moved[a])
				}
				sum += moved[a]
			}
			require.Equal(t, len(st.Transfers)+len(fails), len(in.Moves))
			if len(fails) == 0 {
				require.Nil(t, st.Unswept)
			} else {
				require.Len(t, st.Unswept.Failed, len(fails))
				for _, u := range st.Unswept.Failed {
					require.True(t, fails[u.Account])
				}
			}
			require.Equal(t, treasury+sum, held(f.treasury.Address))
			whole := held(f.treasury.Address) + held(f.own.Address)
			for n := range sources {
				a := f.source(n).Address
				require.Equal(t, before[a]-moved[a], held(a))
				whole += held(a)
			}
			require.Equal(t, total, whole, "nothing is made or lost")
			for n := range sources {
				f.Blacklist(f.token, f.source(n).Address, false)
			}
			f.Mine(1)
		}
	})
}
