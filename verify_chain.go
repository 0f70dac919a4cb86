package bursar

import (
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

// chains reads the cursors and checks what they say of themselves.
func (a *auditor) chains() error {
	pools, err := a.r.Pools(a.ctx)
	if err != nil {
		return err
	}
	for _, p := range pools {
		a.pools[p.Name] = p.Next
	}
	for _, net := range a.gw.order {
		id := net.info.ID
		st, err := a.r.Chain(a.ctx, id)
		if err != nil {
			return err
		}
		a.count("chains", 1)
		a.states[id] = st
		a.blocks[id] = map[uint64]chain.BlockHash{}
		for _, b := range st.Recent {
			a.blocks[id][b.Height] = b.Hash
		}
		a.cursor(a.row("chains", string(id)), st)
	}
	return nil
}

func (a *auditor) cursor(row auditRow, st ChainState) {
	for i := 1; i < len(st.Recent); i++ {
		before, b := st.Recent[i-1], st.Recent[i]
		row.same(ruleChainLinked, fmt.Sprintf("Recent[%d].Height", i), before.Height+1, b.Height)
		row.same(ruleChainLinked, fmt.Sprintf("Recent[%d].Parent", i), before.Hash, b.Parent)
	}
	// Finality never goes down. A branch that is shorter than the one before is
	// a deep reorg, and halts the chain.
	row.holds(ruleChainFinal, "Final", st.Halted != "" || st.Final <= st.Tip().Height, "height %d is final, scanned is %d", st.Final, st.Tip().Height)
	row.holds(ruleChainHalt, "HaltedFrom", st.Halted != "" || st.HaltedFrom == 0, "height %d, and it is not halted", st.HaltedFrom)
}

// chainSubject checks the entries and events that are the chain's own: what our
// keys did without a payout.
func (a *auditor) chainSubject(net *network) error {
	id := string(net.info.ID)
	standing, err := a.entries(id)
	if err != nil {
		return err
	}
	hashes := map[chain.TxID]bool{}
	for _, e := range standing {
		if e.Rule == ruleOpen {
			a.opened(net, e)
			continue
		}
		hashes[chain.TxID(e.Transaction)] = false
		a.row("entries", e.ID).same(ruleEntryExtra, "Rule", "foreign", e.Rule)
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(hashes)), auditPage) {
		rows, err := a.r.Transactions(a.ctx, TransactionQuery{Chain: net.info.ID, Hashes: part})
		if err != nil {
			return err
		}
		for _, t := range rows {
			hashes[t.Transfer.Tx] = hashes[t.Transfer.Tx] || t.Live()
		}
	}
	for _, e := range standing {
		if e.Rule == ruleOpen {
			continue
		}
		a.row("entries", e.ID).holds(ruleEntryTransaction, "Transaction", hashes[chain.TxID(e.Transaction)], "no live transaction has the hash %q", e.Transaction)
	}
	return a.events("chains", id, a.states[net.info.ID].Seq, func(Event) {})
}

// opened checks an entry about capital that was there before the scan began.
func (a *auditor) opened(net *network, e Entry) {
	row := a.row("entries", e.ID)
	row.same(ruleEntryExtra, "Credit", AccountOwner, e.Credit)
	row.same(ruleEntryTransaction, "Transaction", "", e.Transaction)
	own := slices.ContainsFunc(a.ownAccounts(net), func(at chain.Address) bool { return accountF(at) == e.Debit })
	row.holds(ruleEntryExtra, "Debit", own, "%q is no account of the gateway's own", e.Debit)
}

// ownAccounts are the sponsor and the float of every wallet.
func (a *auditor) ownAccounts(net *network) []chain.Address {
	var out []chain.Address
	for i := range net.book.accounts {
		for _, index := range []uint32{indexSponsor, indexFloat} {
			out = append(out, a.derived(net.book, i, changeOwn, index))
		}
	}
	return out
}

// chain compares the ledger with a chain, at the block up to which the store
// had scanned. Whatever a node cannot answer is skipped: only an answer that
// differs is a finding.
func (a *auditor) chain(net *network) error {
	id, tip := net.info.ID, a.states[net.info.ID].Tip()
	what := string(id)
	if tip.Hash == "" {
		a.skip(what, "nothing was scanned yet")
		return nil
	}
	reason := a.onBranch(net, tip)
	if reason == "" {
		reason = a.compareBalances(net, tip)
	}
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if reason != "" {
		a.skip("balances on "+what, reason)
	} else {
		a.report.Heights[id] = tip.Height
	}
	reason = a.compareYoung(net, tip)
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if reason != "" {
		a.skip("transactions on "+what, reason)
	}
	return nil
}

