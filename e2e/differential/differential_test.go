package differential

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var (
	scripts = flag.Int("differential.scripts", 150, "how many random scripts to run")
	first   = flag.Uint64("differential.seed", 1, "the seed of the first script; the others count up from it")
)

// TestDifferential runs random scripts on the simulated chain and on an EVM.
func TestDifferential(t *testing.T) {
	done := &tally{classes: map[string]int{}}
	for i := range *scripts {
		seed := *first + uint64(i)
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { one(t, seed, done) }) {
			t.Fatalf("replay: go -C e2e test ./differential -run TestDifferential -differential.scripts=1 -differential.seed=%d", seed)
		}
	}
	t.Logf("%+v", *done)
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
