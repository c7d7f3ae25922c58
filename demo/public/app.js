// The page: three panes, each a Socket.IO client of one server, and the box for a NOTIFY by hand.
import { io } from "./socket.io.js";

const SERVERS = ["deno", "bun", "node"];
const TITLES = { deno: "Deno", bun: "Bun", node: "Node" };
const EXAMPLES = {
  "Room news": `NOTIFY "socket.io:/", '{"emit":["chat",{"text":"hello from psql"}],"to":["news"]}'`,
  Everyone: `NOTIFY "socket.io:/", '{"emit":["chat",{"text":"hello from psql"}]}'`,
  "All but news": `NOTIFY "socket.io:/", '{"emit":["chat",{"text":"psst"}],"except":["news"]}'`,
  "Everyone joins sports": `NOTIFY "socket.io:/", '{"socketsJoin":["sports"]}'`,
  "A mistake": `NOTIFY "socket.io:/", '{"emit":"chat"}'`,
};
const ANIMALS =
  "Otter Heron Lynx Finch Badger Wren Marten Ibex Plover Stoat Curlew Vole Osprey Hare Newt Swift";
const MOST_LINES = 200;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const $ = (selector, within = document) => within.querySelector(selector);

/** Makes an element; text goes in as text, never as markup. */
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function mark(server) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#mark-${server}`);
  svg.append(use);
  return svg;
}

/** Sets a text only when it differs, so that nothing is announced or laid out anew for nothing. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The wall clock, finer than Date.now(): as demo/clock.ts.
let offset = performance.timeOrigin;
function now() {
  const wall = Date.now();
  const fine = performance.now();
  const drift = fine + offset - wall;
  if (drift < 0) offset -= drift;
  else if (drift >= 1) offset -= drift - 0.999;
  return fine + offset;
}

/** A label and how long it took. */
function fact(label, duration) {
  const element = make("span", "", label);
  if (duration !== undefined) element.append(" ", make("b", "", ms(duration)));
  return element;
}

function ms(duration) {
  const shown = Math.max(0, duration);
  return `${shown < 9.95 ? shown.toFixed(1) : Math.round(shown)} ms`;
}

/** Work on the page waits for the next frame, so that it delays nothing that is being timed. */
const work = [];
function later(task) {
  if (work.push(task) > 1) return;
  // A page in the background gets no frames.
  (document.hidden ? setTimeout : requestAnimationFrame)(() => {
    for (const task of work.splice(0)) task();
  });
}

/** This tab's name, the same after a reload. */
function ownName() {
  const known = sessionStorage.getItem("name");
  if (known) return known;
  const names = ANIMALS.split(" ");
  const name = names[Math.floor(Math.random() * names.length)];
  sessionStorage.setItem("name", name);
  return name;
}
const self = ownName();

/** The statements that this page ran: when, and what they say. */
const runs = [];

/** Which server an adapter's uid belongs to, those of processes that are gone included. */
const uids = new Map();

/** Lines about servers whose uid is not known yet: a peer hears of a server before its clients do. */
const unnamed = [];

function learn(uid, server) {
  if (uids.has(uid)) return;
  uids.set(uid, server);
  unnamed.splice(0, unnamed.length, ...unnamed.filter((say) => !say()));
}

/** Rooms that anybody is known to be in, or that were typed here. */
const rooms = new Set(["news", "sports"]);

/** Whether the demo itself can be reached. */
let isLive = true;

const panes = {};
for (const server of SERVERS) panes[server] = createPane(server);

