package contracts_test

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// Modes of the token that misbehaves, as its source has them.
const (
	modeRevert = iota + 1
	modeBurn
	modeFalse
	modeLie
	modeShort
	modeTwo
	modeBomb
	modeReenter
)

// kinds are both kinds of deposit address, ready to be swept.
func (w *world) kinds() map[string]common.Address {
	a, salt := w.account(), w.salts(1)
	w.delegate(a)
	at := common.Address(w.sweeper.Forwarder(salt[0]))
	token := w.token("oz")
	w.mint(token, at)
	by := w.sponsor
	if w.sweeper.Params().Sponsor == (common.Address{}) {
		by = w.owner
	}
	require.Nil(w.t, w.unswept(contracts.OpDeploy, w.ok(w.send(by, w.at, w.salted(contracts.OpDeploy, token, payment, salt...)))))
	require.Equal(w.t, w.sweeper.ForwarderCode(), w.code(at))
	return map[string]common.Address{"delegated account": a.at, "forwarder": at}
}

// transferred counts the logs of a token's transfers to the treasury.
func (w *world) transferred(r *types.Receipt, token common.Address) (n int) {
	topic := common.HexToHash("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
	for _, l := range r.Logs {
		if l.Address == token && l.Topics[0] == topic && common.BytesToAddress(l.Topics[2][:]) == w.treasury.at {
			n++
		}
	}
	return n
}

// failures are the accounts that a batch could not sweep.
func failures(u *contracts.Unswept) (out []common.Address) {
	if u != nil {
		for _, e := range u.Failed {
			out = append(out, e.Account)
		}
	}
	return out
}

// Whoever may sweep pays the treasury by it. Amounts are exact, or all there is.
func TestThreat_F1_WhoeverSweepsPaysTheTreasury(t *testing.T) {
	w := newWorld(t)
	w.maySweep(w.sponsor)
	open := newOpenWorld(t)
	open.maySweep(open.stranger, open.sponsor, open.owner)
}

// maySweep requires that each of some can sweep, and how.
func (w *world) maySweep(each ...account) {
	t := w.t
	for name, at := range w.kinds() {
		for _, asset := range []string{"oz", "usdt", "usdc", "coin"} {
			token := w.token(asset)
			for _, who := range each {
				before := w.balance(token, w.treasury.at)
				w.mint(token, at)
				w.ok(w.send(who, at, contracts.Sweep(token, chain.NewAmount(23))))
				require.Equal(t, before+23, w.balance(token, w.treasury.at), "%s %s", name, asset)
				w.ok(w.send(who, at, contracts.Sweep(token, chain.Amount{})))
				require.Equal(t, before+payment, w.balance(token, w.treasury.at), "%s %s", name, asset)
				require.Zero(t, w.balance(token, at))
				w.mint(token, at)
				require.Nil(t, w.unswept(contracts.OpSweep, w.ok(w.send(who, w.at, w.batch(token, 0, at)))))
				require.Equal(t, before+2*payment, w.balance(token, w.treasury.at), "%s %s", name, asset)
			}
		}
	}
}

// More than there is, and nothing, is not swept and is told.
func TestThreat_F13_AmountsThatAreNotThere(t *testing.T) {
	w := newWorld(t)
	for name, at := range w.kinds() {
		for _, asset := range []string{"oz", "usdt", "usdc", "coin"} {
			token := w.token(asset)
			r := w.ok(w.send(w.sponsor, w.at, w.batch(token, 0, at)))
			require.Equal(t, []common.Address{at}, failures(w.unswept(contracts.OpSweep, r)), "%s %s: nothing", name, asset)
			w.mint(token, at)
			r = w.ok(w.send(w.sponsor, w.at, w.batch(token, payment+1, at)))
			require.Equal(t, []common.Address{at}, failures(w.unswept(contracts.OpSweep, r)), "%s %s: too much", name, asset)
			require.EqualValues(t, payment, w.balance(token, at))
		}
	}
}

// The owner has an address make any call, and gets out what no sweep moves.
// Nobody else does, not even the address's own key through the contract.
func TestThreat_F11_TheWayOutIsTheOwners(t *testing.T) {
	w := newWorld(t)
	nft := w.contract("Nft")
	for name, at := range w.kinds() {
		w.do(nft, "mint(address,uint256)", at, big.NewInt(7))
		out := contracts.Execute(nft, chain.Amount{}, pack(t, "transferFrom(address,address,uint256)", at, w.owner.at, big.NewInt(7)))
		owner := func() common.Address {
			got, err := w.call(w.stranger.at, nft, pack(t, "ownerOf(uint256)", big.NewInt(7)))
			require.NoError(t, err)
			return common.BytesToAddress(got)
		}
		for _, who := range []account{w.stranger, w.sponsor, w.treasury} {
			w.send(who, at, out)
			require.Equal(t, at, owner(), "%s", name)
		}
		relay := w.contract("Caller")
		w.send(w.owner, relay, pack(t, "relay(address,bytes)", at, out))
		require.Equal(t, at, owner(), "through a contract the owner is not the caller")
		w.send(w.stranger, w.at, contracts.Execute(at, chain.Amount{}, out))
		require.Equal(t, at, owner(), "the Sweeper is nobody's way in")
		w.ok(w.send(w.owner, at, out))
		require.Equal(t, w.owner.at, owner(), "%s", name)

		// Coin goes out with it, and what a call refuses is refused.
		w.mint(common.Address{}, at)
		fresh := w.account().at
		w.ok(w.send(w.owner, at, contracts.Execute(fresh, chain.NewAmount(5), nil)))
		require.EqualValues(t, 5, w.balance(common.Address{}, fresh))
		said, err := w.call(w.owner.at, at, out) // no longer its own
		require.Empty(t, said)
		require.Equal(t, name == "delegated account", err != nil, "a forwarder says it by silence")
	}
}

// An account whose key calls its own code is not the owner by that.
func TestThreat_F11_AnAccountIsNotItsOwner(t *testing.T) {
	w := newWorld(t)
	a := w.account()
	w.ok(w.send(w.stranger, a.at, nil, value(1e18)))
	w.delegate(a)
	w.failed(w.send(a, a.at, contracts.Execute(w.stranger.at, chain.NewAmount(1), nil)))
}

// The owner deploys, and where there is a sponsor the sponsor alone sweeps by it.
func TestThreat_F11_OnlySponsorAndOwnerDeploy(t *testing.T) {
	w := newWorld(t)
	token := w.token("oz")
	for i, who := range []account{w.stranger, w.treasury, w.sponsor, w.owner} {
		salt := w.salts(1)
		w.mint(token, w.forwarders(salt)...)
		r := w.send(who, w.at, w.salted(contracts.OpDeploy, token, payment, salt...))
		require.Equal(t, i >= 2, r.Status == types.ReceiptStatusSuccessful)
		require.Equal(t, i >= 2, len(w.code(w.sweeper.Forwarder(salt[0]))) > 0)
		require.Equal(t, who == w.sponsor, w.transferred(r, token) == 1)
		// The step inside of it is for the contract itself.
		salt = w.salts(1)
		w.mint(token, w.forwarders(salt)...)
		var word [32]byte
		copy(word[24:], salt[0][:])
		w.failed(w.send(who, w.at, pack(t, "deploy(bytes32,address,uint256)", word, token, big.NewInt(1))))
		require.Empty(t, w.code(w.sweeper.Forwarder(salt[0])))
	}
}

// A forwarder that exists already costs the entry's gas, not the batch's; one
// whose sweep fails is not deployed, and can be later.
func TestThreat_F7_ABatchOfForwardersThatRanAlready(t *testing.T) {
	w := newWorld(t)
	token := w.token("oz")
	salts := w.salts(5)
	w.mint(token, w.forwarders(salts[:2])...)
	w.ok(w.send(w.sponsor, w.at, w.salted(contracts.OpDeploy, token, payment, salts[:2]...)))
	w.mint(token, w.forwarders(salts[:4])...)
	r := w.ok(w.send(w.sponsor, w.at, w.salted(contracts.OpDeploy, token, payment, salts...)))
	u := w.unswept(contracts.OpDeploy, r)
	require.NotNil(t, u)
	require.Equal(t, 5, u.Tried)
	amount := chain.NewAmount(payment)
	require.Equal(t, []contracts.Entry{{Salt: salts[0], Amount: amount}, {Salt: salts[1], Amount: amount}, {Salt: salts[4], Amount: amount}}, u.Failed)
	require.Equal(t, 2, w.transferred(r, token))
	require.Less(t, r.GasUsed, uint64(3*entryGas+2*60_000+40_000))
	require.Empty(t, w.code(w.sweeper.Forwarder(salts[4])), "nothing there: not deployed")

	r = w.ok(w.send(w.sponsor, w.at, w.salted(contracts.OpFlush, token, payment, salts...)))
	u = w.unswept(contracts.OpFlush, r)
	require.NotNil(t, u)
	require.Equal(t, []contracts.Entry{{Salt: salts[2], Amount: amount}, {Salt: salts[3], Amount: amount}, {Salt: salts[4], Amount: amount}}, u.Failed)
	require.Equal(t, 2, w.transferred(r, token))
}

// One entry that cannot be swept, for whatever reason, keeps no other back, and
// is the one that is told.
func TestThreat_F11_OneBadEntryAmongGood(t *testing.T) {
	for name, mode := range map[string]uint8{"reverts": modeRevert, "burns gas": modeBurn, "false": modeFalse, "one byte": modeShort, "two": modeTwo, "a bomb": modeBomb} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			token, of := w.contract("Bad"), w.accounts(5)
			w.delegate(of...)
			w.mint(token, addresses(of)...)
			for _, i := range []int{0, 3} {
				w.do(token, "misbehave(address,uint8)", of[i].at, mode)
			}
			r := w.ok(w.send(w.sponsor, w.at, w.batch(token, payment, addresses(of)...)))
			u := w.unswept(contracts.OpSweep, r)
			require.NotNil(t, u)
			require.Equal(t, 5, u.Tried)
			require.Equal(t, []common.Address{of[0].at, of[3].at}, failures(u))
			require.Equal(t, 3, w.transferred(r, token))
			require.EqualValues(t, 3*payment, w.balance(token, w.treasury.at))
			require.Less(t, r.GasUsed, uint64(2*entryGas+3*60_000+30_000), "the bad ones had their limit")
			out, err := w.call(w.sponsor.at, w.at, w.batch(token, payment, of[0].at))
			require.NoError(t, err)
			again, err := contracts.DecodeUnswept(contracts.OpSweep, out)
			require.NoError(t, err)
			require.Equal(t, []common.Address{of[0].at}, failures(&again), "a dry run says it too")
		})
	}
}

