// Carries out one call a line of standard input, with node's `ws`; NODE_PATH says where that is.

globalThis.WebSocket = require("ws");
require("./real_client.js");

require("node:readline")
  .createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { number, name, argument } = JSON.parse(line);
    const result = await client[name](argument);
    process.stdout.write(JSON.stringify({ number, result: result ?? null }) + "\n");
  });
