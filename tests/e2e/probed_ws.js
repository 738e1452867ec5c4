// node's `ws` as an echo server with compression: prints its port and version, ends when its input does.
"use strict";

const { WebSocketServer } = require("ws");
const { version } = require("ws/package.json");

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: true });
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.on("listening", () => console.log(`${server.address().port} ${version}`));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
