#!/usr/bin/env bash
# Format, vet and lint of every module, each by its own go.mod.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

say gofmt
unformatted=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 -r ls -d 2>/dev/null | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'not formatted:\n%s\n' "$unformatted" >&2
	exit 1
fi

status=0
for module in $(modules); do
	cd "$root/$module"
	step "go vet $module" 900 go vet ./... || status=1
	if [ -x "$tools/bin/golangci-lint" ]; then
		step "golangci-lint $module" 900 "$tools/bin/golangci-lint" run --config "$root/.golangci.yml" --timeout 10m ./... || status=1
	else
		missing "golangci-lint: not in .tools, see scripts/tools.sh"
	fi
done
exit "$status"
