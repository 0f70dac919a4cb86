package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
)

// restored are the alarms of data that were set back.
func (h *shop) restored() (out []bursar.Event) {
	h.t.Helper()
	require.NoError(h.t, h.store.Read(h.t.Context(), func(r bursar.Reader) (err error) {
		out, err = r.Events(h.t.Context(), bursar.EventQuery{Kinds: []bursar.Kind{bursar.AlertStoreRestored}})
		return err
	}))
	return out
}

// TestThreat_D1_AnUnendedTransactionIsNoLoss: a host that dies inside its
// transaction, or rolls it back, leaves indexes behind that were never issued. The
// next start leaves them out, for they could have been, and alarms nobody.
func TestThreat_D1_AnUnendedTransactionIsNoLoss(t *testing.T) {
	h := newShop(t, "")
	for i, name := range []string{"first", "second"} {
		if i > 0 { // with something committed by the same process
			_, err := h.order("committed", nil)
			require.NoError(t, err)
		}
		lost, err := h.order(name, errRollback)
		require.ErrorIs(t, err, errRollback)
		h.kit.Restart()
		require.Empty(t, h.restored())
		p, err := h.order(name, nil)
		require.NoError(t, err)
		require.NotEqual(t, lost.Address, p.Address, "it may have been shown to somebody")
		h.kit.Restart()
		require.Empty(t, h.restored())
	}
}

// TestThreat_D13_ALostTransactionOfTheHosts: it was committed, others came after
// it, and the database was set back to before.
func TestThreat_D13_ALostTransactionOfTheHosts(t *testing.T) {
	h := newShop(t, "")
	backup := h.pools()
	for _, name := range []string{"a", "b"} {
		_, err := h.order(name, nil)
		require.NoError(t, err)
	}
	_, err := h.store.DB().ExecContext(t.Context(), "UPDATE bursar_pools SET next = ?", backup)
	require.NoError(t, err)
	h.kit.Restart()
	require.Len(t, h.restored(), 1)
	require.Equal(t, bursar.SkipLost, h.restored()[0].Data.Restore.Pools[0].Reason)
}

// pools is the next index of the shop's only pool.
func (h *shop) pools() int64 {
	h.t.Helper()
	return number(h.t, h.store.DB(), "SELECT coalesce(max(next), 0) FROM bursar_pools")
}
