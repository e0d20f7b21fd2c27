// The market's page: one subscription, of which the hub sends the latest of each topic where the page cannot keep up.

import { Client } from "./trefoil.mjs";
import { Board } from "./board.js";
import { Gauge } from "./gauge.js";
import { follow, hubAddress } from "./connection.js";

/** Points in the small charts; as many are asked for from before the page came. */
const POINTS = 60;

const board = new Board(document.getElementById("board"), POINTS);
const gauge = new Gauge(board);

const client = follow(new Client(await hubAddress()));
client.subscribe("market/+/open", ({ topic, data }) => board.list(symbolOf(topic), data));
client.subscribe("market/rate", ({ data }) => gauge.made(data));
client.subscribe("market/+/price", (message) => {
  board.quote(symbolOf(message.topic), message.data, message.offset);
  gauge.taken++;
}, { slowReader: "latest_per_topic", history: POINTS, retained: false });

function symbolOf(topic) {
  return topic.split("/")[1];
}
