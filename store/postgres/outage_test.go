package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/internal/pgtest"
	"github.com/bursar-go/bursar/store/postgres"
)

// as is a connection string for another role and with other settings.
func as(t *testing.T, dsn, role string, settings ...string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	if role != "" {
		u.User = url.User(role)
	}
	q := u.Query()
	for i := 0; i < len(settings); i += 2 {
		q.Set(settings[i], settings[i+1])
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String()
}

// query runs statements as superuser in the database of a connection string.
func query(t *testing.T, dsn, statements string) [][]string {
	t.Helper()
	rows, err := servers.Cluster(t).Query(context.Background(), nameOf(t, dsn), statements)
	require.NoError(t, err)
	return rows
}

// role makes a role that may connect. It ends with the cluster.
func role(t *testing.T, dsn string, rights ...string) string {
	t.Helper()
	name := "role_" + strings.ToLower(rand.Text())
	query(t, dsn, "CREATE ROLE "+name+" LOGIN PASSWORD 'right'")
	for _, right := range rights {
		query(t, dsn, strings.ReplaceAll(right, "{role}", name))
	}
	return name
}

// TestThreat_D10_WhatIsWrongIsSaid: each mistake of an operator has a sentence of
// its own, and no password shows in it.
func TestThreat_D10_WhatIsWrongIsSaid(t *testing.T) {
	dsn := prepared(t)
	empty := servers.Database(t, "")
	tcp := pgtest.StartForTest(t, pgtest.Config{TCP: true})
	elsewhere, err := url.Parse(tcp.TCPDSN("postgres"))
	require.NoError(t, err)
	elsewhere.User = url.UserPassword("postgres", "wrong-secret")
	nobody := role(t, dsn)
	full := role(t, empty, "ALTER ROLE {role} CONNECTION LIMIT 0")
	for name, c := range map[string]struct {
		dsn, want string
		code      bursar.Code
	}{
		"nobody listens":       {as(t, dsn, "", "port", "1"), "does not answer", bursar.CodeUnreachable},
		"no such host":         {"postgres://u:wrong-secret@nowhere.invalid/x", "does not answer", bursar.CodeUnreachable},
		"no such database":     {strings.Replace(dsn, "/"+nameOf(t, dsn)+"?", "/missing?", 1), "no such database", bursar.CodeMissing},
		"wrong password":       {elsewhere.String(), "refuses the role or its password", bursar.CodeDenied},
		"no right to create":   {as(t, empty, nobody), "lacks a right", bursar.CodeDenied},
		"no right to read":     {as(t, dsn, nobody), "lacks a right", bursar.CodeDenied},
		"read-only":            {as(t, empty, "", "default_transaction_read_only", "on"), "read-only", bursar.CodeReadOnly},
		"too many connections": {as(t, empty, full), "too many connections", bursar.CodeTooMany},
	} {
		t.Run(name, func(t *testing.T) {
			pool, err := pgxpool.New(t.Context(), c.dsn)
			require.NoError(t, err)
			defer pool.Close()
			s, err := postgres.New(t.Context(), pool, postgres.Options{})
			require.Nil(t, s)
			require.ErrorContains(t, err, c.want)
			failedBy(t, err, c.code)
			require.NotContains(t, err.Error(), "wrong-secret")
		})
	}
	require.Empty(t, query(t, empty, "SELECT nspname FROM pg_namespace WHERE nspname = 'bursar'"), "nothing was made")
}

// TestThreat_D10_ReadOnlyAndBack: a server that becomes read-only takes nothing,
// says so, still serves reads, and the store goes on once it takes writes again.
func TestThreat_D10_ReadOnlyAndBack(t *testing.T) {
	dsn := prepared(t)
	s := open(t, dsn)
	require.NoError(t, bump(t.Context(), s, mainnet))
	before := contentOf(t, s)
	set := func(what string) {
		_, err := servers.Cluster(t).Query(context.Background(), "postgres", "ALTER DATABASE "+nameOf(t, dsn)+what)
		require.NoError(t, err)
	}
	t.Cleanup(func() { set(" RESET default_transaction_read_only") })
	set(" SET default_transaction_read_only = on")
	s.Pool().Reset() // the setting counts for new sessions

	require.ErrorContains(t, bump(t.Context(), s, mainnet), "read-only")
	require.ErrorContains(t, write(t.Context(), s, bursar.Batch{Payments: []bursar.Payment{payment("p")}}), "read-only")
	_, err := s.Reserve(t.Context(), "60/0", 1)
	require.ErrorContains(t, err, "read-only")
	_, err = s.Acquire(t.Context(), "scan", "a", time.Minute)
	require.ErrorContains(t, err, "read-only")
	require.Equal(t, before, contentOf(t, s))

	set(" RESET default_transaction_read_only")
	s.Pool().Reset()
	require.NoError(t, bump(t.Context(), s, mainnet))
	require.EqualValues(t, 2, seqOf(t, s, mainnet))
}

// TestThreat_D10_TheServerGoesAndComesBack: one store lives through a server that
// is killed, away and back.
func TestThreat_D10_TheServerGoesAndComesBack(t *testing.T) {
	cluster := pgtest.StartForTest(t, pgtest.Config{})
	s := openWith(t, cluster.DSN("postgres"), nil)
	require.NoError(t, bump(t.Context(), s, mainnet))
	for round := range 3 {
		require.NoError(t, cluster.Kill())
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		require.ErrorContains(t, bump(ctx, s, mainnet), "does not answer")
		require.ErrorContains(t, s.Read(ctx, func(bursar.Reader) error { return nil }), "does not answer")
		_, err := s.Reserve(ctx, "60/0", 1)
		require.ErrorContains(t, err, "does not answer")
		_, err = s.Acquire(ctx, "scan", "a", time.Minute)
		require.ErrorContains(t, err, "does not answer")
		require.ErrorContains(t, s.WriteHost(ctx, func(bursar.Tx) error { return nil }), "does not answer")
		_, err = s.Prune(ctx, t0)
		require.ErrorContains(t, err, "does not answer")
		_, err = s.Origin(ctx)
		require.ErrorContains(t, err, "does not answer")
		require.NoError(t, ctx.Err())
		cancel()
		require.NoError(t, cluster.Restart(t.Context()))
		require.NoError(t, bump(t.Context(), s, mainnet), "by the same store")
		require.EqualValues(t, round+2, seqOf(t, s, mainnet))
	}
	// And with connections that it does not know yet to be broken.
	require.NoError(t, cluster.Kill())
	require.NoError(t, cluster.Restart(t.Context()))
	for range 3 {
		require.NoError(t, s.Read(t.Context(), func(bursar.Reader) error { return nil }))
		require.NoError(t, bump(t.Context(), s, mainnet))
	}
	_, err := s.Reserve(t.Context(), "60/0", 1)
	require.NoError(t, err)
}

// TestThreat_D10_BrokenConnectionsAreNotNoticed: connections of the pool that the
// server has ended cost the caller nothing, whichever call meets them.
func TestThreat_D10_BrokenConnectionsAreNotNoticed(t *testing.T) {
	dsn := prepared(t)
	s := open(t, dsn)
	calls := map[string]func() error{
		"Read":      func() error { return s.Read(t.Context(), func(bursar.Reader) error { return nil }) },
		"Write":     func() error { return bump(t.Context(), s, mainnet) },
		"Reserve":   func() error { _, err := s.Reserve(t.Context(), "60/0", 1); return err },
		"Acquire":   func() error { _, err := s.Acquire(t.Context(), "scan", "a", time.Minute); return err },
		"WriteHost": func() error { return s.WriteHost(t.Context(), func(bursar.Tx) error { return nil }) },
		"blind": func() error {
			return write(t.Context(), s, bursar.Batch{Payments: []bursar.Payment{payment("p")}, Events: []bursar.Event{event("p", 1)}})
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, s.Read(t.Context(), func(bursar.Reader) error { return nil }))
			query(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
			require.NoError(t, call())
		})
	}
}

