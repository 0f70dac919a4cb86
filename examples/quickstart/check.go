package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"

	"github.com/bursar-go/bursar"
	"github.com/bursar-go/bursar/chain"
	"github.com/bursar-go/bursar/chain/evm/evmtest/tokens"
)

// mint is the call by which anybody makes test tokens.
func mint(contract, to common.Address, units *big.Int) call {
	return call{to: &contract, data: tokens.Mint(to, units)}
}

// verify prints the table and checks all that must hold. It looks at everything
// before it gives its verdict.
func (s *stage) verify(ctx context.Context) error {
	s.out.scene("the account of it")
	if err := s.out.table(s.orders); err != nil {
		return err
	}
	s.out.scene("what must hold")
	if err := s.allTold(ctx); err != nil {
		return err
	}
	var wrong []error
	for _, check := range []struct {
		what string
		run  func(context.Context) (string, error)
	}{
		{"payments", s.checkPayments},
		{"webhooks", s.checkWebhooks},
		{"events", s.checkEvents},
		{"forgery", s.checkForgery},
		{"ledger", s.checkLedger},
		{"treasury", s.checkTreasury},
		{"gas", s.checkGas},
	} {
		told, err := check.run(ctx)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", check.what, err))
			s.out.line("WRONG", "%-9s %v", check.what, err)
			continue
		}
		s.out.line("holds", "%-9s %s", check.what, told)
	}
	return errors.Join(wrong...)
}

// checkPayments compares every payment with what the scenario wants.
func (s *stage) checkPayments(context.Context) (string, error) {
	var wrong []error
	for _, o := range s.orders {
		p, f := o.payment, o.payment.Asset.Format
		for _, it := range []struct{ what, got, want string }{
			{"state", string(p.Status), string(o.want.status)},
			{"received", f(p.Received), o.want.received},
			{"confirmed", f(p.Confirmed), o.want.received},
			{"held", f(p.Held), o.want.held},
			{"excess", f(p.Excess), o.want.excess},
			{"swept", f(covered(o)), o.want.swept},
		} {
			if it.got != it.want {
				wrong = append(wrong, fmt.Errorf("%s: %s is %s, want %s", o.name, it.what, it.got, it.want))
			}
		}
	}
	return fmt.Sprintf("all %d have the state and the amounts that they must have", len(s.orders)), errors.Join(wrong...)
}

// checkEvents compares each payment's events with the scenario, and what was
// told of each subject with what the gateway keeps: all of it, without a gap.
func (s *stage) checkEvents(ctx context.Context) (string, error) {
	var wrong []error
	for _, o := range s.orders {
		var payment, transaction []bursar.Kind
		for _, e := range s.shop.told(o.payment.ID) {
			if strings.HasPrefix(string(e.Kind), "transaction.") {
				transaction = append(transaction, e.Kind)
			} else {
				payment = append(payment, e.Kind)
			}
		}
		if !slices.Equal(payment, o.want.payment) || !slices.Equal(transaction, o.want.transaction) {
			wrong = append(wrong, fmt.Errorf("%s: %v and %v, want %v and %v", o.name, payment, transaction, o.want.payment, o.want.transaction))
		}
	}
	subjects := map[string]bool{}
	for _, e := range s.shop.told("") {
		if strings.HasPrefix(string(e.Kind), "alert.") || strings.HasPrefix(string(e.Kind), "chain.") {
			wrong = append(wrong, fmt.Errorf("an alert: %s of %s: %s", e.Kind, e.Subject, e.Data.Reason))
		}
		subjects[e.Subject] = true
	}
	for subject := range subjects {
		kept, err := s.kept(ctx, subject)
		if err != nil {
			return "", err
		}
		told := s.shop.told(subject)
		if len(kept) != len(told) {
			wrong = append(wrong, fmt.Errorf("%s has %d events, %d were told", subject, len(kept), len(told)))
			continue
		}
		for i, e := range told {
			if e.Seq != int64(i+1) || e.ID != kept[i].ID {
				wrong = append(wrong, fmt.Errorf("%s: event %d is %s #%d", subject, i+1, e.Kind, e.Seq))
			}
		}
	}
	return fmt.Sprintf("%d of %d subjects, each numbered from 1 without a gap", len(s.shop.told("")), len(subjects)), errors.Join(wrong...)
}