// With gas for a few entries only, a batch of burners stops, says how far it
// came, and keeps what it has swept.
func TestThreat_F11_ABatchThatRunsShortKeepsWhatItDid(t *testing.T) {
	w := newWorld(t)
	token, of := w.contract("Bad"), w.accounts(20)
	w.delegate(of...)
	w.mint(token, addresses(of)...)
	for i, a := range of {
		if i > 1 {
			w.do(token, "misbehave(address,uint8)", a.at, uint8(modeBurn))
		}
	}
	for _, gas := range []uint64{60_000, 190_000, 400_000, 1_000_000, 1_500_000} {
		before := w.balance(token, w.treasury.at)
		r := w.ok(w.send(w.sponsor, w.at, w.batch(token, 1, addresses(of)...), limit(gas)))
		u := w.unswept(contracts.OpSweep, r)
		require.NotNil(t, u)
		require.Less(t, u.Tried, 20)
		require.Len(t, u.Failed, max(u.Tried-2, 0))
		require.EqualValues(t, min(u.Tried, 2), w.balance(token, w.treasury.at)-before)
		t.Logf("%d gas: %d tried", gas, u.Tried)
	}
}

// A token that says that it moved and did not cannot be found out by the
// contract: no log of its own, and none of ours. Only logs and balances count.
func TestThreat_F12_ATokenThatLiesLeavesNoTransfer(t *testing.T) {
	w := newWorld(t)
	token, of := w.contract("Bad"), w.accounts(2)
	w.delegate(of...)
	w.mint(token, addresses(of)...)
	w.do(token, "misbehave(address,uint8)", of[0].at, uint8(modeLie))
	r := w.ok(w.send(w.sponsor, w.at, w.batch(token, payment, addresses(of)...)))
	require.Nil(t, w.unswept(contracts.OpSweep, r))
	require.Equal(t, 1, w.transferred(r, token))
	require.EqualValues(t, payment, w.balance(token, w.treasury.at))
}

