// node's `ws` as an echo server: prints its port, ends when its input does. Words: refuse, deflate.
"use strict";

const { WebSocketServer } = require("ws");

const words = process.argv.slice(2);
const noTakeover = { serverNoContextTakeover: true, clientNoContextTakeover: true };
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  backlog: 4096,
  perMessageDeflate: words.includes("deflate") ? noTakeover : false,
  verifyClient: words.includes("refuse") ? (info, answer) => answer(false, 401) : undefined,
});
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.on("listening", () => console.log(server.address().port));

// "collect" on a line of the input: what is garbage goes now (node --expose-gc); the answer is an empty line.
process.stdin.on("data", () => {
  if (global.gc) global.gc();
  console.log("");
});
process.stdin.on("end", () => process.exit(0));
