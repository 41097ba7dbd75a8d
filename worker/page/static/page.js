// Brings what is on the screen up to date, and says so when it cannot. Everything works without.
"use strict";

const stale = document.getElementById("stale");

// Nobody looks at a hidden tab: it asks for nothing, and asks at once when it is seen again.
document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  const live = document.getElementById("live");
  if (!document.hidden && live && live.hasAttribute("hx-get")) htmx.trigger(live, "every");
});

// What is shown stays, whatever goes wrong: only a screen that has the part takes its place.
document.addEventListener("htmx:after:request", (event) => {
  const { response, text } = event.detail.ctx;
  const fresh = Boolean(text && text.includes('id="live"')) && [200, 503].includes(response.status);
  if (stale) stale.hidden = fresh;
  if (!fresh) event.preventDefault();
});
document.addEventListener("htmx:error", () => {
  if (stale) stale.hidden = false;
});

// Between two looks a countdown goes on by itself.
setInterval(() => {
  for (const one of document.querySelectorAll("[data-countdown]")) {
    const left = Math.max(0, Number(one.dataset.countdown) - 1);
    one.dataset.countdown = left.toFixed(1);
    one.textContent = left > 0 ? Math.ceil(left) + " s" : "a moment";
  }
}, 1000);
