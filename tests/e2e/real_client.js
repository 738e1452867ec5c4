// What the tests of real clients do with a WebSocket: the same in a page of a browser and in node with `ws`.
// Every function returns a promise of something that JSON can carry.

const sockets = new Map();

function base64(buffer) {
  return btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""));
}

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

class Peer {
  constructor(socket) {
    this.socket = socket;
    this.received = [];
    this.waiting = [];
    socket.binaryType = "arraybuffer";
    this.opened = new Promise((resolve) => {
      socket.onopen = () => resolve({ protocol: socket.protocol, extensions: socket.extensions });
      socket.onerror = () => resolve(null);
    });
    this.closed = new Promise((resolve) => {
      socket.onclose = (event) => {
        resolve({ code: event.code, reason: event.reason, clean: event.wasClean });
        this.ended = true;
        while (this.waiting.length) this.waiting.shift()(null);
      };
    });
    socket.onmessage = (event) => {
      const data = event.data;
      this.received.push(typeof data === "string" ? { text: data } : { binary: base64(data) });
      while (this.waiting.length && this.received.length) this.waiting.shift()(this.received.shift());
    };
  }

  receive() {
    if (this.received.length || this.ended) return Promise.resolve(this.received.shift() ?? null);
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

const client = {
  // {protocol, extensions}, or null where it did not open.
  open({ id, url, protocols, options }) {
    const socket = options ? new WebSocket(url, protocols, options) : new WebSocket(url, protocols);
    sockets.set(id, new Peer(socket));
    return sockets.get(id).opened;
  },
  async send({ id, messages }) {
    for (const message of messages) {
      sockets.get(id).socket.send("text" in message ? message.text : bytes(message.binary));
    }
  },
  // The next `count` messages: {text} or {binary}; null for those that do not come, because it has closed.
  async receive({ id, count }) {
    const got = [];
    while (got.length < count) got.push(await sockets.get(id).receive());
    return got;
  },
  async close({ id, code, reason }) {
    sockets.get(id).socket.close(code, reason);
  },
  // {code, reason, clean}, when it has closed.
  closed({ id }) {
    return sockets.get(id).closed;
  },
};

globalThis.client = client;
