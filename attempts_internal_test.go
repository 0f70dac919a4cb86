package bursar

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseTries: whatever a row holds, nothing panics, and one more try can be
// added that is read back.
func FuzzParseTries(f *testing.F) {
	f.Add("")
	f.Add("[]")
	f.Add(addTry(addTry("", try{At: 1, Latency: 2, Status: 500, Error: "é", Response: "x", Outcome: 1}), try{At: 3}))
	f.Add(`[{"o":3}]`)
	f.Add(`[{"o":-1}]`)
	f.Add(`{"t":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		old, err := parseTries(text)
		for _, a := range old {
			_ = a.attempt()
		}
		last := try{At: 7, Outcome: 2, Error: "gone"}
		tries, again := parseTries(addTry(text, last))
		require.NoError(t, again)
		require.LessOrEqual(t, len(tries), keptTries)
		require.Equal(t, last, tries[len(tries)-1])
		if err == nil {
			require.Len(t, tries, min(len(old)+1, keptTries))
		}
	})
}

// The common case is small.
func TestATryIsSmall(t *testing.T) {
	require.LessOrEqual(t, len(addTry("", try{At: 1_700_000_000_000_000, Latency: 12_345, Status: 200})), 50)
}
