package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/contracts"
)

// TestSweepFigures: each way, token and size has a figure; all have bounds but that
// of topping up, and the bounds of the plain token are those that were promised.
func TestSweepFigures(t *testing.T) {
	promised := map[string][3]float64{
		"7702fresh": {59_000, 32_700, 30_000}, "7702reused": {36_100, 11_700, 9_600},
		"forwarder_first": {72_500, 46_100, 43_400}, "forwarder_later": {36_300, 11_800, 9_650},
	}
	require.Len(t, sweepFigures(), 45)
	for _, way := range []string{"7702fresh", "7702reused", "forwarder_first", "forwarder_later", "topup"} {
		for _, token := range []string{"oz", "usdt", "usdc"} {
			before := 1e9
			for i, n := range []int{1, 10, 100} {
				found, err := choose(fmt.Sprintf("sweep_gas_%s_%s_%d", way, token, n))
				require.NoError(t, err)
				f := found[0]
				require.Equal(t, "gas", f.unit)
				if way == "topup" {
					require.True(t, f.ok(1e9), "it is there to compare with")
					continue
				}
				require.True(t, f.ok(f.bound))
				require.False(t, f.ok(f.bound+1), f.name)
				require.Greater(t, f.bound, 5_000.0, "none was forgotten")
				require.Less(t, f.bound, before, "more payments at once are cheaper")
				before = f.bound
				if token == "oz" {
					require.InDelta(t, promised[way][i], f.bound, 0, f.name)
				} else {
					require.Greater(t, f.bound, promised[way][i], "a dearer token")
				}
			}
		}
	}
}

// requireSweeps: gas is the same on every machine, and one payment is one in a quick run
// too. So those figures keep their bounds, and differ by what makes the ways differ.
func requireSweeps(t *testing.T, values map[string]float64) {
	t.Helper()
	for _, token := range sweepTokens() {
		of := func(way string) float64 {
			name := "sweep_gas_" + way + "_" + token.name + "_1"
			found, err := choose(name)
			require.NoError(t, err)
			require.True(t, found[0].ok(values[name]), "%s %f", name, values[name])
			return values[name]
		}
		require.Greater(t, of("7702fresh"), of("7702reused")+20_000, "an authorisation: %s", token.name)
		require.Greater(t, of("forwarder_first"), of("forwarder_later")+30_000, "a contract is created: %s", token.name)
		require.Greater(t, of("topup"), of("7702reused")+10_000, "both transactions count: %s", token.name)
	}
}

// TestSweepReading: what did not reach the treasury was not swept.
func TestSweepReading(t *testing.T) {
	way, had := sweepWay{how: "somehow"}, chain.NewAmount(7)
	got, err := sweepReading(way, 3, 300, had, chain.NewAmount(7+3*deposit))
	require.NoError(t, err)
	require.InDelta(t, 100, got.value, 0)
	require.Contains(t, got.how, "3 payments, 300 gas in the receipts, somehow")

	for _, has := range []uint64{0, 7, 7 + 2*deposit, 7 + 3*deposit - 1, 7 + 3*deposit + 1} {
		_, err := sweepReading(way, 3, 300, had, chain.NewAmount(has))
		require.ErrorContains(t, err, "want 370370367 more", has)
	}
}

// TestSweepReceipts: gas counts only of what did all that it was for.
func TestSweepReceipts(t *testing.T) {
	gas, err := gasOf(chain.TxStatus{State: chain.TxIncluded, GasUsed: 5})
	require.NoError(t, err)
	require.EqualValues(t, 5, gas)
	_, err = gasOf(chain.TxStatus{State: chain.TxFailed, GasUsed: 5})
	require.ErrorContains(t, err, "failed")
	_, err = gasOf(chain.TxStatus{State: chain.TxIncluded, GasUsed: 5, Unswept: &chain.Unswept{Tried: 1}})
	require.ErrorContains(t, err, "0 of 1 entries")

	sweeper, topic := contracts.Address{19: 1}, contracts.UnsweptTopic()
	read := func(text string) minedTx {
		var r minedTx
		text = strings.NewReplacer("SWEEPER", hexAddress(sweeper), "TOPIC", "0x"+hex.EncodeToString(topic[:])).Replace(text)
		require.NoError(t, json.Unmarshal([]byte(text), &r), text)
		return r
	}
	r := read(`{"status":"0x1","gasUsed":"0xffff","contractAddress":null,"logs":[
		{"address":"SWEEPER","topics":[]},{"address":"SWEEPER","topics":["0x01"]},{"address":"0x02","topics":["TOPIC"]}]}`)
	require.NoError(t, r.check(sweeper))
	require.EqualValues(t, 65_535, r.GasUsed)
	require.ErrorContains(t, read(`{"status":"0x0","gasUsed":"0x5"}`).check(sweeper), "the transaction failed")
	require.ErrorContains(t, read(`{"status":"0x1","logs":[{"address":"SWEEPER","topics":["TOPIC"]}]}`).check(sweeper), "entries")

	var q quantity
	for _, text := range []string{`""`, `"five"`, `"-0x1"`, `"0x10000000000000000"`} {
		require.Error(t, json.Unmarshal([]byte(text), &q), text)
	}
}
