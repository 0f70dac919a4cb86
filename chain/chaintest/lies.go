package chaintest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// Lies are the false answers of a client: each function gets what the client
// would have told and returns what it tells instead. One that is nil tells the
// truth. A function must not change what it gets, and is called without a lock.
type Lies struct {
	Head     func(chain.Head) chain.Head             // Head twists the answer of Head.
	Headers  func([]chain.BlockRef) []chain.BlockRef // Headers twists the answer of Headers.
	Page     func(chain.Page) chain.Page             // Page twists the answer of Transfers.
	Status   func(chain.TxStatus) chain.TxStatus     // Status twists each entry of Status.
	Balances func([]chain.Amount) []chain.Amount     // Balances twists the answer of Balances.
	Internal func(chain.Internals) chain.Internals   // Internal twists the answer of Internal.
	Identity func(chain.Identity) chain.Identity     // Identity twists the answer of Identify.
	Token    func(chain.Token) chain.Token           // Token twists the answer of Inspect.
	Draft    func(chain.Draft) chain.Draft           // Draft twists those of Prepare and Bump.
}

// Lie has the client tell lies from now on, in place of those that it told
// before; the zero value has it tell the truth again.
func (l *Client) Lie(lies Lies) {
	l.Faults.mu.Lock()
	defer l.Faults.mu.Unlock()
	l.lies = lies
}

// Network is the chain whose client this is: whoever is given one client can make
// others that see the same.
func (l *Client) Network() *Chain { return l.chain }

// twist applies a lie to an answer.
func twist[T any](l *Client, answer T) T {
	l.Faults.mu.Lock()
	lies := l.lies
	l.Faults.mu.Unlock()
	switch a := any(answer).(type) {
	case chain.Head:
		return told(lies.Head, a, answer)
	case []chain.BlockRef:
		return told(lies.Headers, a, answer)
	case chain.Page:
		return told(lies.Page, a, answer)
	case []chain.Amount:
		return told(lies.Balances, a, answer)
	case chain.Internals:
		return told(lies.Internal, a, answer)
	case chain.Identity:
		return told(lies.Identity, a, answer)
	case chain.Token:
		return told(lies.Token, a, answer)
	case chain.Draft:
		return told(lies.Draft, a, answer)
	case []chain.TxStatus:
		if lies.Status != nil {
			for i := range a {
				a[i] = lies.Status(a[i])
			}
		}
	}
	return answer
}

// told is what is said in place of the truth, where there is a lie.
func told[A, T any](lie func(A) A, truth A, answer T) T {
	if lie == nil {
		return answer
	}
	return any(lie(truth)).(T)
}

// Hiding are the lies of a node that keeps transactions to itself: pages leave
// out what they moved, and nobody ever heard of them.
func Hiding(ids ...chain.TxID) Lies {
	hidden := func(id chain.TxID) bool { return slices.Contains(ids, id) }
	return Lies{
		Page: func(p chain.Page) chain.Page {
			p.Transfers = slices.DeleteFunc(slices.Clone(p.Transfers), func(t chain.Transfer) bool { return hidden(t.ID.Tx) })
			p.Spends = slices.DeleteFunc(slices.Clone(p.Spends), func(s chain.TxStatus) bool { return hidden(s.ID) })
			return p
		},
		Status: func(s chain.TxStatus) chain.TxStatus {
			if hidden(s.ID) {
				return chain.TxStatus{ID: s.ID, State: chain.TxUnknown}
			}
			return s
		},
	}
}

// Inventing are the lies of a node that makes deposits up: a page with the block
// that a transfer names by its height has the transfer, and the node tells of its
// transaction. Hash and TxIndex are set to fit the block.
func Inventing(made ...chain.Transfer) Lies {
	in := map[chain.TxID]chain.TxStatus{}
	for _, t := range made {
		s := in[t.ID.Tx]
		s.ID, s.State, s.From = t.ID.Tx, chain.TxIncluded, t.From
		s.Transfers = append(s.Transfers, t)
		in[t.ID.Tx] = s
	}
	return Lies{
		Page: func(p chain.Page) chain.Page {
			p.Transfers = slices.Clone(p.Transfers)
			for _, b := range p.Blocks {
				for _, t := range made {
					if t.Block == b.Height {
						t.Hash, t.TxIndex = b.Hash, 1<<20
						p.Transfers = append(p.Transfers, t)
					}
				}
			}
			slices.SortStableFunc(p.Transfers, func(x, y chain.Transfer) int {
				return cmp.Or(cmp.Compare(x.Block, y.Block), cmp.Compare(x.TxIndex, y.TxIndex), strings.Compare(x.ID.Ordinal, y.ID.Ordinal))
			})
			return p
		},
		Status: func(s chain.TxStatus) chain.TxStatus {
			if lie, ok := in[s.ID]; ok && s.State == chain.TxUnknown {
				return lie
			}
			return s
		},
	}
}
