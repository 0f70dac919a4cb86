package oracle

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/chaintest"
)

// script is a payment's life by hand: batches as a gateway would commit them, on
// a simulated chain on which what they tell of really happened. A test edits one
// of them.
type script struct {
	t     testing.TB
	o     *Oracle
	chain *chaintest.Chain
	usdc  chain.Asset
	keys  *chaintest.Signer
	edits map[string]func(*bursar.Batch)
	// found is the first complaint, at the stage it was about.
	found error
	at    string

	state   bursar.ChainState
	address bursar.Address
	payment bursar.Payment
	tx      bursar.Transaction
	payout  bursar.Payout
	attempt bursar.Attempt
	seqs    map[string]int64
	signed  chain.Signed
}

func newScript(t testing.TB) *script {
	t.Helper()
	c := chaintest.New(chaintest.Options{})
	usdc := c.DeployToken(chaintest.TokenSpec{Symbol: "USDC", Decimals: 6})
	c.Mine(5)
	s := &script{t: t, chain: c, usdc: usdc, keys: chaintest.NewSigner(c.Client().Codec(), t.Name()), edits: map[string]func(*bursar.Batch){}, seqs: map[string]int64{}}
	home := s.keys.Account("home")
	info := c.Info()
	s.o = New(Config{
		Chain: c, Assets: []chain.Asset{info.Native, usdc}, Treasury: c.Payer("treasury"), Sponsor: s.keys.Account("sponsor").Address,
		Confirmations: info.Confirmations, Finality: info.FinalityDepth, Endpoints: []string{"shop"}, Dead: []string{"dead"},
		Secrets: []string{"canary"}, Now: c.Now,
		Read: func(context.Context, func(bursar.Reader) error) error { return nil },
	})
	s.state = bursar.ChainState{Chain: info.ID}
	s.address = bursar.Address{ID: "addr_1", Address: home.Address, Key: home.Key, Role: bursar.RolePayment, PaymentID: "pay_1"}
	n := chain.NewAmount(25_000_000)
	s.payment = bursar.Payment{
		ID: "pay_1", Status: bursar.StatusPending, Asset: usdc, Amount: n, Required: n, Shortfall: n, RequiredConfirmations: info.Confirmations,
		Address: home.Address, AddressID: "addr_1", ExpiresAt: c.Now().Add(time.Hour), CreatedAt: c.Now(), Customer: "c",
	}
	return s
}

// edit changes the batch of a stage before it is committed.
func (s *script) edit(stage string, fn func(*bursar.Batch)) { s.edits[stage] = fn }

func (s *script) commit(stage string, b bursar.Batch) {
	if fn := s.edits[stage]; fn != nil {
		fn(&b)
	}
	if err := s.o.Committed(b); err != nil && s.found == nil {
		s.found, s.at = err, stage
	}
}

// tell makes the next event of a subject.
func (s *script) tell(kind bursar.Kind, subject string, status bursar.Status) bursar.Event {
	s.seqs[subject]++
	n := s.seqs[subject]
	return bursar.Event{
		ID: fmt.Sprintf("evt_%s_%d", subject, n), Kind: kind, Subject: subject, Seq: n,
		Data: bursar.EventData{Subject: subject, Status: status},
	}
}

// told makes events of the payment.
func (s *script) told(kinds ...bursar.Kind) []bursar.Event {
	var out []bursar.Event
	for _, k := range kinds {
		e := s.tell(k, s.payment.ID, s.payment.Status)
		e.Data.PaymentID = s.payment.ID
		out = append(out, e)
	}
	s.payment.Seq = s.seqs[s.payment.ID]
	return out
}

func toldTo(events []bursar.Event, endpoints ...string) []bursar.Delivery {
	var out []bursar.Delivery
	for _, e := range events {
		for _, name := range endpoints {
			out = append(out, bursar.Delivery{EventID: e.ID, Endpoint: name, Subject: e.Subject, Seq: e.Seq, Status: bursar.DeliveryPending})
		}
	}
	return out
}

func (s *script) fence() []bursar.Fence {
	return []bursar.Fence{{Name: "scan", Epoch: 1}, {Name: "sweep", Epoch: 1}}
}

