package scanner

import (
	"errors"
	"fmt"

	"github.com/bursar-go/bursar/chain"
)

// Sentinels. Callers branch on them with errors.Is.
var (
	// ErrNoCommonAncestor: the chain took back more blocks than the window
	// holds. The error is a *DeepReorgError.
	ErrNoCommonAncestor = errors.New("scanner: no common ancestor in the window")
	// ErrBusy: Step was called while another Step was at work.
	ErrBusy = errors.New("scanner: a step is at work already")
)

// CallError tells which call of a step failed.
type CallError struct {
	// Chain is the chain that was followed.
	Chain chain.ID
	// Call is the method that failed: "Cursor", "Head", "Headers", "Watch",
	// "Transfers" or "Commit".
	Call string
	// Err is what it returned.
	Err error
}

// Error tells what went wrong, without secrets.
func (e *CallError) Error() string {
	return fmt.Sprintf("scanner: %s: %s: %v", e.Chain, e.Call, e.Err)
}

// Unwrap returns what the call returned.
func (e *CallError) Unwrap() error { return e.Err }

// IncoherentError reports an answer of a node that contradicts itself or the
// contract of chain.Reader. Nothing of it is used. It is a chain.ErrTransient.
type IncoherentError struct {
	// What is the answer: "head", "headers" or "page".
	What string
	// Height is where it went wrong.
	Height uint64
	// Reason is what is wrong.
	Reason string
}

// Error tells what went wrong, without secrets.
func (e *IncoherentError) Error() string {
	return fmt.Sprintf("scanner: incoherent %s at height %d: %s", e.What, e.Height, e.Reason)
}

// Unwrap returns chain.ErrTransient: asking again may help.
func (e *IncoherentError) Unwrap() error { return chain.ErrTransient }

// LinkError reports a block that does not follow the one before it.
type LinkError struct {
	// Before is the block before, Block the one that should follow it.
	Before, Block chain.BlockRef
	// Index is the place of Block among the blocks that were given.
	Index int
}

// Error tells what went wrong, without secrets.
func (e *LinkError) Error() string {
	if e.Block.Height != e.Before.Height+1 {
		return fmt.Sprintf("scanner: block %d after block %d", e.Block.Height, e.Before.Height)
	}
	return fmt.Sprintf("scanner: block %d %s has parent %s, want %s", e.Block.Height, e.Block.Hash, e.Block.Parent, e.Before.Hash)
}

// DeepReorgError is ErrNoCommonAncestor with the facts an operator needs.
type DeepReorgError struct {
	// Chain is the chain that is halted.
	Chain chain.ID
	// Oldest and Tip are the ends of the window.
	Oldest, Tip chain.BlockRef
	// Other is the node's block at the height of Oldest.
	Other chain.BlockRef
}

// Error tells what went wrong, without secrets.
func (e *DeepReorgError) Error() string {
	return fmt.Sprintf("%v: %s has %s at height %d, we followed %s (tip %d)",
		ErrNoCommonAncestor, e.Chain, e.Other.Hash, e.Oldest.Height, e.Oldest.Hash, e.Tip.Height)
}

// Is makes errors.Is find ErrNoCommonAncestor.
func (e *DeepReorgError) Is(target error) bool { return target == ErrNoCommonAncestor }

// ConfigError names the field of a Config that cannot be used.
type ConfigError struct {
	// Field is the field's name, Reason what is wrong with it.
	Field, Reason string
}

// Error tells what went wrong, without secrets.
func (e *ConfigError) Error() string { return "scanner: config: " + e.Field + ": " + e.Reason }
