#!/usr/bin/env bash
# Fuzzes every target that there is, each for a short while.
#
#   scripts/fuzz.sh            3 s each
#   scripts/fuzz.sh 5m         as long each as that
#   scripts/fuzz.sh 3s 180     and at most 180 s each, with the build (7200)
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
time=${1:-3s}
limit=${2:-7200}

found=0
status=0
for module in $(modules); do
	cd "$root/$module"
	# A target is a line that begins with func FuzzX in a test file.
	while IFS=: read -r file line; do
		name=${line#func }
		name=${name%%(*}
		dir=./$(dirname "$file")
		found=$((found + 1))
		step "$module $dir $name" "$limit" go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$dir" || status=1
	done < <(
		# Modules nested below this one have their own turn.
		find . -name '*_test.go' -not -path '*/.*/*' -printf '%P\n' | sort | while read -r file; do
			dir=$(dirname "$file")
			while [ "$dir" != . ] && [ ! -e "$dir/go.mod" ]; do dir=$(dirname "$dir"); done
			[ "$dir" = . ] && grep -HoE '^func Fuzz[A-Za-z0-9_]*\(' "$file" || true
		done
	)
done
if [ "$found" -eq 0 ]; then
	echo "no fuzz target found" >&2
	exit 1
fi
exit "$status"