func TestThreat_F11_FrozenAddresses(t *testing.T) {
	for _, asset := range []string{"usdt", "usdc"} {
		w := newWorld(t)
		token, of, salts := w.token(asset), w.accounts(4), w.salts(2)
		w.mint(token, append(addresses(of), w.forwarders(salts)...)...)
		w.do(token, "freeze(address)", of[1].at)
		w.do(token, "freeze(address)", common.Address(w.sweeper.Forwarder(salts[0])))
		r := w.ok(w.send(w.sponsor, w.at, w.batch(token, payment, addresses(of)...), with(w.authorisations(of)...)))
		require.Equal(t, []common.Address{of[1].at}, failures(w.unswept(contracts.OpSweep, r)))
		r = w.ok(w.send(w.sponsor, w.at, w.salted(contracts.OpDeploy, token, payment, salts...)))
		u := w.unswept(contracts.OpDeploy, r)
		require.NotNil(t, u)
		require.Equal(t, salts[0], u.Failed[0].Salt)
		require.EqualValues(t, 4*payment, w.balance(token, w.treasury.at))
	}
}

// A token that takes its turn to call back gets nothing but a sweep.
func TestThreat_F11_ATokenThatCallsBack(t *testing.T) {
	w := newWorld(t)
	for name, at := range w.kinds() {
		token := w.contract("Bad")
		other, bystander := w.token("oz"), w.account()
		w.delegate(bystander)
		w.mint(other, at, bystander.at)
		w.do(token, "misbehave(address,uint8)", at, uint8(modeReenter))
		steal := contracts.Execute(other, chain.Amount{}, transfer(token, payment))
		for plan, call := range map[string]struct {
			to   common.Address
			data []byte
		}{
			"the same again": {at, contracts.Sweep(token, chain.Amount{})},
			"the same batch": {w.at, w.batch(token, 0, at)},
			"another token":  {w.at, w.batch(other, 0, at, bystander.at)},
			"the way out":    {at, steal},
			"deploy":         {w.at, w.salted(contracts.OpDeploy, token, 0, w.salts(1)...)},
			"as a token":     {at, transfer(token, payment)},
		} {
			w.mint(token, at)
			w.do(token, "plan(address,bytes)", call.to, call.data)
			before, total := w.balance(token, w.treasury.at), w.balance(token, at)
			w.ok(w.send(w.sponsor, w.at, w.batch(token, payment, at)))
			require.Equal(t, before+total, w.balance(token, w.treasury.at)+w.balance(token, at), "%s: %s", name, plan)
			require.Zero(t, w.balance(other, token))
			require.Zero(t, w.balance(token, token))
			require.EqualValues(t, 2*payment, w.balance(other, at)+w.balance(other, bystander.at)+w.balance(other, w.treasury.at), plan)
		}
		tries, err := w.call(w.stranger.at, token, pack(t, "tries()"))
		require.NoError(t, err)
		require.NotZero(t, new(big.Int).SetBytes(tries).Int64(), "it had its turn")
	}
}

