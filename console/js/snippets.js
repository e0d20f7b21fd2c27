// Lines to try, with the addresses of this hub in them.

const $ = (id) => document.getElementById(id);
let shown;

/**
 * Writes the snippets. `listeners`, when the hub names them in its figures, is a list of
 * `{bind: "tcp://HOST:PORT", protocols: [...]}`; without it, the most likely port stands there.
 */
export function showSnippets(listeners = []) {
  const addresses = addressesOf(listeners);
  const key = JSON.stringify(addresses);
  if (key === shown) return;
  shown = key;
  $("snippets").replaceChildren(...snippets(addresses).map(([title, about, text]) => newCard(title, about, text)));
}

function addressesOf(listeners) {
  const secure = location.protocol === "https:";
  // A port of the web serves the web; any other is more likely a port for everything.
  const likely = ["", "80", "443", "8080"].includes(location.port) ? "1883" : location.port;
  const port = (protocol) => {
    const found = listeners.find(({ bind, protocols }) => bind.startsWith("tcp://") && protocols.includes(protocol));
    return found ? new URL(found.bind.replace("tcp:", "http:")).port || "80" : likely;
  };
  return {
    // The name that brought the reader here surely reaches the hub; what it is bound to may be 0.0.0.0.
    host: location.hostname.replace(/^\[|\]$/g, ""),
    mqtt: port("mqtt"),
    json: port("json"),
    http: location.origin,
    ws: `${secure ? "wss" : "ws"}://${location.host}/ws`,
  };
}

function snippets({ host, mqtt, json, http, ws }) {
  return [
    [
      "MQTT",
      "mosquitto, or any other client",
      `mosquitto_sub -h ${host} -p ${mqtt} -t 'demo/#' -v\nmosquitto_pub -h ${host} -p ${mqtt} -t demo/hello -m 'Hello MQTT'`,
    ],
    [
      "JavaScript",
      "in a page, or in this one's developer tools",
      `const hub = new WebSocket("${ws}");\nhub.onmessage = (event) => console.log(event.data);\nhub.onopen = () => {\n  hub.send('{"sub":"demo/#"}');\n  hub.send('{"pub":"demo/hello","data":"Hello JS"}');\n};`,
    ],
    [
      "HTTP",
      "publish; listen to server-sent events",
      `curl -N '${http}/sse?topic=demo/%23'\ncurl ${http}/api/v1/publish \\\n  -H 'content-type: application/json' \\\n  -d '{"topic":"demo/hello","data":"Hello HTTP"}'`,
    ],
    [
      "WebSocket",
      "in a terminal, with websocat",
      `echo '{"pub":"demo/hello","data":"Hello websocat"}' | websocat ${ws}\n(echo '{"sub":"demo/#"}'; cat) | websocat ${ws}`,
    ],
    [
      "TCP socket",
      "one JSON object in a line",
      `echo '{"pub":"demo/hello","data":"Hello nc"}' | nc -w 1 ${host} ${json}\n(echo '{"sub":"demo/#"}'; cat) | nc ${host} ${json}`,
    ],
  ];
}

function newCard(title, about, text) {
  const card = document.createElement("article");
  card.className = "card snippet";
  const bar = document.createElement("div");
  bar.className = "bar";
  const heading = document.createElement("h3");
  heading.textContent = title;
  const note = document.createElement("span");
  note.className = "count grow";
  note.textContent = about;
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "quiet";
  copy.textContent = "Copy";
  copy.setAttribute("aria-label", `Copy the ${title} lines`);
  const code = document.createElement("pre");
  code.tabIndex = 0;
  code.textContent = text;
  copy.addEventListener("click", async () => {
    const done = await copyText(text, code);
    copy.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (copy.textContent = "Copy"), 1_500);
  });
  bar.append(heading, note, copy);
  card.append(bar, code);
  return card;
}

/** A page over plain HTTP has no clipboard: there the text is selected and copied the old way, or by the reader. */
async function copyText(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
