// The WebSocket to the console: connects again when it breaks, reads scenes, asks and is answered.

const AGAIN_MS = 1000;
const NEEDS_TOKEN = 4401;

export class Link {
  // on: { scene(header, image, mask), state(on, text), token(reason) }
  constructor(on) {
    this.on = on;
    this.waiting = new Map();
    this.request = 0;
    this.watched = { debug: false, mask: false };
    this.refusal = "";
    this.token = takeToken();
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/live`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.send({ type: "hello", token: this.token });
    this.socket.onmessage = (event) => this.take(event.data);
    this.socket.onclose = (event) => this.closed(event);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // Promise of { ok, message, target }.
  ask(message) {
    if (this.socket.readyState !== WebSocket.OPEN) {
      return Promise.resolve({ ok: false, message: "there is no connection", target: 0 });
    }
    const request = ++this.request;
    this.send({ ...message, request });
    return new Promise((resolve) => this.waiting.set(request, resolve));
  }

  watch(watched) {
    this.watched = watched;
    this.send({ type: "watch", ...watched });
  }

  acknowledge(seq) {
    this.send({ type: "ack", seq });
  }

  useToken(token) {
    this.token = token;
    sessionStorage.setItem("token", token);
    this.connect();
  }

  take(data) {
    if (typeof data !== "string") {
      this.on.scene(...unpack(data));
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "welcome") {
      this.refusal = "";
      this.on.state(true, "live");
      this.watch(this.watched);
    } else if (message.type === "answer") {
      this.waiting.get(message.request)?.(message);
      this.waiting.delete(message.request);
    } else if (message.type === "refused") {
      this.refusal = message.message;
    }
  }

  closed(event) {
    for (const resolve of this.waiting.values()) {
      resolve({ ok: false, message: "the connection broke; look whether it was done", target: 0 });
    }
    this.waiting.clear();
    if (event.code === NEEDS_TOKEN) {
      sessionStorage.removeItem("token");
      this.on.state(false, this.refusal);
      this.on.token(this.refusal);
      return;
    }
    this.on.state(false, this.refusal || "no connection");
    setTimeout(() => this.connect(), AGAIN_MS);
  }
}

// The token comes after # in the address, which is never sent; it is taken out of what is shown.
function takeToken() {
  const given = decodeURIComponent(location.hash.slice(1));
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return given || sessionStorage.getItem("token") || "";
}

// A scene: length of the header, header, image file, maps of every reading in the header's order,
// mask file.
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const image = header.image ? new Blob([new Uint8Array(buffer, at, header.image)]) : null;
  at += header.image;
  for (const reading of header.debug) {
    const grids = {};
    for (const name of reading.maps) {
      grids[name] = new Uint8Array(buffer, at, reading.rows * reading.cols);
      at += reading.rows * reading.cols;
    }
    reading.grids = grids;
  }
  const mask = header.mask ? new Blob([new Uint8Array(buffer, at, header.mask)]) : null;
  return [header, image, mask];
}
