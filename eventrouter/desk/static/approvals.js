// Approvals: the queue follows the log, and what is left of each one's time is counted down.
import { keepLive } from "./live.js";

keepLive((row) => (row.status === "HELD" || row.prev_status === "HELD" || mine(row) ? ["queue"] : []), ["queue"], 10);

const place = document.querySelector('[data-fragment="queue"]');
const shown = () => [...place.querySelectorAll(".queue > li")].map((card) => card.id);
let before = shown();
let since = performance.now(); // this machine's clock may be wrong: what counts is the time since the server said what is left

function mine(row) {
  return new URLSearchParams(location.search).get("task") === String(row.task_id);
}

// where a card went away the others move up: a finger that comes down just then must not hit another order
new MutationObserver(() => {
  const now = shown();
  if (before.some((id) => !now.includes(id))) {
    place.inert = true;
    setTimeout(() => { place.inert = false; }, 800);
  }
  before = now;
  since = performance.now();
  tick();
}).observe(place, { childList: true });

function words(seconds) {
  if (seconds <= 0) return "too late";
  if (seconds < 120) return `${Math.ceil(seconds)} s left`;
  return seconds < 7200 ? `${Math.floor(seconds / 60)} min left` : `${Math.floor(seconds / 3600)} h left`;
}

function tick() {
  for (const each of place.querySelectorAll("[data-left]")) {
    const seconds = Number(each.dataset.left) - (performance.now() - since) / 1000;
    each.textContent = words(seconds);
    each.classList.toggle("down", seconds <= 0);
    each.classList.toggle("held-count", seconds > 0 && seconds < 30);
    const button = each.closest("li").querySelector("button.approve");
    if (button) button.disabled = seconds <= 0;
  }
}

setInterval(tick, 1000);
tick();
