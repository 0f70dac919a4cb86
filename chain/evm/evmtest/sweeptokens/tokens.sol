// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Tokens for the tests of gas and of malice. The first three read and write the
// storage that the deployed ones do, so that they cost what those cost; they are
// not their code.

// OzLike moves balances as OpenZeppelin's ERC20 does: one mapping, custom errors.
contract OzLike {
    mapping(address => uint256) private balances;
    mapping(address => mapping(address => uint256)) private allowances;
    uint256 private supply;

    event Transfer(address indexed from, address indexed to, uint256 value);
    error Insufficient(address from, uint256 balance, uint256 needed);
    error Invalid(address account);

    function balanceOf(address account) public view virtual returns (uint256) { return balances[account]; }
    function totalSupply() public view virtual returns (uint256) { return supply; }

    function mint(address[] calldata to, uint256 value) external {
        for (uint256 i = 0; i < to.length; i++) update(address(0), to[i], value);
    }

    function transfer(address to, uint256 value) public virtual returns (bool) {
        move(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) public virtual returns (bool) {
        allowances[msg.sender][spender] = value;
        return true;
    }

    function transferFrom(address from, address to, uint256 value) public virtual returns (bool) {
        uint256 allowed = allowances[from][msg.sender];
        if (allowed < value) revert Insufficient(from, allowed, value);
        unchecked { allowances[from][msg.sender] = allowed - value; }
        move(from, to, value);
        return true;
    }

    function move(address from, address to, uint256 value) internal {
        if (from == address(0)) revert Invalid(from);
        if (to == address(0)) revert Invalid(to);
        update(from, to, value);
    }

    function update(address from, address to, uint256 value) internal virtual {
        if (from == address(0)) {
            supply += value;
        } else {
            uint256 had = balances[from];
            if (had < value) revert Insufficient(from, had, value);
            unchecked { balances[from] = had - value; }
        }
        if (to == address(0)) {
            unchecked { supply -= value; }
        } else {
            unchecked { balances[to] += value; }
        }
        emit Transfer(from, to, value);
    }
}

// UsdtLike returns nothing, can be paused, has a blacklist, a fee (zero) and a
// successor (none), each read from storage by every transfer.
contract UsdtLike {
    address private owner = msg.sender;
    bool private paused;
    bool private deprecated;
    uint256 private basisPointsRate;
    uint256 private maximumFee;
    mapping(address => bool) private blacklisted;
    mapping(address => uint256) private balances;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function balanceOf(address account) external view returns (uint256) { return balances[account]; }
    function mint(address[] calldata to, uint256 value) external {
        for (uint256 i = 0; i < to.length; i++) balances[to[i]] += value;
    }
    function freeze(address account) external { blacklisted[account] = true; }

    function transfer(address to, uint256 value) external {
        require(!paused);
        require(!blacklisted[msg.sender]);
        require(!deprecated);
        uint256 fee = value * basisPointsRate / 10000;
        if (fee > maximumFee) fee = maximumFee;
        balances[msg.sender] -= value;
        balances[to] += value - fee;
        if (fee > 0) {
            balances[owner] += fee;
            emit Transfer(msg.sender, owner, fee);
        }
        emit Transfer(msg.sender, to, value - fee);
    }
}

// UsdcLike has the blacklist's bit in the balance, and can be paused.
contract UsdcLike {
    address private owner;
    bool private paused;
    mapping(address => uint256) private states;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function balanceOf(address account) external view returns (uint256) { return states[account] & (1 << 255) - 1; }
    function mint(address[] calldata to, uint256 value) external {
        for (uint256 i = 0; i < to.length; i++) states[to[i]] += value;
    }
    function freeze(address account) external { states[account] |= 1 << 255; }

    function transfer(address to, uint256 value) external returns (bool) {
        require(!paused, "Pausable: paused");
        uint256 had = states[msg.sender];
        require(had >> 255 == 0, "Blacklistable: account is blacklisted");
        require(states[to] >> 255 == 0, "Blacklistable: account is blacklisted");
        require(to != address(0), "ERC20: transfer to the zero address");
        require(value <= had, "ERC20: transfer amount exceeds balance");
        states[msg.sender] = had - value;
        uint256 has = states[to] + value;
        require(has >> 255 == 0, "FiatTokenV2_2: Balance exceeds (2^255 - 1)");
        states[to] = has;
        emit Transfer(msg.sender, to, value);
        return true;
    }
}

// Proxy delegates all calls to what its storage names. Others of its kind, USDC's
// first one among them, read their admin as well before each call: 2,100 gas more
// for a transaction.
contract Proxy {
    constructor(address implementation) {
        assembly { sstore(0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3, implementation) }
    }

    fallback() external payable {
        assembly {
            let implementation := sload(0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3)
            calldatacopy(0, 0, calldatasize())
            let ok := delegatecall(gas(), implementation, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(ok) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }
}

// Bad is a token that misbehaves in a transfer, for the accounts that it was told
// of, and is well behaved otherwise.
contract Bad is OzLike {
    enum Mode { None, Revert, Burn, False, Lie, Short, Two, Bomb, Reenter, Reclaim }

    mapping(address => Mode) public modes;
    address private target;
    bytes private payload;
    bool private inside;
    // tries and wins count what a token made of its turn.
    uint256 public tries;
    uint256 public wins;

    function misbehave(address account, Mode mode) external { modes[account] = mode; }
    function plan(address to, bytes calldata data) external { (target, payload) = (to, data); }

    function transfer(address to, uint256 value) public override returns (bool) {
        Mode mode = modes[msg.sender];
        if (mode == Mode.Revert) revert("no");
        if (mode == Mode.Burn) { while (true) { } }
        if (mode == Mode.False) return false;
        if (mode == Mode.Lie) return true;
        if (mode == Mode.Short) { assembly { mstore8(0, 1) return(0, 1) } }
        if (mode == Mode.Two) { assembly { mstore(0, 2) return(0, 32) } }
        if (mode == Mode.Bomb) { assembly { revert(0, 1000000) } }
        if (mode == Mode.Reenter && !inside) {
            inside = true;
            tries++;
            (bool ok, bytes memory said) = target.call(payload);
            if (ok && said.length > 0) wins++;
            inside = false;
        }
        return super.transfer(to, value);
    }
}

// Treasury is one that is a contract: it can refuse coin, or call back.
contract Treasury {
    bool private refusing;
    address private target;
    bytes private payload;
    uint256 public tries;

    function refuse(bool no) external { refusing = no; }
    function plan(address to, bytes calldata data) external { (target, payload) = (to, data); }

    receive() external payable {
        require(!refusing, "refused");
        if (target != address(0) && tries < 3) {
            tries++;
            (bool ok, ) = target.call(payload);
            ok;
        }
    }
}

// Caller makes calls for tests: as an owner that is a contract, with the gas of
// Solidity's transfer, or several in one transaction.
contract Caller {
    function pay(address payable to) external payable { to.transfer(msg.value); }

    function relay(address to, bytes calldata data) external payable returns (bytes memory) {
        (bool ok, bytes memory said) = to.call{value: msg.value}(data);
        require(ok, "refused");
        return said;
    }
}

// Nft is as much of ERC-721 as it takes to move one.
contract Nft {
    mapping(uint256 => address) public ownerOf;
    function mint(address to, uint256 id) external { ownerOf[id] = to; }
    function transferFrom(address from, address to, uint256 id) external {
        require(ownerOf[id] == from && msg.sender == from, "not yours");
        ownerOf[id] = to;
    }
    function safeMint(address to, uint256 id) external {
        ownerOf[id] = to;
        (bool ok, bytes memory said) = to.call(abi.encodeWithSignature("onERC721Received(address,address,uint256,bytes)", msg.sender, address(0), id, ""));
        require(ok && said.length >= 32 && abi.decode(said, (bytes4)) == 0x150b7a02, "refused");
    }
}
