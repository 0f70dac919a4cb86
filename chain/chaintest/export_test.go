package chaintest

import (
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// WithAuthorisation adds the authorisation of another account to a draft's payload.
func WithAuthorisation(payload []byte, of chain.Address) []byte {
	u, auths, err := readDraft(payload)
	if err != nil {
		panic(err)
	}
	more := auths[0]
	more.Authority, more.Nonce = mustAddress("WithAuthorisation", of), 0
	return u.draft(append(slices.Clone(auths), more))
}
