// Package scanner follows one chain: it reads blocks in order, notices when the
// chain takes blocks back, and hands both to a Sink that commits them.
//
// The node is the authority for what the chain looks like now, the sink for
// how far it has been followed. The scanner itself decides nothing about
// money and keeps nothing that it could not load again: what it holds in
// memory is a copy of the sink's cursor, dropped after every error.
//
//	Follower   pure: a window of recent blocks, Connect and Disconnect
//	Scanner    one unit of work per Step, a thin loop around it in Run
//	Sink       what is consumed: cursor, watched set, one commit per step
//
// # A step
//
//	cursor ─► head ─► is our tip still on the node's branch?
//	                     no  ─► find the common ancestor ─► commit Disconnect
//	                     yes ─► watch ─► transfers ─► commit Connect
//
// The watched set is read after the head and before the transfers. An address
// that is made payable only once it is watched can therefore not be paid in a
// block that was read without it.
//
// A step disconnects or connects, never both, and each is one commit. A crash
// between two steps leaves the window on a block that both branches share, from
// where the next step goes on.
//
// # What proves a reorg
//
// Only a block: another hash at a height that the window knows, or a parent
// that is not our tip. A head that is lower than our tip is a node that lags,
// until the block it shows is not ours. Blocks are ordered by height and parent
// alone; their timestamps are passed on and never compared.
//
// A reorg that reaches below the window stops the scanner with
// ErrNoCommonAncestor. It does not guess where to go on: somebody has to look
// at what was credited and set a new cursor. Should the node come back to the
// branch the window knows, the scanner goes on by itself.
package scanner
