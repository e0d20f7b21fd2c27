// The news: one subscription that begins with what the hub remembers, and goes on where it was after every break.

import { Client } from "./trefoil.mjs";
import { follow, hubAddress } from "./connection.js";
import { Article } from "./article.js";

/** Articles on the page. */
const ARTICLES_MAX = 50;

const $ = (id) => document.getElementById(id);
const articles = new Map();
/** What was heard of the reach of articles that are not here yet. */
const reaches = new Map();

const client = follow(new Client(await hubAddress()));
const news = client.subscribe("news/articles", ({ data }) => publishHere(data), { qos: 1, history: ARTICLES_MAX });
const reach = client.subscribe("news/reach", ({ data }) => reached(data), { history: ARTICLES_MAX });
for (const subscription of [news, reach]) subscription.ready.catch(({ message }) => ($("answer").textContent = message));
client.on("gap", () => ($("gap").hidden = false));

$("desk").addEventListener("submit", async (event) => {
  event.preventDefault();
  const article = { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, title: $("title").value, text: $("text").value, at: Date.now() };
  try {
    // Retained, so that the last article is there also where a hub keeps no history.
    await client.publish("news/articles", article, { qos: 1, retain: true });
    $("answer").textContent = "Published.";
    $("title").value = $("text").value = "";
  } catch (error) {
    $("answer").textContent = `Not published: ${error.message}`;
  }
});

function publishHere(data) {
  // It comes twice where it is retained and in the history, and after a break at QoS 1.
  if (typeof data?.id !== "string" || typeof data.title !== "string" || articles.has(data.id)) return;
  const article = new Article(data);
  articles.set(data.id, article);
  const list = $("articles");
  const later = [...list.children].find((card) => Number(card.dataset.at) <= article.at);
  list.insertBefore(article.card, later ?? null);
  $("empty").hidden = true;
  if (reaches.has(data.id)) article.reached(reaches.get(data.id));
  while (list.children.length > ARTICLES_MAX) {
    articles.delete(list.lastChild.dataset.id);
    reaches.delete(list.lastChild.dataset.id);
    list.lastChild.remove();
  }
}

function reached(data) {
  if (typeof data?.id !== "string" || !(data.readers >= 0)) return;
  reaches.set(data.id, data);
  if (reaches.size > 2 * ARTICLES_MAX) reaches.delete(reaches.keys().next().value);
  articles.get(data.id)?.reached(data);
}
