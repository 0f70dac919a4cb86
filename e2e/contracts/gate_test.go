package contracts_test

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// ways are all the ways by which somebody could have an address swept: called by
// itself and in batches, and each of these through a contract.
func (w *world) ways(relay, token common.Address, at common.Address, salt contracts.Salt) map[string]struct {
	to   common.Address
	data []byte
} {
	type call = struct {
		to   common.Address
		data []byte
	}
	out := map[string]call{
		"sweep, all of it":      {at, contracts.Sweep(token, chain.Amount{})},
		"sweep, a part":         {at, contracts.Sweep(token, chain.NewAmount(1))},
		"sweepBatch":            {w.at, w.batch(token, payment, at)},
		"sweepBatch, all of it": {w.at, w.batch(token, 0, at)},
		"flushBatch":            {w.at, w.salted(contracts.OpFlush, token, payment, salt)},
		"deployBatch":           {w.at, w.salted(contracts.OpDeploy, token, payment, salt)},
	}
	for name, c := range out {
		out[name+" through a contract"] = call{relay, pack(w.t, "relay(address,bytes)", c.to, c.data)}
	}
	return out
}

// Nobody but the sponsor sweeps: a sweep that our ledger did not make could be
// repeated before each one that it makes, for ever.
func TestThreat_F4_OnlyTheSponsorSweeps(t *testing.T) {
	w := newWorld(t)
	relay, salt := w.contract("Caller"), w.salts(1)[0]
	a, later := w.account(), common.Address(w.sweeper.Forwarder(salt))
	w.delegate(a)
	first := w.token("oz")
	w.mint(first, later)
	w.ok(w.send(w.sponsor, w.at, w.salted(contracts.OpDeploy, first, payment, salt)))
	for name, at := range map[string]common.Address{"delegated account": a.at, "forwarder": later, "the Sweeper": w.at} {
		for _, asset := range []string{"oz", "coin"} {
			token := w.token(asset)
			w.mint(token, at, later)
			before, held, flushed := w.balance(token, w.treasury.at), w.balance(token, at), w.balance(token, later)
			for _, who := range []account{w.stranger, w.owner, w.treasury} {
				if who == w.treasury && asset == "coin" {
					continue // it pays for its own gas, so that its coin tells nothing
				}
				for way, c := range w.ways(relay, token, at, salt) {
					r := w.send(who, c.to, c.data)
					require.Zero(t, w.transferred(r, token), "%s %s by %s", name, asset, way)
					require.Equal(t, before, w.balance(token, w.treasury.at), "%s %s by %s", name, asset, way)
					require.Equal(t, held, w.balance(token, at), "%s %s by %s", name, asset, way)
					require.Equal(t, flushed, w.balance(token, later), "%s %s by %s", name, asset, way)
				}
			}
			// With coin along it is no payment either.
			r := w.send(w.stranger, at, contracts.Sweep(token, chain.NewAmount(1)), value(1))
			require.Equal(t, at == later, r.Status == types.ReceiptStatusSuccessful, "a forwarder never fails")
			require.Equal(t, before, w.balance(token, w.treasury.at))

			// What a batch of a stranger's says of it, and the sponsor's.
			r = w.ok(w.send(w.stranger, w.at, w.batch(token, 1, at)))
			require.Equal(t, []common.Address{at}, failures(w.unswept(contracts.OpSweep, r)))
			for way, c := range map[string]struct {
				to   common.Address
				data []byte
			}{
				"sweep":              {at, contracts.Sweep(token, chain.NewAmount(1))},
				"sweepBatch":         {w.at, w.batch(token, 1, at)},
				"flushBatch":         {w.at, w.salted(contracts.OpFlush, token, 1, salt)},
				"through a contract": {relay, pack(t, "relay(address,bytes)", at, contracts.Sweep(token, chain.NewAmount(1)))},
			} {
				had := w.balance(token, w.treasury.at)
				w.ok(w.send(w.sponsor, c.to, c.data))
				require.Equal(t, had+1, w.balance(token, w.treasury.at), "%s %s by %s", name, asset, way)
			}
		}
	}
}

// A dry run goes by whom it is asked for.
func TestThreat_F4_ADryRunIsTheSponsors(t *testing.T) {
	w := newWorld(t)
	token := w.token("oz")
	for name, at := range w.kinds() {
		w.mint(token, at)
		for who, fails := range map[common.Address]bool{w.sponsor.at: false, w.stranger.at: true, w.owner.at: true, {}: true} {
			out, err := w.call(who, w.at, w.batch(token, payment, at))
			require.NoError(t, err)
			u, err := contracts.DecodeUnswept(contracts.OpSweep, out)
			require.NoError(t, err)
			require.Equal(t, fails, len(u.Failed) == 1, "%s for %s", name, who)
		}
	}
}

