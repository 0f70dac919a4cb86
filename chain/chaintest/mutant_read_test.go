package chaintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bursar-go/bursar/chain"
)

func wrongReaders() []wrongClient {
	return []wrongClient{
		{"native coin with a contract", []string{"Info/Sane"}, func(m *mutant) {
			m.info = func(i chain.Info) chain.Info { i.Native.Contract = "0x1"; return i }
		}},
		{"info that changes", []string{"Info/Sane"}, func(m *mutant) {
			m.info = func(i chain.Info) chain.Info { i.Confirmations = m.chain.Head().Height + 3; m.chain.Mine(1); return i }
		}},
		{"head that stands still", []string{"Head/Grows", "Headers/StopAtHead"}, func(m *mutant) {
			first := sync.OnceValue(func() chain.BlockRef { return m.chain.Head() })
			m.head = func(h chain.Head) chain.Head { h.Latest = first(); return h }
		}},
		{"final block of another branch", []string{"Head/Finalized"}, func(m *mutant) {
			m.head = func(h chain.Head) chain.Head { h.Finalized.Hash = "0x1"; return h }
		}},
		{"headers with a gap", []string{"Headers/Linked"}, func(m *mutant) {
			m.headers = func(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
				refs, err := m.Client.Headers(ctx, from, to)
				if len(refs) > 2 {
					refs = slices.Delete(refs, 1, 2)
				}
				return refs, err
			}
		}},
		{"headers without the last", []string{"Headers/SingleBlock", "Headers/Linked"}, func(m *mutant) {
			m.headers = func(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
				return m.Client.Headers(ctx, from, max(to, 1)-1)
			}
		}},
		{"headers above the head", []string{"Headers/StopAtHead", "Headers/NoneAboveHead"}, func(m *mutant) {
			m.headers = func(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
				head := m.chain.Head().Height
				refs, err := m.Client.Headers(ctx, from, to)
				if to > head {
					refs = append(refs, chain.BlockRef{Height: to, Hash: "0x1"})
				}
				return refs, err
			}
		}},
		{"an error above the head", []string{"Headers/NoneAboveHead"}, func(m *mutant) {
			m.headers = func(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
				refs, err := m.Client.Headers(ctx, from, to)
				if len(refs) == 0 {
					err = chain.ErrNotFound
				}
				return refs, err
			}
		}},
		{"headers cached by height", []string{"Reorg/SeenByParentHash"}, func(m *mutant) {
			cache := map[uint64]chain.BlockRef{}
			m.head = func(h chain.Head) chain.Head { cache[h.Latest.Height] = h.Latest; return h }
			m.headers = func(ctx context.Context, from, to uint64) ([]chain.BlockRef, error) {
				refs, err := m.Client.Headers(ctx, from, to)
				for i, r := range refs {
					if old, ok := cache[r.Height]; ok {
						refs[i] = old
					}
				}
				return refs, err
			}
		}},
		{"ignores the context", []string{"Context/Cancelled"}, func(m *mutant) {
			m.transfers = func(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
				return m.Client.Transfers(context.WithoutCancel(ctx), from, to, w)
			}
		}},
		{"sends although cancelled", []string{"Context/Cancelled"}, func(m *mutant) {
			m.broadcast = func(ctx context.Context, x chain.Signed) error {
				_ = m.Client.Broadcast(context.WithoutCancel(ctx), x)
				return ctx.Err()
			}
		}},
		{"answers mixed up between callers", []string{"Concurrent/Use"}, func(m *mutant) {
			var mu sync.Mutex
			n := uint64(0)
			m.status = func(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
				st, err := m.Client.Status(ctx, ids...)
				mu.Lock()
				defer mu.Unlock()
				n++
				st[0].GasUsed += n
				return st, err
			}
		}},
		{"balances of the newest block", []string{"Balances/AtBlock", "Balances/UnknownBlock", "Balances/Many"}, func(m *mutant) {
			m.balances = func(ctx context.Context, _ chain.BlockHash, of []chain.Holding) ([]chain.Amount, error) {
				return m.Client.Balances(ctx, "", of)
			}
		}},
		{"traces reverted calls", []string{"Internal/RevertedMovesNothing"}, func(m *mutant) {
			m.internal = func(ctx context.Context, at chain.BlockRef, to []chain.Address) (chain.Internals, error) {
				out, err := m.Client.Internal(ctx, at, to)
				for _, st := range m.chain.Transactions(at.Height) {
					for _, x := range st.Transfers {
						x.To, x.ID.Ordinal = to[0], "i:0"
						out.Transfers = append(out.Transfers, x)
					}
				}
				return out, err
			}
		}},
		{"traces all receivers", []string{"Internal/ReceiversAlone"}, func(m *mutant) {
			m.internal = func(ctx context.Context, at chain.BlockRef, to []chain.Address) (chain.Internals, error) {
				all, _ := m.chain.InternalIn(at.Hash)
				return chain.Internals{Transfers: all}, ctx.Err()
			}
		}},
		{"traces the newest block", []string{"Internal/UnknownBlock"}, func(m *mutant) {
			m.internal = func(ctx context.Context, _ chain.BlockRef, to []chain.Address) (chain.Internals, error) {
				return m.Client.Internal(ctx, m.chain.Head(), to)
			}
		}},
		{"names traces by their block", []string{"Internal/IdentityIsKept"}, func(m *mutant) {
			m.internal = func(ctx context.Context, at chain.BlockRef, to []chain.Address) (chain.Internals, error) {
				out, err := m.Client.Internal(ctx, at, to)
				for i := range out.Transfers {
					out.Transfers[i].ID.Ordinal += string(at.Hash)
				}
				return out, err
			}
		}},
		{"tells no forced coin", []string{"Internal/ForcedCoin"}, func(m *mutant) {
			m.internal = func(ctx context.Context, at chain.BlockRef, to []chain.Address) (chain.Internals, error) {
				out, err := m.Client.Internal(ctx, at, to)
				out.Transfers = slices.DeleteFunc(out.Transfers, func(x chain.Transfer) bool { return x.ID.Ordinal == "i:0.0" })
				return out, err
			}
		}},
		{"traces as direct", []string{"Internal/ContractSentCoin"}, func(m *mutant) {
			m.internal = func(ctx context.Context, at chain.BlockRef, to []chain.Address) (chain.Internals, error) {
				out, err := m.Client.Internal(ctx, at, to)
				for i := range out.Transfers {
					out.Transfers[i].Via = chain.ViaDirect
				}
				return out, err
			}
		}},
		{"claims another chain", []string{"Identify/ThisChain"}, func(m *mutant) {
			m.identify = func(id chain.Identity) chain.Identity { id.Genesis = "0x1"; return id }
		}},
		{"eighteen decimals for all", []string{"Inspect/Token"}, func(m *mutant) {
			m.inspect = func(token chain.Token, err error) (chain.Token, error) { token.Decimals = 18; return token, err }
		}},
		{"a contract everywhere", []string{"Inspect/Token"}, func(m *mutant) {
			m.inspect = func(token chain.Token, _ error) (chain.Token, error) { return token, nil }
		}},
		{"every dry run succeeds", []string{"DryRun/TellsFailure"}, func(m *mutant) {
			m.dryRun = func(error) error { return nil }
		}},
		{"batches of one", []string{"Batching/Coherent"}, func(m *mutant) {
			m.batching = func(b chain.Batching) chain.Batching { b.MaxMoves = 1; return b }
		}},
		{"no batches, and a treasury", []string{"Batching/Coherent"}, func(m *mutant) {
			m.batching = func(b chain.Batching) chain.Batching { b.MaxMoves = 0; return b }
		}},
		{"batches by nobody", []string{"Batching/Coherent"}, func(m *mutant) {
			m.batching = func(b chain.Batching) chain.Batching { b.FeePayer = ""; return b }
		}},
		{"the treasury pays for batches", []string{"Batching/Coherent"}, func(m *mutant) {
			m.batching = func(b chain.Batching) chain.Batching { b.FeePayer = b.Treasury; return b }
		}},
		{"a treasury in small letters", []string{"Batching/Coherent"}, func(m *mutant) {
			m.batching = func(b chain.Batching) chain.Batching {
				b.Treasury = chain.Address(strings.ToLower(string(b.Treasury)))
				return b
			}
		}},
		{"batches that shrink", []string{"Batching/Coherent"}, func(m *mutant) {
			left := 400
			m.batching = func(b chain.Batching) chain.Batching { left--; b.MaxMoves = left; return b }
		}},
		{"batches of any fee payer", []string{"Batching/Coherent"}, func(m *mutant) {
			m.bounds = func(in chain.Intent, b chain.Batching) error {
				b.FeePayer = in.FeePayer.Address
				return outOfBounds(in, b)
			}
		}},
		{"batches to anybody", []string{"Batching/Coherent"}, func(m *mutant) {
			m.bounds = func(in chain.Intent, b chain.Batching) error {
				in.Moves = in.Moves[:1]
				return outOfBounds(in, b)
			}
		}},
		{"claims capabilities it has not", []string{"As/ThroughWrapper"}, func(m *mutant) {
			m.as = func(target any) bool {
				t, ok := target.(*interface{ NobodyHasThis() })
				if ok {
					*t = nobody{}
				}
				return true
			}
		}},
	}
}