// A batch of what is no token at all fails as a whole; a deposit address is no
// token either, and never calls another with more than a transfer.
func TestThreat_F11_WhatIsNoToken(t *testing.T) {
	w := newWorld(t)
	kinds := w.kinds()
	for name, at := range kinds {
		w.failed(w.send(w.sponsor, w.at, w.batch(w.account().at, 1, at)))
		for _, token := range []common.Address{w.at, kinds["delegated account"]} {
			if token == at {
				continue
			}
			r := w.ok(w.send(w.sponsor, w.at, w.batch(token, 1, at)))
			require.NotNil(t, w.unswept(contracts.OpSweep, r), "%s", name)
			r = w.ok(w.send(w.sponsor, w.at, w.batch(token, 0, at)))
			require.NotNil(t, w.unswept(contracts.OpSweep, r), "%s", name)
		}
	}
	// No batch of accounts runs at a deposit address: it would call for its sender
	// whom the sender names.
	token := w.token("oz")
	victim := w.account()
	w.delegate(victim)
	w.mint(token, victim.at)
	for name, at := range kinds {
		for _, who := range []account{w.stranger, w.sponsor} {
			w.send(who, at, w.batch(token, payment, victim.at))
			require.EqualValues(t, payment, w.balance(token, victim.at), "%s", name)
		}
	}
}