function createPane(server) {
  const element = $("#pane").content.cloneNode(true).firstElementChild;
  const title = TITLES[server];
  const titleId = `title-${server}`;
  element.dataset.server = server;
  element.setAttribute("aria-labelledby", titleId);
  $(".mark use", element).setAttribute("href", `#mark-${server}`);
  $("h2", element).id = titleId;
  put($("h2", element), title);
  $(".rooms", element).setAttribute("aria-label", `Rooms of your client on ${title}`);
  $(".new-room input", element).setAttribute("aria-label", `Join another room on ${title}`);
  $(".log", element).setAttribute("aria-label", `Messages on ${title}`);
  $(".send select", element).setAttribute("aria-label", `Send from ${title} to`);
  $(".send input", element).setAttribute("aria-label", `Message from ${title}`);
  $(".send input", element).value = `Hello from ${title}`;
  $("#panes").append(element);

  let socket;
  let port;
  /** The process as the demo reports it. */
  let child = { state: "starting" };
  /** The server as it reports itself. */
  let status;
  let isConnected = false;
  let everConnected = false;
  /** The rooms this client is in, as its server said last. */
  const joined = new Set(["news"]);
  /** Messages and the stamps of their hand-over come in the same order: each waits for the other. */
  let waiting = { messages: [], stamps: [] };
  const log = $(".log", element);
  const own = new Map();

  function connect() {
    socket?.disconnect();
    port = child.port;
    socket = io(`http://${location.hostname}:${port}`, {
      transports: ["websocket"],
      // Asked at each connect: rooms outlast the process that held them.
      auth: (give) => give({ name: self, rooms: [...joined] }),
      reconnectionDelay: 250,
      reconnectionDelayMax: 1_000,
    });
    socket.on("connect", () => {
      waiting = { messages: [], stamps: [] };
      if (everConnected) note("Connected again");
      isConnected = everConnected = true;
      show();
    });
    socket.on("disconnect", (reason) => {
      isConnected = false;
      status = undefined;
      const isWanted = reason === "io server disconnect";
      note(isWanted ? "Disconnected by the server" : "Connection lost");
      // Socket.IO takes a server's word for it; here it was somebody's NOTIFY.
      if (isWanted) setTimeout(() => socket.connect(), 1_500);
      show();
      showEveryone();
    });
    socket.on("chat", (message, answer) => {
      const arrivedAt = now();
      answer?.(self);
      if (typeof message?.text !== "string") message = { text: JSON.stringify(message) ?? "" };
      const { messages, stamps } = waiting;
      later(() => {
        const times = addMessage(message);
        const stamp = stamps.shift();
        if (stamp === undefined) messages.push({ message, arrivedAt, times });
        else addTimes(message, arrivedAt, times, stamp);
      });
    });
    socket.on("handed", (stamp) => {
      const { messages, stamps } = waiting;
      later(() => {
        const entry = messages.shift();
        if (!entry) stamps.push(stamp);
        else addTimes(entry.message, entry.arrivedAt, entry.times, stamp);
      });
    });
    socket.on("status", (given) => later(() => take(given)));
    socket.on("notice", (kind, text) => later(() => notice(kind, text)));
    socket.onAny((event, ...args) => {
      if (["chat", "handed", "status", "notice"].includes(event)) return;
      later(() => note(`Event "${event}" with ${JSON.stringify(args)}`));
    });
  }

  function take(given) {
    if (!isConnected) return;
    status = given;
    for (const client of given.clients) client.rooms = client.rooms.map(String);
    learn(given.uid, server);
    const mine = given.clients.find((client) => client.id === socket.id);
    if (mine) {
      // Rooms can change from elsewhere: a NOTIFY can make everyone join.
      joined.clear();
      for (const room of mine.rooms) joined.add(room);
    }
    for (const client of given.clients) for (const room of client.rooms) rooms.add(room);
    showEveryone();
  }

  /** Says what happened to the adapter: a fault and its end, or a server that came or went. */
  function notice(kind, text) {
    if (kind === "fault" || kind === "back") return note(text, kind);
    const line = note("");
    const say = () => {
      const who = TITLES[uids.get(text)];
      put(line, `${who ?? "A server"} ${kind === "up" ? "joined" : "left"} the cluster`);
      return who !== undefined;
    };
    if (!say()) unnamed.push(say);
  }

  /** Adds a line to the log, and follows it unless the reader has scrolled away. */
  function add(line) {
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(line);
    while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
    $(".empty", element).hidden = true;
  }

  function note(text, kind = "") {
    const line = make("li", `note ${kind}`, text);
    add(line);
    return line;
  }

  function addMessage({ text, from, room, sentAt }) {
    const sender = SERVERS.includes(from?.server) ? from.server : "postgres";
    const line = make("li", "message");
    line.dataset.from = sender;
    const who = make("p", "who");
    who.append(
      make("b", "", sender === "postgres" ? "NOTIFY" : String(from.client)),
      make("span", "via", sender === "postgres" ? "by hand" : `via ${TITLES[sender]}`),
    );
    if (room) who.append(make("span", "tag", String(room)));
    const times = make("p", "times");
    line.append(mark(sender), who, make("p", "text", text), times);
    add(line);
    if (sender === server) {
      own.set(sentAt, times);
      if (own.size > MOST_LINES) own.delete(own.keys().next().value);
      travel(server, "up", sender);
    } else travel(server, "down", sender);
    return times;
  }

  /** Says how long a message took, as far as there is a stamp of its start. */
  function addTimes(message, arrivedAt, times, handedAt) {
    const sender = message.from?.server;
    let start = message.sentAt;
    if (typeof start !== "number") {
      start = runs.findLast((run) => run.startedAt <= handedAt && run.texts.has(message.text))
        ?.startedAt;
    }
    if (typeof start !== "number") return times.append(fact("no time in the message"));
    const path = sender === server
      ? `handled by ${title}`
      : `${TITLES[sender] ?? "NOTIFY"} → ${title}`;
    times.prepend(fact(path, handedAt - start), fact("to this page", arrivedAt - start));
    follow();
  }

  /** Times are added to lines that stand already; the end stays in view. */
  function follow() {
    if (log.scrollHeight - log.scrollTop - log.clientHeight < 60) log.scrollTop = log.scrollHeight;
  }

  function show() {
    const state = isConnected
      ? "connected"
      : child.state === "failed"
      ? "failed"
      : everConnected || child.state === "down" || !isLive
      ? "disconnected"
      : "connecting";
    const isUp = state === "connected";
    element.dataset.state = state;
    put(
      $(".state", element),
      { connected: "Connected", connecting: "Connecting", disconnected: "Down", failed: "Failed" }[
        state
      ],
    );
    put($(".version", element), child.version ?? "");
    put($(".pid", element), isLive && child.pid ? String(child.pid) : "–");
    put($(".uid", element), status?.uid?.slice(0, 12) ?? "–");
    put($(".servers", element), status ? String(status.servers) : "–");
    put($(".frames", element), status ? `${status.published} / ${status.received}` : "–");
    const verb = child.state === "failed" ? "Start" : "Kill";
    put($(".kill", element), verb);
    $(".kill", element).setAttribute("aria-label", `${verb} the ${title} process`);
    $(".kill", element).disabled = child.state === "down" || !isLive;
    for (const control of element.querySelectorAll(".send *, .rooms button, .new-room input")) {
      control.disabled = !isUp;
    }
    put(
      $(".empty", element),
      {
        connected: "No messages yet. Send one from any pane.",
        connecting: `Waiting for ${title} …`,
        disconnected: "",
        failed: "",
      }[state],
    );
    $(".empty", element).hidden = log.childElementCount > 0;
    put($(".why", element), why());
    showClients();
    showRooms();
  }

  /** What is wrong, if anything is. */
  function why() {
    if (isConnected) return status?.isLinked === false ? "No connection to PostgreSQL." : "";
    if (!isLive) return "The demo has stopped.";
    if (child.note) {
      return `The process ${child.note}.${child.state === "failed" ? "" : " Starting it again."}`;
    }
    return everConnected ? "Connecting again." : "";
  }

  function showClients() {
    const clients = status?.clients ?? [];
    const list = $(".clients", element);
    const key = JSON.stringify(clients.map(({ id, name }) => [id, name]));
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(...clients.map((client) => {
      const item = make("li", "", client.name);
      if (client.id === socket.id) item.append(make("span", "you", "you"));
      return item;
    }));
    if (clients.length === 0) list.append(make("li", "none", "none"));
  }

  function showRooms() {
    const group = $(".rooms", element);
    const names = [...rooms].slice(0, 12);
    const known = new Map([...group.children].map((button) => [button.dataset.room, button]));
    for (const room of names) {
      let button = known.get(room);
      if (!button) {
        button = make("button", "room");
        button.type = "button";
        button.dataset.room = room;
        button.append(make("span", "", room), make("span", "count"));
        button.addEventListener("click", () => toggleRoom(room));
        group.append(button);
      }
      const members = countIn(room);
      button.setAttribute("aria-pressed", String(joined.has(room)));
      button.disabled = !isConnected;
      button.title = `${members} ${members === 1 ? "client" : "clients"} on all servers`;
      put($(".count", button), members ? String(members) : "");
    }
    const select = $(".send select", element);
    for (const room of ["", ...names]) {
      if ([...select.options].some((option) => option.value === room)) continue;
      const option = make("option", "", room === "" ? "Everyone" : room);
      option.value = room;
      select.append(option);
    }
  }

  function toggleRoom(room) {
    const verb = joined.has(room) ? "leave" : "join";
    socket.emit(verb, room, (error) => {
      if (error) note(error, "fault");
      else note(verb === "join" ? `You joined ${room}` : `You left ${room}`);
    });
  }

  $(".new-room", element).addEventListener("submit", (event) => {
    event.preventDefault();
    const input = $("input", event.target);
    const room = input.value.trim();
    if (room === "") return;
    rooms.add(room);
    input.value = "";
    if (!joined.has(room)) toggleRoom(room);
    showEveryone();
  });

  $(".send", element).addEventListener("submit", (event) => {
    event.preventDefault();
    const input = $("input", event.target);
    const text = input.value.trim();
    const room = $("select", event.target).value || undefined;
    if (text === "" || !isConnected) return;
    input.value = "";
    socket.emit("send", text, room, (sent) => later(() => addAnswers(sent, room)));
  });

  function addAnswers(sent, room) {
    const answers = `answered by ${sent.answers} ${sent.answers === 1 ? "client" : "clients"}`;
    // Who is not in the room gets no message to stand beside.
    const times = own.get(sent.sentAt) ?? note(`Sent to ${room ?? "everyone"}, `);
    if (!sent.error) times.append(fact(`${answers} in`, sent.roundTripMs));
    else times.append(make("span", "fault", `${answers}: ${sent.error}`));
    follow();
  }

  $(".kill", element).addEventListener("click", () => post(`servers/${server}`, {}));

  show();
  return {
    get status() {
      return status;
    },
    show,
    /** Takes what the demo says about the process. */
    update(given) {
      const before = child.state;
      child = given;
      if (child.port && child.port !== port) connect();
      // The client's own delay may have grown: a server that runs again is tried at once.
      else if (child.state === "running" && before !== "running" && socket && !socket.connected) {
        socket.disconnect().connect();
      }
      show();
    },
  };
}

