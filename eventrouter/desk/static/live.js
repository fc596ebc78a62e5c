// Follows the log over SSE. The browser resumes by the id of the last event, so nothing is missed after a lost connection.
import { inUse, renew } from "./desk.js";

const sign = document.getElementById("live");
const said = { on: "Live", lost: "Connection lost, trying again", off: "Not live" };

function say(state) {
  if (!sign || sign.dataset.state === state) return;
  sign.dataset.state = state;
  sign.querySelector(".word").textContent = said[state];
}

/**
 * Keeps parts of this page as they are in the database. `concerns(row)` says which parts a log row changes (their names).
 * Each part is fetched at most twice a second, and every `everyS` seconds, for what no log row tells.
 */
export function keepLive(concerns, parts, everyS = 15) {
  const due = new Set();
  let busy = false;
  let timer;

  async function look() {
    timer = undefined;
    if (busy || document.hidden) return;
    busy = true;
    for (const name of [...due]) {
      if (inUse(name)) continue;
      due.delete(name);
      try {
        if (!(await renew(name))) due.add(name);
      } catch {
        due.add(name);
      }
    }
    busy = false;
    if (due.size) later(2000);
  }

  function later(ms) {
    timer ??= setTimeout(look, ms);
  }

  function want(names) {
    for (const name of names) due.add(name);
    if (due.size) later(500);
  }

  let position;
  let source;
  function open() {
    const address = new URL(`${document.documentElement.dataset.base}/api/events`, location.href);
    if (position) address.searchParams.set("position", position);
    source = new EventSource(address);
    source.addEventListener("position", (event) => {
      position = event.lastEventId;
      say("on");
      want(parts);
    });
    source.addEventListener("log", (event) => {
      position = event.lastEventId;
      want(concerns(JSON.parse(event.data)));
    });
    source.addEventListener("error", () => {
      say("lost");
      // closed for good where the answer was no stream (the service starts again, or the session ended)
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
    });
  }

  addEventListener("visibilitychange", () => { if (!document.hidden) want(parts); });
  setInterval(() => want(parts), everyS * 1000);
  open();
}
