package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

// simRate is how fast the simulation goes where nothing goes wrong.
func simRate(b *bench) (reading, error) { return b.simulate("calm", 600) }

// simRateChaos is how fast it goes where everything does.
func simRateChaos(b *bench) (reading, error) { return b.simulate("chaos", 300) }

// rate is what the simulation's own test prints.
var rate = regexp.MustCompile(`rate: ([0-9.]+) blocks/s, ([0-9]+) effects a block`)

// simulate runs the simulation's own test, since virtual time is to be had in a
// test alone, in a process of its own on one core. The figure is the median round.
func (b *bench) simulate(kind string, blocks int) (reading, error) {
	if b.quick {
		blocks = 20
	}
	var rates []float64
	effects := ""
	for range b.rounds {
		// #nosec G204 -- constants and numbers
		cmd := exec.Command("go", "test", "-count=1", "-v", "-run", "TestRate$", "github.com/bursar-go/bursar/internal/sim",
			"-sim.rate="+kind, "-sim.blocks="+strconv.Itoa(blocks))
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return reading{}, fmt.Errorf("%w: %s", err, out)
		}
		found := rate.FindSubmatch(out)
		if found == nil {
			return reading{}, errors.New("the simulation tells no rate")
		}
		value, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			return reading{}, err
		}
		rates, effects = append(rates, value), string(found[2])
	}
	return reading{median(rates), fmt.Sprintf("%d rounds of %d blocks, %s effects a block", b.rounds, blocks, effects)}, nil
}
