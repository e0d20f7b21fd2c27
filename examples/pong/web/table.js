// The table: what the last datagram said, and what has become of it since.

const SCALE = 1000;
/** Longer than that nobody guesses where the ball is. */
const GUESS_S = 0.5;
const HELD_MS = 3_000;

export class Table {
  #ball;
  #paddles = {};
  #last;
  #sizes;

  constructor(svg, sizes) {
    this.#sizes = sizes;
    const { width, paddle, edge, ball } = sizes;
    svg.append(make("line", { class: "middle", x1: (width / 2) * SCALE, x2: (width / 2) * SCALE, y1: 10, y2: SCALE - 10 }));
    for (const [side, x] of [["left", edge], ["right", width - edge]]) {
      const drawn = make("rect", { class: "paddle", x: x * SCALE - 11 + (side === "left" ? -11 : 11), y: 0, width: 22, height: paddle * SCALE, rx: 9 });
      drawn.dataset.side = side;
      drawn.dataset.test = `paddle-${side}`;
      this.#paddles[side] = svg.appendChild(drawn);
      this.paddle(side, 0.5);
    }
    this.#ball = svg.appendChild(make("circle", { class: "ball", r: ball * SCALE, cx: -100, cy: -100 }));
    this.#ball.dataset.test = "ball";
    requestAnimationFrame(() => this.#draw());
  }

  /** A paddle is here now, by its middle. */
  paddle(side, y) {
    this.#paddles[side].setAttribute("y", ((y - this.#sizes.paddle / 2) * SCALE).toFixed(1));
  }

  /** Somebody at this page holds it. */
  held(side) {
    const paddle = this.#paddles[side];
    paddle.dataset.held = "true";
    clearTimeout(paddle.timer);
    paddle.timer = setTimeout(() => delete paddle.dataset.held, HELD_MS);
  }

  /** The ball was here when this came, and flew so. */
  fly(ball, speed) {
    this.#last = { ball, speed, at: performance.now() };
  }

  #draw() {
    if (this.#last) {
      const { ball, speed, at } = this.#last;
      const seconds = Math.min(GUESS_S, (performance.now() - at) / 1000);
      const radius = this.#sizes.ball;
      const y = ball[1] + speed[1] * seconds;
      this.#ball.setAttribute("cx", ((ball[0] + speed[0] * seconds) * SCALE).toFixed(1));
      this.#ball.setAttribute("cy", (Math.min(1 - radius, Math.max(radius, y)) * SCALE).toFixed(1));
    }
    requestAnimationFrame(() => this.#draw());
  }
}

function make(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}
