package evm

import (
	"context"
	"errors"
	"testing"

	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

func prepare(t testing.TB, n *figures, in chain.Intent) (chain.Draft, error) {
	return n.writer().prepare(t.Context(), in, nil)
}

func TestPrepareNative(t *testing.T) {
	n := newNode(t)
	in := payNative(1e15)
	d, err := prepare(t, n, in)
	require.NoError(t, err)
	tx := txOf(t, d)
	require.False(t, tx.Legacy)
	require.Equal(t, uint64(1), tx.ChainID.Uint64())
	require.Equal(t, uint64(5), tx.Nonce)
	require.Equal(t, uint64(gwei), tx.TipCap.Uint64())
	require.Equal(t, uint64(21*gwei), tx.FeeCap.Uint64(), "twice the base fee and the tip")
	require.Equal(t, uint64(21000), tx.Gas)
	require.Equal(t, rawAddress(t, bob), tx.To)
	require.Equal(t, uint64(1e15), tx.Value.Uint64())
	require.Empty(t, tx.Data)
	require.Equal(t, chain.Draft{
		Chain: "eip155:1", Intent: in, Locks: []chain.Lock{nonceLock(alice, 5)}, After: []chain.Lock{nonceLock(alice, 4)},
		Fee: chain.NewAmount(21000 * 21 * gwei), Payload: d.Payload,
	}, d)
}

func TestPrepareLegacy(t *testing.T) {
	n := newNode(t)
	n.base = nil
	d, err := prepare(t, n, payNative(1e15))
	require.NoError(t, err)
	tx := txOf(t, d)
	require.True(t, tx.Legacy)
	require.Equal(t, uint64(gwei), tx.FeeCap.Uint64())
	require.Equal(t, chain.NewAmount(21000*gwei), d.Fee)

	// A chain that is configured so is not asked for a base fee.
	n = newNode(t)
	w := n.writer()
	w.legacy = true
	d, err = w.prepare(t.Context(), payNative(1e15), nil)
	require.NoError(t, err)
	require.True(t, txOf(t, d).Legacy)
}

func TestPrepareToken(t *testing.T) {
	n := newNode(t)
	n.gas = 48_001
	d, err := prepare(t, n, payToken(25_000_000))
	require.NoError(t, err)
	tx := txOf(t, d)
	require.Equal(t, rawAddress(t, usdc), tx.To)
	require.True(t, tx.Value.IsZero())
	require.Equal(t, uint64(60_001), tx.Gas, "a quarter more than estimated")
	to, units, err := decodeTransfer(tx.Data)
	require.NoError(t, err)
	require.Equal(t, bob, to)
	require.Equal(t, chain.NewAmount(25_000_000), units)
	require.Equal(t, chain.NewAmount(60_001*21*gwei), d.Fee)
	require.Empty(t, d.Needs)
	require.Equal(t, map[string]any{"from": string(alice), "to": string(usdc), "data": hexBytes(tx.Data)}, n.params["eth_estimateGas"][0])
}

func TestPrepareTokenAll(t *testing.T) {
	n := newNode(t)
	d, err := prepare(t, n, payAll(tokenAsset(1, usdc)))
	require.NoError(t, err)
	_, units, err := decodeTransfer(txOf(t, d).Data)
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(100_000_000), units)
	require.Equal(t, units, d.Intent.Moves[0].Amount)

	in := payAll(tokenAsset(1, usdc))
	in.Moves[0].Amount = chain.NewAmount(70)
	d, err = prepare(t, n, in)
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(70), d.Intent.Moves[0].Amount, "the amount bounds a sweep")

	n.units = 0
	_, err = prepare(t, n, payAll(tokenAsset(1, usdc)))
	var poor *chain.InsufficientFundsError
	require.ErrorAs(t, err, &poor)
	require.Equal(t, usdc, poor.Asset.Contract)
}

func TestPrepareTokenNeedsCoin(t *testing.T) {
	n := newNode(t)
	n.gas, n.balance = 50_000, "1000"
	in := payToken(1)
	d, err := prepare(t, n, in)
	require.NoError(t, err)
	fee := uint64(62_500 * 21 * gwei)
	require.Equal(t, chain.Draft{
		Chain: "eip155:1", Intent: in, Fee: chain.NewAmount(fee),
		Needs: []chain.Need{{Account: aliceAccount, Asset: nativeAsset(1), Amount: chain.NewAmount(fee - 1000)}},
	}, d)
	// With exactly the fee nothing is missing.
	n.balance = chain.NewAmount(fee).String()
	d, err = prepare(t, n, in)
	require.NoError(t, err)
	require.Empty(t, d.Needs)
	require.Len(t, d.Locks, 1)
}

