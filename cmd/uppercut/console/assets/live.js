// Keeps the overview current. Without it the page is the same, standing still.
"use strict";
(() => {
  const live = document.getElementById("live");
  if (!live) return;
  const news = new EventSource(live.dataset.source);
  news.addEventListener("part", (event) => {
    const part = JSON.parse(event.data);
    const element = document.getElementById(part.id);
    // The server has escaped and neutralised it, as it does for the page.
    if (element && !element.matches(":focus-within")) element.innerHTML = part.html;
  });
  addEventListener("pagehide", () => news.close());
})();
