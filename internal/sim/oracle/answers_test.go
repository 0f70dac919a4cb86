package oracle

import (
	"context"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
)

// says requires that err is of a rule.
func says(t testing.TB, rule string, err error) {
	t.Helper()
	require.Error(t, err)
	var broken *RuleError
	require.ErrorAs(t, err, &broken)
	require.Equal(t, rule, broken.Rule, err)
	require.True(t, strings.HasPrefix(err.Error(), rule+": "), err)
}

func TestAnAddressHasOneOwnerForEver(t *testing.T) {
	s := newScript(t)
	s.begin()
	require.NoError(t, s.found)
	require.NoError(t, s.o.Issued("pay_1", s.address.Address))
	require.NoError(t, s.o.Issued("pay_1", s.address.Address), "an answer may be repeated")
	says(t, "S1", s.o.Issued("pay_2", s.address.Address))

	// The store forgets; the payer does not.
	require.NoError(t, s.o.Rewound(1))
	p, a := s.payment, s.address
	p.ID, p.Version, p.Customer, a.ID, a.Version, a.PaymentID = "pay_2", 0, "d", "addr_2", 0, "pay_2"
	e := s.tell(bursar.PaymentCreated, "pay_2", bursar.StatusPending)
	says(t, "S1", s.o.Committed(bursar.Batch{Payments: []bursar.Payment{p}, Addresses: []bursar.Address{a}, Events: []bursar.Event{e}}))
}

func TestWhatIsHandedOutIsStored(t *testing.T) {
	s := newScript(t)
	says(t, "S1", s.o.Issued("pay_1", s.address.Address))
	s.begin()
	require.NoError(t, s.o.Issued("pay_1", s.address.Address))
}

func TestAnAddressThatNobodyWasToldIsFreeAfterALoss(t *testing.T) {
	s := newScript(t)
	s.begin()
	require.NoError(t, s.o.Rewound(1))
	p, a := s.payment, s.address
	p.ID, p.Version, a.ID, a.Version, a.PaymentID = "pay_2", 0, "addr_2", 0, "pay_2"
	e := s.tell(bursar.PaymentCreated, "pay_2", bursar.StatusPending)
	require.NoError(t, s.o.Committed(bursar.Batch{Payments: []bursar.Payment{p}, Addresses: []bursar.Address{a}, Events: []bursar.Event{e}}))
}

func TestRewoundRebuildsTheModel(t *testing.T) {
	s := newScript(t)
	s.begin()
	before := *s
	s.detect()
	require.NoError(t, s.found)
	require.NoError(t, s.o.Rewound(2))
	require.Error(t, s.o.Rewound(3), "it cannot keep what is not there")

	// The same steps once more are not repetitions.
	s.state, s.payment, s.tx = before.state, before.payment, before.tx
	s.state.Version = 1
	s.seqs = map[string]int64{"pay_1": 1}
	s.include()
	require.NoError(t, s.found, s.at)
}

func TestWhatIsBroadcastWasWrittenDown(t *testing.T) {
	s := newScript(t)
	s.begin()
	s.detect()
	s.confirm()
	s.finish()
	s.edit("sign", func(b *bursar.Batch) { says(t, "S5", s.o.Broadcast(s.signed)) }) // not yet
	s.plan()
	require.NoError(t, s.found, s.at)
	require.NoError(t, s.o.Broadcast(s.signed))
	other := s.signed
	other.Raw = append([]byte{}, other.Raw...)
	other.Raw[len(other.Raw)-1] ^= 1
	says(t, "S5", s.o.Broadcast(other))

	require.NoError(t, s.o.Rewound(2), "a loss")
	require.NoError(t, s.o.Broadcast(s.signed), "it stood there before")
}

