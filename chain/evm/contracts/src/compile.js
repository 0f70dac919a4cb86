// Compiles the contracts of this folder with the solc that Node finds:
//
//   node compile.js FOLDER    writes FOLDER/sweeper.hex and FOLDER/tokens.txt, the
//                             contracts of tests (evmtest/sweeptokens)
//
// scripts/contracts.sh calls it with the pinned compiler.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const out = process.argv[2];

function compile(language, file, settings) {
  const name = path.basename(file);
  const source = { content: fs.readFileSync(path.join(__dirname, file), "utf8") };
  const input = { language, sources: { [name]: source }, settings: { evmVersion: "shanghai", ...settings } };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors || []).filter((e) => e.severity === "error" || !e.message.includes("deprecated"));
  for (const e of errors) console.error(e.formattedMessage);
  if (errors.length > 0) process.exit(1);
  return output.contracts[name];
}

// Without the optimizer of constants: it would have addresses that are there several
// times read from one place, which costs gas and is no operand of a PUSH20.
const yul = compile("Yul", "sweeper.yul", {
  optimizer: { enabled: true, runs: 1000000, details: { yul: true, constantOptimizer: false } },
  outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
});
fs.writeFileSync(path.join(out, "sweeper.hex"), yul.Sweeper.evm.bytecode.object + "\n");

const tokens = compile("Solidity", "../../evmtest/sweeptokens/tokens.sol", {
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,



  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
});
let text = "";
for (const [name, c] of Object.entries(tokens)) text += name + " " + c.evm.bytecode.object + "\n";
fs.writeFileSync(path.join(out, "tokens.txt"), text);
