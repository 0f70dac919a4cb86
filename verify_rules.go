package bursar

// The codes of the audit's rules. They are stable: operators and their alarms
// match on them.
const (
	ruleEntryForm        = "entry.form"
	ruleEntrySubject     = "entry.subject"
	ruleEntryTransaction = "entry.transaction"
	ruleEntryReversal    = "entry.reversal"
	ruleEntryLive        = "entry.live"
	ruleEntryPosting     = "entry.posting"
	ruleEntryExtra       = "entry.extra"
	ruleEntryMissing     = "entry.missing"

	ruleBalanceSum   = "balance.sum"
	ruleBalanceTotal = "balance.total"
	ruleBalanceSign  = "balance.sign"

	rulePaymentForm     = "payment.form"
	rulePaymentStatus   = "payment.status"
	rulePaymentTimes    = "payment.times"
	rulePaymentAmounts  = "payment.amounts"
	rulePaymentRequired = "payment.required"
	rulePaymentPosted   = "payment.posted"
	rulePaymentFee      = "payment.fee"
	rulePaymentRefund   = "payment.refund"
	rulePaymentDeadline = "payment.deadline"
	rulePaymentHold     = "payment.hold"
	rulePaymentAccepted = "payment.accepted"
	rulePaymentCounters = "payment.counters"
	rulePaymentEvents   = "payment.events"
	rulePaymentCreated  = "payment.created"
	rulePaymentLink     = "payment.link"
	rulePaymentAddress  = "payment.address"
	rulePaymentShared   = "payment.shared"
	rulePaymentURI      = "payment.uri"

	ruleTransactionID     = "transaction.id"
	ruleTransactionOwner  = "transaction.owner"
	ruleTransactionBlock  = "transaction.block"
	ruleTransactionBranch = "transaction.branch"
	ruleTransactionFinal  = "transaction.final"
	ruleTransactionState  = "transaction.state"
	ruleTransactionSpent  = "transaction.spent"
	ruleTransactionItems  = "transaction.items"

	ruleAddressPool    = "address.pool"
	ruleAddressDerived = "address.derived"
	ruleAddressIndex   = "address.index"
	ruleAddressRole    = "address.role"

	ruleAddressWithdrawal = "address.withdrawal"

	rulePayoutStatus  = "payout.status"
	rulePayoutItems   = "payout.items"
	rulePayoutFee     = "payout.fee"
	rulePayoutPosting = "payout.posting"
	rulePayoutAccount = "payout.account"
	rulePayoutCreated = "payout.created"
	rulePayoutParent  = "payout.parent"

	ruleAttemptForm   = "attempt.form"
	ruleAttemptPayout = "attempt.payout"
	ruleAttemptLock   = "attempt.lock"

	ruleEventSeq      = "event.seq"
	ruleEventSubject  = "event.subject"
	ruleEventID       = "event.id"
	ruleDeliveryEvent = "delivery.event"
	ruleChainLinked   = "chain.linked"
	ruleChainFinal    = "chain.final"
	ruleChainHalt     = "chain.halt"
	ruleChainBalance  = "chain.balance"
	ruleChainStatus   = "chain.status"
)

// AuditRule is one rule of Verify.
type AuditRule struct {
	// Code is what Finding.Rule says; it never changes its meaning.
	Code string
	// Text is the rule in a sentence.
	Text string
}

