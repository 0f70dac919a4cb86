package sqlite_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/store/sqlite"
)

// swapped is a store whose file is closed and opened again under a gateway's feet
// while that one is stopped.
type swapped struct{ *sqlite.Store }

// A payment's whole way on the file, from its creation to its money in the treasury,
// with the process ended and begun again at each stage. The books agree with the
// chain at every stop.
func TestAWholeLifeOnTheFile(t *testing.T) {
	path := fileIn(t)
	s := &swapped{}
	var clock func() time.Time
	open := func() {
		var err error
		s.Store, err = sqlite.Open(t.Context(), path)
		require.NoError(t, err)
		s.SetClock(clock)
	}
	k := bursartest.New(t, bursartest.Options{
		Store: func(now func() time.Time) bursar.Store { clock = now; open(); return s },
		Edit:  func(c *bursar.Config) { c.Logger = slog.New(slog.DiscardHandler) },
	})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	audit := func(what string) {
		t.Helper()
		report, err := k.Gateway.Verify(t.Context())
		require.NoError(t, err)
		require.True(t, report.Clean(), "%s: %s", what, report)
	}
	again := func(what string) {
		t.Helper()
		audit(what)
		require.NoError(t, k.Gateway.Stop(t.Context()))
		require.NoError(t, s.Close())
		sound(t, path)
		open()
		k.Restart()
		audit(what + ", after the restart")
	}
	coin, token := k.Create("ETH", "1"), k.Create("USDC", "25")
	again("created")
	k.Pay(coin)
	k.Pay(token)
	k.Mine(1)
	require.Equal(t, bursar.StatusDetected, k.Payment(coin).Status)
	again("detected")
	k.Confirm()
	require.Equal(t, bursar.StatusConfirmed, k.Payment(token).Status)
	again("confirmed")
	k.Settle()
	for range 20 {
		if k.Payment(coin).Status == bursar.StatusSettled && k.Payment(token).Status == bursar.StatusSettled {
			break
		}
		k.Settle()
	}
	require.Equal(t, bursar.StatusSettled, k.Payment(coin).Status)
	require.Equal(t, bursar.StatusSettled, k.Payment(token).Status)
	again("settled")
	require.Zero(t, number(t, s.DB(), "SELECT count(*) FROM bursar_deliveries WHERE status <> 'delivered'"))
}
