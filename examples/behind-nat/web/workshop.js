// The page of the workshop. It knows no hub: all that it loads, itself among it, comes through the stream.

const STATE_MS = 500;
const MIB = 1 << 20;

const $ = (id) => document.getElementById(id);
const { stream } = await (await fetch("configuration.json")).json();
$("door").textContent = location.host;
$("name").textContent = stream;

for (const button of document.querySelectorAll("[data-mib]")) button.onclick = () => fetchAll(Number(button.dataset.mib), Number(button.dataset.times ?? 1));
look();

async function look() {
  try {
    const { up_s, streams, bytes } = await (await fetch("state.json", { cache: "no-store" })).json();
    show("connected");
    $("up").textContent = up_s.toFixed(0);
    $("open").textContent = streams.open;
    $("all").textContent = streams.all;
    $("given").textContent = (bytes.given / MIB).toFixed(1);
    $("taken").textContent = (bytes.taken / 1024).toFixed(1);
  } catch {
    show("reconnecting");
  }
  setTimeout(look, STATE_MS);
}

function show(state) {
  $("status").dataset.state = $("status").textContent = state;
}

/** Fetches a file, some times at a time, and looks at every byte. */
async function fetchAll(mib, times) {
  const buttons = document.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  $("answer").textContent = "";
  const began = performance.now();
  let here = 0;
  const came = (count) => ($("progress").value = (here += count) / (mib * times * MIB));
  try {
    const wrong = await Promise.all(Array.from({ length: times }, () => fetchOne(mib, came)));
    const rate = here / MIB / ((performance.now() - began) / 1000);
    const sum = wrong.reduce((all, one) => all + one, 0);
    $("answer").textContent = `${here / MIB} MiB, ${rate.toFixed(0)} MiB a second, ${sum} bytes wrong`;
  } catch (error) {
    $("answer").textContent = `broken off: ${error.message}`;
  }
  for (const button of buttons) button.disabled = false;
}

async function fetchOne(mib, came) {
  const answer = await fetch(`file/${mib}`, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  let at = 0;
  let wrong = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    for (const byte of value) wrong += byte !== at++ % 251;
    came(value.length);
  }
  return wrong + Math.abs(mib * MIB - at);
}
