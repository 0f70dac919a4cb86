package bursar_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/bursartest"
	"github.com/bursar-go/bursar/hdwallet"
	"github.com/bursar-go/bursar/store/memory"
)

// TestThreat_G6_AKeyLivesAsLongAsItsPayment: whatever has become of a payment, and
// however long ago, its key is its own.
func TestThreat_G6_AKeyLivesAsLongAsItsPayment(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	order := func(key string) bursar.PaymentRequest {
		r := request("USDC", "10")
		r.IdempotencyKey, r.TTL = key, time.Hour
		return r
	}
	made := map[string]bursar.Payment{}
	for _, key := range []string{"paid", "expired", "canceled", "renewed"} {
		made[key] = f.Request(order(key))
	}
	f.Pay(made["paid"])
	f.Settle()
	for _, key := range []string{"canceled", "renewed"} {
		_, err := f.Gateway.CancelPayment(t.Context(), made[key].ID)
		require.NoError(t, err)
	}
	_, err := f.Gateway.RenewPayment(t.Context(), made["renewed"].ID)
	require.NoError(t, err)
	f.AdvanceTime(2 * 366 * day)
	f.Restart()
	before := len(dumpOf(t, f.Store).Addresses)
	want := map[string]bursar.Status{
		"paid": bursar.StatusSettled, "expired": bursar.StatusExpired, "canceled": bursar.StatusCanceled, "renewed": bursar.StatusCanceled,
	}
	for key, p := range made {
		again := f.Request(order(key))
		require.Equal(t, p.ID, again.ID, key)
		require.Equal(t, want[key], again.Status, key)
		other := order(key)
		other.Customer = "somebody else"
		_, err := f.Gateway.CreatePayment(t.Context(), other)
		require.ErrorIs(t, err, bursar.ErrIdempotencyConflict, key)
	}
	require.Len(t, dumpOf(t, f.Store).Addresses, before, "and no address was taken for it")
}

// TestThreat_G6_KeysHaveTheirScope: the same text is one key for payments, another
// one for the acceptance of held money and the address of a customer, and means
// nothing in another database. Texts that look alike are different keys.
func TestThreat_G6_KeysHaveTheirScope(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	with := func(key string) bursar.PaymentRequest {
		r := request("USDC", "10")
		r.IdempotencyKey = key
		return r
	}
	p := f.Request(with("one"))
	row, err := f.Gateway.CreateAddress(t.Context(), bursar.AddressRequest{Chain: f.Chain.Info().ID, Customer: "one"})
	require.NoError(t, err)
	require.NotEqual(t, p.Address, row.Address)

	seen := map[string]bool{p.ID: true}
	for _, key := range []string{"One", "ONE", "one ", " one", "one\u200b", "оne", "o\u0301ne", "ón" + "e", "on", "onee"} {
		q := f.Request(with(key))
		require.False(t, seen[q.ID], "%q", key)
		seen[q.ID] = true
	}

	late := f.Request(with("late"))
	_, err = f.Gateway.CancelPayment(t.Context(), late.ID)
	require.NoError(t, err)
	f.Pay(late)
	f.Settle()
	accepted, err := f.Gateway.AcceptPayment(t.Context(), late.ID, "one")
	require.NoError(t, err)
	require.True(t, accepted.Accepted, "the key of a payment is no obstacle to an acceptance")

	cfg := f.cfg
	cfg.Store = memory.NewWith(memory.Options{Now: f.Chain.Now})
	cfg.Wallet, err = hdwallet.FromMnemonic(bursartest.Mnemonic, "another shop")
	require.NoError(t, err)
	elsewhere, err := f.another(cfg).CreatePayment(t.Context(), with("one"))
	require.NoError(t, err)
	require.NotEqual(t, p.ID, elsewhere.ID)
	require.Equal(t, p.ID, f.Request(with("one")).ID)
}

// bitsOf are the random bits of a payment's id: a UUID of version 7 without its
// time, version and variant.
func bitsOf(t *testing.T, id string) (bits []bool) {
	t.Helper()
	hex := strings.ReplaceAll(id[strings.LastIndex(id, "_")+1:], "-", "")
	require.Len(t, hex, 32)
	for i, digit := range hex {
		if i < 12 || i == 12 {
			continue // milliseconds, version
		}
		n := strings.IndexRune("0123456789abcdef", digit)
		for bit := 3; bit >= 0; bit-- {
			if i != 16 || bit < 2 { // the variant has two bits
				bits = append(bits, n>>bit&1 == 1)
			}
		}
	}
	return bits
}

