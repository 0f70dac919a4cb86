package chain_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

func TestErrorsNameTheFacts(t *testing.T) {
	usdc := chain.Asset{Symbol: "USDC", Decimals: 6}
	for text, err := range map[string]error{
		`chain: amount "1e3": want ASCII digits`: &chain.FormatError{What: "amount", Text: "1e3", Reason: "want ASCII digits"},
		`chain: 0xA has 1.5 USDC, needs 2`: &chain.InsufficientFundsError{
			Account: "0xA", Asset: usdc, Required: chain.NewAmount(2_000_000), Available: chain.NewAmount(1_500_000),
		},
		`chain: fee 9 over the cap 8`:                           &chain.FeeTooHighError{Fee: chain.NewAmount(9), Cap: chain.NewAmount(8)},
		`chain: reverted: paused`:                               &chain.RevertError{Reason: "paused"},
		`chain: signer refused (treasury): 0xB is none of ours`: &chain.PolicyError{Rule: "treasury", Detail: "0xB is none of ours"},
	} {
		require.EqualError(t, err, text)
	}
}

// What a stranger typed ends in logs: bounded, on one line, valid UTF-8.
func TestFormatErrorIsSafeToLog(t *testing.T) {
	for _, text := range []string{strings.Repeat("9", 1<<20), "a\nlevel=ERROR msg=forged", "\x1b[31m", strings.Repeat("é", 41), strings.Repeat("\xff", 100)} {
		got := (&chain.FormatError{What: "amount", Text: text, Reason: "no"}).Error()
		require.Less(t, len(got), 500)
		require.NotContains(t, got, "\n")
		require.NotContains(t, got, "\x1b")
		require.True(t, utf8.ValidString(got))
		require.Contains(t, got, `": no`)
	}
}