// onBranch says why the node is no judge of the block: it is away, behind, or
// on another branch.
func (a *auditor) onBranch(net *network, tip chain.BlockRef) string {
	rows, err := net.client.Headers(a.ctx, tip.Height, tip.Height)
	switch {
	case err != nil:
		return shorten(err.Error())
	case len(rows) == 0:
		return fmt.Sprintf("the node does not have block %d", tip.Height)
	case rows[0].Hash != tip.Hash:
		return fmt.Sprintf("the node has another block %d than was scanned", tip.Height)
	}
	return ""
}

// compareBalances asks for the balances of all accounts with money and of our
// own. Assets that are not configured cannot be asked for.
func (a *auditor) compareBalances(net *network, tip chain.BlockRef) (reason string) {
	reader, ok := chain.As[chain.BalanceReader](net.client)
	if !ok {
		return "the client cannot tell balances"
	}
	of := a.holdings(net)
	for part := range slices.Chunk(of, auditPage) {
		amounts, err := reader.Balances(a.ctx, tip.Hash, part)
		if err != nil {
			return shorten(err.Error())
		}
		if len(amounts) != len(part) {
			return fmt.Sprintf("%d answers to %d questions", len(amounts), len(part))
		}
		for i, h := range part {
			have := a.sums.of(h.Asset.ID, accountU(h.Address), accountF(h.Address))
			row := a.row("balances", string(h.Asset.ID)+" "+string(h.Address))
			row.same(ruleChainBalance, "Sum", amounts[i].Big(), have, "at block", fmt.Sprint(tip.Height))
		}
	}
	return ""
}

func (a *auditor) holdings(net *network) []chain.Holding {
	sums := auditSums{}
	for key, n := range a.sums {
		owner, ok := onChainOwner(key.account)
		switch {
		case !ok || key.asset.Chain() != net.info.ID, key.account == AccountGasU, key.account == AccountGasF,
			key.account == AccountTreasuryU, key.account == AccountTreasuryF:
			continue // its owner spends from the treasury
		}
		sums.add(journalKey{key.asset, Account(owner)}, new(big.Int).Set(n))
	}
	working := a.ownAccounts(net)
	for asset := range net.known().all {
		for _, own := range working {
			key := journalKey{asset, Account(own)}
			if sums[key] == nil {
				sums[key] = new(big.Int)
			}
		}
	}
	out := make([]chain.Holding, 0, len(sums))
	for _, key := range sortedJournal(sums) {
		asset, known := net.known().all[key.asset]
		if !known {
			a.skip("balances of "+string(key.asset), "the asset is not configured")
			continue
		}
		out = append(out, chain.Holding{Address: chain.Address(key.account), Asset: asset})
	}
	return out
}

// compareYoung asks for the transactions that are not final yet.
func (a *auditor) compareYoung(net *network, tip chain.BlockRef) (reason string) {
	young := a.young[net.info.ID]
	var off []Finding
	for part := range slices.Chunk(young, auditPage) {
		ids := make([]chain.TxID, 0, len(part))
		for _, t := range part {
			ids = append(ids, t.Transfer.Tx)
		}
		found, err := net.client.Status(a.ctx, ids...)
		if err != nil {
			return shorten(err.Error())
		}
		if len(found) != len(ids) {
			return fmt.Sprintf("%d answers to %d questions", len(found), len(ids))
		}
		for i, t := range part {
			off = append(off, statusFindings(t, found[i])...)
		}
	}
	if len(off) == 0 {
		return ""
	}
	// Only a node that was on our branch all the time may contradict.
	if reason := a.onBranch(net, tip); reason != "" {
		return reason
	}
	for _, f := range off {
		a.found(f)
	}
	return ""
}

// statusFindings compares one transaction with what the node says of it.
func statusFindings(t Transaction, s chain.TxStatus) (out []Finding) {
	differs := func(field string, want, got any) {
		if w, g := auditText(want), auditText(got); w != g {
			out = append(out, Finding{Rule: ruleChainStatus, Table: "transactions", ID: t.ID, Field: field, Want: w, Got: g, Detail: "by the node"})
		}
	}
	if s.State != chain.TxIncluded && (s.State != chain.TxFailed || t.Type == TypeIncoming) {
		differs("Status", s.State, t.Status)
		return out
	}
	differs("BlockHash", s.Block.Hash, t.BlockHash)
	differs("Block", s.Block.Height, t.Block)
	for _, moved := range s.Transfers {
		if moved.ID != t.Transfer {
			continue
		}
		differs("Asset", moved.Asset, t.Asset)
		differs("To", moved.To, t.To)
		if !t.Suspense {
			differs("Amount", moved.Amount, t.Amount)
		}
	}
	return out
}
