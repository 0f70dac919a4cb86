// Sweeper is the code of deposit addresses, and what empties many of them in one
// transaction. It runs in three places:
//
//   - as itself, at its CREATE2 address: the batches;
//   - as the code of an account that delegates to it (EIP-7702);
//   - behind a forwarder, 33 bytes that delegate every call to it.
//
// What a sweep moves goes to the treasury. It runs in the sponsor's transactions
// only, so that what leaves a deposit address does so when a ledger knows of it;
// where there is no sponsor, in anybody's. Only the owner can make any of them do
// anything else. There is no storage, so that nothing can be initialised, upgraded,
// or found as another delegate of the account left it.
//
// The three addresses below are placeholders. Package contracts writes those of
// an installation over them, in the init code as in the runtime code.
object "Sweeper" {
    code {
        datacopy(0, dataoffset("Runtime"), datasize("Runtime"))
        return(0, datasize("Runtime"))
    }
    object "Runtime" {
        code {
            function treasury() -> a { a := 0xa82656b04cd07486863119ba4149273ae7fbc2b5 }
            function owner() -> a { a := 0xd5e4923709316758d08cc01ca59ffe397eb5779f }
            function sponsor() -> a { a := 0x94a07e51875fe8243b1a206eb69cf0774d14cdcd }

            let selector := shr(224, calldataload(0))

            // sweep(address asset, uint256 amount) returns (uint256): whoever may.
            if eq(selector, 0x6ea056a9) {
                if xor(origin(), sponsor()) {
                    if sponsored() { revert(0, 0) }
                }
                sweep(calldataload(4), calldataload(36))
            }

            // deploy(bytes32 salt, address asset, uint256 amount) returns (uint256):
            // deployBatch alone, so that an entry has a limit of gas to itself.
            if eq(selector, 0xe6f5e376) {
                if eq(caller(), address()) { deploy() }
            }

            // A payment in coin. Nothing is done, so that the 2,300 gas of a
            // contract's transfer are enough.
            if iszero(calldatasize()) { stop() }

            // The batches are packed: selector (4), asset (20), most gas of one
            // entry (8), then the entries.
            if eq(selector, 0x915cb338) { sweepBatch() }
            if eq(selector, 0x4502780e) { flushBatch() }
            if eq(selector, 0x8132544c) { deployBatch() }

            // execute(address target, uint256 value, bytes data): the owner, for what
            // sweep cannot move.
            if eq(selector, 0xb61d27f6) {
                if eq(caller(), owner()) { execute() }
            }

            // A payment in coin with a memo. Anything else is refused: questions for a
            // signature (ERC-1271) and offers of tokens that ask first (ERC-721,
            // ERC-1155) among it.
            if callvalue() { stop() }
            revert(0, 0)

            // sponsored tells whether there is a sponsor, in whose transactions alone
            // there are sweeps then. Whose it is goes by who signed it, not by who calls:
            // a deposit address does not know the Sweeper, nor the Sweeper whether a
            // contract calls it. It is asked before any other call, where returndatasize
            // is zero: a literal would let the compiler decide by the placeholder.
            function sponsored() -> s { s := gt(sponsor(), returndatasize()) }

            // sweep pays the treasury from the account that runs this: an amount of an
            // asset, zero for all of it. Asset zero is the coin. It returns the
            // amount, or reverts with what the asset said.
            function sweep(asset, amount) {
                if iszero(asset) {
                    if iszero(amount) { amount := selfbalance() }
                    if iszero(amount) { revert(0, 0) }
                    check(call(gas(), treasury(), amount, 0, 0, 0, 0))
                    mstore(0, amount)
                    return(0, 0x20)
                }
                if iszero(amount) {
                    mstore(0, 0x70a08231) // balanceOf(address)
                    mstore(0x20, address())
                    check(staticcall(gas(), asset, 0x1c, 0x24, 0x40, 0x20))
                    if lt(returndatasize(), 0x20) { revert(0, 0) }
                    amount := mload(0x40)
                    if iszero(amount) { revert(0, 0) }
                }
                mstore(0, 0xa9059cbb) // transfer(address,uint256)
                mstore(0x20, treasury())
                mstore(0x40, amount)
                let ok := call(gas(), asset, 0, 0x1c, 0x44, 0, 0x20)
                // Either true was returned, or nothing. A word that is cut short leaves
                // the selector's last byte, and is not true.
                check(and(ok, or(eq(mload(0), 1), iszero(returndatasize()))))
                return(0x40, 0x20)
            }

            // check reverts with the data of the last call unless ok.
            function check(ok) {
                if iszero(ok) {
                    returndatacopy(0, 0, returndatasize())
                    revert(0, returndatasize())
                }
            }

            // execute calls whatever the owner wants, as the account that runs this.
            function execute() {
                let data := add(calldataload(68), 4)
                let size := calldataload(data)
                calldatacopy(0, add(data, 0x20), size)
                check(call(gas(), calldataload(4), calldataload(36), 0, size, 0, 0))
                returndatacopy(0, 0, returndatasize())
                return(0, returndatasize())
            }

            // sweepBatch takes entries of 32 bytes, account (20) and amount (12). Each
            // account looks for itself whether the transaction may sweep it: of a
            // batch that may not, every entry fails.
            function sweepBatch() {
                // This batch calls whom its sender names. An account must not do so for
                // a stranger: its code is a delegation of 23 bytes, or a forwarder's 33.
                // The others call addresses that come out of a hash, and themselves.
                if iszero(eq(extcodesize(address()), codesize())) { revert(0, 0) }
                let least := begin(32)
                let cap := gasOf()
                let list := 0x160
                let at := 32
                mstore(0, 0x6ea056a9)
                mstore(0x20, assetOf())
                for { } lt(at, calldatasize()) { at := add(at, 32) } {
                    if lt(gas(), least) { break }
                    let entry := calldataload(at)
                    mstore(0x40, and(entry, 0xffffffffffffffffffffffff))
                    // An account without code answers nothing: it does not delegate.
                    // Arguments are evaluated from the last to the first.
                    if iszero(mul(returndatasize(), call(cap, shr(96, entry), 0, 0x1c, 0x44, 0, 0))) {
                        mstore(list, entry)
                        list := add(list, 0x20)
                        least := add(least, 300) // to log it
                    }
                }
                end(shr(5, sub(at, 32)), list, at)
            }

            // flushBatch takes entries of 20 bytes, salt (8) and amount (12), of
            // forwarders that exist, which look for themselves.
            function flushBatch() {
                let least := begin(20)
                let cap := gasOf()
                let list := 0x160
                let at := 32
                // What CREATE2 hashes: ff, this address, salt, hash of the init code.
                forwarderInit()
                mstore(0xb5, keccak256(0x80, 42))
                mstore(0x80, or(shl(248, 0xff), shl(88, address())))
                mstore(0, 0x6ea056a9)
                mstore(0x20, assetOf())
                for { } lt(at, calldatasize()) { at := add(at, 20) } {
                    if lt(gas(), least) { break }
                    let entry := calldataload(at)
                    mstore(0x40, and(shr(96, entry), 0xffffffffffffffffffffffff))
                    mstore(0x95, shr(192, entry))
                    // A forwarder answers one byte if all went well, else none; none
                    // comes from an address without a forwarder.
                    if iszero(mul(returndatasize(), call(cap, keccak256(0x80, 0x55), 0, 0x1c, 0x44, 0, 0))) {
                        mstore(list, shl(96, shr(96, entry)))
                        list := add(list, 0x20)
                        least := add(least, 300)
                    }
                }
                end(div(sub(at, 32), 20), list, at)
            }

            // deployBatch takes the same entries of forwarders that do not exist yet:
            // the sponsor or the owner. A stranger who deployed one first would make
            // the batch's own attempt burn the entry's gas. In a transaction that may
            // not sweep, which is the owner's then, it deploys and does no more: what
            // was paid to a forwarder stays within reach if the sponsor's key is lost.
            function deployBatch() {
                if iszero(or(eq(caller(), sponsor()), eq(caller(), owner()))) { revert(0, 0) }
                let least := begin(20)
                let cap := gasOf()
                let list := 0x160
                let at := 32
                mstore(0, 0xe6f5e376)
                mstore(0x40, assetOf())
                for { } lt(at, calldatasize()) { at := add(at, 20) } {
                    if lt(gas(), least) { break }
                    let entry := calldataload(at)
                    mstore(0x20, shr(192, entry))
                    mstore(0x60, and(shr(96, entry), 0xffffffffffffffffffffffff))
                    if iszero(call(cap, address(), 0, 0x1c, 0x64, 0, 0)) {
                        mstore(list, shl(96, shr(96, entry)))
                        list := add(list, 0x20)
                        least := add(least, 300)
                    }
                }
                end(div(sub(at, 32), 20), list, at)
            }

            // deploy makes the forwarder of a salt and, where this transaction may,
            // sweeps it. Both happen or neither.
            function deploy() {
                forwarderInit()
                if xor(origin(), sponsor()) {
                    if sponsored() {
                        if iszero(create2(0, 0x80, 42, calldataload(4))) { revert(0, 0) }
                        stop()
                    }
                }
                let forwarder := create2(0, 0x80, 42, calldataload(4))
                mstore(0, 0x6ea056a9)
                calldatacopy(0x20, 36, 0x40)
                if iszero(mul(returndatasize(), call(gas(), forwarder, 0, 0x1c, 0x44, 0, 0))) { revert(0, 0) }
                return(0x40, 0x20)
            }

            // forwarderInit writes the init code of a forwarder to 0x80, 42 bytes:
            //
            //   60 21 80 60 09 5f 39 5f f3    return the 33 bytes behind this
            //   36 5f 5f 37                   copy the call's data to memory
            //   5f 5f 36 5f 73 <address> 5a f4    delegate the call to this contract
            //   5f f3                         return one byte if it went well, else none
            function forwarderInit() {
                mstore(0x80, or(shl(112, 0x60218060095f395ff3365f5f375f5f365f73), shr(48, address())))
                mstore(0xa0, or(shl(208, address()), shl(176, 0x5af45ff3)))
            }

            // begin refuses what no batch can be, and returns how much gas must be left
            // to try an entry: its own, what a call keeps back, and the end of the
            // batch. A batch that runs out stops there and keeps what it has done.
            function begin(width) -> least {
                if or(callvalue(), or(lt(calldatasize(), 32), mod(sub(calldatasize(), 32), width))) { revert(0, 0) }
                // A call of no code goes well and moves nothing.
                let asset := assetOf()
                if asset {
                    if iszero(extcodesize(asset)) { revert(0, 0) }
                }
                least := gasOf()
                least := add(add(least, shr(5, least)), 9000)
            }

            // end returns (uint256 tried, bytes32[] failed), for who asks with
            // eth_call, and logs the same as Unswept(uint256,bytes32[]) unless every
            // entry went well.
            function end(tried, list, at) {
                mstore(0x100, tried)
                mstore(0x120, 0x40)
                mstore(0x140, shr(5, sub(list, 0x160)))
                if or(gt(list, 0x160), lt(at, calldatasize())) {
                    log1(0x100, sub(list, 0x100), 0x3a4af66b15c28bf17daf522f2972808e352d8f3282d392f06aad84618d92c2a5)
                }
                return(0x100, sub(list, 0x100))
            }

            function assetOf() -> a { a := and(shr(64, calldataload(0)), 0xffffffffffffffffffffffffffffffffffffffff) }
            function gasOf() -> g { g := and(calldataload(0), 0xffffffffffffffff) }
        }
    }
}
