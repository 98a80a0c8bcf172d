// What makes the pages better where scripts run; each works without.
//
// - Ages stay true while a page stands.
// - Parts marked with data-live are brought up to date whenever the service tells new figures. What the user is at
//   work on (focus, an open detail, selected text) is left alone.
// - Counts beside the ways to other pages follow the figures.
"use strict";

(() => {
  const age = (at, now) => {
    const seconds = Math.floor(now / 1000) - Math.floor(at / 1000);
    const size = Math.abs(seconds);
    if (size === 0) return "now";
    const [amount, unit] =
      size < 60 ? [size, "s"]
      : size < 3600 ? [Math.floor(size / 60), "min"]
      : size < 172800 ? [Math.floor(size / 3600), "h"]
      : [Math.floor(size / 86400), "d"];
    return seconds < 0 ? `in ${amount} ${unit}` : `${amount} ${unit} ago`;
  };

  // By how much the service's clock is ahead of this one's.
  let ahead = 0;

  const showAges = () => {
    const now = Date.now() + ahead;
    for (const time of document.querySelectorAll("time[datetime]")) {
      const text = age(Date.parse(time.dateTime), now);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  const number = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

  const showCounts = (figures) => {
    const counts = {
      failed: figures.jobs.failed,
      rejected: figures.rejected.reduce((sum, row) => sum + row.messages, 0),
      replays: figures.replays.length,
    };
    for (const [name, value] of Object.entries(counts)) {
      for (const count of document.querySelectorAll(`[data-count="${name}"]`)) {
        count.textContent = number(value);
        count.hidden = value === 0;
      }
    }
  };

  const isInUse = (part) =>
    part.contains(document.activeElement) ||
    part.querySelector("details[open]") !== null ||
    part.querySelector("input:checked") !== null ||
    (!document.getSelection().isCollapsed && part.contains(document.getSelection().anchorNode));

  let loading = false;

  // Brings the live parts up to date from the page itself: what is shown is written in one place, the service.
  const refresh = async () => {
    const parts = [...document.querySelectorAll("[data-live][id]")];
    if (loading || parts.length === 0) return;
    loading = true;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
      if (!response.ok) return;
      const sent = Date.parse(response.headers.get("date"));
      if (Math.abs(sent - Date.now()) > 2000) ahead = sent - Date.now();
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const part of parts) {
        const other = fresh.getElementById(part.id);
        if (other && !isInUse(part) && other.innerHTML !== part.innerHTML) part.replaceWith(other);
      }
      for (const asOf of document.querySelectorAll(".as-of > time")) {
        const other = fresh.querySelector(".as-of > time");
        if (other) asOf.replaceWith(other);
      }
      showAges();
    } catch {
      // The next figures bring it up to date.
    } finally {
      loading = false;
    }
  };

  const say = (text, stale) => {
    for (const place of document.querySelectorAll("[data-live-state]")) {
      place.textContent = text;
      place.classList.toggle("stale", stale);
    }
    for (const link of document.querySelectorAll("a[data-refresh]")) link.hidden = !stale;
  };

  let source = null;

  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource("/api/v1/live");
    source.addEventListener("overview", (event) => {
      say("Live.", false);
      showCounts(JSON.parse(event.data));
      refresh();
    });
    source.addEventListener("error", () => say("Not live: no figures come.", true));
  };

  // A page that nobody sees asks for nothing.
  const rest = () => {
    if (source) source.close();
    source = null;
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  addEventListener("pagehide", rest);
  addEventListener("pageshow", listen);
  if (document.querySelector("nav.ways")) listen();
  setInterval(showAges, 1000);
})();
