package differential

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	scripts = flag.Int("differential.scripts", 150, "how many random scripts to run")
	first   = flag.Uint64("differential.seed", 1, "the seed of the first script; the others count up from it")
)

// TestDifferential runs random scripts on the simulated chain and on an EVM.
func TestDifferential(t *testing.T) {
	done := &tally{classes: map[string]int{}}
	count := *scripts
	if testing.Short() {
		count = min(count, 20)
	}
	for i := range count {
		seed := *first + uint64(i)
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { one(t, seed, done) }) {
			t.Fatalf("replay: go -C e2e test ./differential -run TestDifferential -differential.scripts=1 -differential.seed=%d", seed)
		}
	}
	t.Logf("%+v", *done)
	if count >= 100 {
		done.requireAll(t)
	}
}

// requireAll fails where the scripts no longer reach what they are for.
func (d *tally) requireAll(t *testing.T) {
	for _, class := range []string{taken, known, spent, poor, replacement, cheap, lowGas} {
		require.NotZero(t, d.classes[class], "broadcasts that are %s", class)
	}
	require.Greater(t, d.choices, d.blocks/2, "blocks of which the choice was compared")
	for what, n := range map[string]int{
		"failed calls": d.failed, "logs": d.logs, "transfers": d.transfers, "forks": d.forks, "forks and back": d.returns,
		"transactions that a fork loses": d.lost, "edicts": d.edicts,
	} {
		require.NotZero(t, n, what)
	}
}

// one runs the script of a seed.
func one(t *testing.T, seed uint64, done *tally) {
	p := newPair(t, done)
	defer func() {
		if t.Failed() {
			for _, line := range p.script {
				t.Log(line)
			}
		}
	}()
	(&script{p, rand.New(rand.NewPCG(seed, 0xd1ff))}).run()
	done.scripts++
}
