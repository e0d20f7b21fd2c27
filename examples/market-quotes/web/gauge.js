// The painting and the figures: how much the exchange does, how much of it this page takes, and how often it is painted.

const SECOND_MS = 1_000;
/** How long a slow page does nothing before it is painted again. */
const BUSY_MS = 400;
const IDLE_MS = 100;

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");

export class Gauge {
  /** Prices that have come in this second. */
  taken = 0;
  #board;
  #frames = 0;
  #worked = 0;

  constructor(board) {
    this.#board = board;
    $("search").addEventListener("input", () => board.search($("search").value.trim()));
    $("order").addEventListener("change", () => board.orderBy($("order").value));
    setInterval(() => this.#second(), SECOND_MS);
    requestAnimationFrame((now) => this.#frame(now));
  }

  /** The exchange says how many changes it made in the last second. */
  made(changes) {
    $("made").textContent = `${number.format(changes)}/s`;
  }

  #frame(now) {
    this.#board.paint();
    this.#frames++;
    $("empty").hidden = this.#board.size > 0;
    if ($("busy").checked && now - this.#worked > IDLE_MS) {
      // An honest old telephone: nothing else happens in this page meanwhile, and the socket is not read.
      const until = performance.now() + BUSY_MS;
      while (performance.now() < until);
      this.#worked = performance.now();
    }
    requestAnimationFrame((next) => this.#frame(next));
  }

  #second() {
    $("symbols").textContent = number.format(this.#board.size);
    $("taken").textContent = `${number.format(this.taken)}/s`;
    $("frames").textContent = number.format(this.#frames);
    $("skipped").textContent = number.format(this.#board.skipped);
    this.taken = this.#frames = 0;
  }
}
