package postgres_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/store/postgres"
)

// settled reports whether the data are where they were written.
func settled(t *testing.T, s *postgres.Store) bool {
	t.Helper()
	o, err := s.Origin(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, o.Here)
	return o.Here == o.Written
}

// begun is a database of its own with a store that has been settled in it.
func begun(t *testing.T) (dsn string) {
	t.Helper()
	dsn = servers.Database(t, "")
	s := open(t, dsn)
	o, err := s.Origin(t.Context())
	require.NoError(t, err)
	require.Empty(t, o.Written, "before the first Settle")
	require.NoError(t, s.Settle(t.Context()))
	require.NoError(t, bump(t.Context(), s, mainnet))
	require.True(t, settled(t, s))
	s.Pool().Close()
	return dsn
}

// copied is a copy of a database as it is now.
func copied(t *testing.T, dsn string) string {
	t.Helper()
	query(t, dsn, "CHECKPOINT")
	_, restored, err := servers.Cluster(t).NewDatabase(t.Context(), nameOf(t, dsn))
	require.NoError(t, err)
	return restored
}

// TestThreat_D9_ARestoredDatabaseIsRecognised: an older state that is put beside
// the present one or in its place has lost the last commits, and shows it.
func TestThreat_D9_ARestoredDatabaseIsRecognised(t *testing.T) {
	dsn := begun(t)
	backup := copied(t, dsn)
	s := open(t, dsn)
	require.NoError(t, bump(t.Context(), s, mainnet))
	require.True(t, settled(t, s), "work does not change the place")
	_, err := s.Pool().Exec(t.Context(), "VACUUM FULL bursar.facts")
	require.NoError(t, err)
	require.True(t, settled(t, s), "nor does care of the tables")
	s.Pool().Close()

	// The backup takes the place of the database that was lost.
	require.NoError(t, servers.Cluster(t).DropDatabase(t.Context(), nameOf(t, dsn)))
	_, err = servers.Cluster(t).Query(t.Context(), "postgres", "ALTER DATABASE "+nameOf(t, backup)+" RENAME TO "+nameOf(t, dsn))
	require.NoError(t, err)
	s = open(t, dsn)
	require.EqualValues(t, 1, seqOf(t, s, mainnet), "the last commit is lost")
	require.False(t, settled(t, s))
	require.NoError(t, s.Settle(t.Context()))
	require.True(t, settled(t, s))
}

// TestThreat_D9_ADumpOverTheOldOneIsRecognised: pg_restore --clean keeps the
// database, and makes its tables anew.
func TestThreat_D9_ADumpOverTheOldOneIsRecognised(t *testing.T) {
	dsn := begun(t)
	query(t, dsn, `CREATE TABLE bursar.saved AS SELECT * FROM bursar.facts; DROP TABLE bursar.facts;
 CREATE TABLE bursar.facts (name text PRIMARY KEY, value text NOT NULL); INSERT INTO bursar.facts SELECT * FROM bursar.saved; DROP TABLE bursar.saved`)
	require.False(t, settled(t, open(t, dsn)))
}

// TestThreat_D9_APlaceWithoutRights: where the role may not ask the server who it
// is, the database and its tables still are a place.
func TestThreat_D9_APlaceWithoutRights(t *testing.T) {
	dsn := servers.Database(t, "")
	s := open(t, dsn)
	modest := role(t, dsn, "GRANT USAGE ON SCHEMA bursar TO {role}", "GRANT ALL ON ALL TABLES IN SCHEMA bursar TO {role}",
		"REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC", "GRANT ALL ON ALL SEQUENCES IN SCHEMA bursar TO {role}")
	s.Pool().Close()
	limited := open(t, as(t, dsn, modest))
	require.NoError(t, limited.Settle(t.Context()))
	require.True(t, settled(t, limited))
	limited.Pool().Close()
	require.False(t, settled(t, open(t, as(t, copied(t, dsn), modest))))
}

// TestThreat_D9_AFailoverThatLostCommits: the number of a transaction means
// another one on the server that has taken over, or none. The rows decide.
func TestThreat_D9_AFailoverThatLostCommits(t *testing.T) {
	s := open(t, prepared(t))
	require.NoError(t, bump(t.Context(), s, mainnet))
	committed := query(t, s.Pool().Config().ConnString(), "SELECT pg_current_xact_id()")[0][0]
	for name, xid := range map[string]string{"another one's": committed, "none's": "4611686018427387904"} {
		t.Run(name, func(t *testing.T) {
			present, absent, err := s.Judge(context.Background(), xid, delivery("nobody", 1), event("nobody", 1))
			require.NoError(t, err)
			require.False(t, present, "it is not there, whatever the number says")
			if name == "none's" {
				require.True(t, absent)
			}
		})
	}
}
