// Follows the log over SSE. The browser resumes by the id of the last event, so nothing is missed after a lost connection.
import { inUse, renew, SignedOut, timeOf } from "./desk.js";

const sign = document.getElementById("live");
const said = { on: "Live", stale: "Not up to date, trying again", lost: "Connection lost, trying again", out: "Signed out" };
const { base } = document.documentElement.dataset;

/** Says how the page stands, and how old what it shows is, where it is not live. */
function say(state, sure) {
  if (!sign || sign.dataset.state === state) return;
  sign.dataset.state = state;
  const word = sign.querySelector(".word");
  word.textContent = said[state];
  if (state === "on") return;
  word.append(`; as of ${timeOf(sure)}`);
  if (state !== "out") return;
  const link = document.createElement("a");
  link.href = `${base}/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "sign in";
  word.append(": ", link);
}

/**
 * Keeps parts of this page as they are in the database. `concerns(row)` says which parts a log row changes (their names).
 * Each part is fetched at most twice a second, or every `slowly[name]` seconds after a log row, and every `everyS` seconds, for what no
 * log row tells.
 */
export function keepLive(concerns, parts, everyS = 15, slowly = {}) {
  const due = new Set();
  const looked = new Map();
  const failed = new Set();
  let busy = false;
  let connected = false;
  let sure = new Date(); // until then what is shown is as it was
  let out = false;
  let timer;
  let source;

  // what is not live is grey
  function tell() {
    const state = out ? "out" : !connected ? "lost" : failed.size ? "stale" : "on";
    say(state, sure);
    for (const name of parts) document.querySelector(`[data-fragment="${name}"]`)?.classList.toggle("old", state !== "on");
  }

  // the session has ended: nothing is asked any more, for the answer would stay the same
  function end() {
    out = true;
    due.clear();
    source.close();
    clearInterval(regular);
    tell();
  }

  async function look() {
    timer = undefined;
    if (busy || out || document.hidden) return;
    busy = true;
    for (const name of [...due]) {
      if (inUse(name) || waits(name) > 0) continue;
      due.delete(name);
      looked.set(name, performance.now());
      const done = await renew(name).catch((fault) => {
        if (fault instanceof SignedOut) end();
        return false;
      });
      if (out) return;
      if (done) {
        failed.delete(name);
        if (!failed.size) sure = new Date();
      } else {
        failed.add(name);
        due.add(name);
      }
    }
    busy = false;
    tell();
    if (due.size) later(2000);
  }

  // how long a part that costs more is still left alone, in milliseconds
  function waits(name) {
    return (slowly[name] ?? 0) * 1000 - (performance.now() - (looked.get(name) ?? -Infinity));
  }

  function later(ms) {
    if (!out) timer ??= setTimeout(look, ms);
  }

  function want(names) {
    for (const name of names) due.add(name);
    if (due.size) later(500);
  }

  let position;
  function open() {
    if (out) return;
    const address = new URL(`${base}/api/events`, location.href);
    if (position) address.searchParams.set("position", position);
    source = new EventSource(address);
    source.addEventListener("position", (event) => {
      position = event.lastEventId;
      connected = true;
      failed.clear();
      tell();
      want(parts);
    });
    source.addEventListener("log", (event) => {
      position = event.lastEventId;
      if (!failed.size) sure = new Date();
      want(concerns(JSON.parse(event.data)));
    });
    source.addEventListener("error", () => {
      if (connected && !failed.size) sure = new Date();
      connected = false;
      tell();
      // closed for good where the answer was no stream, which does not tell why
      if (source.readyState === EventSource.CLOSED) again();
    });
  }

  async function again() {
    try {
      if ((await fetch(`${base}/api`, { cache: "no-store" })).status === 401) end();
    } catch {
      // it is away, and starts again perhaps
    }
    if (!out) setTimeout(open, 3000);
  }

  addEventListener("visibilitychange", () => { if (!document.hidden) want(parts); });
  const regular = setInterval(() => want(parts), everyS * 1000);
  open();
}
