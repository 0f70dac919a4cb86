# Shared by the scripts of this folder: where things are, and how to say what
# happens. To be sourced, from bash.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools

# Every module is built by its own go.mod, as those who depend on it build it:
# the workspace could hide a requirement that is missing there.
export GOWORK=off
# Flags of the caller's environment would change what is tested.
export GOFLAGS=

# modules lists the folders of all modules, the root's first.
modules() {
	(cd "$root" && find . -name go.mod -not -path './.tools/*' -printf '%h\n' | sort)
}

say() { printf '\n== %s\n' "$*"; }

# limited NAME SECONDS COMMAND... runs a command with a limit, in a process group
# of its own so that nothing of it outlives the limit.
limited() {
	local name=$1 limit=$2 status=0
	shift 2
	say "$name"
	timeout --kill-after=10 "$limit" "$@" </dev/null || status=$?
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		echo "$name: not done within $limit s" >&2
	fi
	return "$status"
}

# step is limited, and says how long it took.
step() {
	local begin=$SECONDS status=0
	limited "$@" || status=$?
	printf -- '-- %s: %d s\n' "$1" $((SECONDS - begin))
	return "$status"
}

# missing REASON fails where everything is required, and says so otherwise.
missing() {
	if [ "${BURSAR_REQUIRE_ALL:-}" = 1 ]; then
		echo "missing: $*" >&2
		exit 1
	fi
	echo "skipped: $*" >&2
}
