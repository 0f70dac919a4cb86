package chaintest

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bursar-go/bursar/chain"
)

// TestBatchSuiteDetectsWrongClients: each rule has a client that breaks it, and a right
// one breaks none.
func TestBatchSuiteDetectsWrongClients(t *testing.T) {
	all := trials{}
	for _, c := range batchChecks() {
		all[c.name] = func(t *testing.T, spoil func(m *mutant)) *recorder {
			h := NewBatchHarness(Options{})
			m := &mutant{Client: h.Client.(*Client)}
			spoil(m)
			h.Client = m
			return watch(t, c.name, func(r *recorder) { c.run(newBatchSuite(r, h)) })
		}
	}
	all.detect(t, wrongBatchers())
	for name, try := range all {
		r := try(t, func(*mutant) {})
		require.False(t, r.failed || r.skipped, "%s: %v", name, r.said)
	}
}

// draftOf spoils the drafts of batches.
func draftOf(spoil func(d *chain.Draft)) func(m *mutant) {
	return func(m *mutant) {
		m.prepare = func(ctx context.Context, in chain.Intent) (chain.Draft, error) {
			d, err := m.Client.Prepare(ctx, in)
			if err == nil && in.FeePayer.Address != "" {
				d.Intent.Moves = slices.Clone(d.Intent.Moves)
				spoil(&d)
			}
			return d, err
		}
	}
}

// asked spoils the intents of batches before they are prepared.
func asked(spoil func(in *chain.Intent)) func(m *mutant) {
	return func(m *mutant) {
		m.prepare = func(ctx context.Context, in chain.Intent) (chain.Draft, error) {
			in.Moves = slices.Clone(in.Moves)
			spoil(&in)
			return m.Client.Prepare(ctx, in)
		}
	}
}

// statusOf spoils what Status says.
func statusOf(spoil func(s *chain.TxStatus)) func(m *mutant) {
	return func(m *mutant) {
		m.status = func(ctx context.Context, ids ...chain.TxID) ([]chain.TxStatus, error) {
			out, err := m.Client.Status(ctx, ids...)
			for i := range out {
				spoil(&out[i])
			}
			return out, err
		}
	}
}

