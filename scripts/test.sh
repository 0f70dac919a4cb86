#!/usr/bin/env bash
# Everything that must hold. The tests proper come last, so that a run ends with what go test says of each package.
#
# Environment:
#   BURSAR_REQUIRE_ALL=1   what is missing on this machine fails instead of skipping
#   BURSAR_ANVIL, BURSAR_GETH   nodes to use instead of those in .tools
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

"$root/scripts/tools.sh"

# All parts run, whatever fails before: one run shows everything that is wrong.
status=0
"$root/scripts/lint.sh" || status=1
# By count: at the end of a time go test itself sometimes fails with "context
# deadline exceeded", without a finding.
"$root/scripts/fuzz.sh" 10000x 240 || status=1

# The figures themselves are no gate here: a shared machine is no place to
# measure. Each must work.
step bench 300 go -C bench run . -quick || status=1

if [ -z "${BURSAR_ANVIL:-}" ] && anvil=$(find "$tools/node_modules/@foundry-rs" -path '*/bin/anvil' -type f 2>/dev/null | head -n 1) && [ -n "$anvil" ]; then
	export BURSAR_ANVIL=$anvil
fi
if [ -z "${BURSAR_GETH:-}" ] && [ -x "$tools/bin/geth" ]; then
	export BURSAR_GETH=$tools/bin/geth
fi

# The random runs of thousands of steps, without the race detector, which slows
# them several times; below they run shortened under it.
step "long random runs" 900 go test -timeout 14m -run 'Random|Sequences|Storm|Crash|KeysAhead|NeverCountedTwice|ProbedPages' . ./chain/evm ./sweeper ./scanner ./storetest ./store/... || status=1
for store in sqlite postgres; do
	step "long random runs on $store" 600 go -C "store/$store" test -timeout 9m -run 'Conformance/model' . || status=1
done

# Hundreds of seeds, and every crash point of the scenarios; make sim does more. It
# makes much garbage and keeps little.
GOGC=400 step "simulation" 2100 go test -timeout 34m ./internal/sim -sim.seeds=300 -sim.blocks=300 -sim.every=1 || status=1

# The simulation finds what it is there to find: one binary has all planted bugs, and
# each is switched on for the seed that found it.
GOGC=400 step "planted bugs" 1200 go test -timeout 19m ./internal/sim -run '^TestPlantedBugs$' -sim.replay || status=1

# Processes that are killed, with all their worlds at once; below, under the race
# detector, a few.
step "crashes of processes" 900 go -C e2e test -timeout 14m ./crash || status=1

# The simulated chain against an EVM, with all its scripts; below they are few.
step "scripts on two chains" 600 go -C e2e test -timeout 9m ./differential || status=1

# What sweeping costs; below, without the figures.
step "gas of sweeps" 600 go -C e2e test -timeout 9m ./contracts || status=1

# The root module's tests are pure and share the cores. Those of the others
# start nodes and wait for blocks, so that their packages take turns.
for module in $(modules); do
	flags=(-race -p 1)
	packages=(./...)
	args=()
	workspace=off
	case $module in
	.)
		# What restarts gateways hundreds of times ran above.
		flags=(-race -p 2 -short -skip 'CrashPoint|ACrashWhile|KeysAhead')
		;;
	./e2e)
		flags+=(-short)
		# These ran above.
		mapfile -t packages < <(go -C "$root/$module" list ./... | grep -v -e '/crash$' -e '/contracts$')
		;;
	./store/*) args=(-rapid.checks=20) ;;
	./bench) flags=(-p 1) ;; # figures under the race detector mean nothing
	./examples)
		# What a newcomer runs, as a newcomer runs it: in the workspace, and not ten
		# times slower than it is.
		flags=(-p 1)
		workspace=
		;;
	esac
	echo "-- after $SECONDS s"
	GOWORK=$workspace limited "go test $module" 2400 go -C "$root/$module" test "${flags[@]}" -timeout 38m "${packages[@]}" "${args[@]}" || status=1
done
if [ "$status" -ne 0 ]; then
	echo "something above failed" >&2
fi
exit "$status"