// scanned is the row of the cursor at the chain's head.
func (s *script) scanned() bursar.ChainState {
	st := s.state
	s.state.Version++
	head := s.chain.Head()
	st.Recent, st.Head, st.UpdatedAt = nil, head, s.chain.Now()
	for h := uint64(1); h <= head.Height; h++ {
		ref, _ := s.chain.Block(h)
		st.Recent = append(st.Recent, ref)
	}
	return st
}

func (s *script) entry(id, rule string, debit, credit bursar.Account) bursar.Entry {
	return bursar.Entry{
		ID: id, Rule: rule, Asset: s.usdc.ID, Debit: debit, Credit: credit, Amount: s.payment.Amount, Subject: s.payment.ID,
		Transaction: s.tx.ID, Chain: s.state.Chain, Height: s.tx.Block,
	}
}

func undo(id string, e bursar.Entry) bursar.Entry {
	e.Reverses, e.ID = e.ID, id
	e.Debit, e.Credit, e.Live = e.Credit, e.Debit, ""
	return e
}

func (s *script) begin() {
	s.commit("start", bursar.Batch{Fences: s.fence(), Chains: []bursar.ChainState{s.scanned()}})
	events := s.told(bursar.PaymentCreated)
	s.commit("create", bursar.Batch{
		Payments: []bursar.Payment{s.payment}, Addresses: []bursar.Address{s.address}, Events: events, Deliveries: toldTo(events, "shop", "dead"),
	})
	s.payment.Version, s.address.Version = 1, 1
}

// detect pays in one block.
func (s *script) detect() {
	s.chain.Pay("payer", s.address.Address, s.usdc, s.payment.Amount)
	s.chain.Mine(1)
	s.include()
}

// include is the commit of the transfer in the head's block.
func (s *script) include() {
	head := s.chain.Head()
	tr := s.chain.Transactions(head.Height)[0].Transfers[0]
	s.tx = bursar.Transaction{
		ID: "tx_1", Version: s.tx.Version, Chain: s.state.Chain, Transfer: tr.ID, Type: bursar.TypeIncoming, Status: bursar.TxConfirming, Via: chain.ViaDirect,
		Asset: tr.Asset, Amount: tr.Amount, From: tr.From, To: tr.To, PaymentID: s.payment.ID, Block: head.Height, BlockHash: head.Hash, BlockTime: head.Time,
		Required: 3, ConfirmAt: head.Height + 2, Inclusion: s.tx.Inclusion + 1, Counting: true, CreatedAt: head.Time,
	}
	s.payment.Status, s.payment.Received = bursar.StatusDetected, s.payment.Amount
	events := s.told(bursar.TransactionDetected, bursar.PaymentDetected)
	e := s.entry(fmt.Sprint("le_1_", s.tx.Inclusion), "L1", bursar.Account("U:"+s.tx.To), "pending:pay_1")
	e.Live = "credit:tx_1"
	s.commit("detect", bursar.Batch{
		Fences: s.fence(), Chains: []bursar.ChainState{s.scanned()}, Transactions: []bursar.Transaction{s.tx}, Payments: []bursar.Payment{s.payment},
		Entries: []bursar.Entry{e}, Events: events, Deliveries: toldTo(events, "shop", "dead"),
	})
	s.tx.Version++
	s.payment.Version++
}

func (s *script) cut() []bursar.Entry {
	n := fmt.Sprint("_", s.tx.Inclusion)
	return []bursar.Entry{
		s.entry("le_2a"+n, "L2", bursar.Account("F:"+s.tx.To), bursar.Account("U:"+s.tx.To)),
		s.entry("le_2b"+n, "L2", "pending:pay_1", "held:pay_1"),
		s.entry("le_3"+n, "L3", "held:pay_1", "paid:pay_1"),
	}
}

func (s *script) confirm() {
	s.chain.Mine(2)
	s.tx.Status = bursar.TxConfirmed
	p := &s.payment
	p.Status, p.Confirmed, p.Shortfall, p.ConfirmationNo, p.PostedPaid = bursar.StatusConfirmed, p.Amount, chain.Amount{}, p.ConfirmationNo+1, p.Amount
	events := s.told(bursar.TransactionConfirmed, bursar.PaymentConfirmed)
	s.commit("confirm", bursar.Batch{
		Fences: s.fence(), Chains: []bursar.ChainState{s.scanned()}, Transactions: []bursar.Transaction{s.tx}, Payments: []bursar.Payment{*p},
		Entries: s.cut(), Events: events, Deliveries: toldTo(events, "shop", "dead"),
	})
	s.tx.Version++
	p.Version++
}

