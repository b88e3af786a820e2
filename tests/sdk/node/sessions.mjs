// One session of a client library, by its name: node sessions.mjs NAME BASE_URL KEY TOKEN. What it saw goes to
// standard output as JSON. An empty TOKEN means that the key is all there is.
import { once } from "node:events";
import { createRequire } from "node:module";

const [name, base, key, token] = process.argv.slice(2);
const socketBase = base.replace(/^http/, "ws");
const headers = token ? { "cf-aig-authorization": token } : {};

function refused(error) {
  return { refused: String(error?.message ?? error) };
}

// Wait for what a library tells by callbacks: `done` ends the wait, `failed` too.
function told(subscribe) {
  return new Promise((resolve) => subscribe(resolve, (error) => resolve(refused(error))));
}

async function ws() {
  const { WebSocket } = await import("ws");
  const item = `cf-aig-authorization.${token}`;
  const socket = new WebSocket(`${socketBase}/echo`, [item]);
  return told((done, failed) => {
    const messages = [];
    socket.on("error", failed);
    socket.on("open", () => {
      socket.send("Grüße, 日本");
      socket.send(Buffer.from([0, 255, 128]));
      socket.send("");
      socket.ping();
    });
    socket.on("message", (data, binary) => {
      messages.push(binary ? [...data] : data.toString());
      if (messages.length === 3) socket.close(4007, "enough");
    });
    socket.on("close", (code, reason) => done({ protocol: socket.protocol, messages, close: [code, `${reason}`] }));
  });
}

async function native() {
  const item = `cf-aig-authorization.${token}`;
  const socket = new WebSocket(`${socketBase}/echo`, [item]);
  socket.binaryType = "arraybuffer";
  return told((done) => {
    const messages = [];
    socket.onopen = () => {
      socket.send("Grüße, 日本");
      socket.send(new Uint8Array([0, 255, 128]));
      socket.send("");
    };
    socket.onmessage = ({ data }) => {
      messages.push(typeof data === "string" ? data : [...new Uint8Array(data)]);
      if (messages.length === 3) socket.close(4007, "enough");
    };
    socket.onclose = ({ code, reason }) => done({ protocol: socket.protocol, messages, close: [code, reason] });
  });
}

async function talkToOpenAI(realtime) {
  return told((done, failed) => {
    let text = "";
    realtime.on("error", failed);
    realtime.on("session.created", () => {
      const content = [{ type: "input_text", text: "Grüße" }];
      realtime.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
      realtime.send({ type: "response.create" });
    });
    realtime.on("response.output_text.delta", (event) => (text += event.delta));
    realtime.on("response.output_audio_transcript.delta", (event) => (text += event.delta));
    realtime.on("response.done", (event) => {
      const protocol = realtime.socket.protocol;
      realtime.close();
      done({ text, protocol, tokens: event.response.usage?.total_tokens });
    });
  });
}

async function openaiRealtimeWS() {
  const { OpenAI } = await import("openai");
  const { OpenAIRealtimeWS } = await import("openai/realtime/ws");
  const client = new OpenAI({ apiKey: key, baseURL: base });
  return talkToOpenAI(new OpenAIRealtimeWS({ model: "gpt-realtime", options: { headers } }, client));
}

async function openaiRealtimeNative() {
  const { OpenAI } = await import("openai");
  const { OpenAIRealtimeWebSocket } = await import("openai/realtime/websocket");
  const client = new OpenAI({ apiKey: key, baseURL: base });
  return talkToOpenAI(new OpenAIRealtimeWebSocket({ model: "gpt-realtime", dangerouslyAllowBrowser: true }, client));
}

async function openaiResponses() {
  const { OpenAI } = await import("openai");
  const { ResponsesWS } = await import("openai/resources/responses/ws");
  const client = new OpenAI({ apiKey: key, baseURL: base });
  const responses = new ResponsesWS(client, { headers });
  return told((done, failed) => {
    let text = "";
    responses.on("error", failed);
    responses.on("response.output_text.delta", (event) => (text += event.delta));
    responses.on("response.completed", (event) => {
      responses.close();
      done({ text, tokens: event.response.usage?.total_tokens });
    });
    responses.send({ type: "response.create", model: "gpt-5", input: "Grüße" });
  });
}

async function google() {
  const { GoogleGenAI, Modality } = await import("@google/genai");
  const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: base, headers } });
  return told((done, failed) => {
    let text = "";
    let tokens = 0;
    const onmessage = (message) => {
      text += message.text ?? "";
      tokens ||= message.usageMetadata?.totalTokenCount ?? 0;
      if (message.serverContent?.turnComplete) {
        live.then((session) => session.close());
        done({ text, tokens });
      }
    };
    const onclose = (event) => failed(`closed ${event.code} ${event.reason}`);
    const live = client.live.connect({
      model: "gemini-live",
      config: { responseModalities: [Modality.TEXT] },
      callbacks: { onmessage, onclose, onerror: failed },
    });
    live.then((session) => session.sendClientContent({ turns: "Grüße" }), failed);
  });
}

async function deepgram() {
  const { DeepgramClient } = await import("@deepgram/sdk");
  const environment = { base, production: socketBase, agent: socketBase, agentRest: base };
  const client = new DeepgramClient({ apiKey: key, environment, headers });
  const socket = await client.listen.v1.connect({ model: "nova-3", encoding: "linear16", sample_rate: 16000 });
  return told((done, failed) => {
    const types = [];
    socket.on("error", failed);
    socket.on("open", () => {
      socket.sendMedia(new Uint8Array(32000));
      socket.sendFinalize({ type: "Finalize" });
      socket.sendCloseStream({ type: "CloseStream" });
    });
    socket.on("message", (message) => {
      types.push(message.type);
      if (message.type === "Metadata") {
        socket.close();
        done({ types, duration: message.duration });
      }
    });
    socket.connect();
  });
}

// Required, it uses the `ws` package; imported, it takes itself to be in a browser and puts its key in the query.
async function talkToCartesia({ Cartesia }) {
  const client = new Cartesia({ apiKey: key, baseURL: base });
  const socket = await client.tts.websocket({ headers });
  const types = [];
  const output_format = { container: "raw", encoding: "pcm_s16le", sample_rate: 8000 };
  const context = socket.context({ model_id: "sonic-3", voice: { id: "a-voice" }, output_format });
  await context.push({ transcript: "Hello, " });
  await context.no_more_inputs();
  for await (const message of context.receive()) types.push(message.type);
  socket.close();
  return { types };
}

async function cartesiaRequired() {
  return talkToCartesia(createRequire(import.meta.url)("@cartesia/cartesia-js"));
}

async function cartesiaImported() {
  return talkToCartesia(await import("@cartesia/cartesia-js"));
}

const sessions = {
  ws,
  native,
  openaiRealtimeWS,
  openaiRealtimeNative,
  openaiResponses,
  google,
  deepgram,
  cartesiaRequired,
  cartesiaImported,
};
const seen = await sessions[name]().catch(refused);
if (!process.stdout.write(JSON.stringify(seen))) await once(process.stdout, "drain");
process.exit();
