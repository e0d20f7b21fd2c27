// What each kind of device looks like, and what can be done with it.

import { element } from "./element.js";

const SVG = "http://www.w3.org/2000/svg";

/** One of the drawings of icons.svg. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/**
 * How a state is shown: `text`, `icon`, whether it is `lit`, how strongly (`level`, from 0 to 1), and a function that
 * makes its controls. Nothing, if the state makes no sense.
 */
export function describe(state) {
  const sound = {
    lamp: () => typeof state.on === "boolean" && Number.isFinite(state.brightness),
    blind: () => Number.isFinite(state.position) && Number.isFinite(state.target),
    thermostat: () => Number.isFinite(state.measured) && Number.isFinite(state.target),
    contact: () => typeof state.open === "boolean",
    motion: () => typeof state.motion === "boolean",
  };
  const kind = state?.kind;
  if (!Object.hasOwn(sound, kind) || !sound[kind]()) return undefined;
  return KINDS[kind](state);
}

const KINDS = {
  lamp: ({ on, brightness }) => ({
    text: on ? `${brightness} %` : "off",
    icon: "lamp",
    lit: on,
    level: on ? 0.35 + (0.65 * brightness) / 100 : 0,
    controls: (send) => {
      const slider = range(1, "Brightness", (value) => send({ brightness: value }));
      const toggle = button("toggle", "On", () => send({ on: toggle.getAttribute("aria-pressed") !== "true" }));
      const show = (state) => {
        toggle.setAttribute("aria-pressed", state.on);
        put(slider, state.brightness);
      };
      return { elements: [toggle, slider], show };
    },
  }),
  blind: ({ position, target }) => ({
    text: position !== target ? `moving, ${position} % open` : position === 0 ? "closed" : position === 100 ? "open" : `${position} % open`,
    icon: "blind",
    lit: position > 0,
    level: position / 100,
    controls: (send) => {
      const slider = range(0, "Open", (value) => send({ position: value }));
      const down = button("step", "Close", () => send({ position: 0 }), icon("down"));
      const up = button("step", "Open", () => send({ position: 100 }), icon("up"));
      return { elements: [down, slider, up], show: (state) => put(slider, state.target) };
    },
  }),
  thermostat: ({ measured, target }) => ({
    text: `${measured.toFixed(1)} °C`,
    icon: "heat",
    lit: target > measured,
    level: target > measured ? 1 : 0,
    controls: (send) => {
      let target = 20;
      const shown = element("output", "target");
      const by = (degrees) => () => send({ target: Math.min(30, Math.max(5, target + degrees)) });
      const show = (state) => {
        target = state.target;
        shown.textContent = `${target.toFixed(1)} °C`;
      };
      return { elements: [button("step", "Colder", by(-0.5), "−"), shown, button("step", "Warmer", by(0.5), "+")], show };
    },
  }),
  contact: ({ open }) => ({
    text: open ? "open" : "closed",
    icon: open ? "open" : "closed",
    lit: open,
    level: open ? 1 : 0,
    controls: (send) => {
      const hand = button("hand", "Open", () => send({ open: hand.dataset.open !== "true" }));
      const show = (state) => {
        hand.dataset.open = state.open;
        hand.textContent = state.open ? "Close" : "Open";
      };
      return { elements: [hand], show };
    },
  }),
  motion: ({ motion }) => ({
    text: motion ? "somebody is there" : "quiet",
    icon: "motion",
    lit: motion,
    level: motion ? 1 : 0,
    controls: () => ({ elements: [], show: () => {} }),
  }),
};

function button(className, label, onclick, content = undefined) {
  const made = element("button", className);
  made.type = "button";
  made.setAttribute("aria-label", label);
  if (content !== undefined) made.append(content);
  made.onclick = onclick;
  return made;
}

function range(min, label, send) {
  const made = element("input");
  Object.assign(made, { type: "range", min, max: 100 });
  made.setAttribute("aria-label", label);
  made.onchange = () => send(Number(made.value));
  return made;
}

/** Moves a slider to where the device is, unless a thumb holds it. */
function put(slider, value) {
  if (slider.matches(":active")) return;
  slider.value = value;
}
