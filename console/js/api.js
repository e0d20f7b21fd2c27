// What the tables of the console have in common: they ask the HTTP API, say how it went, and have a button in each row.

/** How long a button that has been pressed once waits for the second time. */
const SURE_MS = 4_000;

export async function ask(method, path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(new URL(path, document.baseURI), { method, headers, body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.reason);
  return answer;
}

/** Does some work, and writes into `output` what it gives, or why it failed. */
export async function say(output, work) {
  try {
    output.textContent = await work();
    output.classList.remove("failed");
  } catch (error) {
    output.textContent = error.message;
    output.classList.add("failed");
  }
}

/** Pressed once it asks, pressed twice it does it. `about` says what, for those who cannot see the row. */
export function sureButton(label, test, about, work) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.dataset.test = test;
  const reset = () => {
    button.textContent = label;
    delete button.dataset.sure;
    button.setAttribute("aria-label", about);
  };
  reset();
  button.addEventListener("click", async () => {
    if (button.dataset.sure) return work(button.closest("tr"));
    button.dataset.sure = "yes";
    button.textContent = "Sure?";
    button.setAttribute("aria-label", `Press again: ${about}`);
    setTimeout(reset, SURE_MS);
  });
  return button;
}

/** A row with a way to fill its cells. */
export function row(test) {
  const element = document.createElement("tr");
  element.dataset.test = test;
  const cell = (text, className = "") => {
    const made = element.insertCell();
    made.textContent = text;
    made.className = className;
    return made;
  };
  return { element, cell };
}
