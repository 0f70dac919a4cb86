// Package sim runs the real gateway on simulated time, chain, network, store and
// crashes, for years of chain in minutes, and repeats any run from its seed.
//
// Every effect of a gateway (a call of its store, its node, a notifier) stops at
// the gate and waits. The driver lets everything in the bubble come to rest, sorts
// what waits by name, draws one of them, perhaps a fault for it, and lets it pass;
// where nothing waits, time moves to the next timer or the next event of the world
// outside. So there is one order of all that happens, and it follows from the seed.
//
//	seed ──► one stream of random numbers for each: schedule, faults, world, instances
//
//	  driver ── rest ── sort ── draw ── fault? ── release ── judge ──┐
//	    ▲                                                            │
//	    └────────────────────────────────────────────────────────────┘
//	  instances (1 to 5)   real gateways, real goroutines, virtual time
//	  database             the memory store, and a journal of its commits to rebuild it from
//	  node                 views of one simulated chain, each with its own lag and branch
//	  world                miners, payers, merchants, attackers, operators
//	  oracle               judges every commit, broadcast and delivery, and the end
//
// A run has three phases: chaos for so many blocks; healing, with no new faults and
// time for every deadline; and the checks at rest. The package knows no testing: a
// test hands in what makes a bubble rest, see Options.Wait.
package sim
