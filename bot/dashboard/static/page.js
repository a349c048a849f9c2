// Says whether the page is live, lets a reader hold it still, and marks prices that moved. Everything works without it.
"use strict";

(() => {
  const stream = document.getElementById("stream");
  const live = document.getElementById("live");
  const pause = document.getElementById("pause");
  if (!stream || !live || !pause) return;

  let paused = false;
  let ended = false;
  const prices = new Map();

  function show(state, text) {
    if (live.dataset.state === state) return; // a status that repeats itself would be read out again
    live.dataset.state = state;
    live.textContent = text;
  }

  function showState() {
    if (ended) return;
    if (paused) show("paused", "Paused");
    else show("live", "Live");
  }

  function endSession() {
    ended = true;
    pause.hidden = true;
    live.dataset.state = "off";
    live.textContent = "Logged out: ";
    const link = document.createElement("a");
    link.href = "/login";
    link.textContent = "log in again";
    live.append(link);
  }

  function remember() {
    for (const cell of document.querySelectorAll(".mark")) prices.set(cell, cell.textContent);
  }

  function markMoved() {
    for (const [cell, before] of prices) {
      if (!cell.isConnected || cell.textContent === before) continue;
      cell.classList.remove("moved");
      requestAnimationFrame(() => cell.classList.add("moved"));
    }
    prices.clear();
  }

  show("connecting", "Connecting");
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Unfreeze page" : "Freeze page";
    // What came while paused was not kept: ask for the whole page, which is always complete.
    if (!paused) location.reload();
    showState();
  });

  stream.addEventListener("htmx:sse:after:connection", showState);
  stream.addEventListener("htmx:sse:before:message", (event) => {
    if (paused) event.preventDefault();
    else remember();
  });
  stream.addEventListener("htmx:sse:after:message", () => {
    showState();
    markMoved();
  });
  stream.addEventListener("session-ended", endSession);
  stream.addEventListener("htmx:sse:error", (event) => {
    if (event.detail && event.detail.status === 401) endSession();
    if (!ended) show("off", "Not live: trying again");
  });
  // The first request is an ordinary one: what only reconnects is not there yet.
  function comeAgain(event) {
    const response = event.detail && event.detail.ctx && event.detail.ctx.response;
    if (response && response.status === 401) endSession();
    if (ended) return;
    show("off", "Not live: trying again");
    setTimeout(() => stream.dispatchEvent(new Event("again")), 5000);
  }
  stream.addEventListener("htmx:response:error", comeAgain);
  stream.addEventListener("htmx:error", comeAgain);
  stream.addEventListener("htmx:sse:close", () => {
    if (!ended) show("off", "Not live: reload the page");
  });
})();