// TestThreat_D10_NoRoomLeft: the server says that its disk is full in the middle of
// a batch. Nothing of the batch is there, and the next one after there is room.
func TestThreat_D10_NoRoomLeft(t *testing.T) {
	dsn := prepared(t)
	s := open(t, dsn)
	// A real full disk needs a file system of its own; the code is the same.
	query(t, dsn, `CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS
 $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
 CREATE TRIGGER full_disk BEFORE INSERT ON bursar.events FOR EACH ROW EXECUTE FUNCTION public.full_disk()`)
	b := bursar.Batch{Payments: []bursar.Payment{payment("p")}, Addresses: []bursar.Address{address("p", 0)}, Events: []bursar.Event{event("p", 1)}}
	before := contentOf(t, s)
	require.ErrorContains(t, write(t.Context(), s, b), "disk is full")
	require.ErrorContains(t, s.WriteHost(t.Context(), func(tx bursar.Tx) error { return tx.Apply(t.Context(), b) }), "disk is full")
	require.Equal(t, before, contentOf(t, s))
	query(t, dsn, "DROP FUNCTION public.full_disk() CASCADE")
	require.NoError(t, write(t.Context(), s, b))
}

// kit is a gateway on a simulated chain whose time is the server's.
func kit(t *testing.T, s bursar.Store, notify ...bursar.Notifier) *bursartest.Kit {
	t.Helper()
	return bursartest.New(t, bursartest.Options{
		Chain:  chaintest.Options{Start: time.Now().Add(-time.Minute).UTC().Truncate(time.Second)},
		Store:  func(func() time.Time) bursar.Store { return s },
		Notify: notify,
		Edit:   func(c *bursar.Config) { c.Logger = slog.New(slog.DiscardHandler) },
	})
}