// forged is a life up to a signature, with other bytes for it.
func forged(t *testing.T, data func(*script) types.TxData, edit func(*script, *bursar.Batch)) error {
	t.Helper()
	s := newScript(t)
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	from := chain.Address(crypto.PubkeyToAddress(key.PublicKey).Hex())
	s.address.Address, s.payment.Address = from, from
	s.edit("sign", func(b *bursar.Batch) {
		number, _ := new(big.Int).SetString(s.state.Chain.Reference(), 10)
		tx, err := types.SignNewTx(key, types.LatestSignerForChainID(number), data(s))
		require.NoError(t, err)
		raw, err := tx.MarshalBinary()
		require.NoError(t, err)
		a := &b.Attempts[0]
		s.signed = chain.Signed{Chain: a.Chain, ID: chain.TxID(tx.Hash().Hex()), Raw: raw, Locks: []chain.Lock{chain.Lock("nonce:" + string(from) + ":0")}}
		a.ID, a.TxID, a.Raw, a.Locks, a.MaxFee = string(a.Chain)+":"+string(s.signed.ID), s.signed.ID, raw, s.signed.Locks, chain.NewAmount(1e15)
		if edit != nil {
			edit(s, b)
		}
	})
	s.begin()
	s.detect()
	s.confirm()
	s.finish()
	s.keysless()
	if s.found != nil {
		return s.found
	}
	return s.o.Broadcast(s.signed)
}

// keysless is plan without the script's own signature.
func (s *script) keysless() {
	s.payout = bursar.Payout{
		ID: "po_1", Key: "k", Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned, Chain: s.state.Chain, Asset: s.usdc,
		From: s.address.Account(), To: s.chain.Payer("treasury"), Amount: s.payment.Amount, Group: 1, Seq: 1,
	}
	s.commit("plan", bursar.Batch{Fences: s.fence(), Payouts: []bursar.Payout{s.payout}, Events: []bursar.Event{s.tell(bursar.PayoutCreatedEvent, "po_1", "")}})
	s.payout.Version, s.payout.Status = 1, bursar.PayoutSigned
	s.commit("sign", bursar.Batch{Fences: s.fence(), Payouts: []bursar.Payout{s.payout}, Attempts: []bursar.Attempt{{PayoutID: "po_1", Group: 1, Chain: s.state.Chain, Open: true}}})
}

// call is transfer(to, n) of the script's token.
func (s *script) call(to chain.Address, n uint64) *types.DynamicFeeTx {
	data := append([]byte{0xa9, 0x05, 0x9c, 0xbb}, common.LeftPadBytes(common.HexToAddress(string(to)).Bytes(), 32)...)
	data = append(data, common.LeftPadBytes(new(big.Int).SetUint64(n).Bytes(), 32)...)
	number, _ := new(big.Int).SetString(s.state.Chain.Reference(), 10)
	contract := common.HexToAddress(string(s.usdc.Contract))
	return &types.DynamicFeeTx{ChainID: number, Gas: 60_000, GasFeeCap: big.NewInt(1e9), GasTipCap: big.NewInt(1), To: &contract, Data: data}
}

