package postgres_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/internal/pgtest"
)

// parts are server, timeline, database and table.
func parts(o bursar.Origin) []string { return strings.Split(o.Here, "/") }

// TestThreat_D9_AServerThatWasPromoted goes on from where it had got, which need
// not be where the one before it was: all that is the same is what it says of
// itself, but for its timeline.
func TestThreat_D9_AServerThatWasPromoted(t *testing.T) {
	if testing.Short() {
		t.Skip("a server of its own")
	}
	c := pgtest.StartForTest(t, pgtest.Config{Settings: map[string]string{"restore_command": "false"}})
	name, dsn, err := c.NewDatabase(t.Context(), "")
	require.NoError(t, err)
	s := open(t, dsn)
	require.NoError(t, s.Settle(t.Context()))
	require.True(t, settled(t, s))
	before, err := s.Origin(t.Context())
	require.NoError(t, err)
	s.Pool().Close()
	require.NoError(t, c.Stop())
	// A standby that takes over, and a restore to a point in time, end like this: the
	// log that can be had is applied, and the rest is another history.
	signal := filepath.Join(c.SocketDir(), "data", "recovery.signal")
	require.NoError(t, os.WriteFile(signal, nil, 0o644))
	require.NoError(t, c.Restart(t.Context()))
	for ready := false; !ready; runtime.Gosched() { // it lets readers in before it has ended
		require.NoError(t, t.Context().Err())
		rows, err := c.Query(t.Context(), name, "SELECT pg_is_in_recovery()")
		require.NoError(t, err)
		ready = rows[0][0] == "f"
	}
	s = open(t, dsn)
	require.False(t, settled(t, s))
	after, err := s.Origin(t.Context())
	require.NoError(t, err)
	was, is := parts(before), parts(after)
	require.NotEqual(t, was[1], is[1])
	was[1] = is[1]
	require.Equal(t, was, is, "nothing else shows it")
	require.NoError(t, s.Settle(t.Context()))
	require.True(t, settled(t, s))
	s.Pool().Close()
	require.NoError(t, c.Stop())
	require.NoError(t, c.Restart(t.Context()))
	require.True(t, settled(t, open(t, dsn)), "a restart changes nothing")
}

// TestThreat_D9_AnotherServer may have given the same numbers to a database and its
// tables. It has another name for itself, and that is a part of the place.
func TestThreat_D9_AnotherServer(t *testing.T) {
	dsn := begun(t)
	s := open(t, dsn)
	o, err := s.Origin(t.Context())
	require.NoError(t, err)
	is := parts(o)
	require.Equal(t, query(t, dsn, "SELECT system_identifier FROM pg_control_system()")[0][0], is[0])
	is[0] += "1"
	query(t, dsn, "UPDATE bursar.facts SET value = '"+strings.Join(is, "/")+"' WHERE name = 'origin'")
	require.False(t, settled(t, s))
}
