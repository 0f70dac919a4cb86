package scanner

import (
	"context"
	"time"

	"github.com/bursar-go/bursar/chain"
)

// Sink is where a scanner's findings are committed, in one store transaction a
// step. One scanner calls it from one goroutine at a time.
type Sink interface {
	// Cursor returns how far the chain has been followed. It is called at the
	// start and again after every error.
	Cursor(ctx context.Context) (Cursor, error)

	// Watch returns the receivers to look for. It is called after the head was
	// read and before every call of Transfers, and must hold every address that
	// anybody could have been told to pay by then.
	Watch(ctx context.Context) (chain.Watch, error)

	// Commit applies the step and stores Step.Recent as the new cursor, all or
	// nothing. Where the stored tip is not Step.Base, the cursor was moved by
	// somebody else, another scanner or an operator, and the step must be
	// refused: it continues something that is gone. After an error the outcome
	// counts as unknown, and the scanner asks for the cursor again.
	Commit(ctx context.Context, step Step) error

	// Report tells that a condition began or ended. It serves people and
	// metrics; no money may depend on it. A failed report is made again after
	// the next step.
	Report(ctx context.Context, c Condition) error
}

// Cursor is how far a chain has been followed.
type Cursor struct {
	// Recent are the newest blocks of our view, oldest first, each the parent
	// of the next; the last one is the tip. It is empty on a fresh chain.
	Recent []chain.BlockRef
	// Start is the first height to read where Recent is empty; 0 begins at the
	// node's head. It is ignored otherwise.
	Start uint64
}

// Step is one unit of progress: blocks that left the view, or blocks that
// joined it, never both. With neither it only tells a newer head, so that
// finality advances while no block comes.
type Step struct {
	// Base is the tip that the step continues; its zero value on a fresh chain.
	Base chain.BlockRef
	// Head is what the node told before this step. Nothing above Head.Latest is
	// in Connect. Head.Finalized may be above the tip while catching up, and
	// lower than an earlier one: whoever stores it keeps the highest.
	Head chain.Head
	// Disconnect are the blocks that left the view, newest first. On a chain
	// that was begun a moment ago, some of them may lie before the first block
	// that was ever connected.
	Disconnect []chain.BlockRef
	// Connect are the blocks that joined, with all that concerns the watched
	// set. It has no blocks where the step disconnects or only tells the head.
	Connect chain.Page
	// Recent is the window after this step, oldest first, at most
	// Info.MaxReorg blocks, and at least one. It is the next Cursor.Recent.
	Recent []chain.BlockRef
}

// ConditionKind names something that operators should know.
type ConditionKind string

// The conditions of a scanner.
const (
	// Halted: the common ancestor is older than the window. Nothing is read
	// until the cursor is set anew, or the node returns to our branch.
	Halted ConditionKind = "halted"
	// Failing: several steps in a row failed.
	Failing ConditionKind = "failing"
	// Lagging: the tip is more than Config.LagBlocks behind the head.
	Lagging ConditionKind = "lagging"
	// Stalled: the node's head has not risen for Config.StallAfter.
	Stalled ConditionKind = "stalled"
	// FinalityStalled: the node tells a final block, and it has not risen for
	// Config.FinalityStallAfter.
	FinalityStalled ConditionKind = "finality_stalled"
)

// Condition is the begin or the end of a state of the scanner. Each kind is
// reported when it changes, and once at the scanner's start as soon as it is
// known, so that a stored alarm does not outlive its cause.
type Condition struct {
	// Chain is the chain that was followed.
	Chain chain.ID
	// Kind is what began (Active) or ended.
	Kind   ConditionKind
	Active bool // Active tells the begin from the end.
	// At is when it was noticed, in UTC.
	At time.Time
	// Head and Tip are the heights known then; 0 where not known.
	Head, Tip uint64
	// Err is what caused it, nil where no error did.
	Err error
}