// The base fee rose since the account was topped up. As long as the next block
// can be paid there is no second top-up.
func TestPrepareTokenSpendsTheMargin(t *testing.T) {
	n := newNode(t)
	n.gas = 48_000
	const gas, least = 60_000, 60_000 * 12.25 * gwei
	n.balance = chain.NewAmount(least).String()
	d, err := prepare(t, n, payToken(1))
	require.NoError(t, err)
	require.Empty(t, d.Needs)
	require.Equal(t, chain.NewAmount(least), d.Fee)
	require.Equal(t, uint64(least/gas), txOf(t, d).FeeCap.Uint64())

	n.balance = chain.NewAmount(least - 1).String()
	d, err = prepare(t, n, payToken(1))
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(gas*21*gwei), d.Fee, "a top-up is for the whole margin")
	require.Equal(t, chain.NewAmount(gas*21*gwei-(least-1)), d.Needs[0].Amount)
}

// Everything an account has goes: what arrives and what it costs add up to the
// balance whatever the base fee becomes, because the cap is what is paid.
func TestPrepareAllLeavesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := newNode(t)
		if rapid.Bool().Draw(r, "dynamic") {
			n.base = uint256.NewInt(rapid.Uint64Max(1000*gwei).Draw(r, "base"))
		} else {
			n.base = nil
		}
		n.tip = rapid.Uint64Max(50*gwei).Draw(r, "tip")
		balance := chain.NewAmount(rapid.Uint64Min(1e17).Draw(r, "balance"))
		n.balance = balance.String()
		d, err := prepare(t, n, payAll(nativeAsset(1)))
		require.NoError(r, err)
		tx := txOf(t, d)
		require.Equal(r, tx.FeeCap, tx.TipCap)
		fee, _ := tx.fee()
		require.Equal(r, d.Fee, fee)
		sum, err := fee.Add(amountOf(&tx.Value))
		require.NoError(r, err)
		require.Equal(r, balance, sum)
		require.Equal(r, amountOf(&tx.Value), d.Intent.Moves[0].Amount)
		if n.base != nil {
			next := new(uint256.Int).Add(n.base, fraction(n.base, 8))
			require.False(r, tx.FeeCap.Lt(next), "the next block can take it")
		}
	})
}

func TestPrepareAllWithinBound(t *testing.T) {
	in := payAll(nativeAsset(1))
	in.Moves[0].Amount = chain.NewAmount(4e17)
	d, err := prepare(t, newNode(t), in)
	require.NoError(t, err)
	sum, err := d.Fee.Add(d.Intent.Moves[0].Amount)
	require.NoError(t, err)
	require.Equal(t, chain.NewAmount(4e17), sum, "the source gives up the bound, with the fee taken out of it")
}

func TestPrepareInsufficientNative(t *testing.T) {
	const fee = 21000 * 21 * gwei
	for name, c := range map[string]struct {
		in                  chain.Intent
		balance             string
		required, available uint64
	}{
		"less than the amount": {payNative(1000), "999", 1000, 999},
		"amount without fee":   {payNative(1000), "1000", 1000 + fee, 1000},
		"one short":            {payNative(1000), chain.NewAmount(fee + 999).String(), 1000 + fee, fee + 999},
		"sweep of nothing":     {payAll(nativeAsset(1)), "0", 1, 0},
		"sweep below the fee":  {payAll(nativeAsset(1)), "1", 21000*13.5*gwei + 1, 1},
		"sweep of just a fee":  {payAll(nativeAsset(1)), chain.NewAmount(21000 * 13.5 * gwei).String(), 21000*13.5*gwei + 1, 21000 * 13.5 * gwei},
	} {
		n := newNode(t)
		n.balance = c.balance
		_, err := prepare(t, n, c.in)
		var poor *chain.InsufficientFundsError
		require.ErrorAs(t, err, &poor, name)
		require.Equal(t, &chain.InsufficientFundsError{
			Account: alice, Asset: nativeAsset(1), Required: chain.NewAmount(c.required), Available: chain.NewAmount(c.available),
		}, poor, name)
	}
}

func TestPrepareInsufficientToken(t *testing.T) {
	_, err := prepare(t, newNode(t), payToken(100_000_001))
	var poor *chain.InsufficientFundsError
	require.ErrorAs(t, err, &poor)
	require.Equal(t, chain.NewAmount(100_000_001), poor.Required)
	require.Equal(t, chain.NewAmount(100_000_000), poor.Available)
}

