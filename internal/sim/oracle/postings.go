package oracle

import (
	"strings"

	"github.com/bursar-go/bursar"
)

// leg is one way in which a posting rule moves money: from one kind of account
// to another.
type leg struct {
	rule          string
	debit, credit string
}

// The kinds of accounts. Those of one address or claim end in ":".
const (
	unconfirmed = "U:"
	firm        = "F:"
	unclaimed   = "owner"
	gasU        = string(bursar.AccountGasU)
	gasF        = string(bursar.AccountGasF)
	treasuryU   = string(bursar.AccountTreasuryU)
	treasuryF   = string(bursar.AccountTreasuryF)
	payable     = "refund_payable:"
)

// kindOf sorts an account.
func kindOf(a bursar.Account) string {
	switch a {
	case bursar.AccountOwner, bursar.AccountGasU, bursar.AccountGasF, bursar.AccountTreasuryU, bursar.AccountTreasuryF:
		return string(a)
	}
	if i := strings.IndexByte(string(a), ':'); i >= 0 {
		return string(a[:i+1])
	}
	return string(a)
}

// legs are the posting rules.
func legs() []leg {
	out := []leg{
		// Detected; capital of the sponsor is its owner's, and what a token does
		// not account for is nobody's.
		{"L1", unconfirmed, "pending:"}, {"L1", unconfirmed, unclaimed}, {"L1", unconfirmed, "suspense:"},
		{"L2", firm, unconfirmed}, {"L2", "pending:", "held:"},
		// The cut of a payment goes both ways: totals are posted by difference.
		{"L3", "held:", "paid:"}, {"L3", "held:", "excess:"}, {"L3", "held:", "customer:"},
		{"L3", "paid:", "held:"}, {"L3", "excess:", "held:"},
		{"L6", treasuryU, unconfirmed}, {"L6", treasuryF, treasuryU},
		{"L7", unconfirmed, unconfirmed}, {"L7", firm, unconfirmed},
		{"foreign", "suspense:", unconfirmed}, {"foreign", unconfirmed, unconfirmed}, {"foreign", treasuryU, unconfirmed},
		{"foreign", gasU, unconfirmed},
		{"open", firm, unclaimed},
	}
	for _, from := range []string{"excess:", "held:", "paid:", "customer:"} {
		out = append(out, leg{"L5", from, payable}, leg{"L5", payable, from})
	}
	out = append(out, leg{"L5", "out:", unconfirmed}, leg{"L5", payable, "out:"})
	for _, rule := range []string{"L5", "L6", "L7", "L8"} {
		out = append(out, leg{rule, gasU, unconfirmed}, leg{rule, gasF, gasU}, leg{rule, unconfirmed, firm})
	}
	return out
}

// rareLegs are those that take a reorg at the right moment: what a refund takes moves
// from one claim to another, and what a reorg took is owed to us.
func rareLegs() (out []leg) {
	claims := []string{"excess:", "held:", "paid:", "receivable:"}
	for _, from := range claims {
		for _, to := range claims {
			if to != from {
				out = append(out, leg{"L5", to, from})
			}
		}
	}
	return append(out, leg{"L5", "receivable:", payable}, leg{"L5", payable, "receivable:"},
		leg{"L5", "receivable:", "customer:"}, leg{"L5", "customer:", "receivable:"})
}

func legSet() map[leg]bool {
	out := map[leg]bool{}
	for _, l := range rareLegs() {
		out[l] = true
	}
	for _, l := range legs() {
		out[l] = true
	}
	return out
}

// claim reports whether an account holds what is owed: its sum is never above
// zero.
func claim(kind string) bool {
	switch kind {
	case "pending:", "held:", "paid:", "excess:", "customer:", payable:
		return true
	}
	return false
}
