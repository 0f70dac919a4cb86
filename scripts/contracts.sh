#!/usr/bin/env bash
# Compiles the contracts with the pinned compiler and writes what the packages
# embed: chain/evm/contracts/sweeper.hex, and evmtest/sweeptokens/tokens.txt for
# tests. A changed sweeper.hex is another contract at another address: those who
# delegated to the old one go on with it.
#
#   scripts/contracts.sh
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

BURSAR_REQUIRE_ALL=1 "$root/scripts/tools.sh" solc
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
NODE_PATH=$tools/solc/node_modules node "$root/chain/evm/contracts/src/compile.js" "$out"
cp "$out/sweeper.hex" "$root/chain/evm/contracts/"
cp "$out/tokens.txt" "$root/chain/evm/evmtest/sweeptokens/"
git -C "$root" status --short chain/evm
