package bursar

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/bursar-go/bursar/chain"
)

// shortestHash is below the length of every chain's transaction ids, in characters.
const shortestHash = 43

// note says what could not be found out. The texts of clients hold no secrets.
func (x *explainer) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(x.out.Notes, text) {
		x.out.Notes = append(x.out.Notes, text)
	}
}

func (x *explainer) because(code ReasonCode, format string, args ...any) {
	x.loose = append(x.loose, Reason{Code: code, Text: fmt.Sprintf(format, args...)})
}

// ask asks the nodes what the store cannot know.
func (x *explainer) ask() {
	for _, id := range x.concerned() {
		head, err := x.gw.nets[id].client.Head(x.ctx)
		if err != nil {
			x.note("%s: the node was not asked for its head: %v", x.name(id), err)
			continue
		}
		x.heads[id] = head.Latest.Height
	}
	if x.out.Kind == ExplainedNothing && x.likeHash() {
		x.askHash()
	}
	if a := x.address(); a != "" {
		x.askBalances(a)
	}
}

// likeHash reports whether what was asked for may be a transaction's hash: not an
// address, and not one of the gateway's own ids, which hold a '_'.
func (x *explainer) likeHash() bool {
	if len(x.what) < shortestHash || strings.ContainsAny(x.what, "_ /") {
		return false
	}
	return !slices.ContainsFunc(x.gw.order, func(n *network) bool {
		_, err := n.codec.Parse(x.what)
		return err == nil
	})
}

// askHash looks for a transaction that is in no row on all chains.
func (x *explainer) askHash() {
	asked := false
	for _, net := range x.gw.order {
		answers, err := net.client.Status(x.ctx, x.hash())
		var format *chain.FormatError
		switch {
		case errors.As(err, &format):
			continue // no hash of such a chain
		case err != nil || len(answers) != 1:
			x.note("%s: the node was not asked for the transaction: %v", net.info.Name, err)
			continue
		}
		asked = true
		x.placed(net, answers[0])
	}
	if asked && len(x.loose) == 0 {
		x.because(ReasonNotFound, "no node of a configured chain knows the transaction: it was never sent, was dropped, or is on a chain that is not configured")
	}
}

// placed says what a transaction is that the node knows and the store does not.
func (x *explainer) placed(net *network, s chain.TxStatus) {
	name, st := net.info.Name, x.states[net.info.ID]
	switch s.State {
	case chain.TxUnknown:
	case chain.TxPending:
		x.because(ReasonMempool, "it is in the mempool of %s, in no block yet; a node may drop it", name)
	case chain.TxFailed:
		x.because(ReasonGone, "it is in block %d of %s and failed: nothing moved but the fee", s.Block.Height, name)
	default:
		ours := x.toOurs(net, s)
		switch {
		case len(ours) == 0 && len(s.Transfers) == 0:
			x.because(ReasonNoAsset, "it is in block %d of %s and moved no configured asset; a token that is not configured is never credited", s.Block.Height, name)
		case len(ours) == 0:
			x.because(ReasonNotOurs, "it is in block %d of %s and paid %s, which is no address of this gateway", s.Block.Height, name, strings.Join(receivers(s), ", "))
		case s.Block.Height > st.Tip().Height:
			x.because(ReasonBehind, "it is in block %d of %s and paid %s; the newest scanned block is %d", s.Block.Height, name, strings.Join(ours, ", "), st.Tip().Height)
		default:
			x.because(ReasonNotBooked, "it is in block %d of %s and paid %s, and it is not in the store: the block was scanned before the address or the asset was known, before scanning began, or on another branch. Rescan from that block books it", s.Block.Height, name, strings.Join(ours, ", "))
		}
	}
}

