package bursar

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bursar-go/bursar/chain"
)

// The attempts of a group are in the order in which they were made, whatever order a
// store tells those of one moment in.
func TestAttemptsAreInTheOrderOfTheirOffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(1_700_000_000, 0)
		var made []Attempt
		offer := uint64(100)
		cancels := rapid.IntRange(0, 6).Draw(t, "first that cancels")
		for i := range rapid.IntRange(1, 6).Draw(t, "attempts") {
			if i == cancels {
				offer = 10 // it needs less work
			}
			at = at.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "time")) * time.Second)
			made = append(made, Attempt{MaxFee: chain.NewAmount(offer), Cancels: i >= cancels, CreatedAt: at})
			offer += 10
		}
		told := rapid.Permutation(made).Draw(t, "told")
		slices.SortStableFunc(told, byOffer)
		require.Equal(t, made, told)
	})
}
