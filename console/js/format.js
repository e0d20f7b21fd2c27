// How figures and payloads are written.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 1,234 up to a hundred thousand; 123.4K above. */
export function number(value) {
  return value < 100_000 ? whole.format(Math.round(value)) : short.format(value);
}

/** A rate a second: one decimal while it is small. */
export function rate(value) {
  return value > 0 && value < 10 ? value.toFixed(1).replace(/\.0$/, "") : number(value);
}

/** Bytes in the unit that fits. */
export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log2(bytes) / 10) : 0);
  const value = bytes / 2 ** (10 * step);
  return `${step && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}

export function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

export function time(date) {
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** A message's payload in one line of at most `length` characters. */
export function line(message, length) {
  let text;
  if (message.data_base64 !== undefined) text = `${bytes(message.data_base64)} bytes · ${message.data_base64}`;
  else text = typeof message.data === "string" ? message.data : JSON.stringify(message.data);
  if (text === undefined || text === "") return "(empty)";
  if (text.length > length) text = `${text.slice(0, length)}…`;
  return text.replace(/\s+/g, " ");
}

/** A message's payload in full, JSON indented, binary as a table of hexadecimal digits. */
export function full(message, length) {
  let text;
  if (message.data_base64 !== undefined) text = hex(message.data_base64);
  else text = typeof message.data === "string" ? message.data : JSON.stringify(message.data, null, 2);
  if (!text) return "(empty)";
  return text.length > length ? `${text.slice(0, length)}\n… ${number(text.length - length)} more characters` : text;
}

function bytes(base64) {
  return (base64.length / 4) * 3 - (base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0);
}

function hex(base64) {
  const shown = atob(base64.slice(0, 4096));
  const lines = [`${number(bytes(base64))} bytes`];
  for (let at = 0; at < shown.length; at += 16) {
    const row = [...shown.slice(at, at + 16)];
    const digits = row.map((char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((char) => (char >= " " && char <= "~" ? char : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${digits.padEnd(47)}  ${letters}`);
  }
  return lines.join("\n");
}
