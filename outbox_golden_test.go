package bursar_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/webhook"
)

// updating reports whether the flag -update, which the tests of this directory
// share, asks to write testdata/events anew. Members may be added, never removed
// or changed in kind: that fails with the flag too.
func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

// kinds reads the kinds of events from the source, so that none is forgotten.
func kinds(t testing.TB) (out []bursar.Kind) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Kind" {
				text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				out = append(out, bursar.Kind(text))
			}
		}
		return true
	})
	require.Greater(t, len(out), 30)
	return out
}

// sample is an event of a kind with everything that such an event can carry.
func sample(kind bursar.Kind) bursar.Event {
	e := bursar.Event{
		ID: "evt_0123456789abcdef0123456789abcdef", Kind: kind, Seq: 7, Livemode: true,
		Time: time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC),
	}
	class, _, _ := strings.Cut(string(kind), ".")
	const usdc = "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
	transaction := &bursar.TransactionData{
		ID: "tx_0123", Hash: "0xabc", Type: bursar.TypeIncoming, Via: "direct", Status: bursar.TxConfirmed, Asset: usdc, TokenID: "USDC", Amount: "26",
		From: "0xB0B", To: "0xA11", Block: 19_000_000, BlockHash: "0xb10c", Confirmations: 12, Inclusion: 1, Reason: "orphaned",
	}
	switch kind {
	case bursar.AlertRefundUncovered:
		class = "payment"
	case bursar.AlertSweepFailing:
		class = "payout"
	}
	switch class {
	case "payment", "transaction":
		e.Subject = "pay_018cc253-3c20-7c09-8d53-f647043984f2"
		e.Data = bursar.EventData{
			PaymentID: e.Subject, Status: bursar.StatusConfirmed, From: bursar.StatusDetected, Chain: "eip155:1", Asset: usdc, TokenID: "USDC",
			Address: "0xA11", AddressID: "addr_60_x_0_0", Customer: "ann", Amount: "25.5", Required: "25", Received: "26", Confirmed: "26",
			Shortfall: "0", Excess: "0.5", Held: "0", ConfirmationNo: 1, Late: true, Accepted: true, Reason: "in_grace",
			Metadata: map[string]string{"order": "7 <&>", "a": "é\u2028"}, ExpiresAt: "2026-03-02T12:00:00Z",
		}
		if class == "transaction" || kind == bursar.PaymentLate || kind == bursar.PaymentUnexpectedAsset {
			e.Data.Transaction = transaction
		}
		if kind == bursar.PaymentRefunded || kind == bursar.AlertRefundUncovered {
			e.Data.Refunded = "0.5"
		}
		if kind == bursar.PaymentSettled {
			e.Data.Gross, e.Data.FeeShare, e.Data.Net = "26", "0.0012", "26"
		}
	case "payout":
		e.Subject = "po_018cc253-3c20-7c09-8d53-f647043984f2"
		e.Data = bursar.EventData{Chain: "eip155:1", Payout: &bursar.PayoutData{
			ID: e.Subject, Kind: bursar.PayoutSweep, Status: bursar.PayoutConfirmed, Asset: usdc, TokenID: "USDC", Amount: "26", Moved: "26",
			From: "0xA11", To: "0x7EA", TxID: "0xdef", Fee: "0.0012", GasUsed: 52_000, Block: 19_000_100, Code: "FEE_TOO_HIGH", Reason: "over the cap",
		}}
	default:
		e.Subject = "eip155:1"
		e.Data = bursar.EventData{Chain: "eip155:1", Reason: "deep_reorg", Height: 19_000_000, Depth: 12}
	}
	if slices.Contains([]bursar.Kind{bursar.ChainProviderDown, bursar.ChainProviderBack, bursar.ChainDiverged, bursar.ChainFailing, bursar.ChainStalled, bursar.ChainFinalityStalled, bursar.ChainRecovered}, kind) {
		e.Data = bursar.EventData{Chain: "eip155:1", Reason: "outvoted on the page", Height: 19_000_000, Condition: &bursar.ConditionData{
			Kind: chain.ConditionProviderDown, Provider: "a-eu", Operator: "a", Fault: "contradicted", Since: "2026-03-01T11:59:58Z", Until: "2026-03-01T12:00:08Z", Times: 3,
		}}
	}
	if kind == bursar.AlertStoreRestored {
		e.Subject = "store_0123456789abcdef0123456789abcdef"
		e.Data = bursar.EventData{Reason: bursar.SkipMoved, Restore: &bursar.RestoreData{
			Written: "7301/3", Here: "7301/4", Pools: []bursar.SkippedPool{{Pool: "60/b4cf/0", Reason: bursar.SkipMoved, From: 5120, To: 1_900_000}},
		}}
	}
	e.Data.Subject = e.Subject
	return e
}

