#!/usr/bin/env bash
# Installs what the tests use beside Go into .tools, each at a pinned version,
# and leaves alone what is there already.
#
#   scripts/tools.sh                 all
#   scripts/tools.sh anvil geth      some of: anvil geth golangci-lint solc postgresql pgbouncer
#
# PostgreSQL and PgBouncer are the system's packages, of the version it has.
#
# Without BURSAR_REQUIRE_ALL=1 a tool that cannot be had is reported and left
# out; the tests that need it then skip.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

anvil_version=1.7.1
# The newest release whose command builds without its repository's go.mod.
geth_version=v1.16.9
lint_version=v2.15.0
# The compiler of chain/evm/contracts: another one makes other code.
solc_version=0.8.37

# go_tool NAME PACKAGE MODULE VERSION
go_tool() {
	local name=$1 package=$2 module=$3 version=$4
	if go version -m "$tools/bin/$name" 2>/dev/null | grep -qP "^\tmod\t\Q$module\E\t\Q$version\E\t"; then
		echo "$name $version is there"
		return
	fi
	# Outside of our modules, so that none of them has a say in versions.
	(cd "$tools" && GOBIN=$tools/bin step "install $name $version" 1500 go install "$package@$version") || missing "$name $version: go install failed"
}

install_npm() {
	if command -v npm >/dev/null; then
		return
	fi
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		missing "npm: neither installed nor, without root and apt-get, to be installed"
		return 1
	fi
	step "install npm" 600 sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends nodejs npm' ||
		{ missing "npm: apt-get failed"; return 1; }
}

install_anvil() {
	local arch
	case $(uname -m) in
	x86_64) arch=amd64 ;;
	aarch64 | arm64) arch=arm64 ;;
	*) missing "anvil: no package for $(uname -m)"; return ;;
	esac
	local binary=$tools/node_modules/@foundry-rs/anvil-linux-$arch/bin/anvil
	if [ -x "$binary" ] && "$binary" --version | grep -q "Version: $anvil_version\b"; then
		echo "anvil $anvil_version is there"
		return
	fi
	install_npm || return 0
	# The package holds the binary; scripts of packages are not run.
	step "install anvil $anvil_version" 600 npm install --prefix "$tools" --no-save --no-audit --no-fund --ignore-scripts "@foundry-rs/anvil@$anvil_version" &&
		[ -x "$binary" ] || missing "anvil $anvil_version: npm install failed"
}

install_solc() {
	# In a folder of its own: npm removes what it did not put there itself.
	local module=$tools/solc/node_modules/solc
	if grep -qs "\"version\": \"$solc_version\"" "$module/package.json"; then
		echo "solc $solc_version is there"
		return
	fi
	install_npm || return 0
	mkdir -p "$tools/solc"
	step "install solc $solc_version" 600 npm install --prefix "$tools/solc" --no-save --no-audit --no-fund --ignore-scripts "solc@$solc_version" &&
		[ -e "$module/package.json" ] || missing "solc $solc_version: npm install failed"
}

# apt_quietly PACKAGE... installs packages without what Debian does beside that:
# it would make a cluster and start it, and a pooler. The tests start their own.
# What prevents it is gone again afterwards.
apt_quietly() (
	policy=/usr/sbin/policy-rc.d
	cluster=/etc/postgresql-common/createcluster.d/bursar-tests.conf
	trap 'rm -f "$cluster" ${made_policy:+"$policy"}' EXIT
	trap 'exit 1' INT TERM
	mkdir -p "$(dirname "$cluster")"
	echo 'create_main_cluster = false' >"$cluster"
	if [ ! -e "$policy" ]; then
		made_policy=1
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	# shellcheck disable=SC2016 # the inner shell expands it
	step "install $*" 600 sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"' sh "$@"
	# Not started now is no help when the machine starts again. PostgreSQL without
	# a cluster starts nothing.
	case " $* " in
	*' pgbouncer '*) ! command -v systemctl >/dev/null || systemctl disable --quiet pgbouncer ;;
	esac
)

# install_apt NAME MINIMUM COMMAND... installs a package, unless COMMAND answers
# with a version that is new enough.
install_apt() {
	local name=$1 minimum=$2 version
	shift 2
	if version=$("$@") && [ "$(printf '%s\n' "$minimum" "$version" | sort -V | head -n 1)" = "$minimum" ]; then
		echo "$name $version is there"
		return
	fi
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		missing "$name: neither installed nor, without root and apt-get, to be installed"
		return
	fi
	apt_quietly "$name" || { missing "$name: apt-get failed"; return; }
	version=$("$@") || { missing "$name: installed, and yet not there"; return; }
	echo "$name $version"
}

# The newest server, where Debian has its versions side by side or in PATH.
postgresql_version() {
	local newest
	newest=$(printf '%s\n' "${BURSAR_PG_BIN:-/nowhere}"/postgres /usr/lib/postgresql/*/bin/postgres "$(command -v postgres)" |
		while read -r path; do [ -x "$path" ] && "$path" --version; done | grep -oP '\) \K[0-9.]+' | sort -V | tail -n 1)
	[ -n "$newest" ] && echo "$newest"
}

pgbouncer_version() {
	PATH=$PATH:/usr/sbin "${BURSAR_PGBOUNCER:-pgbouncer}" --version 2>/dev/null | grep -oP '^PgBouncer \K[0-9.]+'
}

mkdir -p "$tools/bin"
[ $# -gt 0 ] || set -- anvil geth golangci-lint solc postgresql pgbouncer
for tool; do
	case $tool in
	anvil) install_anvil ;;
	solc) install_solc ;;
	geth) go_tool geth github.com/ethereum/go-ethereum/cmd/geth github.com/ethereum/go-ethereum "$geth_version" ;;
	golangci-lint) go_tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint github.com/golangci/golangci-lint/v2 "$lint_version" ;;
	postgresql) install_apt postgresql 15 postgresql_version ;;
	pgbouncer) install_apt pgbouncer 1.18 pgbouncer_version ;;
	*) echo "no tool is called $tool" >&2; exit 2 ;;
	esac
done