// The sponsor's key is gone: the owner deploys what was paid to and not deployed, and
// gets everything out, of every kind of address, one call each.
func TestThreat_F4_WithoutTheSponsorsKeyTheOwnerGetsItOut(t *testing.T) {
	w := newWorld(t)
	token, salts := w.token("oz"), w.salts(3)
	waits := w.forwarders(salts)
	w.mint(token, waits[:2]...) // nothing came to the third
	r := w.ok(w.send(w.owner, w.at, w.salted(contracts.OpDeploy, token, payment, salts...)))
	require.Nil(t, w.unswept(contracts.OpDeploy, r), "deployed, all of them")
	require.Zero(t, w.transferred(r, token), "and not swept")
	for _, at := range waits {
		require.Equal(t, w.sweeper.ForwarderCode(), w.code(at))
	}
	// One that is there is not deployed again.
	u := w.unswept(contracts.OpDeploy, w.ok(w.send(w.owner, w.at, w.salted(contracts.OpDeploy, token, payment, salts[0]))))
	require.NotNil(t, u)
	require.Equal(t, salts[0], u.Failed[0].Salt)

	a := w.account()
	w.delegate(a)
	w.mint(token, a.at)
	out := contracts.Execute(token, chain.Amount{}, transfer(w.treasury.at, payment))
	for i, at := range []common.Address{a.at, waits[0], waits[1]} {
		w.ok(w.send(w.owner, at, out))
		require.EqualValues(t, (i+1)*payment, w.balance(token, w.treasury.at))
	}
	// An owner that is a contract can do the same: who signs does not matter to it.
	owner := w.contract("Caller")
	s, err := contracts.New(contracts.Params{Treasury: w.treasury.at, Owner: owner, Sponsor: w.sponsor.at})
	require.NoError(t, err)
	w.sweeper, w.at = s, s.Address()
	to, data := s.Deployment()
	w.ok(w.send(w.stranger, to, data))
	salt := w.salts(1)
	at := common.Address(s.Forwarder(salt[0]))
	w.mint(token, at)
	w.ok(w.send(w.stranger, owner, pack(t, "relay(address,bytes)", w.at, w.salted(contracts.OpDeploy, token, payment, salt...))))
	require.Equal(t, s.ForwarderCode(), w.code(at))
	require.EqualValues(t, payment, w.balance(token, at))
	w.ok(w.send(w.stranger, owner, pack(t, "relay(address,bytes)", at, out)))
	require.EqualValues(t, 4*payment, w.balance(token, w.treasury.at))
}

// Without a sponsor a forwarder is deployed and swept by the owner, both or neither.
func TestThreat_F4_WithoutASponsorTheOwnerSweepsWhatItDeploys(t *testing.T) {
	w := newOpenWorld(t)
	token, salts := w.token("oz"), w.salts(2)
	w.mint(token, w.sweeper.Forwarder(salts[0]))
	r := w.ok(w.send(w.owner, w.at, w.salted(contracts.OpDeploy, token, payment, salts...)))
	require.Equal(t, 1, w.transferred(r, token))
	require.EqualValues(t, payment, w.balance(token, w.treasury.at))
	u := w.unswept(contracts.OpDeploy, r)
	require.NotNil(t, u)
	require.Equal(t, []contracts.Entry{{Salt: salts[1], Amount: chain.NewAmount(payment)}}, u.Failed)
	require.Empty(t, w.code(w.sweeper.Forwarder(salts[1])), "nothing there: not deployed")
	w.failed(w.send(w.sponsor, w.at, w.salted(contracts.OpDeploy, token, payment, salts[1])))
	// Later anybody sweeps it, by salt and through a contract too.
	w.mint(token, w.sweeper.Forwarder(salts[0]))
	w.ok(w.send(w.stranger, w.at, w.salted(contracts.OpFlush, token, 1, salts[0])))
	w.ok(w.send(w.stranger, w.contract("Caller"), pack(t, "relay(address,bytes)", w.at, w.salted(contracts.OpFlush, token, 2, salts[0]))))
	require.EqualValues(t, payment+3, w.balance(token, w.treasury.at))
	require.EqualValues(t, payment-3, w.balance(token, w.sweeper.Forwarder(salts[0])))
}