// What went to the contract itself by mistake goes to the treasury as well.
func TestThreat_F11_NothingIsStuckInTheSweeper(t *testing.T) {
	w := newWorld(t)
	token := w.token("oz")
	w.mint(token, w.at)
	w.mint(common.Address{}, w.at)
	w.ok(w.send(w.sponsor, w.at, w.batch(token, 0, w.at)))
	w.ok(w.send(w.sponsor, w.at, contracts.Sweep(common.Address{}, chain.Amount{})))
	require.EqualValues(t, payment, w.balance(token, w.treasury.at))
	require.EqualValues(t, payment, w.balance(common.Address{}, w.treasury.at))
	w.failed(w.send(w.sponsor, w.at, w.batch(token, 1, w.stranger.at), value(1)))
	require.Equal(t, w.sweeper.Code(), w.code(w.at))
}

// A treasury that is a contract may refuse coin, or call back.
func TestThreat_F2_ATreasuryThatIsAContract(t *testing.T) {
	w := newWorld(t)
	treasury := w.contract("Treasury")
	w.use(treasury, w.sponsor.at)
	for name, at := range w.kinds() {
		w.mint(common.Address{}, at)
		w.do(treasury, "refuse(bool)", true)
		r := w.ok(w.send(w.sponsor, w.at, w.batch(common.Address{}, 0, at)))
		require.Equal(t, []common.Address{at}, failures(w.unswept(contracts.OpSweep, r)), name)
		require.EqualValues(t, payment, w.balance(common.Address{}, at))
		w.do(treasury, "refuse(bool)", false)
		w.do(treasury, "plan(address,bytes)", at, contracts.Sweep(common.Address{}, chain.Amount{}))
		before := w.balance(common.Address{}, treasury)
		require.Nil(t, w.unswept(contracts.OpSweep, w.ok(w.send(w.sponsor, w.at, w.batch(common.Address{}, 1000, at)))))
		require.Equal(t, before+payment, w.balance(common.Address{}, treasury), "the rest followed when it called back")
	}
}

// Whoever uses an authorisation first has paid for it and can do no more: the sweep
// works the same.
func TestThreat_F15_AuthorisationsUsedByAStranger(t *testing.T) {
	w := newWorld(t)
	token, of := w.token("oz"), w.accounts(3)
	w.mint(token, addresses(of)...)
	auths := w.authorisations(of)
	r := w.ok(w.send(w.stranger, w.at, w.batch(token, payment, addresses(of)...), with(auths...)))
	require.Equal(t, addresses(of), failures(w.unswept(contracts.OpSweep, r)))
	for _, a := range of {
		require.Equal(t, w.sweeper.Delegation(), w.code(a.at), "it delegates")
		w.failed(w.send(w.stranger, a.at, contracts.Sweep(token, chain.Amount{})))
		require.EqualValues(t, payment, w.balance(token, a.at))
	}
	r = w.ok(w.send(w.sponsor, w.at, w.batch(token, payment, addresses(of)...), with(auths...)))
	require.Nil(t, w.unswept(contracts.OpSweep, r))
	require.EqualValues(t, 3*payment, w.balance(token, w.treasury.at))
}

// An authorisation that does not count leaves an account without code: the
// transaction succeeds and moves nothing of it, and says so.
func TestThreat_F15_AuthorisationsThatDoNotCount(t *testing.T) {
	w := newWorld(t)
	token := w.token("oz")
	for name, c := range map[string]struct {
		change func(*types.SetCodeAuthorization)
		counts bool
	}{
		"as it should be":  {func(*types.SetCodeAuthorization) {}, true},
		"another nonce":    {func(a *types.SetCodeAuthorization) { a.Nonce = 1 }, false},
		"another chain":    {func(a *types.SetCodeAuthorization) { a.ChainID = *uint256.NewInt(1) }, false},
		"of every chain":   {func(a *types.SetCodeAuthorization) { a.ChainID = *uint256.NewInt(0) }, true},
		"another contract": {func(a *types.SetCodeAuthorization) { a.Address = common.Address{1} }, false},
	} {
		a := w.account()
		w.mint(token, a.at)
		before := w.balance(token, w.treasury.at)
		r := w.ok(w.send(w.sponsor, w.at, w.batch(token, payment, a.at), with(w.authorise(a, c.change))))
		if c.counts {
			require.Nil(t, w.unswept(contracts.OpSweep, r), name)
			require.Equal(t, before+payment, w.balance(token, w.treasury.at), name)
			continue
		}
		require.Equal(t, []common.Address{a.at}, failures(w.unswept(contracts.OpSweep, r)), name)
		require.Zero(t, w.transferred(r, token), name)
		require.EqualValues(t, payment, w.balance(token, a.at), name)
	}
}

