package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/sqlite"
	"github.com/bursar-go/bursar/storetest"
)

func open(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "bursar.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// D18: one contract for every store.
func TestThreat_D18_Conformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) bursar.Store { return open(t) })
}