// orphan takes the confirmed transfer back in a reorg that drops it.
func (s *script) orphan() {
	depth := int(s.chain.Head().Height-s.tx.Block) + 1
	s.chain.Reorg(depth, chaintest.ReorgOptions{Drop: []chain.TxID{s.tx.Transfer.Tx}})
	l1 := s.entry(fmt.Sprint("le_1_", s.tx.Inclusion), "L1", bursar.Account("U:"+s.tx.To), "pending:pay_1")
	cut := s.cut()
	back := s.entry("le_3r", "L3", "paid:pay_1", "held:pay_1")
	entries := []bursar.Entry{back, undo("le_2br", cut[1]), undo("le_2ar", cut[0]), undo("le_1r", l1)}
	t, p := &s.tx, &s.payment
	t.Status, t.FailureReason, t.Block, t.BlockHash, t.BlockTime = bursar.TxFailed, bursar.ReasonOrphaned, 0, "", time.Time{}
	p.Status, p.Received, p.Confirmed, p.Shortfall, p.PostedPaid = bursar.StatusPending, chain.Amount{}, chain.Amount{}, p.Amount, chain.Amount{}
	p.HoldUntil = s.chain.Now().Add(time.Hour)
	events := s.told(bursar.TransactionOrphaned, bursar.PaymentReverted)
	events[1].Data.From = bursar.StatusConfirmed
	halted := s.scanned()
	halted.Halted = "deep_reorg" // until the next look at it
	s.commit("orphan", bursar.Batch{
		Fences: s.fence(), Chains: []bursar.ChainState{halted}, Transactions: []bursar.Transaction{*t}, Payments: []bursar.Payment{*p},
		Entries: entries, Events: events,
	})
	t.Version++
	p.Version++
}

// finish makes the transfer final.
func (s *script) finish() {
	s.chain.Mine(3)
	s.tx.Final, s.payment.Final = true, true
	s.commit("final", bursar.Batch{
		Fences: s.fence(), Chains: []bursar.ChainState{s.scanned()}, Transactions: []bursar.Transaction{s.tx}, Payments: []bursar.Payment{s.payment},
	})
	s.tx.Version++
	s.payment.Version++
}

// plan decides on a sweep, and has it signed.
func (s *script) plan() {
	s.chain.Grant(s.address.Address, s.chain.Info().Native, chain.NewAmount(1e17))
	s.chain.Mine(1)
	s.payout = bursar.Payout{
		ID: "po_1", Key: "k", Kind: bursar.PayoutSweep, Status: bursar.PayoutPlanned, Chain: s.state.Chain, Asset: s.usdc,
		From: s.address.Account(), To: s.chain.Payer("treasury"), Amount: s.payment.Amount, Group: 1,
		Items: []bursar.PayoutItem{{TransactionID: "tx_1", PaymentID: "pay_1", Amount: s.payment.Amount}},
	}
	created := s.tell(bursar.PayoutCreatedEvent, "po_1", "")
	s.payout.Seq = 1
	s.tx.Reserved = s.tx.Amount
	s.commit("plan", bursar.Batch{Fences: s.fence(), Payouts: []bursar.Payout{s.payout}, Transactions: []bursar.Transaction{s.tx}, Events: []bursar.Event{created}})
	s.tx.Version++
	s.payout.Version = 1

	client := s.chain.Client()
	draft, err := client.Prepare(s.t.Context(), chain.Intent{
		Purpose: chain.PurposeCollection, Moves: []chain.Move{{From: s.payout.From, To: s.payout.To, Asset: s.usdc, Amount: s.payout.Amount}},
	})
	require.NoError(s.t, err)
	s.signed, err = client.Sign(s.t.Context(), draft, s.keys)
	require.NoError(s.t, err)
	s.attempt = bursar.Attempt{
		ID: string(s.state.Chain) + ":" + string(s.signed.ID), PayoutID: "po_1", Group: 1, Chain: s.state.Chain, TxID: s.signed.ID,
		Raw: s.signed.Raw, Locks: s.signed.Locks, MaxFee: draft.Fee, Open: true,
	}
	s.payout.Status, s.payout.TxID = bursar.PayoutSigned, s.signed.ID
	s.commit("sign", bursar.Batch{Fences: s.fence(), Payouts: []bursar.Payout{s.payout}, Attempts: []bursar.Attempt{s.attempt}})
	s.payout.Version, s.attempt.Version = 2, 1
}