// Coin that is sent with no more gas than a plain payment needs arrives before
// an address has code, and not after. docs/contracts.md has these figures.
func TestThreat_B20_CoinBy21000Gas(t *testing.T) {
	w := newWorld(t)
	salt := w.salts(1)
	fresh := w.account().at
	future := common.Address(w.sweeper.Forwarder(salt[0]))
	w.ok(w.send(w.stranger, fresh, nil, value(1), limit(21_000)))
	w.ok(w.send(w.stranger, future, nil, value(1), limit(21_000)))
	pay := w.contract("Caller")
	for name, at := range w.kinds() {
		w.failed(w.send(w.stranger, at, nil, value(1), limit(21_000)))
		r := w.ok(w.send(w.stranger, at, nil, value(1)))
		require.Equal(t, map[string]uint64{"delegated account": 21_075, "forwarder": 23_702}[name], r.GasUsed, name)
		w.ok(w.send(w.stranger, at, nil, value(1), limit(r.GasUsed)))
		w.ok(w.send(w.stranger, at, []byte("order 17"), value(1)))
		require.EqualValues(t, 3, w.balance(common.Address{}, at), "%s: with a memo, too", name)
		// What a contract sends with 2,300 gas.
		r = w.send(w.stranger, pay, pack(t, "pay(address)", at), value(1))
		require.Equal(t, name == "delegated account", r.Status == types.ReceiptStatusSuccessful, name)
	}
}

// What asks whether it is welcome is not: a signature in the address's name, or
// a token that would need the owner to get it out again.
func TestThreat_F11_QuestionsAreAnsweredNo(t *testing.T) {
	w := newWorld(t)
	nft := w.contract("Nft")
	for name, at := range w.kinds() {
		said, err := w.call(w.stranger.at, at, pack(t, "isValidSignature(bytes32,bytes)", [32]byte{1}, make([]byte, 65)))
		require.Empty(t, said, name)
		require.Equal(t, name == "delegated account", err != nil, name)
		w.failed(w.send(w.stranger, nft, pack(t, "safeMint(address,uint256)", at, big.NewInt(8))))
	}
}

// Half an entry is no entry: read on, it would be an amount 2^96 times as large.
func TestThreat_F13_BatchesThatAreCutShort(t *testing.T) {
	w := newWorld(t)
	token, a, salt := w.token("oz"), w.account(), w.salts(1)
	w.delegate(a)
	w.mint(token, a.at, w.sweeper.Forwarder(salt[0]))
	for op, data := range map[contracts.Op][]byte{
		contracts.OpSweep: w.batch(token, 0, a.at), contracts.OpDeploy: w.salted(contracts.OpDeploy, token, 0, salt...), contracts.OpFlush: w.salted(contracts.OpFlush, token, 0, salt...),
	} {
		for _, n := range []int{len(data) - 1, len(data) - 12, 33, 31, 4} {
			w.failed(w.send(w.sponsor, w.at, data[:n]))
		}
		w.failed(w.send(w.sponsor, w.at, append(data, 0)))
		w.ok(w.send(w.sponsor, w.at, data[:32])) // nothing to do
		require.Zero(t, w.balance(token, w.treasury.at), op)
	}
}

// Telling of many failures costs gas as well, and is kept back for it.
func TestThreat_F11_ABatchThatRunsShortAmongFailures(t *testing.T) {
	w := newWorld(t)
	b := contracts.Batch{Op: contracts.OpSweep, Asset: w.token("oz"), Gas: contracts.MinEntryGas}
	for range 400 {
		b.Entries = append(b.Entries, contracts.Entry{Account: w.account().at})
	}
	data := w.encode(b)
	for _, gas := range []uint64{500_000, 800_000, 1_100_000} {
		u := w.unswept(contracts.OpSweep, w.ok(w.send(w.sponsor, w.at, data, limit(gas))))
		require.NotNil(t, u)
		require.Len(t, u.Failed, u.Tried)
		require.Greater(t, u.Tried, 50)
		require.Less(t, u.Tried, 400)
	}
}
