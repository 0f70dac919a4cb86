package bursartest_test

import (
	"bytes"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/webhook"
)

func TestPayAndSettle(t *testing.T) {
	kit := bursartest.New(t, bursartest.Options{})
	for _, symbol := range []string{"ETH", "USDC", "USDT"} {
		p := kit.Create(symbol, "2.5")
		kit.Pay(p)
		kit.WaitEvent(bursar.PaymentConfirmed, p.ID)
		kit.Settle()
		require.Equal(t, bursar.StatusSettled, kit.Payment(p).Status, symbol)
		require.Equal(t, []bursar.Kind{
			bursar.PaymentCreated, bursar.TransactionDetected, bursar.PaymentDetected,
			bursar.TransactionConfirmed, bursar.PaymentConfirmed, bursar.PaymentSettled,
		}, kit.Kinds(p.ID))
	}
}

func TestUnderpaidAndLate(t *testing.T) {
	kit := bursartest.New(t, bursartest.Options{})
	p := kit.Create("USDC", "10")
	kit.PayLess(p, "1")
	kit.Confirm()
	require.Equal(t, bursar.StatusDetected, kit.Payment(p).Status)
	kit.AdvanceTime(25 * time.Hour)
	require.Equal(t, bursar.StatusUnderpaid, kit.Payment(p).Status)
	kit.PayAmount(p, "1")
	kit.Confirm()
	require.Equal(t, "1", p.Asset.Format(kit.Payment(p).Held))
	accepted, err := kit.Gateway.AcceptPayment(t.Context(), p.ID, "yes")
	require.NoError(t, err)
	require.Equal(t, bursar.StatusConfirmed, accepted.Status)
	kit.Settle()
	require.Equal(t, bursar.StatusSettled, kit.Payment(p).Status)
}

func TestReorgAndRestart(t *testing.T) {
	kit := bursartest.New(t, bursartest.Options{})
	p := kit.Create("ETH", "1")
	kit.Pay(p)
	kit.Mine(1)
	kit.Reorg(1)
	require.Equal(t, bursar.StatusDetected, kit.Payment(p).Status)
	kit.Restart()
	kit.Settle()
	require.Equal(t, bursar.StatusSettled, kit.Payment(p).Status)
	require.Equal(t, 1, kit.Payment(p).ConfirmationNo)
}

func TestSampleWebhook(t *testing.T) {
	kit := bursartest.New(t, bursartest.Options{})
	p := kit.Create("ETH", "1")
	e := kit.WaitEvent(bursar.PaymentCreated, p.ID)
	secret, err := webhook.NewSecret(nil)
	require.NoError(t, err)
	header, body := kit.SampleWebhook(e, secret, time.Now())
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	require.NoError(t, err)
	r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
	r.Header = header
	m, err := verifier.Verify(r.Header, body)
	require.NoError(t, err)
	require.Equal(t, e.ID, m.ID)
}
