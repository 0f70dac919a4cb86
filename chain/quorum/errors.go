package quorum

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// Statement is what some providers say, in words.
type Statement struct {
	// Providers are the names of those who say it, in the order of the Config.
	Providers []string
	// Answer is what they say.
	Answer string
}

// DivergenceError reports that no Config.Agree operators said the same: nothing
// of it is used. It is a chain.ErrTransient, since providers on two sides of a
// fresh block agree a moment later.
type DivergenceError struct {
	// What is in dispute: "head", "headers", "page", "status", "balances",
	// "draft", "genesis" …
	What string
	// Height is the first block concerned; 0 where none is.
	Height uint64
	// Want is how many operators must agree.
	Want int
	// Said is who said what.
	Said []Statement
}

// Error tells what went wrong, without secrets.
func (e *DivergenceError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "quorum: no %d operators agree on the %s", e.Want, e.What)
	if e.Height > 0 {
		fmt.Fprintf(&b, " at height %d", e.Height)
	}
	for i, s := range e.Said {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s: %s", sep, strings.Join(s.Providers, ", "), s.Answer)
	}
	return b.String()
}

// Unwrap returns chain.ErrTransient.
func (e *DivergenceError) Unwrap() error { return chain.ErrTransient }

// ProviderFault is why one provider gave no answer.
type ProviderFault struct {
	// Provider is its name, Fault the class of what happened.
	Provider string
	Fault    Fault // Fault is the class of what happened.
	// Reason is the error's text.
	Reason string
}

// UnavailableError reports that too few providers answered a call. It is what
// their faults have in common, such as chain.ErrNotFound where none of them has
// the block, and chain.ErrTransient where they differ.
type UnavailableError struct {
	// Call is the method of the port.
	Call string
	// Want is how many operators had to answer, Got how many did.
	Want, Got int
	// Faults are those of the providers that did not.
	Faults []ProviderFault

	kind error
}

// Error tells what went wrong, without secrets.
func (e *UnavailableError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "quorum: %s: %d of %d operators answered", e.Call, e.Got, e.Want)
	for _, f := range e.Faults {
		fmt.Fprintf(&b, "; %s %s: %s", f.Provider, f.Fault, f.Reason)
	}
	return b.String()
}

// Unwrap returns the sentinel of package chain that fits.
func (e *UnavailableError) Unwrap() error { return e.kind }

// unavailable makes the error of a call with too few answers. Those who were not
// asked, being put aside, are named too.
func (q *Client) unavailable(m method, want, got int, faults []ProviderFault) error {
	e := &UnavailableError{Call: m.String(), Want: want, Got: got, kind: chain.ErrTransient}
	kinds := map[Fault]bool{}
	for _, f := range faults {
		if f.Fault != FaultAside {
			e.Faults = append(e.Faults, f)
			kinds[f.Fault] = true
		}
	}
	for _, p := range q.providers {
		p.mu.Lock()
		// Those that were asked and then put aside are named already.
		if p.aside && !slices.ContainsFunc(e.Faults, func(f ProviderFault) bool { return f.Provider == p.Name }) {
			e.Faults = append(e.Faults, ProviderFault{p.Name, p.fault, p.asideError().Error()})
			if p.fault == FaultWrongChain {
				kinds[FaultWrongChain] = true
			} else {
				kinds[FaultAside] = true
			}
		}
		p.mu.Unlock()
	}
	if got > 0 {
		return e
	}
	delete(kinds, "")
	switch {
	case len(kinds) == 1:
		for f := range kinds {
			e.kind = f.sentinel()
		}
	case len(kinds) == 2 && kinds[FaultBehind] && kinds[FaultPruned]:
		// One of them had it once: nobody has it, and it will not come.
		e.kind = chain.ErrPruned
	}
	return e
}