func TestWhatIsBroadcastServesItsPayout(t *testing.T) {
	treasury := func(s *script) chain.Address { return s.chain.Payer("treasury") }
	for name, c := range map[string]struct {
		rule string
		data func(*script) types.TxData
		edit func(*script, *bursar.Batch)
	}{
		"as it should be": {"", func(s *script) types.TxData { return s.call(treasury(s), 25_000_000) }, nil},
		"to a stranger":   {"S5", func(s *script) types.TxData { return s.call(s.chain.Payer("thief"), 25_000_000) }, nil},
		"coin to a stranger": {"S5", func(s *script) types.TxData {
			tx, to := s.call(treasury(s), 0), common.HexToAddress(string(s.chain.Payer("thief")))
			tx.Data, tx.To, tx.Value = nil, &to, big.NewInt(1)
			return tx
		}, nil},
		"to a stranger whom the payout names": {"S5", func(s *script) types.TxData { return s.call(s.chain.Payer("thief"), 25_000_000) },
			func(s *script, b *bursar.Batch) { b.Payouts[0].To = s.chain.Payer("thief") }},
		"an approved stranger": {"", func(s *script) types.TxData { return s.call(s.chain.Payer("friend"), 25_000_000) },
			func(s *script, b *bursar.Batch) {
				p := &b.Payouts[0]
				p.To = s.chain.Payer("friend")
				p.Approval = &chain.Approval{Payout: "po_1", Asset: s.usdc.ID, To: p.To, Amount: p.Amount}
			}},
		"a stranger approved for less": {"S5", func(s *script) types.TxData { return s.call(s.chain.Payer("friend"), 25_000_000) },
			func(s *script, b *bursar.Batch) {
				p := &b.Payouts[0]
				p.To = s.chain.Payer("friend")
				p.Approval = &chain.Approval{Payout: "po_1", Asset: s.usdc.ID, To: p.To, Amount: chain.NewAmount(1)}
			}},
		"to itself instead of the treasury": {"S6", func(s *script) types.TxData { return s.call(s.address.Address, 25_000_000) }, nil},
		"more":                              {"S6", func(s *script) types.TxData { return s.call(treasury(s), 25_000_001) }, nil},
		"less":                              {"S6", func(s *script) types.TxData { return s.call(treasury(s), 24_000_000) }, nil},
		"another nonce": {"S6", func(s *script) types.TxData {
			tx := s.call(treasury(s), 25_000_000)
			tx.Nonce = 1
			return tx
		}, nil},
		"too dear": {"S9", func(s *script) types.TxData {
			tx := s.call(treasury(s), 25_000_000)
			tx.GasFeeCap = big.NewInt(1e12)
			return tx
		}, nil},
		"approve instead of transfer": {"S6", func(s *script) types.TxData {
			tx := s.call(treasury(s), 25_000_000)
			copy(tx.Data, []byte{0x09, 0x5e, 0xa7, 0xb3})
			return tx
		}, nil},
		"coin to the token": {"S6", func(s *script) types.TxData {
			tx := s.call(treasury(s), 25_000_000)
			tx.Value = big.NewInt(1)
			return tx
		}, nil},
		"another token": {"S6", func(s *script) types.TxData {
			tx := s.call(treasury(s), 25_000_000)
			to := common.HexToAddress(string(s.chain.Payer("token")))
			tx.To = &to
			return tx
		}, nil},
		"a contract is made": {"S6", func(s *script) types.TxData {
			tx := s.call(treasury(s), 25_000_000)
			tx.To = nil
			return tx
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := forged(t, c.data, c.edit)
			if c.rule == "" {
				require.NoError(t, err)
				return
			}
			says(t, c.rule, err)
		})
	}
}

func TestAnswersNeverGoBackwards(t *testing.T) {
	s := newScript(t)
	s.begin()
	s.detect()
	old := bursar.Payment{ID: "pay_1", Version: 1, Seq: 1, Status: bursar.StatusPending}
	now := bursar.Payment{ID: "pay_1", Version: 2, Seq: 3, Status: bursar.StatusDetected}
	require.NoError(t, s.o.Seen("a", old))
	require.NoError(t, s.o.Seen("a", now))
	require.NoError(t, s.o.Seen("b", old), "another instance may be behind")
	says(t, "S11", s.o.Seen("a", old))
	wrong := now
	wrong.Status = bursar.StatusConfirmed
	says(t, "S11", s.o.Seen("c", wrong))
	require.NoError(t, s.o.Rewound(2))
	require.NoError(t, s.o.Seen("a", old), "a loss of the store takes answers back")

	ahead := now
	ahead.Version = 9
	require.NoError(t, s.o.Seen("d", ahead), "its commit may not be told yet")
	says(t, "S11", s.o.answered())
}

func TestNoSecretInALog(t *testing.T) {
	s := newScript(t)
	require.NoError(t, s.o.Log("all is well"))
	says(t, "S8", s.o.Log("the key is canary!"))
}

