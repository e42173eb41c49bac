// "3 min ago" goes on while nobody reloads. The same words as api/dashboard/words.py.

const SPANS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const UNITS = SPANS.slice(0, 3);

let ahead = 0; // ms by which this machine's clock is ahead of the server's, whose moments these are

export function agree(seconds) {
  ahead = Date.now() - seconds * 1000;
}

// from an hour on two units: of a backup "1 d ago" may be 47 hours
function about(seconds) {
  return seconds >= 3600 ? span(seconds) : oneUnit(seconds);
}

function oneUnit(seconds) {
  const [length, unit] = SPANS.find(([length]) => seconds >= length) || SPANS[3];
  return `${Math.floor(seconds / length)} ${unit}`;
}

export function ago(at, now) {
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds < 0 ? `in ${about(-seconds)}` : `${about(seconds)} ago`;
}

export function span(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const at = UNITS.findIndex(([length]) => seconds >= length);
  const [length, unit] = UNITS[at];
  const [smaller, word] = SPANS[at + 1];
  const rest = Math.floor((seconds % length) / smaller);
  return `${Math.floor(seconds / length)} ${unit}${rest ? ` ${rest} ${word}` : ""}`;
}

export function tick() {
  agree(Number(document.body.dataset.now));
  setInterval(() => {
    const now = Date.now() - ahead;
    for (const element of document.querySelectorAll("time[data-ago]")) {
      const words = ago(Date.parse(element.dateTime), now);
      if (element.textContent !== words) element.textContent = words;
    }
  }, 1000);
}
