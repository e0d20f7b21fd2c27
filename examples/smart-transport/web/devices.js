// The small devices at stops: what boards show, what counters have counted, and who sleeps.

const WORDS = { away: "looking for the gateway", awake: "awake", asleep: "asleep", gone: "gone" };

export class Devices {
  #list;
  #cards = [];

  constructor(list) {
    this.#list = list;
  }

  show(devices) {
    devices.forEach((device, i) => {
      const { card, text, state, count } = (this.#cards[i] ??= this.#add(device));
      card.dataset.state = device.state;
      text.textContent = device.text || "…";
      state.textContent = WORDS[device.state] ?? device.state;
      const waiting = device.published - device.received;
      count.textContent = `${device.received} of ${device.published}${waiting > 0 && device.state === "asleep" ? ", the rest when it wakes" : ""}`;
      count.classList.toggle("wrong", device.out_of_order + device.strange > 0);
    });
  }

  #add({ stop, sort }) {
    const card = element("li", "device");
    card.dataset.test = "device";
    card.dataset.stop = stop;
    card.dataset.sort = sort;
    const heading = element("div", "place");
    const state = element("span", "state");
    heading.append(element("strong", "", stop), state);
    const text = element("p", sort);
    text.dataset.test = "device-text";
    const count = element("small", "");
    count.dataset.test = "device-count";
    card.append(heading, text, count);
    this.#list.append(card);
    return { card, text, state, count };
  }
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
