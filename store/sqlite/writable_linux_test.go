package sqlite_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/sqlite"
)

// gatewayOn is a gateway on a file.
func gatewayOn(t *testing.T, s *sqlite.Store) *bursartest.Kit {
	t.Helper()
	return bursartest.New(t, bursartest.Options{
		Store: func(now func() time.Time) bursar.Store { s.SetClock(now); return s },
		Edit:  func(c *bursar.Config) { c.Logger = slog.New(slog.DiscardHandler) },
	})
}

// failedBy holds an error to be the store's, of this kind.
func failedBy(t *testing.T, err error, code bursar.Code) {
	t.Helper()
	var reason *bursar.StoreError
	require.ErrorAs(t, err, &reason)
	require.Equal(t, code, reason.Code, "%v", err)
	require.Equal(t, "sqlite", reason.Store)
}

// D10: a gateway on a full disk is not ready, says why, and is ready again once
// there is room, without a restart. No payment is there by half.
func TestThreat_D10_NotReadyOnAFullDisk(t *testing.T) {
	dir, _ := smallDisk(t, 8)
	path := filepath.Join(dir, "bursar.db")
	s := openAt(t, path)
	k := gatewayOn(t, s)
	request := bursar.PaymentRequest{Asset: "local/ETH", Amount: decimal.NewFromInt(1)}
	ballast := filepath.Join(dir, "ballast")
	made := 0
	for range 2 {
		require.True(t, k.Gateway.Health(t.Context()).Ready)
		var st syscall.Statfs_t
		require.NoError(t, syscall.Statfs(dir, &st))
		require.NoError(t, os.WriteFile(ballast, make([]byte, int64(st.Bfree)*st.Bsize), 0o600))
		var err error
		for range 5000 { // as long as there is room in the journal
			if _, err = k.Gateway.CreatePayment(t.Context(), request); err != nil {
				break
			}
			made++
		}
		failedBy(t, err, bursar.CodeDiskFull)
		for range 5 {
			h := k.Gateway.Health(t.Context())
			require.False(t, h.Ready)
			require.NoError(t, h.Err, "it can be read")
			failedBy(t, h.Unwritable, bursar.CodeDiskFull)
		}
		failedBy(t, s.Probe(t.Context()), bursar.CodeDiskFull)
		for _, table := range []string{"payments", "addresses WHERE role = 'payment'"} {
			require.EqualValues(t, made, number(t, s.DB(), "SELECT count(*) FROM bursar_"+table), "nothing is half-written: %s", table)
		}

		require.NoError(t, os.Remove(ballast))
		require.Eventually(t, func() bool { return k.Gateway.Health(t.Context()).Ready }, 30*time.Second, 20*time.Millisecond)
		p, err := k.Gateway.CreatePayment(t.Context(), request)
		require.NoError(t, err)
		made++
		k.Pay(p)
		k.Confirm()
		require.Equal(t, bursar.StatusConfirmed, k.Payment(p).Status)
	}
	report, err := k.Gateway.Verify(t.Context())
	require.NoError(t, err)
	require.True(t, report.Clean(), "%s", report)
	sound(t, path)
}

// D10: a disk that is full already is an error at Start.
func TestThreat_D10_StartOnAFullDisk(t *testing.T) {
	dir, _ := smallDisk(t, 8)
	s := openAt(t, filepath.Join(dir, "bursar.db"))
	k := gatewayOn(t, s)
	require.NoError(t, k.Gateway.Stop(t.Context()))
	// What the journal has room for would still be written.
	_, err := s.OnWriter(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &st))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, int64(st.Bfree)*st.Bsize), 0o600))
	wallet, err := hdwallet.FromMnemonic(bursartest.Mnemonic, "")
	require.NoError(t, err)
	gw, err := bursar.New(bursar.Config{
		Store: s, Wallet: wallet, Manual: true, Logger: slog.New(slog.DiscardHandler),
		Chains: []bursar.Chain{{Client: k.Chain.Client(), Treasury: k.Treasury}},
	})
	require.NoError(t, err)
	err = gw.Start(t.Context())
	failedBy(t, err, bursar.CodeDiskFull)
	require.ErrorContains(t, err, "bursar: start: ")
	require.ErrorContains(t, err, "the disk is full")
}

// D10: a probe leaves nothing, and needs the file beside the database too.
func TestThreat_D10_WhatAProbeDoes(t *testing.T) {
	path := fileIn(t)
	s := openAt(t, path)
	require.NoError(t, s.Probe(t.Context()), "before the first Settle")
	_, err := os.Stat(path + "-origin")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, s.Settle(t.Context()))
	before, err := os.ReadFile(path + "-origin")
	require.NoError(t, err)
	for range 20 {
		require.NoError(t, s.Probe(t.Context()))
	}
	after, err := os.ReadFile(path + "-origin")
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.EqualValues(t, 0, number(t, s.DB(), "SELECT length(value) FROM bursar_facts WHERE name = 'probe'"))
	require.Empty(t, sales(t, s))
	pages := number(t, s.DB(), "PRAGMA page_count")
	require.NoError(t, s.Probe(t.Context()))
	require.Equal(t, pages, number(t, s.DB(), "PRAGMA page_count"), "the file does not grow by it")

	require.NoError(t, os.Mkdir(path+"-origin-new", 0o700))
	failedBy(t, s.Probe(t.Context()), bursar.CodeDiskFailed)
	require.NoError(t, os.Remove(path+"-origin-new"))
	require.NoError(t, s.Probe(t.Context()))
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Probe(t.Context()), bursar.ErrStoreClosed)
}