// TestThreat_D10_AGatewayLivesThroughIt: the gateway is not ready while the server
// is away, and goes on by itself afterwards.
func TestThreat_D10_AGatewayLivesThroughIt(t *testing.T) {
	cluster := pgtest.StartForTest(t, pgtest.Config{})
	s := openWith(t, cluster.DSN("postgres"), nil)
	k := kit(t, s)
	p := k.Create("USDC", "25")
	k.Pay(p)
	require.True(t, k.Gateway.Health(t.Context()).Ready)

	require.NoError(t, cluster.Kill())
	h := k.Gateway.Health(t.Context())
	require.False(t, h.Ready)
	require.ErrorContains(t, h.Err, "does not answer")
	_, err := k.Gateway.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)})
	require.ErrorContains(t, err, "does not answer")
	k.Chain.Mine(1)
	require.Error(t, k.Gateway.Step(t.Context()))

	dead, err := bursar.New(bursar.Config{
		Store: s, Wallet: walletOf(t), Manual: true, Logger: slog.New(slog.DiscardHandler),
		Chains: []bursar.Chain{{Client: k.Chain.Client(), Treasury: k.Treasury}},
	})
	require.NoError(t, err)
	err = dead.Start(t.Context())
	require.ErrorContains(t, err, "start")
	failedBy(t, err, bursar.CodeUnreachable)
	require.False(t, dead.Health(t.Context()).Ready)

	require.NoError(t, cluster.Restart(t.Context()))
	k.Confirm()
	require.True(t, k.Gateway.Health(t.Context()).Ready, fmt.Sprintf("%+v", k.Gateway.Health(t.Context())))
	k.WaitEvent(bursar.PaymentConfirmed, p.ID)
	k.CheckLedger()
}

func walletOf(t *testing.T) *hdwallet.Wallet {
	t.Helper()
	w, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(t, err)
	return w
}