// TestGoldenEvents: the payload is a contract with receivers that nobody can
// update. Members may be added; none goes away or changes its kind.
func TestGoldenEvents(t *testing.T) {
	var files []string
	for _, kind := range kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			e := sample(kind)
			got, err := bursar.MarshalEvent(e)
			require.NoError(t, err)
			for range 10 {
				again, err := bursar.MarshalEvent(sample(kind))
				require.NoError(t, err)
				require.Equal(t, string(got), string(again), "the same bytes at every delivery")
			}
			path := filepath.Join("testdata", "events", string(kind)+".json")
			old, readErr := os.ReadFile(path)
			if readErr == nil {
				var was, is any
				require.NoError(t, json.Unmarshal(old, &was))
				require.NoError(t, json.Unmarshal(got, &is))
				keeps(t, string(kind), was, is)
			}
			if updating() {
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, append(got, '\n'), 0o644))
				return
			}
			require.NoError(t, readErr)
			require.Equal(t, strings.TrimSuffix(string(old), "\n"), string(got))
		})
		files = append(files, string(kind)+".json")
	}
	entries, err := os.ReadDir(filepath.Join("testdata", "events"))
	require.NoError(t, err)
	for _, entry := range entries {
		require.True(t, slices.Contains(files, entry.Name()), "%s belongs to no kind: kinds are not removed", entry.Name())
	}
}

// keeps reports members that were there and are not, or of another kind.
func keeps(t *testing.T, path string, was, is any) {
	t.Helper()
	switch was := was.(type) {
	case map[string]any:
		now, ok := is.(map[string]any)
		require.True(t, ok, path)
		for name, value := range was {
			require.Contains(t, now, name, path)
			keeps(t, path+"."+name, value, now[name])
		}
	default:
		require.IsType(t, was, is, path)
	}
}

func TestEventsHaveNoFloats(t *testing.T) {
	counters := []string{"seq", "confirmation_no", "confirmations", "block_number", "inclusion", "gas_used", "height", "depth", "times"}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				walk(k, x)
			}
		case json.Number:
			_, err := strconv.ParseUint(v.String(), 10, 53)
			require.NoError(t, err, name)
			require.Contains(t, counters, name, "a number that could be an amount")
		}
	}
	for _, kind := range kinds(t) {
		body, err := bursar.MarshalEvent(sample(kind))
		require.NoError(t, err)
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		var v map[string]any
		require.NoError(t, d.Decode(&v))
		walk("", v)
		require.NotEmpty(t, v["data"].(map[string]any)["subject"])
		parsed, err := webhook.Parse(body)
		require.NoError(t, err)
		require.Equal(t, string(kind), parsed.Event)
	}
}

func TestMarshalEventRefusesWhatCannotBeRead(t *testing.T) {
	for name, edit := range map[string]func(*bursar.Event){
		"no id":        func(e *bursar.Event) { e.ID = "" },
		"no kind":      func(e *bursar.Event) { e.Kind = "" },
		"no time":      func(e *bursar.Event) { e.Time = time.Time{} },
		"negative seq": func(e *bursar.Event) { e.Seq = -1 },
	} {
		e := sample(bursar.PaymentConfirmed)
		edit(&e)
		_, err := bursar.MarshalEvent(e)
		require.Error(t, err, name)
	}
}