// sweep sends what was signed and follows it until it is final.
func (s *script) sweep() {
	require.NoError(s.t, s.chain.Client().Broadcast(s.t.Context(), s.signed))
	sent := s.tell(bursar.PayoutSentEvent, "po_1", "")
	s.payout.Status, s.payout.Seq = bursar.PayoutBroadcast, 2
	s.commit("send", bursar.Batch{Fences: s.fence(), Payouts: []bursar.Payout{s.payout}, Attempts: []bursar.Attempt{s.attempt}, Events: []bursar.Event{sent}})
	s.payout.Version, s.attempt.Version = 3, 2

	s.chain.Mine(1)
	head := s.chain.Head()
	status := s.chain.Transactions(head.Height)[0]
	p := &s.payout
	p.Status, p.Block, p.BlockHash, p.Fee, p.Moved = bursar.PayoutConfirming, head.Height, head.Hash, status.Fee, p.Amount
	p.Items = slices.Clone(p.Items)
	p.Items[0].FeeShare = status.Fee
	u := s.entry("le_6u", "L6", bursar.AccountTreasuryU, bursar.Account("U:"+s.tx.To))
	gas := u
	gas.ID, gas.Asset, gas.Debit, gas.Amount = "le_6g", s.chain.Info().Native.ID, bursar.AccountGasU, status.Fee
	s.commit("included", bursar.Batch{Fences: s.fence(), Chains: []bursar.ChainState{s.scanned()}, Payouts: []bursar.Payout{*p}, Entries: []bursar.Entry{u, gas}})
	p.Version = 4

	s.chain.Mine(5)
	done := s.tell(bursar.PayoutConfirmedEvent, "po_1", "")
	p.Status, p.Seq, s.attempt.Open = bursar.PayoutConfirmed, 3, false
	s.tx.Reserved, s.tx.Discharged = chain.Amount{}, s.tx.Amount
	pay := &s.payment
	pay.Status, pay.SettleNo = bursar.StatusSettled, 1
	events := append(s.told(bursar.PaymentSettled), done)
	s.commit("swept", bursar.Batch{
		Fences: s.fence(), Chains: []bursar.ChainState{s.scanned()}, Payouts: []bursar.Payout{*p}, Attempts: []bursar.Attempt{s.attempt},
		Transactions: []bursar.Transaction{s.tx}, Payments: []bursar.Payment{*pay}, Events: events,
		Entries: []bursar.Entry{
			s.entry("le_6f", "L6", bursar.AccountTreasuryF, bursar.AccountTreasuryU),
			s.entry("le_6h", "L6", bursar.Account("U:"+s.tx.To), bursar.Account("F:"+s.tx.To)),
		},
	})
	p.Version, s.attempt.Version = 5, 3
	s.tx.Version++
	pay.Version++
}

// expire lets the deadline of an unpaid payment pass.
func (s *script) expire() {
	s.chain.Mine(10) // what a deep reorg brought is final by then
	s.state.Final = s.chain.Head().Height + 1 - s.chain.Info().FinalityDepth
	s.chain.AdvanceTime(2 * time.Hour)
	s.chain.Mine(3)
	p := &s.payment
	p.Status, p.ExpiredAt, p.HoldUntil = bursar.StatusExpired, s.chain.Now(), time.Time{}
	events := s.told(bursar.PaymentExpired)
	s.commit("expire", bursar.Batch{Fences: s.fence(), Chains: []bursar.ChainState{s.scanned()}, Payments: []bursar.Payment{*p}, Events: events})
	p.Version++
}

// all is a life that breaks no rule.
func (s *script) all() {
	s.begin()
	s.detect()
	s.confirm()
	s.finish()
	s.plan()
	s.sweep()
}

// lost is another one: the money is taken back by a reorg and never returns.
func (s *script) lost() {
	s.begin()
	s.detect()
	s.confirm()
	s.orphan()
	s.expire()
}
