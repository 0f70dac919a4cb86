#!/usr/bin/env bash
# Statement coverage of the root module, over all of its packages together, by
# its own tests.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

profile=$tools/cover.out
mkdir -p "$tools"
step "go test -cover" 1800 go test -p 2 -coverpkg ./... -coverprofile "$profile" ./...
say "covered, by package"
# Lines of a profile: FILE:RANGE STATEMENTS COUNT, once for each test binary.
awk -F'[: ]' 'NR > 1 {
	key = $1 ":" $2
	statements[key] = $3
	if ($4 > 0) hit[key] = 1
} END {
	for (key in statements) {
		package = key
		sub(/\/[^\/]*$/, "", package)
		total[package] += statements[key]; all += statements[key]
		if (key in hit) { covered[package] += statements[key]; reached += statements[key] }
	}
	for (package in total) printf "%6.1f %%  %s\n", 100 * covered[package] / total[package], package | "sort -k3"
	close("sort -k3")
	printf "%6.1f %%  total\n", 100 * reached / all
}' "$profile"
