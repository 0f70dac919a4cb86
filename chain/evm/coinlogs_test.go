package evm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// TestThreat_B12_CoinThatTheChainLogs: where the chain logs the coin's movements, what
// contracts send has its transaction, each movement is there once, and whoever makes
// such a log in a contract of his own is not believed.
func TestThreat_B12_CoinThatTheChainLogs(t *testing.T) {
	n := newFakeNode(t)
	batch := stranger
	own := keyAddress(0)
	coinLog := func(from, to string, amount uint64) fakeLog { return transferLog(coinLogger, from, to, amount) }
	txs := []signedTx{
		{key: 2, to: ann, value: 7, nonce: 0, logs: []fakeLog{coinLog(keyAddress(2), ann, 7)}},
		{key: 2, to: batch, nonce: 1, logs: []fakeLog{coinLog(batch, ann, 5), coinLog(batch, ben, 6), coinLog(batch, ann, 5), transferLog(coin, batch, ann, 3)}},
		{key: 2, to: batch, value: 9, nonce: 2, logs: []fakeLog{coinLog(keyAddress(2), batch, 9), coinLog(batch, ann, 9)}},
		// The receiver hands the same amount back and gets it once more.
		{key: 2, to: ben, value: 4, nonce: 3, logs: []fakeLog{coinLog(keyAddress(2), ben, 4), coinLog(ben, keyAddress(2), 4), coinLog(keyAddress(2), ben, 4)}},
		{key: 2, to: ann, value: 8, nonce: 4, failed: true},
		{key: 2, to: batch, nonce: 5, logs: []fakeLog{transferLog(other, batch, ann, 1000)}},
		// Our own, which pays one of ours.
		{key: 0, to: ben, value: 2, nonce: 0, logs: []fakeLog{coinLog(own, ben, 2)}},
	}
	n.mineReal(t, txs...)
	n.pad(t, 100)
	w := watching([]string{coin}, ann, ben, own)
	logged := func(c *Config) { c.Preset.CoinLogs = true }
	want := []string{"n 7", "c:ben:0 6", "c:ann:0 5", "c:ann:1 5", "t:ann:0 3", "c:ann:0 9", "c:ben:1 4", "n 4", "n 2"}
	for name, client := range map[string]*Client{
		"near the head":    n.client(t, logged, func(c *Config) { c.Native = NativeFull }),
		"raw, far below":   n.far(t, logged, func(c *Config) { c.Native = NativeRaw }),
		"full, far below":  n.far(t, logged, func(c *Config) { c.Native = NativeFull }),
		"as the node does": n.far(t, logged),
	} {
		page, err := upTo(t, client, 1, w)
		require.NoError(t, err, name)
		require.Equal(t, want, short(page.Transfers), name)
		for _, tr := range page.Transfers {
			require.NotEmpty(t, tr.ID.Tx)
			via := chain.ViaDirect
			if tr.ID.Ordinal[0] == 'c' {
				via = chain.ViaContract
			}
			require.Equal(t, via, tr.Via, tr.ID)
			require.Equal(t, tr.Asset == client.Info().Native.ID, tr.ID.Ordinal[0] != 't')
		}
		require.Len(t, page.Spends, 1)
		require.Equal(t, []string{"n 2"}, short(page.Spends[0].Transfers), "once")
		status, err := client.Status(t.Context(), page.Spends[0].ID)
		require.NoError(t, err)
		require.Equal(t, page.Spends[0].Transfers, status[0].Transfers)
	}
	page, err := upTo(t, n.client(t), 1, w)
	require.NoError(t, err)
	require.Equal(t, []string{"n 7", "t:ann:0 3", "n 4", "n 2"}, short(page.Transfers), "a chain that is not said to log it")
}

// short names transfers by ordinal and amount, without contracts, with names.
func short(transfers []chain.Transfer) (out []string) {
	names := map[string]string{strings.ToLower(ann): "ann", strings.ToLower(ben): "ben"}
	for _, t := range transfers {
		ordinal := t.ID.Ordinal
		if ordinal != "n" {
			ordinal = ordinal[:1] + ":" + names[strings.ToLower(string(t.To))] + ":" + ordinal[len(ordinal)-1:]
		}
		out = append(out, ordinal+" "+t.Amount.String())
	}
	return out
}