// toOurs tells the transfers to addresses of ours. Before Start only what was read
// for this question is known by heart, so that the rows count too.
func (x *explainer) toOurs(net *network, s chain.TxStatus) (out []string) {
	for _, t := range s.Transfers {
		if x.isOurs(net, t.To) {
			out = append(out, fmt.Sprintf("%s to %s", x.units(t.Asset, t.Amount), t.To))
		}
	}
	return out
}

func (x *explainer) isOurs(net *network, a chain.Address) bool {
	if _, ours := net.book.own(a); ours {
		return true
	}
	ours := false
	err := x.gw.store.Read(x.ctx, func(r Reader) error {
		probe := newExplainer(x.ctx, x.gw, r, string(a))
		for _, find := range []func() (bool, error){probe.findAddress, probe.findReserved} {
			found, err := find()
			if ours = found; found || err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		x.note("%s: the store was not asked for it: %v", a, err)
	}
	return ours
}

func receivers(s chain.TxStatus) (out []string) {
	for _, t := range s.Transfers {
		if text := string(t.To); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// address is the address of ours that the question is about, if it is about one.
func (x *explainer) address() chain.Address {
	switch {
	case x.out.Kind == ExplainedPayment:
		return x.out.Payment.Address
	case x.out.Kind == ExplainedAddress:
		return x.out.Address.Address
	}
	return ""
}

// askBalances compares the ledger with the chain, at the newest scanned block, and
// looks whether more has come since.
func (x *explainer) askBalances(a chain.Address) {
	for _, net := range x.gw.order {
		if _, err := net.codec.WatchKeys(a); err != nil {
			continue // of another family of chains
		}
		tip := x.states[net.info.ID].Tip()
		if tip.Hash == "" {
			continue
		}
		reader, ok := chain.As[chain.BalanceReader](net.client)
		if !ok {
			x.note("%s: the client cannot tell balances", net.info.Name)
			continue
		}
		of, booked := x.holdings(net, a)
		at, err := reader.Balances(x.ctx, tip.Hash, of)
		if err != nil || len(at) != len(of) {
			x.note("%s: the balances at block %d were not told: %v", net.info.Name, tip.Height, err)
			continue
		}
		for i, h := range of {
			if more := new(big.Int).Sub(at[i].Big(), booked[i]); more.Sign() > 0 {
				x.because(ReasonUnbooked, "the address holds %s on %s at block %d, the ledger has less: money from before scanning began is not found by itself, nor is native coin that a contract sent to the address of a payment in another asset", x.units(h.Asset.ID, at[i]), net.info.Name, tip.Height)
			}
		}
		x.askNewer(net, reader, tip, of, at)
	}
}

// askNewer looks for money in blocks that were not scanned yet.
func (x *explainer) askNewer(net *network, reader chain.BalanceReader, tip chain.BlockRef, of []chain.Holding, at []chain.Amount) {
	head, known := x.heads[net.info.ID]
	if !known || head <= tip.Height {
		return
	}
	now, err := reader.Balances(x.ctx, "", of)
	if err != nil || len(now) != len(of) {
		x.note("%s: the newest balances were not told: %v", net.info.Name, err)
		return
	}
	for i, h := range of {
		if at[i].Less(now[i]) {
			x.because(ReasonBehind, "%s came to the address on %s in a block above %d, the newest that was scanned", x.units(h.Asset.ID, now[i].SubFloor(at[i])), net.info.Name, tip.Height)
		}
	}
}

// holdings are the questions for an address, and what the ledger has of each.
func (x *explainer) holdings(net *network, a chain.Address) (of []chain.Holding, booked []*big.Int) {
	known := net.known()
	for _, id := range known.order {
		of = append(of, chain.Holding{Address: a, Asset: known.all[id]})
		sum := x.held[id]
		if sum == nil {
			sum = new(big.Int)
		}
		booked = append(booked, sum)
	}
	return of, booked
}

// name is a chain's short name.
func (x *explainer) name(id chain.ID) string {
	if net := x.gw.nets[id]; net != nil {
		return net.info.Name
	}
	return string(id)
}
