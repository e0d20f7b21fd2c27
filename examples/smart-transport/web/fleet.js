// The table of vehicles: what each has published, what of it came out of the hub, and its orders.

const COUNTS = ["published", "received", "waiting", "gaps", "repeated", "orders", "twice", "cuts"];

export class Fleet {
  #body;
  #rows = new Map();
  #doings;
  #ask;

  /** `ask(what, data)` asks the centre. */
  constructor(body, doings, ask) {
    this.#body = body;
    this.#doings = doings;
    this.#ask = ask;
  }

  contact(name, state) {
    const { contact } = this.#row(name);
    contact.dataset.state = state;
    contact.textContent = state;
  }

  count(vehicles) {
    for (const vehicle of vehicles) {
      const { row, cells, tunnel } = this.#row(vehicle.name);
      const { orders, link } = vehicle;
      const values = {
        ...vehicle,
        orders: `${orders.confirmed} / ${orders.given}`,
        twice: orders.executed_twice + orders.confirmed_twice,
        cuts: link.cuts + link.tunnels,
      };
      for (const name of COUNTS) {
        cells[name].textContent = values[name];
        cells[name].classList.toggle("wrong", ["gaps", "twice"].includes(name) && values[name] > 0);
      }
      row.classList.toggle("tunnel", vehicle.tunnel_s > 0);
      tunnel.textContent = vehicle.tunnel_s > 0 ? `tunnel, ${Math.ceil(vehicle.tunnel_s)} s` : "tunnel";
    }
  }

  #row(name) {
    const found = this.#rows.get(name);
    if (found) return found;
    const row = element("tr");
    row.dataset.test = "row";
    row.dataset.name = name;
    const heading = element("th", name);
    heading.scope = "row";
    const contact = element("span", "");
    contact.className = "contact";
    contact.dataset.test = "contact";
    const contactCell = element("td");
    contactCell.append(contact);
    row.append(heading, contactCell);
    const cells = {};
    for (const count of COUNTS) {
      cells[count] = element("td", "");
      cells[count].dataset.test = count;
      row.append(cells[count]);
    }
    const tunnel = element("button", "tunnel");
    tunnel.title = "cut this vehicle off for eight seconds";
    tunnel.dataset.test = "tunnel";
    tunnel.onclick = () => this.#ask("tunnel", { vehicle: name, s: 8 });
    const order = element("select");
    order.title = "order something at QoS 2";
    order.dataset.test = "order";
    order.append(new Option("order …", ""), ...this.#doings.map((doing) => new Option(doing, doing)));
    order.onchange = () => {
      this.#ask("order", { vehicle: name, do: order.value });
      order.value = "";
    };
    const buttons = element("div");
    buttons.className = "buttons";
    buttons.append(tunnel, order);
    row.append(element("td"));
    row.lastChild.append(buttons);
    // In the order of their names, whoever is heard of first.
    const after = [...this.#body.children].find((other) => compare(other.dataset.name, name) > 0);
    this.#body.insertBefore(row, after ?? null);
    const made = { row, contact, cells, tunnel };
    this.#rows.set(name, made);
    return made;
  }
}

const compare = new Intl.Collator("en", { numeric: true }).compare;

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}
