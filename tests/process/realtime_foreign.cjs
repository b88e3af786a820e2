// A client in Node, on its own WebSocket or on the package `ws`, as the first argument says; the second is the URL, the
// rest are subprotocols. Prints one line of JSON for each session: what a program in Node sees of it.

const [, , library, url, ...protocols] = process.argv;
const Socket = library === "ws" ? require("ws") : globalThis.WebSocket;

function session(target, words, farewell) {
  return new Promise((resolve) => {
    const seen = { messages: [], protocol: null, code: null, reason: null, clean: null, status: null, body: "" };
    const socket = new Socket(target, protocols);
    socket.binaryType = "arraybuffer";
    if (library === "ws") {
      socket.on("unexpected-response", (request, response) => {
        seen.status = response.statusCode;
        seen.retryAfter = response.headers["retry-after"];
        response.setEncoding("utf8");
        response.on("data", (part) => { seen.body += part; });
        response.on("end", () => { request.destroy(); resolve(seen); });
      });
    }
    socket.onopen = () => { seen.protocol = socket.protocol; };
    socket.onerror = () => {
      if (library === "native" && seen.protocol === null) {
        resolve(seen); // it never opened: some versions say no more than that
      }
    };
    socket.onmessage = (event) => {
      const isText = typeof event.data === "string";
      seen.messages.push(isText ? event.data : { binary: Array.from(new Uint8Array(event.data)) });
      if (words.length > 0) {
        socket.send(words.shift());
      } else if (farewell !== null) {
        socket.close(...farewell);
      }
    };
    socket.onclose = (event) => {
      Object.assign(seen, { code: event.code, reason: event.reason, clean: event.wasClean });
      if (seen.status === null) {
        resolve(seen);
      }
    };
  });
}

async function main() {
  const words = ["Grüße, 世界 🙂 1.10", "", Uint8Array.from([0, 255, 128, 10]), new Uint8Array(0), "x".repeat(70000)];
  const sessions = [
    session(url + "speak", words, [4001, "done ✓"]),
    session(url + "close", [], []),
    session(url + "expire", ["/close 3000 session_expired"], null),
    session(url + "drop", ["/drop"], null),
    session(url + "refuse", [], null),
  ];
  const lines = (await Promise.all(sessions)).map((seen) => JSON.stringify(seen) + "\n");
  process.stdout.write(lines.join(""), () => process.exit(0)); // a connection kept alive would keep Node alive
}

main();