func TestPrepareRefusesIntents(t *testing.T) {
	other := chain.Account{Address: bob}
	for name, c := range map[string]struct {
		what   string // of a *chain.FormatError; empty: chain.ErrUnsupported
		change func(*chain.Intent)
	}{
		"no move":              {"intent's moves", func(in *chain.Intent) { in.Moves = nil }},
		"two moves":            {"", func(in *chain.Intent) { in.Moves = append(in.Moves, in.Moves[0]) }},
		"coins":                {"", func(in *chain.Intent) { in.Coins = []chain.Coin{{}} }},
		"fee payer":            {"", func(in *chain.Intent) { in.FeePayer = other }},
		"source":               {"address", func(in *chain.Intent) { in.Moves[0].From.Address = "x" }},
		"destination":          {"address", func(in *chain.Intent) { in.Moves[0].To = "x" }},
		"amount":               {"intent's amount", func(in *chain.Intent) { in.Moves[0].Amount = chain.Amount{} }},
		"coin of other chain":  {"intent's asset", func(in *chain.Intent) { in.Moves[0].Asset = nativeAsset(2) }},
		"token of other chain": {"intent's asset", func(in *chain.Intent) { in.Moves[0].Asset = tokenAsset(2, usdc) }},
		"other contract": {"intent's asset", func(in *chain.Intent) {
			in.Moves[0].Asset = tokenAsset(1, usdc)
			in.Moves[0].Asset.Contract = bob
		}},
		"bad contract": {"address", func(in *chain.Intent) { in.Moves[0].Asset.Contract = "x" }},
		"cancel to another": {"intent's cancellation", func(in *chain.Intent) {
			in.Purpose, in.Moves[0].Amount = chain.PurposeCancel, chain.Amount{}
		}},
		"cancel with an amount": {"intent's cancellation", func(in *chain.Intent) {
			in.Purpose, in.Moves[0].To = chain.PurposeCancel, alice
		}},
		"cancel all": {"intent's cancellation", func(in *chain.Intent) { *in = cancellation(); in.Moves[0].All = true }},
		"cancel of a token": {"intent's cancellation", func(in *chain.Intent) {
			*in = cancellation()
			in.Moves[0].Asset = tokenAsset(1, usdc)
		}},
		"foreign reuse": {"intent's reused lock", func(in *chain.Intent) { in.Reuse = []chain.Lock{nonceLock(bob, 5)} }},
		"no nonce":      {"intent's reused lock", func(in *chain.Intent) { in.Reuse = []chain.Lock{"utxo:1:0"} }},
		"two locks": {"", func(in *chain.Intent) {
			in.Reuse = []chain.Lock{nonceLock(alice, 5), nonceLock(alice, 6)}
		}},
		"last nonce taken": {"intent's taken lock", func(in *chain.Intent) { in.Taken = []chain.Lock{nonceLock(alice, 1<<64-2)} }},
	} {
		in := payNative(1000)
		c.change(&in)
		_, err := prepare(t, newNode(t), in)
		if c.what == "" {
			require.ErrorIs(t, err, chain.ErrUnsupported, name)
			continue
		}
		requireFormat(t, err, c.what)
	}
	in := payNative(1000)
	in.FeePayer = aliceAccount
	_, err := prepare(t, newNode(t), in)
	require.NoError(t, err, "a source may be named as its own fee payer")
}