// allTold waits until the host was told all that the gateway has to tell.
func (s *stage) allTold(ctx context.Context) error {
	payouts, err := s.shop.payouts(ctx)
	if err != nil {
		return err
	}
	var subjects []string
	for _, o := range s.orders {
		subjects = append(subjects, o.payment.ID)
	}
	for _, p := range payouts {
		subjects = append(subjects, p.ID)
	}
	for _, subject := range subjects {
		err := until(ctx, "the last event of "+subject, func() (bool, error) {
			kept, err := s.kept(ctx, subject)
			return len(kept) > 0 && len(kept) == len(s.shop.told(subject)), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// kept are all events that the gateway has of a subject.
func (s *stage) kept(ctx context.Context, subject string) (all []bursar.Event, err error) {
	for {
		page, err := s.shop.gateway.Events(ctx, subject, int64(len(all)), bursar.MaxPage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
	}
}

// checkWebhooks waits until both ways of telling have told the same.
func (s *stage) checkWebhooks(ctx context.Context) (string, error) {
	err := until(ctx, "the last webhook", func() (bool, error) {
		got, refused := s.shop.receiver.state()
		return len(got) == len(s.shop.told("")), errors.Join(refused...)
	})
	if err != nil {
		return "", err
	}
	got, _ := s.shop.receiver.state()
	subject := map[string]string{} // by event id
	for _, e := range s.shop.told("") {
		subject[e.ID] = e.Subject
	}
	last := map[string]uint64{}
	for _, e := range got {
		of := subject[e.ID]
		if of == "" {
			return "", fmt.Errorf("%s was never told in this process", e.ID)
		}
		if e.Seq != last[of]+1 {
			return "", fmt.Errorf("%s came as #%d after #%d", e.ID, e.Seq, last[of])
		}
		last[of] = e.Seq
	}
	return fmt.Sprintf("%d delivered in order, every signature verified, none refused", len(got)), nil
}

// checkForgery sends a changed webhook, which must be refused.
func (s *stage) checkForgery(ctx context.Context) (string, error) {
	status, err := s.shop.receiver.forge(ctx, s.shop.told(s.orders[0].payment.ID)[0])
	if err != nil {
		return "", err
	}
	if status != http.StatusUnauthorized {
		return "", fmt.Errorf("a changed webhook was answered with %d", status)
	}
	return "a webhook changed after it was signed is refused with 401", nil
}

// checkLedger compares the ledger with the chain, read past the gateway: for
// every address of ours and every asset, unconfirmed and confirmed together are
// the balance.
func (s *stage) checkLedger(ctx context.Context) (string, error) {
	rows, err := s.shop.gateway.Ledger(ctx, "")
	if err != nil {
		return "", err
	}
	sums := map[string]*big.Int{} // by address and asset
	journal := map[chain.AssetID]*big.Int{}
	for _, row := range rows {
		total(journal, row.Asset).Add(total(journal, row.Asset), row.Sum)
		if layer, owner, ok := strings.Cut(string(row.Account), ":"); ok && (layer == "U" || layer == "F") {
			key := owner + " " + string(row.Asset)
			total(sums, key).Add(total(sums, key), row.Sum)
		}
	}
	var wrong []error
	for id, sum := range journal {
		if sum.Sign() != 0 {
			wrong = append(wrong, fmt.Errorf("the journal of %s is out of balance by %s", id, sum))
		}
	}
	own := []chain.Address{chain.Address(s.shop.sponsor.Hex())}
	for _, o := range s.orders {
		own = append(own, o.payment.Address)
	}
	tip := s.shop.gateway.Health(ctx).Chains[0].Tip
	for _, address := range own {
		for _, symbol := range []string{"ETH", "USDC", "USDT"} {
			asset := s.shop.assets[symbol]
			onChain, err := s.balance(ctx, common.HexToAddress(string(address)), asset, tip)
			if err != nil {
				return "", err
			}
			if inLedger := total(sums, string(address)+" "+string(asset.ID)); inLedger.Cmp(onChain) != 0 {
				wrong = append(wrong, fmt.Errorf("%s has %s of %s in the ledger and %s on the chain", address, inLedger, symbol, onChain))
			}
		}
	}
	told := fmt.Sprintf("ledger = chain balances at block %d, for %d own addresses in 3 assets", tip.Height, len(own))
	return told, errors.Join(wrong...)
}

// total is the sum under a key, begun where there is none.
func total[K comparable](sums map[K]*big.Int, key K) *big.Int {
	if sums[key] == nil {
		sums[key] = new(big.Int)
	}
	return sums[key]
}

// balance asks the chain itself.
func (s *stage) balance(ctx context.Context, of common.Address, asset chain.Asset, at chain.BlockRef) (*big.Int, error) {
	block := common.HexToHash(string(at.Hash))
	if asset.Native() {
		return s.world.client().BalanceAtHash(ctx, of, block)
	}
	contract := common.HexToAddress(string(asset.Contract))
	// balanceOf(address)
	data := append([]byte{0x70, 0xa0, 0x82, 0x31}, common.LeftPadBytes(of[:], 32)...)
	answer, err := s.world.client().CallContractAtHash(ctx, ethereum.CallMsg{To: &contract, Data: data}, block)
	return new(big.Int).SetBytes(answer), err
}

// checkTreasury compares what arrived with what the ledger delivered and with
// what the sweeps say.
func (s *stage) checkTreasury(ctx context.Context) (string, error) {
	rows, err := s.shop.gateway.Ledger(ctx, string(bursar.AccountTreasuryF))
	if err != nil {
		return "", err
	}
	sweeps, err := s.shop.payouts(ctx, bursar.PayoutSweep)
	if err != nil {
		return "", err
	}
	tip := s.shop.gateway.Health(ctx).Chains[0].Tip
	var told []string
	var wrong []error
	for _, symbol := range []string{"ETH", "USDC", "USDT"} {
		asset := s.shop.assets[symbol]
		arrived, err := s.balance(ctx, s.shop.treasury, asset, tip)
		if err != nil {
			return "", err
		}
		ledger, moved := new(big.Int), new(big.Int)
		for _, row := range rows {
			if row.Asset == asset.ID {
				ledger.Add(ledger, row.Sum)
			}
		}
		for _, p := range sweeps {
			if p.Asset.ID == asset.ID {
				moved.Add(moved, p.Moved.Big())
			}
		}
		if arrived.Cmp(ledger) != 0 || arrived.Cmp(moved) != 0 {
			wrong = append(wrong, fmt.Errorf("%s of %s arrived, the ledger says %s, the sweeps %s", arrived, symbol, ledger, moved))
		}
		amount, err := chain.AmountFromBig(arrived)
		if err != nil {
			return "", err
		}
		told = append(told, asset.Format(amount)+" "+symbol)
	}
	return "arrived, and in the ledger: " + strings.Join(told, ", "), errors.Join(wrong...)
}

// checkGas compares the fees in the ledger with the receipts of the gateway's
// transactions.
func (s *stage) checkGas(ctx context.Context) (string, error) {
	rows, err := s.shop.gateway.Ledger(ctx, string(bursar.AccountGasF))
	if err != nil {
		return "", err
	}
	payouts, err := s.shop.payouts(ctx)
	if err != nil {
		return "", err
	}
	booked, paid := new(big.Int), new(big.Int)
	for _, row := range rows {
		booked.Add(booked, row.Sum)
	}
	for _, p := range payouts {
		receipt, err := s.world.client().TransactionReceipt(ctx, common.HexToHash(string(p.TxID)))
		if err != nil {
			return "", fmt.Errorf("the receipt of %s: %w", p.TxID, err)
		}
		fee := new(big.Int).Mul(new(big.Int).SetUint64(receipt.GasUsed), receipt.EffectiveGasPrice)
		paid.Add(paid, fee)
		if fee.Cmp(p.Fee.Big()) != 0 || receipt.GasUsed != p.GasUsed {
			return "", fmt.Errorf("%s cost %s, its payout says %s", p.TxID, fee, p.Fee)
		}
	}
	if booked.Cmp(paid) != 0 {
		return "", fmt.Errorf("the ledger has fees of %s wei, the receipts %s", booked, paid)
	}
	amount, err := chain.AmountFromBig(paid)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d transactions cost %s ETH, by their receipts and by the ledger", len(payouts), amount.Format(18)), nil
}