type nobody struct{}

func (nobody) NobodyHasThis() {}

func wrongScanners() []wrongClient {
	return []wrongClient{
		{"page with a gap", []string{"Transfers/PagesHaveNoGap"}, func(m *mutant) {
			m.page(func(p *chain.Page) {
				if len(p.Blocks) > 2 {
					p.Blocks = slices.Delete(p.Blocks, 1, 2)
				}
			})
		}},
		{"page beyond its bound", []string{"Transfers/PagesHaveNoGap"}, func(m *mutant) {
			m.info = func(i chain.Info) chain.Info { i.PageBlocks = 10; return i }
		}},
		{"page beyond to", []string{"Transfers/StopAtTo"}, func(m *mutant) {
			m.transfers = func(ctx context.Context, from, _ uint64, w chain.Watch) (chain.Page, error) {
				return m.Client.Transfers(ctx, from, ^uint64(0), w)
			}
		}},
		{"empty page above the head", []string{"Transfers/NotFoundAboveHead"}, func(m *mutant) {
			m.transfers = func(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
				p, err := m.Client.Transfers(ctx, from, to, w)
				if errors.Is(err, chain.ErrNotFound) {
					err = nil
				}
				return p, err
			}
		}},
		{"no native coin", []string{"Transfers/NativeFound", "Prepare/Native", "Prepare/AllNative", "Prepare/TakenLocksAvoided"}, func(m *mutant) {
			m.drop(func(x chain.Transfer) bool { return x.ID.Ordinal == "n" })
		}},
		{"a key for all", []string{"Transfers/KeysAreTheWatchs", "Spends/BetweenOurOwn_B16"}, func(m *mutant) {
			m.page(func(p *chain.Page) {
				for i := range p.Transfers {
					p.Transfers[i].Key = 0
				}
			})
		}},
		{"everybody's transfers", []string{"Transfers/UnwatchedIgnored"}, func(m *mutant) {
			m.transfers = func(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
				return m.Client.Transfers(ctx, from, to, everyone{w})
			}
		}},
		{"transfers of nothing", []string{"Transfers/ZeroIgnored"}, func(m *mutant) {
			m.believe(func(r *receipt, add func(chain.AssetID, chain.Address, chain.Amount)) {
				if r.tx.value.IsZero() {
					add(m.chain.info.Native.ID, textAddress(*r.tx.raw.To()), r.tx.value)
				}
			})
		}},
		{"value of failed transactions", []string{"Transfers/FailedIgnored_B1"}, func(m *mutant) {
			m.believe(func(r *receipt, add func(chain.AssetID, chain.Address, chain.Amount)) {
				if !r.ok {
					add(m.chain.info.Native.ID, textAddress(*r.tx.raw.To()), r.tx.value)
				}
			})
		}},
		{"newest first", []string{"Transfers/SeveralBlocksInOrder"}, func(m *mutant) {
			m.page(func(p *chain.Page) { slices.Reverse(p.Transfers) })
		}},
		{"no tokens", []string{"Tokens/PlainFound", "Tokens/NoReturnFound", "Prepare/Token"}, func(m *mutant) {
			m.drop(func(x chain.Transfer) bool { return x.ID.Ordinal != "n" })
		}},
		{"asset by its position", []string{"Tokens/PlainFound"}, func(m *mutant) {
			m.page(func(p *chain.Page) {
				for i := range p.Transfers {
					p.Transfers[i].Asset = m.chain.listed[1].ID
				}
			})
		}},
		{"believes calldata", []string{"Tokens/FalseReturningNotCredited_B2"}, func(m *mutant) {
			m.believe(func(r *receipt, add func(chain.AssetID, chain.Address, chain.Amount)) {
				if to, n, ok := readTransferCall(r.tx.raw.Data()); ok {
					add(m.chain.info.Native.ID, textAddress(to), n)
				}
			})
		}},
		{"matches the symbol", []string{"Tokens/LookAlikeIgnored_B3"}, func(m *mutant) {
			m.transfers = func(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
				return m.Client.Transfers(ctx, from, to, withAssets{w, m.chain.tokens})
			}
		}},
		{"believes the token named in data", []string{"Tokens/SpoofedEventIgnored_B4"}, func(m *mutant) {
			plain := m.chain.tokens[0].Contract
			m.believeEvents(func(e event) bool {
				return len(e.data) == 64 && bytes.Contains(e.data[32:], mustAddress("test", plain).Bytes())
			})
		}},
		{"takes long data", []string{"Tokens/LongDataIgnored_B4"}, func(m *mutant) {
			m.believeEvents(func(e event) bool { return len(e.data) == 64 && len(e.topics) == 3 })
		}},
		{"takes four topics", []string{"Tokens/FourTopicsIgnored_B5"}, func(m *mutant) {
			m.believeEvents(func(e event) bool { return len(e.topics) == 4 })
		}},
		{"a list of its own", []string{"Tokens/NotAskedForIgnored"}, func(m *mutant) {
			m.transfers = func(ctx context.Context, from, to uint64, w chain.Watch) (chain.Page, error) {
				return m.Client.Transfers(ctx, from, to, withAssets{w, m.chain.listed})
			}
		}},
		{"one transfer for a transaction", []string{"Tokens/SeveralInOneTransaction_B15"}, func(m *mutant) {
			m.page(func(p *chain.Page) {
				p.Transfers = slices.CompactFunc(p.Transfers, func(a, b chain.Transfer) bool { return a.ID.Tx == b.ID.Tx })
			})
		}},
		{"ordinals that repeat", []string{"Tokens/SeveralInOneTransaction_B15"}, func(m *mutant) {
			m.page(func(p *chain.Page) {
				for i, x := range p.Transfers {
					p.Transfers[i].ID.Ordinal = x.ID.Ordinal[:len(x.ID.Ordinal)-1] + "0"
				}
			})
		}},
		{"identity with the block hash", []string{"Reorg/IdentityStable_A3_A4"}, func(m *mutant) {
			m.page(func(p *chain.Page) {
				for i, x := range p.Transfers {
					p.Transfers[i].ID.Ordinal += "@" + string(x.Hash)
				}
			})
		}},
		{"identity with the place in the block", []string{"Reorg/IdentityStable_A3_A4"}, func(m *mutant) {
			m.page(func(p *chain.Page) {
				for i, x := range p.Transfers {
					p.Transfers[i].ID.Ordinal = fmt.Sprint(x.TxIndex, "/", i)
				}
			})
		}},
	}
}