func TestFirstDeliveriesComeInOrder(t *testing.T) {
	type given struct {
		name  string
		rule  string
		order []int
		park  bool
	}
	for _, g := range []given{
		{"in order", "", []int{0, 1, 2}, false},
		{"repeated", "", []int{0, 0, 1, 0, 2}, false},
		{"one left out", "Q3", []int{0, 2}, false},
		{"turned round", "Q3", []int{1, 0}, false},
		{"one parked", "", []int{0, 2, 1}, true},
	} {
		t.Run(g.name, func(t *testing.T) {
			s := newScript(t)
			var events []bursar.Event
			for _, stage := range []string{"create", "detect"} {
				s.edit(stage, func(b *bursar.Batch) { events = append(events, b.Events...) })
			}
			s.begin()
			s.detect()
			require.NoError(t, s.found)
			if g.park {
				d := toldTo(events[1:2], "shop")
				d[0].Version, d[0].Status = 1, bursar.DeliveryParked
				require.NoError(t, s.o.Committed(bursar.Batch{Deliveries: d}))
			}
			for _, i := range g.order {
				s.o.Delivered("shop", events[i])
			}
			err := s.o.Quiet(t.Context())
			if g.rule != "" {
				says(t, g.rule, err)
				return
			}
			require.NotContains(t, err.Error(), "before event")
		})
	}
}

func TestWhatALossTookBackOnItsWayIsNoDisorder(t *testing.T) {
	s := newScript(t)
	var events []bursar.Event
	for _, stage := range []string{"create", "detect"} {
		s.edit(stage, func(b *bursar.Batch) { events = append(events, b.Events...) })
	}
	s.begin()
	s.detect()
	require.NoError(t, s.o.Rewound(2))
	s.o.Delivered("shop", events[2])
	require.NotContains(t, s.o.Quiet(t.Context()).Error(), "before event")
}

func TestWhatWasNeverCommittedIsNotDelivered(t *testing.T) {
	s := newScript(t)
	s.begin()
	s.o.Delivered("shop", bursar.Event{ID: "evt_invented", Subject: "pay_1", Seq: 2})
	says(t, "Q3", s.o.Quiet(t.Context()))

	s = newScript(t)
	s.begin()
	s.o.Delivered("shop", bursar.Event{ID: "evt_pay_1_1", Kind: bursar.PaymentSettled, Subject: "pay_1", Seq: 1})
	says(t, "Q3", s.o.Quiet(t.Context()))
}

func TestADeliveryThatEndedStaysSo(t *testing.T) {
	s := newScript(t)
	var d []bursar.Delivery
	s.edit("create", func(b *bursar.Batch) { d = toldTo(b.Events, "shop") })
	s.begin()
	d[0].Version, d[0].Status = 1, bursar.DeliveryDone
	require.NoError(t, s.o.Committed(bursar.Batch{Deliveries: d}))
	d[0].Version, d[0].Status = 2, bursar.DeliveryPending
	says(t, "Q3", s.o.Committed(bursar.Batch{Deliveries: d}))

	// Who slept through a loss of the store may have it told once more.
	require.NoError(t, s.o.Rewound(3))
	require.NoError(t, s.o.Committed(bursar.Batch{Deliveries: d}))
}

func TestMarksAreOfTheTables(t *testing.T) {
	s := newScript(t)
	s.all()
	require.Subset(t, AllMarks(), s.o.Marks())
	require.Contains(t, s.o.Marks(), "payment new->pending")
	require.Contains(t, s.o.Marks(), "payout broadcast->confirming")
	require.Contains(t, s.o.Marks(), "posting L6 U:treasury->F:treasury")
	require.Contains(t, s.o.Marks(), "event payment.settled")
}

func TestAStoreThatCannotBeReadIsAnError(t *testing.T) {
	s := newScript(t)
	s.o.cfg.Read = func(context.Context, func(bursar.Reader) error) error { return errNode }
	require.ErrorIs(t, s.o.Quiet(t.Context()), errNode)
}