// TestThreat_G15_IDsAreNotGuessable: of a payment that was made in the very same
// millisecond, 74 bits are left to guess, and nothing is learned from the ids of
// others: not from the one before, and not from another gateway's.
func TestThreat_G15_IDsAreNotGuessable(t *testing.T) {
	const n = 2000
	f := newFlow(t, bursartest.Options{Edit: func(c *bursar.Config) { c.Rand = nil }})
	var ids []string
	for range n {
		ids = append(ids, ask(t, f.Gateway, "USDC").ID)
	}
	var set, flipped [74]int
	var last []bool
	for _, id := range ids {
		require.Equal(t, ids[0][:len("pay_test_017f22e2-79b0-7")], id[:len("pay_test_017f22e2-79b0-7")], "one millisecond")
		bits := bitsOf(t, id)
		require.Len(t, bits, len(set))
		for i, bit := range bits {
			if bit {
				set[i]++
			}
			if last != nil && bit != last[i] {
				flipped[i]++
			}
		}
		last = bits
	}
	for i := range set {
		// Nine standard deviations: once in 10^16 runs.
		require.InDelta(t, n/2, set[i], 9*22.4, "bit %d is not random", i)
		require.InDelta(t, n/2, flipped[i], 9*22.4, "bit %d follows from the id before", i)
	}

	// No part of one is a part of another: nothing that was drawn is used twice.
	parts := map[string]string{}
	for _, id := range ids {
		tail := id[len(id)-12:]
		head := id[len(id)-15:len(id)-13] + tail[:10]
		for _, part := range []string{head, tail} {
			require.Empty(t, parts[part], "%s has a part of another one", id)
			parts[part] = id
		}
	}

	cfg := f.cfg
	cfg.Store = memory.NewWith(memory.Options{Now: f.Chain.Now})
	gw := f.another(cfg)
	same := map[string]bool{}
	for _, id := range ids {
		same[id] = true
	}
	for range n {
		require.False(t, same[ask(t, gw, "USDC").ID])
	}
}

// TestThreat_G15_NothingIsFoundByHalfAnID: what is asked for is a whole id or
// nothing, and of another gateway's there is none here, whoever asks for what.
func TestThreat_G15_NothingIsFoundByHalfAnID(t *testing.T) {
	f := newFlow(t, bursartest.Options{})
	p := f.Create("USDC", "10")
	f.Pay(p)
	f.Settle()
	cfg := f.cfg
	cfg.Store = memory.NewWith(memory.Options{Now: f.Chain.Now})
	var err error
	cfg.Wallet, err = hdwallet.FromMnemonic(bursartest.Mnemonic, "another shop")
	require.NoError(t, err)
	stranger := f.another(cfg)
	tx := f.Transactions(p)[0]
	sweep := f.only(bursar.PayoutSweep)

	verbs := map[string]struct {
		id  string
		ask func(gw *bursar.Gateway, id string) error
	}{
		"Payment": {p.ID, func(gw *bursar.Gateway, id string) error { _, err := gw.Payment(t.Context(), id); return err }},
		"CancelPayment": {p.ID, func(gw *bursar.Gateway, id string) error {
			_, err := gw.CancelPayment(t.Context(), id)
			return except(err, bursar.ErrPaymentHasFunds)
		}},
		"AcceptPayment": {p.ID, func(gw *bursar.Gateway, id string) error {
			_, err := gw.AcceptPayment(t.Context(), id, "key")
			return except(err, bursar.ErrNothingToAccept)
		}},
		"RenewPayment": {p.ID, func(gw *bursar.Gateway, id string) error {
			_, err := gw.RenewPayment(t.Context(), id)
			return except(err, bursar.ErrNotRenewable)
		}},
		"Transaction": {tx.ID, func(gw *bursar.Gateway, id string) error { _, err := gw.Transaction(t.Context(), id); return err }},
		"Payout":      {sweep.ID, func(gw *bursar.Gateway, id string) error { _, _, err := gw.Payout(t.Context(), id); return err }},
		"Address id":  {p.AddressID, func(gw *bursar.Gateway, id string) error { _, err := gw.Address(t.Context(), id); return err }},
		"Address":     {string(p.Address), func(gw *bursar.Gateway, id string) error { _, err := gw.Address(t.Context(), id); return err }},
	}
	for name, verb := range verbs {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, verb.ask(f.Gateway, verb.id), "its owner")
			require.ErrorIs(t, verb.ask(stranger, verb.id), bursar.ErrNotFound, "somebody else")
			last := verb.id[len(verb.id)-1]
			for _, id := range []string{
				"", verb.id[:len(verb.id)-1], verb.id[1:], verb.id + "0", verb.id + " ", " " + verb.id, verb.id + "\n", "%", "_", "*", verb.id[:4] + "%",
				verb.id[:len(verb.id)-1] + "%", verb.id[:len(verb.id)-1] + "_", verb.id[:len(verb.id)-1] + string(rune(last^1)),
				verb.id + "' OR '1'='1", "pay_test_00000000-0000-7000-8000-000000000000",
			} {
				require.ErrorIs(t, verb.ask(f.Gateway, id), bursar.ErrNotFound, "%q", id)
			}
		})
	}
	for _, filter := range []bursar.PaymentFilter{{Address: p.Address}, {Asset: string(p.Asset.ID)}, {}} {
		page, err := stranger.Payments(t.Context(), filter, 0, "")
		require.NoError(t, err)
		require.Empty(t, page.Items)
	}
	events, err := stranger.Events(t.Context(), p.ID, 0, 0)
	if !errors.Is(err, bursar.ErrNotFound) {
		require.NoError(t, err)
	}
	require.Empty(t, events)
}

// except takes an answer that tells of the payment, as one that was found has it.
func except(err, found error) error {
	if errors.Is(err, found) {
		return nil
	}
	return err
}
