// Shows the buttons that copy, which do nothing without this script, and lets them copy.
"use strict";

const SECONDS = 2;

async function copy(text) {
  // Over plain http browsers have no clipboard, but at the loopback.
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) {
    throw new Error("not copied");
  }
}

async function copyOf(button) {
  const status = document.getElementById("copied");
  // So that it is said again when it is done again.
  status.textContent = "";
  let said = "Copied";
  try {
    await copy(button.dataset.copy);
  } catch {
    said = "Not copied";
  }
  button.focus();
  button.textContent = said;
  status.textContent = said;
  setTimeout(() => {
    button.textContent = "Copy";
  }, SECONDS * 1000);
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copyOf(button));
}
