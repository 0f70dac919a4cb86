package bursar

import (
	"math/big"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Account is an account of the ledger. There is one journal per asset, so that
// the same account name in two assets is two accounts.
//
// On-chain, for each address h of ours: "U:h" holds what is included and not
// confirmed, "F:h" what is confirmed. At every scanned height F:h + U:h is the
// balance of h on the chain.
//
// Claims: "pending:", "held:", "paid:" and "excess:" with a payment's id or,
// for pending and held, an address; "customer:", "refund_payable:".
//
// Others: "U:gas" and "F:gas" (fees), "owner" (capital paid in), "U:treasury"
// and "F:treasury" (delivered to the treasury; its owner spends from it),
// "out:<payout>", "suspense:<address>", "receivable:reorg:<payment or permanent address>".
type Account string

// The accounts without an owner in their name.
const (
	AccountOwner     Account = "owner"      // AccountOwner is capital paid in.
	AccountGasU      Account = "U:gas"      // AccountGasU is fees of included transactions.
	AccountGasF      Account = "F:gas"      // AccountGasF is fees of final transactions.
	AccountTreasuryU Account = "U:treasury" // AccountTreasuryU is included in the treasury.
	AccountTreasuryF Account = "F:treasury" // AccountTreasuryF is delivered to the treasury.
)

func accountU(a chain.Address) Account        { return Account("U:" + string(a)) }
func accountF(a chain.Address) Account        { return Account("F:" + string(a)) }
func accountSuspense(a chain.Address) Account { return Account("suspense:" + string(a)) }
func accountPending(owner string) Account     { return Account("pending:" + owner) }
func accountHeld(owner string) Account        { return Account("held:" + owner) }
func accountPaid(payment string) Account      { return Account("paid:" + payment) }
func accountExcess(payment string) Account    { return Account("excess:" + payment) }
func accountCustomer(customer string) Account { return Account("customer:" + customer) }
func accountOut(payout string) Account        { return Account("out:" + payout) }
func accountReorg(payment string) Account     { return Account("receivable:reorg:" + payment) }
func accountRefund(refund string) Account     { return Account("refund_payable:" + refund) }

// Entry is one posting: Amount of Asset from the credited to the debited
// account. It is balanced by its form, and never changed or deleted; a mistake
// or a reorg is undone by another entry that names it in Reverses.
type Entry struct {
	// ID is deterministic: a hash of cause, rule and place.
	ID string `json:"id"`
	// Rule is the posting rule, "L1" to "L8", "open" for capital.
	Rule string `json:"rule"`
	// Asset is the journal.
	Asset chain.AssetID `json:"asset"`
	// Debit gains Amount, Credit gives it.
	Debit  Account      `json:"debit"`
	Credit Account      `json:"credit"` // Credit gives Amount.
	Amount chain.Amount `json:"amount"` // Amount is how much, in base units.
	// Subject is the payment, address or payout it belongs to; Transaction the
	// transaction row behind it, where there is one.
	Subject     string `json:"subject"`
	Transaction string `json:"transaction,omitempty"` // Transaction is the transaction row behind it.
	// Chain and Height are where it happened.
	Chain  chain.ID `json:"chain"`
	Height uint64   `json:"height,omitempty"` // Height is where it happened.
	// Reverses is the entry that this one undoes.
	Reverses string `json:"reverses,omitempty"`
	// Live, where set, is a key of which at most one entry may be unreversed:
	// the transfer identity of a credit.
	Live string `json:"live,omitempty"`
	// At is when it was written.
	At time.Time `json:"at"`
}

// Balance is the sum of an account: debits less credits. Claims are negative.
type Balance struct {
	// Asset and Account name it.
	Asset   chain.AssetID `json:"asset"`
	Account Account       `json:"account"` // Account is the account's name.
	// Sum is in base units. It must not be changed.
	Sum *big.Int `json:"sum"`
}
