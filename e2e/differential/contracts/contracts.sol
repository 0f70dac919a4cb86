// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.0;

// The contracts of chaintest's simulated chain, written for a real EVM. They are
// put into the genesis block, each at the address that the simulated chain gives
// it, so that they have no constructor. Anybody owns them: they are for tests.

abstract contract Token {
    mapping(address => uint256) internal balances; // slot 0, filled by the genesis block

    event Transfer(address indexed from, address indexed to, uint256 value);

    // The splitter of the simulated chain moves its caller's tokens.
    address internal constant SPLITTER = 0xfeE47bCeEA784436f2B4558A16039fE6DeEFb0ff;

    function transfer(address to, uint256 value) external {
        pay(msg.sender, to, value);
        answer();
    }

    function splitFrom(address from, address to, uint256 value) external {
        require(msg.sender == SPLITTER, "not the splitter");
        pay(from, to, value);
    }

    function pay(address from, address to, uint256 value) internal virtual {
        require(balances[from] >= value, "balance too low");
        unchecked {
            balances[from] -= value;
        }
        balances[to] += arrives(value);
        announce(from, to, value);
    }

    function arrives(uint256 value) internal virtual returns (uint256) {
        return value;
    }

    function announce(address from, address to, uint256 value) internal virtual {
        emit Transfer(from, to, value);
    }

    function answer() internal virtual {
        assembly {
            mstore(0, 1)
            return(0, 32)
        }
    }
}

contract Plain is Token {}

contract NoReturn is Token {
    function answer() internal override {}
}

contract ReturnsFalse is Token {
    function pay(address, address, uint256) internal override {}

    function answer() internal override {
        assembly {
            mstore(0, 0)
            return(0, 32)
        }
    }
}

contract Fee is Token {
    function arrives(uint256 value) internal pure override returns (uint256) {
        return value - value / 20;
    }
}

contract FourTopics is Token {
    function announce(address from, address to, uint256 value) internal override {
        bytes32 topic = Transfer.selector;
        assembly {
            log4(0, 0, topic, from, to, value)
        }
    }
}

contract LongData is Token {
    function announce(address from, address to, uint256 value) internal override {
        bytes32 topic = Transfer.selector;
        assembly {
            mstore(0, value)
            mstore(32, 0)
            log3(0, 64, topic, from, to)
        }
    }
}

contract Spoofer is Token {
    uint256 internal imitates; // slot 1, filled by the genesis block

    function announce(address from, address to, uint256 value) internal override {
        emit Transfer(from, to, value);
        bytes32 topic = Transfer.selector;
        uint256 other = imitates;
        assembly {
            mstore(0, value)
            mstore(32, other)
            log3(0, 64, topic, from, to)
        }
    }
}

contract Rebasing is Token {
    function rebase(uint256 num, uint256 den, address[] calldata holders) external {
        for (uint256 i = 0; i < holders.length; i++) {
            balances[holders[i]] = (balances[holders[i]] * num) / den;
        }
    }
}

contract Pausable is Token {
    bool internal paused;

    function pause(bool on) external {
        paused = on;
    }

    function pay(address from, address to, uint256 value) internal override {
        require(!paused, "paused");
        super.pay(from, to, value);
    }
}

contract Blacklist is Token {
    mapping(address => bool) internal listed;

    function blacklist(address account, bool on) external {
        listed[account] = on;
    }

    function pay(address from, address to, uint256 value) internal override {
        require(!listed[from] && !listed[to], "blacklisted");
        super.pay(from, to, value);
    }
}

contract Rejecter {
    fallback() external payable {
        revert("rejected");
    }
}

// Splitter reads parts of 72 bytes: token (zero for native coin), receiver, amount.
contract Splitter {
    fallback() external payable {
        require(msg.data.length > 0 && msg.data.length % 72 == 0, "unknown function");
        for (uint256 i = 0; i < msg.data.length; i += 72) {
            address token = address(bytes20(msg.data[i:i + 20]));
            address to = address(bytes20(msg.data[i + 20:i + 40]));
            uint256 amount = uint256(bytes32(msg.data[i + 40:i + 72]));
            bool ok;
            if (token == address(0)) {
                (ok, ) = to.call{value: amount}("");
            } else {
                require(token.code.length > 0, "no token");
                (ok, ) = token.call(abi.encodeWithSelector(Token.splitFrom.selector, msg.sender, to, amount));
            }
            require(ok, "not moved");
        }
    }
}

// Destructor has a contract of the call's value destroyed in favour of an address.
contract Destructor {
    fallback() external payable {
        require(msg.data.length == 20, "unknown function");
        bytes memory code = abi.encodePacked(hex"73", msg.data, hex"ff");
        address child;
        assembly {
            child := create(callvalue(), add(code, 32), mload(code))
        }
        require(child != address(0), "not forced");
    }
}