function countIn(room) {
  return SERVERS.flatMap((server) => panes[server]?.status?.clients ?? [])
    .filter((client) => client.rooms.includes(room)).length;
}

/** What concerns more than one pane: rooms, their members, the tally. */
function showEveryone() {
  for (const server of SERVERS) panes[server].show();
  const known = SERVERS.map((server) => panes[server].status).filter(Boolean);
  const clients = known.flatMap((status) => status.clients).length;
  const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  put(
    $("#tally"),
    known.length ? `${count(known.length, "server")}, ${count(clients, "client")}` : "",
  );
}

/** A dot on the wire between a pane and PostgreSQL: that it went this way, not how fast. */
function travel(server, direction, sender) {
  if (calm.matches || document.hidden) return;
  const wire = $(`.wire[data-server="${server}"]`);
  if (wire.clientHeight === 0) return;
  const dot = make("i", "dot");
  dot.dataset.from = sender;
  wire.append(dot);
  const path = [{ transform: "translateY(0)" }, {
    transform: `translateY(${wire.clientHeight}px)`,
  }];
  dot.animate(direction === "up" ? path.reverse() : path, { duration: 420, easing: "ease-in-out" })
    .finished.finally(() => dot.remove());
}

function post(path, content) {
  return fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(content),
  });
}

