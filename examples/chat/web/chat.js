// Rooms are topics. One of them is open; of the others the page hears enough to count what was said meanwhile.

import { Client } from "./trefoil.mjs";
import { follow, hubAddress } from "./connection.js";
import { element } from "./element.js";
import { Room } from "./room.js";

const ROOMS = ["lobby", "garden", "workshop"];
/** Who types is told about it so often. */
const TYPING_MS = 1_500;
/** What a room may be called: one level of a topic. */
const NO_ROOM = /[/+#\0]|^\$|^$/;

const $ = (id) => document.getElementById(id);
const address = await hubAddress();
const rooms = new Map();
let client;
let room;
let open;
let typedAt = 0;

$("name").value = localStorage.getItem("name") ?? `Guest ${Math.floor(Math.random() * 900 + 100)}`;
for (const name of ROOMS) addRoom(name);
connect();
enter(roomOfAddress());

/** One connection for each name: presence shows what the client says of itself when it connects. */
function connect() {
  client?.close();
  localStorage.setItem("name", me());
  client = follow(new Client(address, { info: { name: me() } }));
  for (const name of rooms.keys()) listen(name);
}

/** Hears from outside what is said in a room: a filter with a wildcard makes nobody think that one is inside. */
function listen(name) {
  rooms.get(name).outside = client.subscribe(`chat/${name}/+`, ({ topic }) => topic.endsWith("/said") && heard(name), { retained: false });
}

function roomOfAddress() {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return NO_ROOM.test(name) ? ROOMS[0] : name;
  } catch {
    return ROOMS[0];
  }
}

function me() {
  return $("name").value.trim() || "Somebody";
}

function enter(name) {
  if (NO_ROOM.test(name)) return;
  addRoom(name);
  room?.leave();
  if (open !== undefined) listen(open);
  open = name;
  rooms.get(name).outside.unsubscribe().catch(() => {});
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  room = new Room(client, name, me);
  unread(name, 0);
  for (const [each, { button }] of rooms) button.setAttribute("aria-current", each === name);
}

function addRoom(name) {
  if (rooms.has(name)) return;
  const button = element("button");
  button.type = "button";
  button.dataset.test = "room";
  button.dataset.room = name;
  const badge = element("b");
  badge.hidden = true;
  button.append(element("span", "", name), badge);
  button.onclick = () => enter(name);
  const row = element("li");
  row.append(button);
  $("rooms").append(row);
  rooms.set(name, { button, badge, unread: 0 });
  if (client) listen(name);
}

function heard(name) {
  if (name !== open) unread(name, rooms.get(name).unread + 1);
}

function unread(name, count) {
  const { badge } = rooms.get(name);
  rooms.get(name).unread = count;
  badge.hidden = count === 0;
  badge.textContent = count > 99 ? "99+" : count;
}

addEventListener("hashchange", () => enter(roomOfAddress()));

$("open").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("room-name").value.trim());
  $("room-name").value = "";
});

$("name").addEventListener("change", () => {
  const name = open;
  open = undefined;
  connect();
  enter(name);
});

$("text").addEventListener("input", () => {
  const now = Date.now();
  if (!$("text").value || now - typedAt < TYPING_MS) return;
  typedAt = now;
  client.publish(`chat/${open}/typing`, { from: me() }, { expiry: 3 }).catch(() => {});
});

$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  typedAt = 0;
  $("text").value = "";
  try {
    const id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    await client.publish(`chat/${open}/said`, { id, from: me(), text, at: Date.now() }, { qos: 1 });
    $("answer").textContent = "";
  } catch (error) {
    $("text").value = text;
    $("answer").textContent = `Not sent: ${error.message}`;
  }
});
