// Compiles contracts.sol into contracts.txt: each contract's name and its code as
// it stands on a chain.
//   npm install solc@0.8.30 && node compile.js
const fs = require("fs");
const solc = require("solc");
const input = {
  language: "Solidity",
  sources: { "contracts.sol": { content: fs.readFileSync("contracts.sol", "utf8") } },
  settings: {
    evmVersion: "paris",
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const e of output.errors || []) console.error(e.formattedMessage);
let text = "";
for (const [name, c] of Object.entries(output.contracts["contracts.sol"])) {
  const code = c.evm.deployedBytecode.object;
  if (code) text += name + " " + code + "\n";
}
fs.writeFileSync("contracts.txt", text);
