package bursar_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/store/memory"
)

// TestNotifyTxByHand: nobody but the outbox has a transaction.
func TestNotifyTxByHand(t *testing.T) {
	n := bursar.NotifyTx("orders", func(context.Context, bursar.Tx, bursar.Event) error { return nil })
	require.Equal(t, "orders", n.Name())
	err := n.Notify(t.Context(), bursar.Event{})
	require.ErrorContains(t, err, "orders needs the store's transaction")
	var permanent *bursar.PermanentError
	require.False(t, errors.As(err, &permanent), "a mistake of the program must not cost an event")
	require.NoError(t, memory.New().Write(t.Context(), func(tx bursar.Tx) error {
		return n.(bursar.TxNotifier).NotifyTx(t.Context(), tx, bursar.Event{})
	}))
}
