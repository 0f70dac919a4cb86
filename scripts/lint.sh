#!/usr/bin/env bash
# Format, vet and lint of every module, each by its own go.mod.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

status=0
say gofmt
unformatted=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 -r ls -d 2>/dev/null | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'not formatted:\n%s\n' "$unformatted" >&2
	status=1
fi

folders=()
for module in $(modules); do
	folders+=("$module/...")
	step "go vet $module" 900 go -C "$module" vet ./... || status=1
done
if [ -x "$tools/bin/golangci-lint" ]; then
	# All modules at once, in the workspace: loading what they share takes longer
	# than linting it.
	GOWORK='' step golangci-lint 1200 "$tools/bin/golangci-lint" run --timeout 20m "${folders[@]}" || status=1
else
	missing "golangci-lint: not in .tools, see scripts/tools.sh"
fi
exit "$status"