// AuditRules returns the rules that Verify checks, in the order of the tables.
func AuditRules() []AuditRule {
	return []AuditRule{
		{ruleEntryForm, "an entry has an amount, two accounts that exist, an id of the right form, and lies on its asset's chain"},
		{ruleEntrySubject, "an entry belongs to a payment, address, payout or chain that exists"},
		{ruleEntryTransaction, "the transaction of an entry exists and belongs to its subject"},
		{ruleEntryReversal, "a reversal swaps an earlier entry that nothing else reversed"},
		{ruleEntryLive, "at most one credit of a transfer stands"},
		{ruleEntryPosting, "a standing entry says what its transaction says"},
		{ruleEntryExtra, "no entry stands that its subject does not call for"},
		{ruleEntryMissing, "what a transaction calls for was posted"},
		{ruleBalanceSum, "a balance is the sum of its entries"},
		{ruleBalanceTotal, "the balances of an asset sum to zero"},
		{ruleBalanceSign, "claims are never positive, what lies on a chain never negative"},
		{rulePaymentForm, "a payment has an asset, a depth above zero and its mode"},
		{rulePaymentStatus, "the status follows from the payment's own facts"},
		{rulePaymentTimes, "times and reason go with the status"},
		{rulePaymentAmounts, "the amounts are those of the payment's transactions"},
		{rulePaymentRequired, "what is enough follows from amount and policy"},
		{rulePaymentPosted, "the ledger has on the payment's claims what the payment says"},
		{rulePaymentFee, "the sweep fee is the sum of its shares of final sweeps"},
		{rulePaymentRefund, "what is given back is what its refunds say, and is taken from its claims"},
		{rulePaymentDeadline, "an open payment is looked at when its deadline or hold ends"},
		{rulePaymentHold, "a hold has a transfer that is out of the chain"},
		{rulePaymentAccepted, "money is accepted where the host accepted, and nowhere else"},
		{rulePaymentCounters, "confirmations and settlements were told as often as they are counted"},
		{rulePaymentEvents, "the last event tells the status"},
		{rulePaymentCreated, "what was asked for is what the first event told"},
		{rulePaymentLink, "attempts at one order point at each other"},
		{rulePaymentAddress, "the address's row exists and points back"},
		{rulePaymentShared, "no two payments share an address"},
		{rulePaymentURI, "the link asks for this amount at this address"},
		{ruleTransactionID, "the id is the hash of chain and transfer"},
		{ruleTransactionOwner, "address, payment and payout of a transaction exist and agree"},
		{ruleTransactionBlock, "a live transaction has a block and the height that confirms it, another one none"},
		{ruleTransactionBranch, "a live transaction lies in a block of the scanned branch"},
		{ruleTransactionFinal, "what is final is confirmed and not above the final height"},
		{ruleTransactionState, "status, times and verdicts of a transaction go together"},
		{ruleTransactionSpent, "no more is discharged and reserved than came"},
		{ruleTransactionItems, "what is discharged and reserved is what the payouts cover"},
		{ruleAddressPool, "the pool belongs to a configured wallet"},
		{ruleAddressDerived, "the wallet derives this address, id and key at this place"},
		{ruleAddressIndex, "the index was handed out"},
		{ruleAddressRole, "role and owner go together, and the owner points back"},
		{ruleAddressWithdrawal, "what withdrawals take of a customer's deposits is what the entries say"},
		{rulePayoutStatus, "block, attempts and counters of a payout go with its status"},
		{rulePayoutItems, "the items of a payout sum to its amount and exist"},
		{rulePayoutFee, "the shares of the fee sum to the fee"},
		{rulePayoutPosting, "the ledger has of a payout what its state says"},
		{rulePayoutAccount, "the source of a payout, and a target that is claimed to be ours, are derived from the wallet"},
		{rulePayoutCreated, "what is paid to whom is what the first event told"},
		{rulePayoutParent, "what a top-up serves, and what a refund or a withdrawal is of, exists"},
		{ruleAttemptForm, "an attempt has bytes, locks and the id of its transaction"},
		{ruleAttemptPayout, "an attempt belongs to a payout that exists"},
		{ruleAttemptLock, "open attempts of different groups share no lock"},
		{ruleEventSeq, "the events of a subject are numbered without a gap up to its counter"},
		{ruleEventSubject, "an event belongs to the subject that it is filed under"},
		{ruleEventID, "an event's id is the hash of subject, kind and cause"},
		{ruleDeliveryEvent, "a delivery belongs to an event, with its subject and number"},
		{ruleChainLinked, "the scanned blocks are linked by their hashes"},
		{ruleChainFinal, "what is final was scanned"},
		{ruleChainHalt, "a chain that is not halted waits for no height"},
		{ruleChainBalance, "the ledger's balance of an address is the chain's"},
		{ruleChainStatus, "the chain has what is not final yet in the block that the store says"},
	}
}
