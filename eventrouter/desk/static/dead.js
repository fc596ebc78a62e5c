// Dead letters: live unless something is ticked, one box that ticks all, and how many are ticked.
import { keepLive } from "./live.js";

const dead = ["FAILED", "REVIEW"];
keepLive((row) => (dead.includes(row.status) || dead.includes(row.prev_status) ? ["list"] : []), ["list"]);

const place = document.querySelector('[data-fragment="list"]');
const boxes = () => [...place.querySelectorAll("input[name=task]")];
const nothing = "Tick letters to do one thing to all of them.";

function count() {
  const all = place.querySelector("#tick-all");
  if (!all) return;
  all.hidden = false;
  const ticked = boxes().filter((box) => box.checked).length;
  all.checked = ticked > 0 && ticked === boxes().length;
  all.indeterminate = ticked > 0 && ticked < boxes().length;
  place.querySelector("#ticked").textContent = ticked ? `${ticked} ticked. The list stands still meanwhile.` : nothing;
  for (const button of place.querySelectorAll(".many button")) button.disabled = !ticked;
}

place.addEventListener("change", (event) => {
  if (event.target.id === "tick-all") for (const box of boxes()) box.checked = event.target.checked;
  count();
});
new MutationObserver(count).observe(place, { childList: true });
addEventListener("pageshow", count);
count();
