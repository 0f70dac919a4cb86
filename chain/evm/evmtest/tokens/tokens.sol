// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.0;

// Tokens and other contracts for tests. Anybody can mint: never deploy them
// where somebody could take them for money.

abstract contract Base {
    string public symbol;
    uint8 public decimals;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor(string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        decimals = decimals_;
    }

    function name() external view returns (string memory) {
        return symbol;
    }

    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function move(address from, address to, uint256 value) internal {
        require(balanceOf[from] >= value, "balance too low");
        unchecked {
            balanceOf[from] -= value;
        }
        balanceOf[to] += value;
    }
}

// Plain follows ERC-20 in what a payment needs.
contract Plain is Base {
    mapping(address => mapping(address => uint256)) public allowance;

    event Approval(address indexed owner, address indexed spender, uint256 value);

    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        emit Transfer(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        require(allowance[from][msg.sender] >= value, "allowance too low");
        allowance[from][msg.sender] -= value;
        move(from, to, value);
        emit Transfer(from, to, value);
        return true;
    }
}

// NoReturn moves and returns nothing, as Tether on Ethereum does.
contract NoReturn is Base {
    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address to, uint256 value) external {
        move(msg.sender, to, value);
        emit Transfer(msg.sender, to, value);
    }
}

// ReturnsFalse does nothing, says so, and lets the transaction succeed.
contract ReturnsFalse is Base {
    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }
}

// FourTopics has the event of ERC-721: the value is a fourth topic.
contract FourTopics is Base {
    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        bytes32 topic = Transfer.selector;
        assembly {
            log4(0, 0, topic, caller(), to, value)
        }
        return true;
    }
}

// LongData emits the event of ERC-20 with a word too many.
contract LongData is Base {
    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        bytes32 topic = Transfer.selector;
        assembly {
            mstore(0, value)
            mstore(32, value)
            log3(0, 64, topic, caller(), to)
        }
        return true;
    }
}

// Spoofer emits its own Transfer and an event that names another token.
contract Spoofer is Base {
    address public immutable imitates;

    event Moved(address token, address from, address to, uint256 value);

    constructor(string memory s, uint8 d, address imitates_) Base(s, d) {
        imitates = imitates_;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        emit Transfer(msg.sender, to, value);
        emit Moved(imitates, msg.sender, to, value);
        return true;
    }
}

// Fee keeps a twentieth of what is moved, and its event does not tell.
contract Fee is Base {
    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        balanceOf[to] -= value / 20;
        totalSupply -= value / 20;
        emit Transfer(msg.sender, to, value);
        return true;
    }
}

// Rebasing counts in shares, whose worth anybody can change: balances do so
// without an event.
contract Rebasing {
    string public symbol;
    uint8 public decimals;
    uint256 public percent = 100;
    mapping(address => uint256) internal shares;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor(string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        decimals = decimals_;
    }

    function balanceOf(address of_) public view returns (uint256) {
        return (shares[of_] / 100) * percent;
    }

    function mint(address to, uint256 value) external {
        shares[to] += (value * 100) / percent;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        uint256 moved = (value * 100) / percent;
        shares[msg.sender] -= moved;
        shares[to] += moved;
        emit Transfer(msg.sender, to, value);
        return true;
    }

    function rebase(uint256 percent_) external {
        percent = percent_;
    }
}

// Freezable refuses to move anything of or to an account on its list, and
// anything at all while it is paused, as the tokens of issuers do.
contract Freezable is Base {
    mapping(address => bool) public frozen;
    bool public paused;

    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address to, uint256 value) external returns (bool) {
        require(!paused, "paused");
        require(!frozen[msg.sender] && !frozen[to], "frozen");
        move(msg.sender, to, value);
        emit Transfer(msg.sender, to, value);
        return true;
    }

    function freeze(address account, bool on) external {
        frozen[account] = on;
    }

    function pause(bool on) external {
        paused = on;
    }
}

// Phantom has the event of ERC-20 and moves nothing: what an upgrade can make of
// a token.
contract Phantom is Base {
    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address to, uint256 value) external returns (bool) {
        emit Transfer(msg.sender, to, value);
        return true;
    }
}

// Proxy runs the code of another token in its own storage, which begins as
// Base's does. Where that code is, is told in the slot of EIP-1967. Anybody can
// upgrade it.
contract Proxy {
    string internal symbol;
    uint8 internal decimals;

    bytes32 internal constant SLOT = bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1);

    constructor(string memory symbol_, uint8 decimals_, address implementation) {
        symbol = symbol_;
        decimals = decimals_;
        set(implementation);
    }

    function upgradeTo(address implementation) external {
        set(implementation);
    }

    function set(address implementation) internal {
        bytes32 slot = SLOT;
        assembly {
            sstore(slot, implementation)
        }
    }

    fallback() external {
        bytes32 slot = SLOT;
        assembly {
            calldatacopy(0, 0, calldatasize())
            let ok := delegatecall(gas(), sload(slot), 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch ok
            case 0 {
                revert(0, returndatasize())
            }
            default {
                return(0, returndatasize())
            }
        }
    }
}

interface Sender {
    function tokensToSend(address to, uint256 value) external;
}

// Hooked tells a sender that is a contract before anything moves, as ERC-777
// does.
contract Hooked is Base {
    constructor(string memory s, uint8 d) Base(s, d) {}

    function transfer(address to, uint256 value) external returns (bool) {
        if (msg.sender.code.length > 0) {
            Sender(msg.sender).tokensToSend(to, value);
        }
        move(msg.sender, to, value);
        emit Transfer(msg.sender, to, value);
        return true;
    }
}

// HookPayer pays with a Hooked token that it owns, and when it is told, pays the
// same receiver half as much again inside of that, down to nothing.
contract HookPayer is Sender {
    function pay(Hooked token, address to, uint256 value) external {
        token.transfer(to, value);
    }

    function tokensToSend(address to, uint256 value) external {
        if (value > 1) {
            Hooked(msg.sender).transfer(to, value / 2);
        }
    }
}

// Splitter pays several amounts of a token that it owns in one transaction.
contract Splitter {
    function split(Plain token, address to, uint256[] calldata values) external {
        for (uint256 i = 0; i < values.length; i++) {
            require(token.transfer(to, values[i]), "not moved");
        }
    }
}

// Forwarder sends on the coin it is called with by an internal call, as an
// exchange does when it pays many customers at once.
contract Forwarder {
    function forward(address payable to) external payable {
        (bool ok, ) = to.call{value: msg.value}("");
        require(ok, "not taken");
    }
}

// Rejecter takes no payment.
contract Rejecter {
    receive() external payable {
        revert("no payments");
    }
}
