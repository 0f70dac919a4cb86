package chaintest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bursar-go/bursar/chain"
)

func wrongStatuses() []wrongClient {
	statuses := func(m *mutant, spoil func(out []chain.TxStatus)) {
		m.status = func(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
			out, err := m.Client.Status(ctx, ids...)
			spoil(out)
			return out, err
		}
	}
	return []wrongClient{
		{"status in another order", []string{"Status/InOrderOfTheIDs"}, func(m *mutant) {
			statuses(m, func(out []chain.TxStatus) { slices.Reverse(out) })
		}},
		{"no pending transactions", []string{"Status/Pending"}, func(m *mutant) {
			statuses(m, func(out []chain.TxStatus) {
				for i := range out {
					if out[i].State == chain.TxPending {
						out[i].State = chain.TxUnknown
					}
				}
			})
		}},
		{"an error where nothing is asked", []string{"Status/NoIDs"}, func(m *mutant) {
			m.status = func(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
				if len(ids) == 0 {
					return nil, errSome
				}
				return m.Client.Status(ctx, ids...)
			}
		}},
		{"status cached", []string{"Reorg/StatusFollows"}, func(m *mutant) {
			cache := map[chain.TxID]chain.TxStatus{}
			statuses(m, func(out []chain.TxStatus) {
				for i, x := range out {
					if old, ok := cache[x.ID]; ok {
						out[i] = old
					}
					cache[x.ID] = out[i]
				}
			})
		}},
		{"no spends", []string{"Spends/NativeComplete", "Spends/TokenComplete", "Spends/FailedComplete", "Spends/BetweenOurOwn_B16"}, func(m *mutant) {
			m.page(func(p *chain.Page) { p.Spends = nil })
		}},
		{"only successful spends", []string{"Spends/FailedComplete"}, func(m *mutant) {
			m.page(func(p *chain.Page) {
				p.Spends = slices.DeleteFunc(p.Spends, func(x chain.TxStatus) bool { return x.State == chain.TxFailed })
			})
		}},
		{"spends without a fee", []string{"Spends/NativeComplete"}, func(m *mutant) {
			m.spends(func(x *chain.TxStatus) { x.Fee = chain.Amount{} })
		}},
		{"spends without locks", []string{"Spends/NativeComplete"}, func(m *mutant) {
			m.spends(func(x *chain.TxStatus) { x.Locks = nil })
		}},
		{"spends without movements", []string{"Spends/TokenComplete"}, func(m *mutant) {
			m.spends(func(x *chain.TxStatus) { x.Transfers = nil })
		}},
	}
}

func wrongWriters() []wrongClient {
	return append([]wrongClient{
		{"preparing consumes a nonce", []string{"Prepare/Native", "Broadcast/LockSpent"}, func(m *mutant) {
			var used []chain.Lock
			m.prepare = func(ctx context.Context, in chain.Intent) (chain.Draft, error) {
				in.Taken = append(in.Taken, used...)
				d, err := m.Client.Prepare(ctx, in)
				used = append(used, d.Locks...)
				return d, err
			}
		}},
		{"all without the fee's share", []string{"Prepare/AllNative", "Sign/DecodeSaysTheToken", "Prepare/AllToken"}, func(m *mutant) {
			m.draft(func(_ chain.Intent, d *chain.Draft, err error) error {
				if err == nil {
					d.Intent.Moves[0].Amount = units(0)
					d.Fee = units(1)
				}
				return err
			})
		}},
		{"wants a return value", []string{"Prepare/NoReturnToken"}, func(m *mutant) {
			m.draft(func(in chain.Intent, _ *chain.Draft, err error) error {
				if in.Moves[0].Asset.ID == m.chain.tokens[1].ID {
					return &chain.RevertError{Reason: "no return value"}
				}
				return err
			})
		}},
		{"moves one unit less", []string{"Prepare/Token", "Prepare/Native", "Sign/DecodeSaysExactlyTheEffects"}, func(m *mutant) {
			m.intent(func(in *chain.Intent) {
				in.Moves = slices.Clone(in.Moves)
				in.Moves[0].Amount = in.Moves[0].Amount.SubFloor(units(1))
			})
		}},
		{"a missing fee is an error", []string{"Prepare/NeedsOfTokenWithoutGas"}, func(m *mutant) {
			m.draft(func(_ chain.Intent, d *chain.Draft, err error) error {
				if len(d.Needs) > 0 {
					return &chain.InsufficientFundsError{}
				}
				return err
			})
		}},
		{"half the need", []string{"Prepare/NeedsOfTokenWithoutGas"}, func(m *mutant) {
			m.draft(func(_ chain.Intent, d *chain.Draft, err error) error {
				for i := range d.Needs {
					d.Needs[i].Amount, _ = d.Needs[i].Amount.MulDiv(units(1), units(2))
				}
				return err
			})
		}},
		{"untyped errors", []string{"Prepare/InsufficientNative", "Prepare/InsufficientToken", "Prepare/NothingToSweep", "Prepare/FeeTooHigh", "Prepare/ManyMovesOrUnsupported"}, func(m *mutant) {
			m.draft(func(_ chain.Intent, _ *chain.Draft, err error) error {
				if err != nil {
					return errSome
				}
				return nil
			})
		}},
		{"no cap", []string{"Prepare/FeeTooHigh"}, func(m *mutant) {
			m.intent(func(in *chain.Intent) { in.MaxFee = chain.Amount{} })
		}},
		{"taken locks used", []string{"Prepare/TakenLocksAvoided", "Spends/FailedComplete"}, func(m *mutant) {
			m.intent(func(in *chain.Intent) { in.Taken = nil })
		}},
		{"cancels by a payment", []string{"Prepare/Cancel"}, func(m *mutant) {
			m.intent(func(in *chain.Intent) {
				if in.Purpose == chain.PurposeCancel {
					in.Purpose = chain.PurposeWithdrawal
					in.Moves = []chain.Move{{From: in.Moves[0].From, To: m.chain.Payer("x"), Asset: in.Moves[0].Asset, Amount: units(1)}}
				}
			})
		}},
		{"no reuse", []string{"Prepare/ReuseHoldsTheLocks"}, func(m *mutant) {
			m.intent(func(in *chain.Intent) { in.Reuse = nil })
		}},
		{"only the first move", []string{"Prepare/ManyMovesOrUnsupported"}, func(m *mutant) {
			m.intent(func(in *chain.Intent) { in.Moves = in.Moves[:1] })
		}},
		{"bump without a raise", []string{"Bump/Replaces"}, func(m *mutant) {
			m.bump = func(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
				t, _ := m.chain.readTx(old.Raw)
				m.chain.Drop(old.ID)
				in.Reuse = []chain.Lock{nonceLock(t.from, t.raw.Nonce())}
				defer func() { _ = m.Client.Broadcast(ctx, old) }()
				return m.Client.Prepare(ctx, in)
			}
		}},
	}, wrongSenders()...)
}