func TestThreat_F2_NoOneIsNoDestination(t *testing.T) {
	for name, c := range map[string]struct {
		in chain.Intent
		to chain.Address
	}{
		"zero address":       {payNative(1000), zeroAddress},
		"zero address, usdc": {payToken(1000), zeroAddress},
		"itself":             {payNative(1000), alice},
		"itself, all":        {payAll(nativeAsset(1)), alice},
		"lower case itself":  {payNative(1000), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"},
		"token's contract":   {payToken(1000), usdc},
	} {
		c.in.Moves[0].To = c.to
		n := newNode(t)
		_, err := prepare(t, n, c.in)
		requireFormat(t, err, "intent's destination")
		require.Empty(t, n.asked, "%s: refused before any call", name)
		requireFormat(t, n.writer().dryRun(t.Context(), c.in), "intent's destination")
	}
}

func TestPrepareCancel(t *testing.T) {
	n := newNode(t)
	in := cancellation()
	in.Reuse = []chain.Lock{nonceLock(alice, 9)}
	d, err := prepare(t, n, in)
	require.NoError(t, err)
	tx := txOf(t, d)
	require.Equal(t, rawAddress(t, alice), tx.To)
	require.True(t, tx.Value.IsZero())
	require.Equal(t, uint64(9), tx.Nonce)
	require.Equal(t, in.Reuse, d.Locks)
}

// The node's "pending" depends on what it heard of; our own locks do not.
func TestThreat_F22_NonceFromOwnLocks(t *testing.T) {
	for name, c := range map[string]struct {
		taken, reuse []chain.Lock
		want         uint64
	}{
		"none":           {want: 5},
		"next":           {taken: []chain.Lock{nonceLock(alice, 5)}, want: 6},
		"unordered":      {taken: []chain.Lock{nonceLock(alice, 7), nonceLock(alice, 5), nonceLock(alice, 6)}, want: 8},
		"gap":            {taken: []chain.Lock{nonceLock(alice, 8)}, want: 9},
		"mined":          {taken: []chain.Lock{nonceLock(alice, 2)}, want: 5},
		"others'":        {taken: []chain.Lock{nonceLock(bob, 50)}, want: 5},
		"lower case":     {taken: []chain.Lock{"nonce:0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266:5"}, want: 6},
		"other kinds":    {taken: []chain.Lock{"utxo:1:9", "nonce:x:9", "nonce:" + chain.Lock(alice) + ":x"}, want: 5},
		"reuse":          {reuse: []chain.Lock{nonceLock(alice, 6)}, want: 6},
		"reuse of taken": {taken: []chain.Lock{nonceLock(alice, 6)}, reuse: []chain.Lock{nonceLock(alice, 6)}, want: 6},
	} {
		n := newNode(t) // its count refuses any tag but latest
		in := payNative(1)
		in.Taken, in.Reuse = c.taken, c.reuse
		d, err := prepare(t, n, in)
		require.NoError(t, err, name)
		require.Equal(t, c.want, txOf(t, d).Nonce, name)
		require.Equal(t, []chain.Lock{nonceLock(alice, c.want)}, d.Locks, name)
	}
}

func TestPrepareReuseOfSpentNonce(t *testing.T) {
	in := payNative(1)
	in.Reuse = []chain.Lock{nonceLock(alice, 4)}
	_, err := prepare(t, newNode(t), in)
	require.ErrorIs(t, err, chain.ErrLockSpent)
}

func TestThreat_F8_FeeCap(t *testing.T) {
	const least = 21000 * 12.25 * gwei // next block's base fee and the tip
	for _, in := range []chain.Intent{payNative(1), payAll(nativeAsset(1))} {
		in.MaxFee = chain.NewAmount(least)
		d, err := prepare(t, newNode(t), in)
		require.NoError(t, err, "a cap that still pays the next block is used up to the last unit")
		require.Equal(t, in.MaxFee, d.Fee)
		if in.Moves[0].All {
			require.Equal(t, txOf(t, d).FeeCap, txOf(t, d).TipCap)
		}

		in.MaxFee = chain.NewAmount(least - 1)
		_, err = prepare(t, newNode(t), in)
		var high *chain.FeeTooHighError
		require.ErrorAs(t, err, &high)
		require.Equal(t, &chain.FeeTooHighError{Fee: chain.NewAmount(least), Cap: in.MaxFee}, high)
	}
}

// A node that lies about prices costs at most what no chain ever cost.
func TestThreat_C21_AbsurdGasPrice(t *testing.T) {
	for name, change := range map[string]func(*figures){
		"base fee":         func(n *figures) { n.base = uint256.NewInt(60_000 * gwei) },
		"legacy price":     func(n *figures) { n.base, n.tip = nil, 60_000*gwei },
		"price of 2^200":   func(n *figures) { n.base = new(uint256.Int).Lsh(uint256.NewInt(1), 200) },
		"estimate of 2^40": func(n *figures) { n.gas = 1 << 40 },
		"estimate of 1":    func(n *figures) { n.gas = 1 },
	} {
		n := newNode(t)
		n.balance = "1000000000000000000000000"
		change(n)
		_, err := prepare(t, n, payNative(1))
		require.Error(t, err, name)
	}
	// A suggested tip is bounded by the base fee that the blocks prove.
	n := newNode(t)
	n.tip = 40_000 * gwei
	d, err := prepare(t, n, payNative(1))
	require.NoError(t, err)
	require.Equal(t, uint64(120*gwei), txOf(t, d).TipCap.Uint64())
}

func TestTipOfZeroBecomesOne(t *testing.T) {
	n := newNode(t)
	n.tip = 0
	d, err := prepare(t, n, payNative(1))
	require.NoError(t, err)
	require.Equal(t, uint64(1), txOf(t, d).TipCap.Uint64())
}

// A receiver may run code: its gas is estimated, never assumed.
func TestThreat_B21_ReceiverWithCode(t *testing.T) {
	n := newNode(t)
	n.gas = 23_400
	d, err := prepare(t, n, payAll(nativeAsset(1)))
	require.NoError(t, err)
	require.Equal(t, uint64(29_250), txOf(t, d).Gas)

	n.broken["eth_estimateGas"] = &RPCError{Code: 3, Message: "execution reverted: no", Data: []byte(`"0x"`)}
	_, err = prepare(t, n, payNative(1))
	var revert *chain.RevertError
	require.ErrorAs(t, err, &revert)
	require.Equal(t, "execution reverted: no", revert.Reason)
}

func TestThreat_F12_TransferReturns(t *testing.T) {
	for name, c := range map[string]struct {
		returned, code, reason string
	}{
		"true":              {returned: hexWord(1)},
		"nothing":           {returned: "0x", code: "0x60"},
		"true and more":     {returned: hexWord(1) + "00"},
		"false":             {returned: hexWord(0), reason: "transfer returned false"},
		"two":               {returned: hexWord(2), reason: "transfer returned no boolean"},
		"a byte":            {returned: "0x01", reason: "transfer returned no boolean"},
		"no contract there": {returned: "0x", code: "0x", reason: "no contract at " + string(usdc)},
	} {
		n := newNode(t)
		n.returned, n.code = c.returned, c.code
		_, err := prepare(t, n, payToken(1))
		if c.reason == "" {
			require.NoError(t, err, name)
			continue
		}
		var revert *chain.RevertError
		require.ErrorAs(t, err, &revert, name)
		require.Equal(t, c.reason, revert.Reason, name)
	}
}

func TestPrepareOnOPStack(t *testing.T) {
	n := newNode(t)
	n.returned = hexWord(1_000_000) // the oracle's answer
	w := n.writer()
	w.opStack = true
	d, err := w.prepare(t.Context(), payAll(nativeAsset(1)), nil)
	require.NoError(t, err)
	tx := txOf(t, d)
	gasFee, _ := tx.fee()
	require.Equal(t, chain.NewAmount(1_500_000), d.Fee.SubFloor(gasFee), "half as much again as the oracle says")
	sum, err := d.Fee.Add(amountOf(&tx.Value))
	require.NoError(t, err)
	require.Equal(t, n.balance, sum.String())
	require.Equal(t, string(gasPriceOracle), n.params["eth_call"][0].(map[string]any)["to"])

	in := payNative(1)
	in.MaxFee = chain.NewAmount(1_500_000)
	_, err = w.prepare(t.Context(), in, nil)
	var high *chain.FeeTooHighError
	require.ErrorAs(t, err, &high)
	require.Equal(t, chain.NewAmount(21000*12.25*gwei+1_500_000), high.Fee)
}

func TestPrepareKeepsTheCallersIntent(t *testing.T) {
	in := payAll(nativeAsset(1))
	before := in.Moves[0]
	_, err := prepare(t, newNode(t), in)
	require.NoError(t, err)
	require.Equal(t, before, in.Moves[0])
}

func hasFallback(method string) bool {
	return method == "eth_maxPriorityFeePerGas" || method == "eth_feeHistory"
}

// Whichever call fails, no draft comes out and the cause is kept.
func TestPrepareNodeFailures(t *testing.T) {
	for _, in := range []chain.Intent{payNative(1), payToken(1)} {
		n := newNode(t)
		_, err := prepare(t, n, in)
		require.NoError(t, err)
		for _, method := range n.asked {
			for _, cause := range []error{&TransportError{Host: "h", err: chain.ErrTransient}, refused(-32005, "daily limit")} {
				if _, rpc := cause.(*RPCError); rpc && hasFallback(method) {
					continue // a refusal there has a fallback
				}
				n := newNode(t)
				n.broken[method] = cause
				d, err := prepare(t, n, in)
				require.ErrorIs(t, err, cause, method)
				require.ErrorIs(t, err, chain.ErrTransient, method)
				require.Empty(t, d, method)
			}
			n := newNode(t)
			n.answers[method] = nil
			_, err := prepare(t, n, in)
			if method != "eth_feeHistory" {
				require.ErrorIs(t, err, chain.ErrTransient, "%s returned null", method)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newNode(t).writer().prepare(ctx, payNative(1), nil)
	require.True(t, errors.Is(err, context.Canceled))
}
