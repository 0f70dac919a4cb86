// Package sweeptokens has the contracts that tests and figures of sweeping need:
// tokens that cost what the well-known ones cost, tokens that misbehave, a
// treasury and an owner that are contracts. The source is tokens.sol.
package sweeptokens

import (
	_ "embed" // for the init code
	"encoding/hex"
	"strings"
)

//go:embed tokens.txt
var compiled string

// Init returns the init code of one of the contracts of tokens.sol, with the words
// of its constructor's arguments behind it. A name that is not there is nil.
func Init(name string, args ...[32]byte) []byte {
	for line := range strings.Lines(compiled) {
		if is, code, _ := strings.Cut(strings.TrimSpace(line), " "); is == name {
			raw, err := hex.DecodeString(code)
			if err != nil {
				return nil
			}
			for _, a := range args {
				raw = append(raw, a[:]...)
			}
			return raw
		}
	}
	return nil
}
