package postgres_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/store/postgres"
)

// failedBy holds an error to be the store's, of this kind.
func failedBy(t *testing.T, err error, code bursar.Code) {
	t.Helper()
	var reason *bursar.StoreError
	require.ErrorAs(t, err, &reason)
	require.Equal(t, code, reason.Code, "%v", err)
	require.Equal(t, "postgres", reason.Store)
}

// readyAgain waits until a gateway is ready, as its host would.
func readyAgain(t *testing.T, gw *bursar.Gateway) {
	t.Helper()
	require.Eventually(t, func() bool { return gw.Health(t.Context()).Ready }, 30*time.Second, 20*time.Millisecond)
}

// TestThreat_D10_NotReadyUntilItIsMended: whatever keeps the gateway from writing, it
// is not ready meanwhile, says why, does not start, and is ready again by itself.
func TestThreat_D10_NotReadyUntilItIsMended(t *testing.T) {
	for name, c := range map[string]struct {
		fail, mend string
		code       bursar.Code
		words      string
		unread     bool // it cannot even be read
	}{
		"read-only": {
			"ALTER ROLE {role} SET default_transaction_read_only = on", "ALTER ROLE {role} RESET default_transaction_read_only",
			bursar.CodeReadOnly, "the server is read-only", false,
		},
		"one right is missing": {
			"REVOKE INSERT ON bursar.payments FROM {role}", "GRANT INSERT ON bursar.payments TO {role}",
			bursar.CodeDenied, "the role lacks a right: INSERT on payments in schema bursar", false,
		},
		"another right is missing": {
			"REVOKE UPDATE ON ALL TABLES IN SCHEMA bursar FROM {role}", "GRANT UPDATE ON ALL TABLES IN SCHEMA bursar TO {role}",
			bursar.CodeDenied, "the role lacks a right", false,
		},
		"all rights are missing": {
			"REVOKE ALL ON ALL TABLES IN SCHEMA bursar FROM {role}", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bursar TO {role}",
			bursar.CodeDenied, "the role lacks a right", true,
		},
		"too many connections": {
			"ALTER ROLE {role} CONNECTION LIMIT 0", "ALTER ROLE {role} CONNECTION LIMIT -1",
			bursar.CodeTooMany, "too many connections", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := prepared(t)
			worker := role(t, dsn, "GRANT USAGE ON SCHEMA bursar TO {role}",
				"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bursar TO {role}")
			s, err := postgres.New(t.Context(), connect(t, as(t, dsn, worker)), postgres.Options{KeepSchema: true})
			require.NoError(t, err)
			k := kit(t, s)
			request := bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)}
			change := func(statement string) {
				query(t, dsn, expand(statement, worker))
				s.Pool().Reset() // some of it counts for new sessions
			}
			change(c.fail)
			_, err = k.Gateway.CreatePayment(t.Context(), request)
			failedBy(t, err, c.code)
			for range 3 {
				h := k.Gateway.Health(t.Context())
				require.False(t, h.Ready)
				if c.unread {
					failedBy(t, h.Err, c.code)
				} else {
					require.NoError(t, h.Err)
				}
				failedBy(t, h.Unwritable, c.code)
			}
			failsToStart(t, k, s, c.code, c.words)

			change(c.mend)
			readyAgain(t, k.Gateway)
			p, err := k.Gateway.CreatePayment(t.Context(), request)
			require.NoError(t, err)
			require.Len(t, contentOf(t, s).Payments, 1, "nothing of the one that failed")
			k.Pay(p)
			k.Confirm()
			k.WaitEvent(bursar.PaymentConfirmed, p.ID)
		})
	}
}

// failsToStart starts one more gateway on a store.
func failsToStart(t *testing.T, k *bursartest.Kit, s bursar.Store, code bursar.Code, words string) {
	t.Helper()
	gw, err := bursar.New(bursar.Config{
		Store: s, Wallet: walletOf(t), Manual: true, Logger: slog.New(slog.DiscardHandler),
		Chains: []bursar.Chain{{Client: k.Chain.Client(), Treasury: k.Treasury}},
	})
	require.NoError(t, err)
	err = gw.Start(t.Context())
	failedBy(t, err, code)
	require.ErrorContains(t, err, "bursar: start: ")
	require.ErrorContains(t, err, words)
	require.False(t, gw.Health(t.Context()).Running)
}

// TestThreat_D10_WhatAProbeDoes: it leaves nothing that anybody reads, many may
// probe at once, and the documented rights are enough.
func TestThreat_D10_WhatAProbeDoes(t *testing.T) {
	dsn := as(t, prepared(t), "", "default_transaction_isolation", "serializable")
	worker := role(t, dsn, "GRANT USAGE ON SCHEMA bursar TO {role}", "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA bursar TO {role}",
		"REVOKE UPDATE ON bursar.events FROM {role}", "GRANT DELETE ON bursar.deliveries, bursar.locks, bursar.attempt_locks TO {role}")
	s, err := postgres.New(t.Context(), connect(t, as(t, dsn, worker)), postgres.Options{KeepSchema: true})
	require.NoError(t, err)
	before := contentOf(t, s)
	errs := make([]error, 16)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = s.Probe(t.Context()) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, before, contentOf(t, s))
	require.Equal(t, [][]string{{"probe", "0"}}, query(t, dsn, "SELECT name, length(value) FROM bursar.facts"))
	query(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	require.NoError(t, s.Probe(t.Context()), "on a new connection")
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Probe(t.Context()), bursar.ErrStoreClosed)
}

// TestThreat_D10_EveryTableIsProbed: a right that is missing on any of them is found.
func TestThreat_D10_EveryTableIsProbed(t *testing.T) {
	dsn := prepared(t)
	worker := role(t, dsn, "GRANT USAGE ON SCHEMA bursar TO {role}",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bursar TO {role}")
	s, err := postgres.New(t.Context(), connect(t, as(t, dsn, worker)), postgres.Options{KeepSchema: true})
	require.NoError(t, err)
	require.NoError(t, s.Probe(context.Background()))
	tables := query(t, dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'bursar' AND tablename NOT LIKE 'migrat%'")
	require.NotEmpty(t, tables)
	for _, row := range tables {
		query(t, dsn, expand("REVOKE INSERT ON bursar."+row[0]+" FROM {role}", worker))
		err := s.Probe(t.Context())
		failedBy(t, err, bursar.CodeDenied)
		require.ErrorContains(t, err, row[0])
		query(t, dsn, expand("GRANT INSERT ON bursar."+row[0]+" TO {role}", worker))
	}
	require.NoError(t, s.Probe(t.Context()))
}

func expand(statement, role string) string { return strings.ReplaceAll(statement, "{role}", role) }
