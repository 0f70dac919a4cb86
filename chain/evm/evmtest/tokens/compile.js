// Compiles tokens.sol into one .hex file of init code for each contract:
//   npm install solc@0.8.30 && node compile.js
// The oldest target in use keeps the code runnable on every chain.
const fs = require("fs");
const solc = require("solc");
const input = {
  language: "Solidity",
  sources: { "tokens.sol": { content: fs.readFileSync("tokens.sol", "utf8") } },
  settings: {
    evmVersion: "paris",
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const e of output.errors || []) console.error(e.formattedMessage);
for (const [name, c] of Object.entries(output.contracts["tokens.sol"])) {
  const code = c.evm.bytecode.object;
  if (code) fs.writeFileSync(name.toLowerCase() + ".hex", code + "\n");
}
