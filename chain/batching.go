package chain

// Batcher is a client that can move what many accounts hold by one transaction, which
// another account sends and pays for: an Intent of PurposeCollection with a FeePayer
// that is none of the sources.
type Batcher interface {
	// Batching says what such transactions are bound to. It asks no node and does not
	// change. Zero MaxMoves: the client is not set up for them.
	Batching() Batching
}

// Batching is what the transactions of a Batcher are bound to.
type Batching struct {
	// Treasury is the one destination that they have.
	Treasury Address
	// FeePayer is the one account that may send them.
	FeePayer Address
	// MaxMoves is how many moves fit one transaction where each is as dear as it
	// ordinarily gets. Prepare refuses more than fit with a *TooManyMovesError,
	// whatever this says.
	MaxMoves int
}
