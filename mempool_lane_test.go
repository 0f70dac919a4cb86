package bursar_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
	"github.com/bursar-go/bursar/store/memory"
)

// streamed is a running gateway that listens to the mempool.
type streamed struct {
	*chaintest.Chain
	client chain.Client
	log    bytes.Buffer
	gw     *bursar.Gateway
}

func newStreamed(t *testing.T, wrap func(*chaintest.Client) chain.Client) *streamed {
	t.Helper()
	s := &streamed{Chain: chaintest.New(chaintest.Options{Start: time.Now()})}
	s.Mine(1)
	s.client = wrap(s.Client())
	var err error
	s.gw, err = bursar.New(bursar.Config{
		Store: memory.New(), Wallet: wallet(t, bursartest.Mnemonic, ""),
		Chains: []bursar.Chain{{Client: s.client, Sweep: bursar.SweepOff, Mempool: true}},
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	require.NoError(t, err)
	require.NoError(t, s.gw.Start(t.Context()))
	t.Cleanup(func() { _ = s.gw.Stop(context.Background()) })
	<-time.After(time.Minute)
	return s
}

// ended is the log of a gateway that writes to it no more.
func (s *streamed) ended(t *testing.T) string {
	t.Helper()
	require.NoError(t, s.gw.Stop(t.Context()))
	return s.log.String()
}

func (s *streamed) rows(t *testing.T) []bursar.Transaction {
	t.Helper()
	page, err := s.gw.Transactions(t.Context(), bursar.TransactionFilter{}, bursar.MaxPage, "")
	require.NoError(t, err)
	return page.Items
}

func (s *streamed) pay(t *testing.T) chain.TxID {
	t.Helper()
	p, err := s.gw.CreatePayment(t.Context(), bursar.PaymentRequest{Asset: "local/ETH", Amount: amount("1")})
	require.NoError(t, err)
	return s.Pay("payer", p.Address, p.Asset, p.Amount)
}

// What a node streams is announced at once, and looked after until it is mined or
// gone.
func TestTheMempoolIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t, func(c *chaintest.Client) chain.Client { return c })
		first := s.pay(t)
		synctest.Wait()
		require.Len(t, s.rows(t), 1)
		require.Equal(t, bursar.TxPending, s.rows(t)[0].Status)
		s.Mine(1)
		time.Sleep(time.Minute)
		require.Equal(t, bursar.TxConfirming, s.rows(t)[0].Status)

		second := s.pay(t)
		synctest.Wait()
		s.Drop(second)
		time.Sleep(bursar.DefaultDropAfter + time.Minute)
		rows := s.rows(t)
		require.Equal(t, []chain.TxID{second, first}, []chain.TxID{rows[0].Transfer.Tx, rows[1].Transfer.Tx})
		require.Equal(t, bursar.ReasonDropped, rows[0].FailureReason)
		require.Empty(t, s.ended(t))
	})
}

// A stream that breaks is begun again, and that is told once.
func TestAMempoolThatBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t, func(c *chaintest.Client) chain.Client {
			c.FailNext(chaintest.MethodWatchMempool, errors.New("gone"), 4)
			return c
		})
		s.pay(t)
		synctest.Wait()
		require.Len(t, s.rows(t), 1)
		require.Equal(t, 1, strings.Count(s.ended(t), "the mempool is not seen"))
	})
}

func TestAMempoolThatIsNotStreamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t, func(c *chaintest.Client) chain.Client {
			return amnesiac{Client: c, lost: new(bool), err: new(error)}
		})
		s.pay(t)
		time.Sleep(time.Hour)
		require.Empty(t, s.rows(t))
		require.Equal(t, 1, strings.Count(s.ended(t), "streams no pending transactions"))
	})
}

func TestDropAfterIsChecked(t *testing.T) {
	c := chaintest.New(chaintest.Options{})
	for _, d := range []time.Duration{-1, bursar.MinDropAfter - 1, bursar.MaxDropAfter + 1} {
		_, err := bursar.New(bursar.Config{
			Store: memory.New(), Wallet: wallet(t, bursartest.Mnemonic, ""),
			Chains: []bursar.Chain{{Client: c.Client(), Sweep: bursar.SweepOff, DropAfter: d}},
		})
		var field *bursar.FieldError
		require.ErrorAs(t, err, &field)
		require.Equal(t, "Config.Chains[0].DropAfter", field.Field)
	}
}
