// Explain: the template follows its choices, and is copied. What a choice means is said by the server alone.
import { renew } from "./desk.js";
import { keepLive } from "./live.js";

const form = document.getElementById("template");
const places = () => document.querySelectorAll("[data-copy]");

function showButtons() {
  for (const button of places()) button.hidden = false;
}

// what was chosen or is being typed meanwhile must not be replaced by what an earlier choice led to
const typing = () => form.contains(document.activeElement) && document.activeElement.value !== (document.activeElement.defaultValue ?? document.activeElement.value);

let asked = 0;
async function follow() {
  const mine = ++asked;
  const latest = () => mine === asked;
  const query = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  const address = `${form.getAttribute("action").split("#")[0]}?${query}`;
  history.replaceState(null, "", address);
  document.querySelector(".explain-form").setAttribute("action", `${address}#answer`);
  try {
    await renew("template", latest);
    if (latest()) await renew("choices", () => latest() && !typing());
  } catch {
    // it is away or the session ended, which the top bar says
  }
  showButtons();
}

/** Puts a text on the clipboard; where the browser gives none (plain http), it is marked and copied the old way. */
async function copy(place) {
  try {
    await navigator.clipboard.writeText(place.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(place);
    return document.execCommand("copy");
  }
}

form.addEventListener("change", follow);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  follow();
});

addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const done = await copy(document.getElementById(button.dataset.copy));
  document.getElementById("copied").textContent = done ? "Copied." : "It is marked: copy it with your keyboard.";
});

showButtons();
keepLive(() => [], []);
