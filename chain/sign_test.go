package chain_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

func ExampleApproval_Message() {
	a := chain.Approval{
		Payout: "po_1", Asset: "eip155:1/slip44:60", To: "0xAb58", Amount: chain.NewAmount(1_000),
		NotAfter: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	fmt.Printf("%s", a.Message())
	// Output:
	// bursar payout approval v1
	// 4:po_1
	// 18:eip155:1/slip44:60
	// 6:0xAb58
	// 1000
	// 2030-01-02T03:04:05Z
}

// approvals draws fields from few letters, line breaks, digits and colons among
// them, so that collisions would be found if there were any.
func approvals() *rapid.Generator[chain.Approval] {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("a1:\n")), 0, 6, -1)
	return rapid.Custom(func(t *rapid.T) chain.Approval {
		return chain.Approval{
			Payout: text.Draw(t, "payout"), Asset: chain.AssetID(text.Draw(t, "asset")), To: chain.Address(text.Draw(t, "to")),
			Amount:   chain.NewAmount(rapid.Uint64Range(0, 2).Draw(t, "amount")),
			NotAfter: time.Unix(rapid.Int64Range(0, 1).Draw(t, "second"), 0).UTC(),
		}
	})
}

func TestThreat_F1_ApprovalsDoNotShareAMessage(t *testing.T) {
	a := chain.Approval{Payout: "p", Asset: "x\ny", To: "z"}
	b := chain.Approval{Payout: "p\nx", Asset: "y", To: "z"}
	require.NotEqual(t, a.Message(), b.Message(), "a line break moves the border")
	a, b = chain.Approval{To: "t\n5"}, chain.Approval{To: "t"}
	require.NotEqual(t, a.Message(), b.Message())

	rapid.Check(t, func(t *rapid.T) {
		a, b := approvals().Draw(t, "a"), approvals().Draw(t, "b")
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		require.Equal(t, string(x) == string(y), string(a.Message()) == string(b.Message()))
	})
}

func TestApprovalMessageIsOfTheInstant(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 123, time.FixedZone("x", 3600))
	a, b := chain.Approval{NotAfter: at}, chain.Approval{NotAfter: at.UTC().Truncate(time.Second), Signature: []byte{1}}
	require.Equal(t, a.Message(), b.Message(), "neither the zone nor the signature counts, nor what a database rounds off")
	b.NotAfter = b.NotAfter.Add(time.Second)
	require.NotEqual(t, a.Message(), b.Message())
}
