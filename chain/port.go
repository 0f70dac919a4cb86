package chain

import "context"

// Reader observes a chain. Every method may be called concurrently, returns
// promptly when its context ends, and never blocks on another call.
type Reader interface {
	// Info describes the chain, without a call to the node.
	Info() Info

	// Head returns the newest and the newest final block the node sees.
	Head(ctx context.Context) (Head, error)

	// Headers returns the blocks from to to, both included, of the node's
	// present branch, hash-linked. It may return fewer, never a gap, and none
	// where from lies above the head.
	Headers(ctx context.Context, from, to uint64) ([]BlockRef, error)

	// Transfers returns the blocks from height from on, at most up to to, with
	// what concerns w in them. It returns at least one block or an error:
	// ErrNotFound where from lies above the head, ErrReorg where the branch
	// changed underway. Everything in the page was read by block hash; what
	// cannot be read coherently is an error, never an empty answer.
	Transfers(ctx context.Context, from, to uint64, w Watch) (Page, error)

	// Status returns one entry for each id, in the same order.
	Status(ctx context.Context, ids ...TxID) ([]TxStatus, error)
}

// Writer makes, signs and sends transactions.
type Writer interface {
	// Prepare turns an intent into a complete unsigned transaction, or one
	// with Needs. Errors: *InsufficientFundsError, *FeeTooHighError,
	// *RevertError (a dry run failed), ErrUnsupported, ErrLockSpent where a lock
	// to be reused is spent already. A draft with Intent.Reuse is priced by the
	// market and need not outbid the old one: FeeBumper does.
	Prepare(ctx context.Context, in Intent) (Draft, error)

	// Sign has the draft signed. It uses no network but the signer, and checks
	// what the signer returns. The id is known before the broadcast.
	Sign(ctx context.Context, d Draft, s Signer) (Signed, error)

	// Broadcast hands the bytes to the network. It is idempotent: already
	// known and already mined are nil. ErrLockSpent means that something else
	// spent a lock; ErrUnderpriced that the node wants a higher fee; any other
	// error leaves the outcome unknown, and the same bytes may be sent again.
	Broadcast(ctx context.Context, s Signed) error
}

// Codec is what is known about a family of chains without asking a node: pure
// functions, safe for concurrent use.
type Codec interface {
	// Parse reads an address as a person or a program writes it and returns
	// the canonical form; a wrong checksum or shape is a *FormatError.
	Parse(text string) (Address, error)

	// Format writes a raw key as an address in canonical form.
	Format(key []byte) (Address, error)

	// FromPublicKey appends to dst the raw key of a public key's address. It
	// takes the forms usual for the curve: 33 bytes compressed or 65 bytes
	// uncompressed for secp256k1.
	FromPublicKey(dst, publicKey []byte) ([]byte, error)

	// Path returns the BIP-44 path of an address: change 0 for deposit
	// addresses, 1 for the gateway's own accounts.
	Path(change, index uint32) string

	// WatchKeys returns the raw keys that a scanner must look for to see
	// transfers to the address.
	WatchKeys(a Address) ([][]byte, error)

	// PaymentURI returns a link that wallets understand (EIP-681, BIP-21 …).
	PaymentURI(asset Asset, to Address, amount Amount) (string, error)

	// Decode says all that a payload would do, and the digest to sign. What it
	// does not understand completely is an error.
	Decode(r SignRequest) (effects Effects, digest []byte, err error)
}

// Client is the port of a chain: everything the gateway needs, and nothing
// that only one chain has. chaintest.Run is its specification.
type Client interface {
	Reader
	Writer
	// Codec returns the chain family's pure functions.
	Codec() Codec
}

// As finds an optional capability T of a client, which is an interface such as
// BalanceReader. A client that wraps another one implements
// As(target any) bool, and hands the capability out wrapped in its own way, so
// that a look-up never goes around it.
func As[T any](c any) (T, bool) {
	if w, ok := c.(interface{ As(target any) bool }); ok {
		// Only after the call is the target known; on a refusal nothing of it
		// may get out.
		var target, none T
		if !w.As(&target) || any(target) == nil {
			return none, false
		}
		return target, true
	}
	t, ok := c.(T)
	return t, ok
}

// Holding asks for the balance of one asset at one address.
type Holding struct {
	Address Address // Address is the address of ours.
	Asset   Asset   // Asset is the CAIP-19 id.
}

