// What the page shows stays true while somebody looks: the server tells what changed (GET /api/stream), and the parts
// of the page that are marked data-live are asked for again and put in place without losing focus, scroll or an open part.

import { agree } from "./ago.js";
import { show } from "./progress.js";

const QUIET = 15000; // ms between two looks while the stream is open and says nothing
const POLL = 5000; // without a stream
const SOON = 300; // what changes together is asked for once
const LEAST = 1000; // between two looks
const PATIENCE = 10000; // for an answer

let source = null;
let timer = null;
let due = Infinity; // when it is looked next
let asking = false;
let again = false;
let away = document.hidden; // nobody looks at a tab behind others: it asks for nothing
let refused = false; // no stream was to be had the last time
let last = Date.now(); // when it was asked for last
let good = last; // when what is shown was asked for
let isLost = false;
const begun = new WeakSet(); // forms that a person has begun to fill in

export function follow() {
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  // a page that is being left has nothing to tell
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", (event) => event.persisted && start());
  document.addEventListener("nbr:changed", () => soon(0));
  document.addEventListener("input", (event) => event.target.form && begun.add(event.target.form));
  start(true);
}

function start(fresh = false) {
  away = document.hidden;
  open();
  if (fresh) wait();
  else soon(0);
}

function stop() {
  away = true;
  unplan();
  if (source) source.close();
  source = null;
}

function open() {
  if (source || away) return;
  source = new EventSource("/api/stream");
  source.addEventListener("open", () => {
    refused = false;
    if (isLost) soon(0);
  });
  source.addEventListener("job", (message) => changed(JSON.parse(message.data)));
  source.addEventListener("event", () => soon(SOON));
  source.addEventListener("seen", () => soon(SOON));
  source.addEventListener("error", () => {
    if (!source) return;
    if (source.readyState !== EventSource.CLOSED) {
      // it connects again by itself: after each minute, or because the server is gone, which a look finds out
      if (!isLost) soon(0);
      return;
    }
    // an answer that is none (no thread to spare, signed out): asked for again with each look. The first one comes at
    // once, because who is signed out is to be told; then a server that has no thread is not asked every second
    source = null;
    if (refused) wait();
    else soon(0);
    refused = true;
  });
}

function changed(job) {
  const shown = document.querySelector(`[data-job="${job.id}"] [data-state]`);
  for (const element of document.querySelectorAll(`[data-progress="${job.id}"]`)) show(element, job);
  // a bar moves by itself; everything else that a job changes is the server's to say
  if (!shown || shown.dataset.state !== job.state) soon(SOON);
}

// never puts off a look that is planned: where something changes all the time, there would never be one
function soon(delay) {
  if (!away) plan(Math.max(Date.now() + delay, last + LEAST));
}

function wait() {
  if (!away) plan(Date.now() + (source && !isLost ? QUIET : POLL));
}

function plan(at) {
  if (at >= due) return;
  unplan();
  due = at;
  timer = setTimeout(look, at - Date.now());
}

function unplan() {
  clearTimeout(timer);
  due = Infinity;
}

async function look() {
  unplan();
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  again = false;
  const asked = (last = Date.now());
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(PATIENCE) });
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") {
      signedOut(answer.url);
      return;
    }
    const kind = answer.headers.get("Content-Type") || "";
    if (!kind.startsWith("text/html")) throw new Error(`${answer.status} ${answer.statusText}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const shown = document.body.dataset.page;
    // an error takes nothing away from what was seen before it
    if ((answer.status === 429 || answer.status >= 500) && shown !== "problem") throw new Error(fresh.querySelector("h1").textContent);
    // another page has other dialogs, and its own way out
    if (fresh.body.dataset.page !== shown) return location.reload();
    place(fresh);
    good = asked;
    connected();
    open();
  } catch (error) {
    lost(error);
  } finally {
    asking = false;
    if (again) soon(SOON);
    else if (!document.hidden) wait();
  }
}

function place(fresh) {
  if (lacks(fresh)) {
    location.reload();
    return;
  }
  document.title = fresh.title;
  agree(Number(fresh.body.dataset.now));
  const token = fresh.querySelector('meta[name="csrf-token"]');
  const known = document.querySelector('meta[name="csrf-token"]');
  if (token && known) known.content = token.content;
  const parts = [...document.querySelectorAll("[data-live]")];
  for (const part of parts) {
    const next = fresh.getElementById(part.id);
    if (next) Idiomorph.morph(part, next, { callbacks: { beforeAttributeUpdated: kept, beforeNodeMorphed: idle } });
  }
}

// where a page had to say why it could not be shown, and now can, there is no dialog yet for its buttons to open
function lacks(fresh) {
  return [...fresh.querySelectorAll("dialog")].some((dialog) => !document.getElementById(dialog.id));
}

// what a person has opened or is choosing is theirs
function kept(name, element) {
  return !(name === "open" && element.tagName === "DETAILS");
}

// not Idiomorph's ignoreActiveValue: with it a button that has the focus keeps its words and gets another one's deeds
function idle(element) {
  return !(element.tagName === "FORM" && (begun.has(element) || element.contains(document.activeElement)));
}

// what somebody is typing is not thrown away for it
function signedOut(url) {
  if (!document.querySelector("dialog[open]")) {
    location.assign(url);
    return;
  }
  const banner = document.getElementById("connection");
  if (banner.querySelector("a")) return; // it is read out each time it is written
  const link = document.createElement("a");
  link.href = url;
  link.textContent = "Sign in again";
  banner.replaceChildren("You are signed out: nothing that is sent from here will be done. ", link);
  banner.classList.add("shown");
}

const WHY = { TimeoutError: "The server does not answer", TypeError: "The server cannot be reached" };

function lost(error) {
  if (away) return; // a page that is being left gets no answers
  isLost = true;
  const banner = document.getElementById("connection");
  const words = `${WHY[error.name] || error.message}. What you see is as of ${new Date(good).toLocaleTimeString()}, and may be old.`;
  if (banner.textContent !== words) banner.textContent = words; // it is read out each time it is written
  banner.classList.add("shown");
  document.body.dataset.stale = "";
}

function connected() {
  isLost = false;
  const banner = document.getElementById("connection");
  banner.textContent = "";
  banner.classList.remove("shown");
  delete document.body.dataset.stale;
}
