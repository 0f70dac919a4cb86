package relational

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// A name and its value are texts of their own: halves of one character, each of
// which a JSON encoder would replace by the same sign, are refused.
func TestHalvesOfACharacter(t *testing.T) {
	require.NoError(t, storablePair("metadata", "Ҝ", "Ҝ"))
	for _, pair := range [][2]string{{"\xd2", "\x9c"}, {"\xd2", ""}, {"", "\x9c"}, {"a\x00", "b"}, {"a", "\x00b"}} {
		var field *bursar.FieldError
		require.ErrorAs(t, storablePair("metadata", pair[0], pair[1]), &field, "%q", pair)
		require.Equal(t, "metadata", field.Field)
	}
}
