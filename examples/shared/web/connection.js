// A page's connection to the hub by the JavaScript client: where the hub is, and how the connection stands.

/** Where the hub is. One on this machine is, for a page that was loaded from another one, on that other one. */
export async function hubAddress() {
  const { hub } = await (await fetch("configuration.json")).json();
  const url = new URL(hub);
  const here = ["127.0.0.1", "localhost", "[::1]"];
  if (here.includes(url.hostname) && !here.includes(location.hostname)) url.hostname = location.hostname;
  return url;
}

/** Shows in the element `status` how the connection of a client stands, and its errors in the console. */
export function follow(client) {
  const status = document.getElementById("status");
  client.on("status", (now) => {
    status.dataset.state = status.textContent = { open: "connected", waiting: "reconnecting" }[now] ?? status.textContent;
  });
  client.on("error", (error) => console.error(error));
  return client;
}
