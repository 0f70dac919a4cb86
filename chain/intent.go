package chain

import "time"

// Purpose tells why a payment leaves an account; policy and accounts depend on it.
type Purpose string

// The purposes of outgoing transactions.
const (
	// PurposeCollection moves customers' money to the treasury.
	PurposeCollection Purpose = "collection"
	// PurposeTopUp gives a deposit address the gas for its own transfer.
	PurposeTopUp Purpose = "gas_topup"
	// PurposeRefund and PurposeWithdrawal pay a stranger, approved.
	PurposeRefund     Purpose = "refund"
	PurposeWithdrawal Purpose = "withdrawal"
	// PurposeCancel spends a lock by a payment of nothing to oneself.
	PurposeCancel Purpose = "cancel"
	// PurposeDeployment puts a contract of ours on the chain.
	PurposeDeployment Purpose = "deployment"
)

// Lock is something that can be spent once on the chain: "nonce:<address>:<n>"
// or "utxo:<txid>:<n>". Two transactions with a common lock can never both be
// mined; that is what makes a double payout impossible.
type Lock string

// KeyRef says which private key an account has, without saying the key.
type KeyRef struct {
	// Wallet is the wallet's id, its public fingerprint.
	Wallet string `json:"wallet"`
	// Path is the BIP-32 path, "m/44'/60'/0'/0/7".
	Path string `json:"path"`
}

// Account is an address of ours together with its key.
type Account struct {
	// Address is the account.
	Address Address `json:"address"`
	// Key is how a Signer finds its key.
	Key KeyRef `json:"key"`
}

// Move is one movement that an Intent asks for.
type Move struct {
	// From is the account that pays.
	From Account
	// To is the receiver.
	To Address
	// Own is the key of the receiver where it is an account of ours, so that a
	// policy signer can derive it again; nil otherwise.
	Own *KeyRef
	// Asset is what moves.
	Asset Asset
	// Amount is how much the receiver gets. With All it is how much the source
	// gives up at most (zero: no bound): everything that is there at
	// preparation up to Amount, for native coin with the fee taken out of it.
	// The bound keeps a deposit that is not final yet out of a sweep.
	Amount Amount
	All    bool // All takes everything that is there, up to Amount.
}

// Coin is an unspent output to be spent, on chains that have them.
type Coin struct {
	// Tx and Index name the output.
	Tx    TxID
	Index uint32 // Index is the place in the pool.
	// Amount is its value.
	Amount Amount
}

// Intent is what we want to happen on a chain, before fees, nonces and bytes.
// It may name many sources, one fee payer and the coins to spend; an adapter
// that cannot do that in one transaction returns ErrUnsupported. Where some of many
// sources are in the way of the others it returns a *SourcesError, and a
// *TooManyMovesError where they are too many for one transaction.
type Intent struct {
	// Purpose is why.
	Purpose Purpose
	// Moves are what, at least one.
	Moves []Move
	// FeePayer pays the network's fee. Its zero value means the source does.
	FeePayer Account
	// Coins restricts what is spent, where the chain has coins.
	Coins []Coin
	// Taken are locks held by other attempts, which must not be used.
	Taken []Lock
	// Reuse, where set, asks for a replacement that holds these locks.
	Reuse []Lock
	// MaxFee caps the whole fee in base units of the native coin; zero: no cap.
	MaxFee Amount
	// Bid says how much of MaxFee is offered; nil: the market's usual price. Only
	// with a MaxFee. A client that knows no low price may take the usual one.
	Bid *Bid
	// Approval is set where a stranger is paid.
	Approval *Approval
}

// Bid is how urgent an intent is: it offers Part/Of of the way from the lowest
// price at which it still is mined to all of Intent.MaxFee. 0 of 1 is the cheapest
// for who can wait, 1 of 1 the whole budget.
type Bid struct {
	// Part is at most Of, and Of at least 1.
	Part, Of uint64
}

// Need is something that an account lacks for a draft.
type Need struct {
	// Account lacks it.
	Account Account
	// Asset is what is missing, Amount how much.
	Asset  Asset
	Amount Amount // Amount is how much, in base units.
}

// Expiry says when a draft can no longer be mined; the zero value means never.
type Expiry struct {
	// Time and Height are the last moment and block; zero where not used.
	Time   time.Time
	Height uint64 // Height is where it happened.
}

// Draft is a complete unsigned transaction. Where Needs is not empty it is not
// yet payable: the needs must be met, and the intent prepared again.
type Draft struct {
	// Chain is where it belongs.
	Chain ID
	// Intent is what it was made for, with the amounts that were fixed.
	Intent Intent
	// Locks are unique per attempt group in the store. At least one where Needs
	// is empty. The first is the one that the transaction itself consumes, such as its
	// sender's nonce, whatever becomes of it; others follow that it may consume, such
	// as nonces of accounts that delegate by it.
	Locks []Lock
	// After are the locks that are consumed before these can be: where transactions
	// of an account are numbered, that of the number before. Empty for an account's
	// first one, where the chain has no such order, and for a batch. Who pays
	// strangers looks whether it is known who holds them: a store that was set back
	// would have them paid once more.
	After []Lock
	// Fee is the most that it can cost, in base units of the native coin.
	Fee Amount
	// Expiry is when it dies by itself.
	Expiry Expiry
	// Needs is what is missing.
	Needs []Need
	// Payload is the unsigned transaction in the chain's own encoding.
	Payload []byte
}

// Signed is a transaction that can be broadcast. It is persisted before its
// first broadcast, and only these very bytes are ever sent again.
type Signed struct {
	// Chain is where it belongs.
	Chain ID
	// ID is known before the broadcast.
	ID TxID
	// Raw is what a node accepts.
	Raw []byte
	// Locks are those of the draft, in its order.
	Locks []Lock
}