const statement = $("#statement");
const result = $("#notify-result");

for (const [label, example] of Object.entries(EXAMPLES)) {
  const button = make("button", "preset", label);
  button.type = "button";
  button.addEventListener("click", () => write(example));
  $("#presets").append(button);
}

function write(text) {
  statement.value = text;
  fit();
  put(result, "");
}

/** As high as its text. */
function fit() {
  statement.style.height = "auto";
  statement.style.height = `${statement.scrollHeight}px`;
}
statement.addEventListener("input", fit);
addEventListener("resize", fit);
write(EXAMPLES["Room news"]);

statement.addEventListener("keydown", (event) => {
  // A statement is one line more often than not: Enter runs it, Shift+Enter breaks it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("#notify").requestSubmit();
});

$("#notify").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = statement.value;
  result.className = "";
  const run = { startedAt: now(), texts: textsIn(text) };
  runs.push(run);
  if (runs.length > 50) runs.shift();
  try {
    const response = await post("notify", text);
    if (!response.ok) throw new Error(await response.text());
    const ran = await response.json();
    run.startedAt = ran.startedAt;
    result.className = ran.error ? "fault" : "";
    put(result, ran.error ? `ERROR: ${ran.error}` : `NOTIFY, ${ms(ran.tookMs)}`);
  } catch (error) {
    result.className = "fault";
    put(result, `The demo does not answer: ${error.message}`);
  }
});

/** The texts that a statement sends, by which the page knows its own messages again. */
function textsIn(sql) {
  try {
    const payload = /'((?:[^']|'')*)'/.exec(sql)[1].replaceAll("''", "'");
    const { emit } = JSON.parse(payload);
    return new Set([emit[1].text]);
  } catch {
    return new Set();
  }
}

const events = new EventSource("events");
events.addEventListener("message", ({ data }) => {
  const { name, database, servers } = JSON.parse(data);
  isLive = true;
  $("#banner").hidden = true;
  put($("#database-version"), database.version);
  put($("#database-place"), database.place);
  put($("#project"), name);
  for (const server of servers) panes[server.id].update(server);
});
events.addEventListener("error", () => {
  if (!isLive) return;
  isLive = false;
  put($("#banner"), "The demo has stopped. Start it again with: npx -y deno task demo");
  $("#banner").hidden = false;
  showEveryone();
});