func wrongSenders() []wrongClient {
	return []wrongClient{
		{"no approval for the signer", []string{"Sign/RequestIsComplete"}, func(m *mutant) {
			m.sign = func(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
				d.Intent.Approval = nil
				return m.Client.Sign(ctx, d, s)
			}
		}},
		{"refusal swallowed", []string{"Sign/RefusalIsReturned"}, func(m *mutant) {
			m.sign = func(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
				out, err := m.Client.Sign(ctx, d, s)
				if err != nil {
					err = fmt.Errorf("signing failed: %v", err)
				}
				return out, err
			}
		}},
		{"signatures unchecked", []string{"Sign/WrongSignaturesRefused"}, func(m *mutant) {
			m.sign = func(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
				out, err := m.Client.Sign(ctx, d, s)
				if errors.Is(err, chain.ErrInvalidSignature) {
					err = nil
				}
				return out, err
			}
		}},
		{"drafts of any chain", []string{"Sign/OtherChainRefused"}, func(m *mutant) {
			m.sign = func(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
				d.Chain = m.chain.info.ID
				return m.Client.Sign(ctx, d, s)
			}
		}},
		{"drafts with needs", []string{"Prepare/NeedsOfTokenWithoutGas"}, func(m *mutant) {
			m.sign = func(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
				if len(d.Needs) > 0 {
					return chain.Signed{}, nil
				}
				return m.Client.Sign(ctx, d, s)
			}
		}},
		{"already known is an error", []string{"Broadcast/Idempotent"}, func(m *mutant) {
			m.broadcastAnswer(func(known bool, err error) error {
				if known {
					return errSome
				}
				return err
			})
		}},
		{"a spent lock is success", []string{"Broadcast/LockSpent"}, func(m *mutant) {
			m.broadcastAnswer(func(_ bool, err error) error {
				if errors.Is(err, chain.ErrLockSpent) {
					return nil
				}
				return err
			})
		}},
		{"garbage is success", []string{"Broadcast/GarbageRefused"}, func(m *mutant) {
			m.broadcastAnswer(func(bool, error) error { return nil })
		}},
		{"garbage is a spent lock", []string{"Broadcast/GarbageRefused"}, func(m *mutant) {
			m.broadcastAnswer(func(_ bool, err error) error {
				if err != nil {
					return chain.ErrLockSpent
				}
				return nil
			})
		}},
	}
}

func wrongCodecs() []wrongClient {
	return []wrongClient{
		{"effects left out", []string{"Sign/DecodeSaysExactlyTheEffects", "Sign/DecodeSaysTheToken"}, func(m *mutant) {
			m.codec = badCodec{Codec: m.Client.Codec(), decode: func(e chain.Effects, d []byte, err error) (chain.Effects, []byte, error) {
				e.Effects = nil
				return e, d, err
			}}
		}},
		{"decode believes everything", []string{"Codec/DecodeRefusesWhatItDoesNotKnow"}, func(m *mutant) {
			m.codec = badCodec{Codec: m.Client.Codec(), decode: func(e chain.Effects, d []byte, _ error) (chain.Effects, []byte, error) {
				return e, d, nil
			}}
		}},
		{"checksums ignored", []string{"Codec/WrongAddressesRefused"}, func(m *mutant) {
			m.codec = badCodec{Codec: m.Client.Codec(), parse: func(text string, a chain.Address, err error) (chain.Address, error) {
				if len(text) == 42 && text[1] == 'x' {
					return a, nil
				}
				return a, err
			}}
		}},
		{"links without an amount", []string{"Codec/PaymentURI"}, func(m *mutant) {
			m.codec = badCodec{Codec: m.Client.Codec(), uri: func(uri string, err error) (string, error) {
				return uri[:min(len(uri), 52)], err
			}}
		}},
		{"keys of nobody", []string{"Codec/RoundTrip"}, func(m *mutant) {
			m.codec = badCodec{Codec: m.Client.Codec(), keys: func([][]byte) [][]byte { return [][]byte{make([]byte, 20)} }}
		}},
	}
}