// BalanceReader is a client that can tell balances, at a block that it still
// has the state of. Chains of unspent outputs cannot.
type BalanceReader interface {
	// Balances returns one amount for each holding, at the block with that
	// hash; an empty hash means the newest block. ErrNotFound where the node does
	// not have the block (yet), ErrPruned where it does not keep its state any more,
	// ErrNoContract where the contract of a token is not there in it.
	Balances(ctx context.Context, at BlockHash, of []Holding) ([]Amount, error)
}

// Internals is how native coin moved in one block beside the values of its
// transactions.
type Internals struct {
	// Transfers are those to the receivers that were asked about: ViaContract
	// with the transaction's id and the path of the call, ViaProtocol for what
	// the protocol credits in an amount that the block tells. They are what
	// really moved: nothing of a call that was reverted, alone or with one around
	// it, nothing of amount zero. Ordered by transaction index and ordinal.
	Transfers []Transfer
	// Beneficiary gets the block's fees and reward, in an amount that only its
	// balance tells. Empty where the node does not say.
	Beneficiary Address
}

// Tracer is a client that can look into the execution of a block: coin that a
// contract sends leaves no transaction to the receiver and no log.
type Tracer interface {
	// Internal returns the movements to some receivers in one block, read by its
	// hash. ErrUnsupported where the node traces nothing and tells nothing,
	// ErrPruned where it does not keep what it needs for that block any more,
	// ErrNotFound where it does not have the block, ErrReorg where the block it
	// has is another one. A node that cannot trace may still tell what the
	// protocol credited: an empty answer is no proof that nothing moved.
	Internal(ctx context.Context, block BlockRef, to []Address) (Internals, error)
}

// Identity is what a node says of the chain it serves.
type Identity struct {
	// ID is the chain id the node reports, Genesis the hash of its first block.
	ID      ID
	Genesis BlockHash // Genesis is the hash of its first block.
}

// Identifier is a client that can ask its node which chain it serves.
type Identifier interface {
	Identify(ctx context.Context) (Identity, error)
}

// TokenInspector is a client that can look at a token's contract.
type TokenInspector interface {
	// Inspect returns what the contract says of itself; ErrNoContract where
	// there is none at that address, ErrUnsupported where it is no token's.
	Inspect(ctx context.Context, a Asset) (Token, error)
}

// Token is what a token's contract says of itself.
type Token struct {
	// Decimals is the answer of the contract.
	Decimals uint8
	// Symbol is its label, to be shown and never to be matched.
	Symbol string
	// CodeHash is a hash of the contract's code and, behind a proxy, of the
	// implementation's; empty where the client cannot tell.
	CodeHash string
}

// DryRunner is a client that can try an intent without sending it: used on the
// treasury before the first sweep.
type DryRunner interface {
	// DryRun returns nil where each move would succeed, *RevertError where not.
	DryRun(ctx context.Context, in Intent) error
}

// HeadSubscriber is a client that can push heads. They are hints: polling stays
// the truth.
type HeadSubscriber interface {
	// SubscribeHeads sends on wake, without blocking, until ctx ends.
	SubscribeHeads(ctx context.Context, wake chan<- struct{}) error
}

// FeeBumper is a client that can replace a stuck transaction by a dearer one
// with the same locks.
type FeeBumper interface {
	// Bump returns a draft of the same intent and locks that the network takes
	// as a replacement of the signed one. Errors are those of Prepare.
	Bump(ctx context.Context, in Intent, old Signed) (Draft, error)
}

// FeeMarket is the price of one unit of a chain's work, gas or a virtual byte, in
// base units of its native coin.
type FeeMarket struct {
	// Now is what a unit usually costs in the newest blocks.
	Now Amount
	// Usual is the median of what it cost in about the last day; zero where
	// that is not known.
	Usual Amount
}

// FeeEstimator is a client that can tell the price of work before there is
// anything to do, and what it usually is.
type FeeEstimator interface {
	// EstimateFees asks several things of the node, and is for whoever can wait,
	// not for each transaction. ErrUnsupported where the node does not tell.
	EstimateFees(ctx context.Context) (FeeMarket, error)
}

// AuthorizationCodec is a ContractCodec of a chain on which accounts delegate to the
// contract, each by an authorisation that its key signs once.
type AuthorizationCodec interface {
	ContractCodec
	// Authorization returns the payload by which an account whose nonce that is
	// delegates to the contract, on that chain and no other: a SignRequest of the purpose
	// SignAuthorization has it. It is the same for every account. The error is
	// ErrUnsupported where no contract is configured, and a *FormatError for a chain that
	// is none of the codec's. It is a pure function.
	Authorization(on ID, nonce uint64) (payload []byte, err error)
}
