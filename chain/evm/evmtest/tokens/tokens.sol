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
