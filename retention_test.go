package bursar_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
)

// forgetful is a store that is asked to forget.
type forgetful struct {
	bursar.Store
	asked chan time.Time
	err   error
}

func (f *forgetful) Prune(_ context.Context, before time.Time) (int64, error) {
	f.asked <- before
	return 1, f.err
}

// D16: the table of deliveries does not grow for ever.
func TestThreat_D16_OldDeliveriesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c bursar.Config
		bursartest.New(t, bursartest.Options{Edit: func(made *bursar.Config) { c = *made }})
		store := &forgetful{Store: c.Store, asked: make(chan time.Time, 10), err: errors.New("down")}
		c.Store, c.Manual, c.Instance, c.Retention = store, false, "", 30*24*time.Hour
		gw, err := bursar.New(c)
		require.NoError(t, err)
		require.NoError(t, gw.Start(t.Context()))
		synctest.Wait()
		var now time.Time
		require.NoError(t, store.Read(t.Context(), func(r bursar.Reader) error { now = r.Now(); return nil }))
		require.WithinDuration(t, now.Add(-30*24*time.Hour), <-store.asked, time.Minute, "by the store's clock")
		time.Sleep(3*time.Hour + time.Minute)
		require.Len(t, store.asked, 3, "every hour, also after it failed")
		require.NoError(t, gw.Stop(context.Background()))
	})
}

func TestRetentionIsChecked(t *testing.T) {
	var c bursar.Config
	bursartest.New(t, bursartest.Options{Edit: func(made *bursar.Config) { c = *made }})
	for _, bad := range []time.Duration{time.Nanosecond, bursar.MinRetention - 1} {
		c.Retention = bad
		_, err := bursar.New(c)
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field)
		require.Equal(t, "Config.Retention", field.Field)
	}
	c.Retention = -1
	_, err := bursar.New(c)
	require.NoError(t, err, "kept for ever")
}