func wrongBatchers() []wrongClient {
	return []wrongClient{
		{"batching elsewhere", []string{"Batch/Batching"}, func(m *mutant) {
			m.as = func(target any) bool {
				b, ok := target.(*chain.Batcher)
				if ok {
					*b = elsewhere{}
				}
				return ok
			}
		}},
		{"locks of the sponsor alone", []string{"Batch/Sweeps", "Batch/RequestsAreComplete"}, func(m *mutant) {
			draftOf(func(d *chain.Draft) { d.Locks = d.Locks[:1] })(m)
			m.sign = func(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
				_, auths, err := readDraft(d.Payload)
				for _, a := range auths {
					d.Locks = append(d.Locks[:len(d.Locks):len(d.Locks)], nonceLock(a.Authority, a.Nonce))
				}
				if err != nil {
					return chain.Signed{}, err
				}
				return m.Client.Sign(ctx, d, s)
			}
		}},
		{"amounts as asked", []string{"Batch/AmountsAreFixed"}, draftOf(func(d *chain.Draft) {
			d.Intent.Moves[0].Amount = units(1)
		})},
		{"any signature", []string{"Batch/WrongSignaturesRefused"}, func(m *mutant) {
			m.sign = func(context.Context, chain.Draft, chain.Signer) (chain.Signed, error) {
				return chain.Signed{Chain: m.Info().ID, ID: "0x1", Raw: []byte{1}}, nil
			}
		}},
		{"signs what it is given", []string{"Batch/ChangedDraftRefused"}, func(m *mutant) {
			m.sign = func(ctx context.Context, d chain.Draft, s chain.Signer) (chain.Signed, error) {
				_, err := s.Sign(ctx, nil)
				return chain.Signed{}, err
			}
		}},
		{"pays anybody", []string{"Batch/BadIntentsRefused"}, asked(func(in *chain.Intent) {
			if in.FeePayer.Address != "" && in.Moves[0].To != in.Moves[len(in.Moves)-1].To {
				in.Moves[len(in.Moves)-1].To = in.Moves[0].To
			}
		})},
		{"knows nothing of other attempts", []string{"Batch/SourcesInTheWayAreNamed"}, asked(func(in *chain.Intent) { in.Taken = nil })},
		{"takes what there is", []string{"Batch/SourcesInTheWayAreNamed"}, asked(func(in *chain.Intent) {
			for i := range in.Moves {
				in.Moves[i].All = true
			}
		})},
		{"no cap", []string{"Batch/FeeTooHigh"}, asked(func(in *chain.Intent) { in.MaxFee = chain.Amount{} })},
		{"says nothing of what it did not move", []string{"Batch/StaleAuthorisationKeepsNothingElseBack", "Batch/SpentMoneyKeepsNothingElseBack"}, func(m *mutant) {
			statusOf(func(s *chain.TxStatus) {
				if s.Unswept != nil {
					s.Unswept = &chain.Unswept{Tried: s.Unswept.Tried}
				}
			})(m)
		}},
		{"a failed entry fails all", []string{"Batch/StaleAuthorisationKeepsNothingElseBack", "Batch/SpentMoneyKeepsNothingElseBack"}, statusOf(func(s *chain.TxStatus) {
			if s.Unswept != nil {
				s.State, s.Transfers = chain.TxFailed, nil
			}
		})},
		{"counts what it meant to move", []string{"Batch/StaleAuthorisationKeepsNothingElseBack"}, statusOf(func(s *chain.TxStatus) {
			if s.Unswept != nil {
				s.Transfers = append(s.Transfers, s.Transfers[:min(1, len(s.Transfers))]...)
			}
		})},
		{"bumps with the sponsor's lock alone", []string{"Batch/BumpKeepsLocks"}, func(m *mutant) {
			m.bump = func(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
				d, err := m.Client.Bump(ctx, in, old)
				d.Locks = d.Locks[:min(1, len(d.Locks))]
				return d, err
			}
		}},
		{"is stuck with one bad source", []string{"Batch/BumpPastABadSource"}, func(m *mutant) {
			m.bump = func(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
				in.Reuse = old.Locks
				if _, err := m.Client.Prepare(ctx, in); err != nil {
					return chain.Draft{}, err
				}
				return m.Client.Bump(ctx, in, old)
			}
		}},
		{"cancels with all locks", []string{"Batch/CancelSpendsTheSponsorsLock"}, func(m *mutant) {
			m.bump = func(ctx context.Context, in chain.Intent, old chain.Signed) (chain.Draft, error) {
				d, err := m.Client.Bump(ctx, in, old)
				d.Locks = old.Locks
				return d, err
			}
		}},
		{"forgets authorities after a reorg", []string{"Batch/Reorg"}, statusOf(func(s *chain.TxStatus) {
			s.Locks = s.Locks[:min(1, len(s.Locks))]
		})},
		{"work without authorisations", []string{"Batch/WorkIsWhatItTakes"}, worksOn(func(of *chain.Collection) {
			of.First, of.Again = 0, max(of.First, 0)+max(of.Again, 0)
		})},
		{"work as if all authorised", []string{"Batch/WorkIsWhatItTakes"}, worksOn(func(of *chain.Collection) {
			of.First, of.Again = max(of.First, 0)+max(of.Again, 0), 0
		})},
		{"work of one batch for each", []string{"Batch/WorkIsWhatItTakes"}, func(m *mutant) {
			m.works = func(of chain.Collection) chain.Work {
				w := m.work(of)
				w.Now += uint64(max(of.First+of.Again-1, 0)) * gasTransaction
				return w
			}
		}},
	}
}

// elsewhere is a Batcher of another treasury.
type elsewhere struct{}

func (elsewhere) Batching() chain.Batching { return chain.Batching{Treasury: "0x1", MaxMoves: 1} }
