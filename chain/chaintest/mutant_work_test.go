package chaintest

import "github.com/bursar-go/bursar/chain"

// worksOn spoils what the work is told of.
func worksOn(spoil func(of *chain.Collection)) func(m *mutant) {
	return func(m *mutant) {
		m.works = func(of chain.Collection) chain.Work {
			spoil(&of)
			return m.work(of)
		}
	}
}

// worksOut spoils the work that is told.
func worksOut(spoil func(of chain.Collection, w *chain.Work)) func(m *mutant) {
	return func(m *mutant) {
		m.works = func(of chain.Collection) chain.Work {
			w := m.work(of)
			spoil(of, &w)
			return w
		}
	}
}

func wrongWorkers() []wrongClient {
	told := uint64(0)
	return []wrongClient{
		{"work that grows by itself", []string{"Work/Coherent"}, worksOut(func(_ chain.Collection, w *chain.Work) {
			if told++; w.Now > 0 {
				w.Now += told
			}
		})},
		{"work for nothing", []string{"Work/Coherent"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if of.First+of.Again == 0 {
				w.Now = gasTransaction
			}
		})},
		{"less than nobody", []string{"Work/Coherent"}, worksOut(func(of chain.Collection, w *chain.Work) {
			w.Now -= min(w.Now, uint64(max(-of.Again, 0)))
		})},
		{"more for less", []string{"Work/Coherent"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if of.First > 3 {
				w.Now /= 4
			}
		})},
		{"less the next time round", []string{"Work/Coherent"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if of.First > 3 {
				w.Next /= 4
			}
		})},
		{"dearer again", []string{"Work/Coherent"}, worksOut(func(of chain.Collection, w *chain.Work) {
			w.Now += uint64(max(of.Again, 0)) * gasTransaction * 2
		})},
		{"a projection of nothing", []string{"Work/Coherent"}, worksOut(func(_ chain.Collection, w *chain.Work) { w.Rules = "" })},
		{"batches that nobody makes", []string{"Work/Coherent"}, func(m *mutant) {
			m.batching = func(chain.Batching) chain.Batching { return chain.Batching{} }
		}},
		{"no word of batches", []string{"Work/Coherent"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if of.Way == chain.WayBatch {
				*w = chain.Work{}
			}
		})},
		{"any way is one", []string{"Work/Coherent"}, worksOn(func(of *chain.Collection) {
			if of.Way != chain.WayTopUp && of.Way != chain.WayBatch {
				of.Way = chain.WayTransfer
			}
		})},
		{"coin is a token", []string{"Work/Coherent"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if of.Way == chain.WayTopUp && of.Asset.Native() {
				w.Now = gasTransaction
			}
		})},
		{"a token is coin", []string{"Work/Coherent"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if of.Way == chain.WayTransfer && !of.Asset.Native() {
				w.Now = gasTransaction
			}
		})},
		{"work without the top-up", []string{"Work/IsWhatTransfersTake"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if of.Way == chain.WayTopUp {
				w.Now -= min(w.Now, gasTransaction)
			}
		})},
		{"transfers that cost twice", []string{"Work/IsWhatTransfersTake"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if of.Way == chain.WayTransfer {
				w.Now *= 2
			}
		})},
		{"one top-up for many", []string{"Work/IsWhatTransfersTake"}, worksOut(func(of chain.Collection, w *chain.Work) {
			if n := max(of.First, 0) + max(of.Again, 0); of.Way == chain.WayTopUp && n > 1 {
				w.Now -= uint64(n-1) * gasTransaction
			}
		})},
	}
}
