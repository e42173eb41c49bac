// Everything that can be done from a page: a button opens a dialog, which says what will be done, shows the curl line for
// it, sends it to the API, and follows the job that comes of it.

import { curl, send } from "./curl.js";
import { words } from "./progress.js";

const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const AGAIN = 2000; // ms between two questions how far a job is, without a stream
let following = null;

export function listen() {
  document.addEventListener("click", (event) => {
    const target = event.target.closest("button, [data-open]");
    if (!target || target.disabled) return;
    if ("act" in target.dataset) openShared(target);
    else if (target.dataset.open) openOwn(target);
    else if ("close" in target.dataset) target.closest("dialog").close();
    else if ("copy" in target.dataset) copy(target);
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    const form = dialog.querySelector("form[data-api]");
    form.addEventListener("input", () => {
      delete form.dataset.done; // what is asked for now is something else
      renew(form);
      refresh(form);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      submit(form);
    });
    dialog.addEventListener("close", unfollow);
  }
}

// --- what is asked for

function request(form) {
  if (form.shared) return form.shared;
  const body = {};
  for (const field of form.elements) {
    const as = field.dataset.as;
    if (!as || field.disabled || (field.type === "radio" && !field.checked)) continue;
    const text = field.value.trim();
    if (as === "flag") {
      if (field.checked) body[field.name] = true;
    } else if (as === "json") body[field.name] = JSON.parse(text);
    else if (as === "list") {
      const names = text.split(/[\s,]+/).filter(Boolean);
      if (names.length) body[field.name] = names;
    } else if (text) body[field.name] = text;
  }
  return { method: form.dataset.method, path: form.dataset.path, body };
}

// the word that has to be typed before something is done that cannot be undone; null: nothing has to
function word(form) {
  if (form.shared) return form.confirm;
  if (!("restore" in form.dataset)) return null;
  const { body, path } = request(form);
  if (body.dry_run) return null;
  return body.mode === "cluster" ? decodeURIComponent(path.split("/")[3]) : body.as || body.database || null;
}

function refresh(form) {
  fit(form);
  form.querySelector("[data-curl]").textContent = curl(request(form));
  const wanted = word(form);
  const confirm = form.querySelector(".confirm");
  confirm.hidden = wanted === null;
  confirm.querySelector("[data-word]").textContent = wanted || "";
  const typed = confirm.querySelector("[data-confirmation]").value;
  const idle = !("busy" in form.dataset || "done" in form.dataset);
  form.querySelector("[data-submit]").disabled = !idle || (wanted !== null && typed !== wanted);
  form.querySelector("[data-copy]").textContent = "Copy";
}

// fields that another choice has no use for are put away
function fit(form) {
  const mode = form.querySelector('[name="mode"]:checked');
  for (const label of form.querySelectorAll("[data-modes]")) {
    const wanted = label.dataset.modes.split(" ").includes(mode.value);
    label.hidden = !wanted;
    for (const field of label.querySelectorAll("input, select")) field.disabled = !wanted;
  }
}

// --- opening

function openShared(button) {
  const dialog = document.getElementById("act");
  const form = dialog.querySelector("form");
  const { method, path, body, title, explain, confirm } = button.dataset;
  form.shared = { method, path, body: body === undefined ? null : JSON.parse(body) };
  form.confirm = confirm || null;
  dialog.querySelector("#act-title").textContent = title;
  dialog.querySelector("[data-explain]").textContent = explain;
  const submit = form.querySelector("[data-submit]");
  submit.textContent = button.textContent;
  submit.classList.toggle("danger", button.classList.contains("danger"));
  open(dialog, form);
}

function openOwn(button) {
  const dialog = document.getElementById(button.dataset.open);
  const form = dialog.querySelector("form");
  form.reset();
  for (const [name, value] of Object.entries(JSON.parse(button.dataset.fill || "{}"))) form.elements[name].value = value;
  open(dialog, form);
}

function open(dialog, form) {
  unfollow();
  renew(form);
  delete form.dataset.busy;
  delete form.dataset.done;
  form.querySelector("[data-outcome]").replaceChildren();
  form.querySelector("[data-confirmation]").value = "";
  refresh(form);
  dialog.showModal();
}

// what is sent twice, because no answer came, is done once; another request has another key
function renew(form) {
  form.key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function copy(button) {
  const code = button.closest(".curl").querySelector("[data-curl]");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code); // without a clipboard (plain HTTP on another host) it is at least marked
    button.textContent = "Press Ctrl+C";
  }
}

// --- doing

async function submit(form) {
  const outcome = form.querySelector("[data-outcome]");
  form.dataset.busy = "";
  refresh(form);
  outcome.focus(); // a button that is disabled loses it, and the next Tab would begin anywhere
  say(outcome, "Sent …");
  try {
    const answer = await send(request(form), form.key);
    const body = answer.status === 204 ? {} : await answer.json();
    // the second click of a double click comes when the answer is long there
    if (answer.ok) form.dataset.done = "";
    if (answer.status === 401) say(outcome, "You are signed out. ", "bad", { href: `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`, text: "Sign in" });
    else if (!answer.ok) say(outcome, problem(body), "bad");
    else if (body.links && body.kind) track(outcome, body);
    else say(outcome, "Done.", "ok");
  } catch (error) {
    say(outcome, `${unanswered(error)} It may have been done all the same: look before you repeat it.`, "bad");
  } finally {
    delete form.dataset.busy;
    refresh(form);
    document.dispatchEvent(new Event("nbr:changed"));
  }
}

// a browser does not tell a server that is away from one that went away in the middle
function unanswered(error) {
  if (error.name === "TimeoutError") return "No answer came in time.";
  return error.name === "SyntaxError" ? "What answered is not the API." : "The server cannot be reached.";
}

function problem(body) {
  const fields = (body.errors || []).map((error) => `${error.field}: ${error.message}`).join("; ");
  return `${body.title || "It was refused"}: ${fields || body.detail || ""}`;
}

function track(outcome, job) {
  unfollow();
  tell(outcome, job);
  if (ENDED.has(job.state)) return;
  following = new EventSource(job.links.events);
  following.addEventListener("job", (message) => {
    const now = JSON.parse(message.data);
    tell(outcome, now);
    if (!ENDED.has(now.state)) return;
    unfollow();
    document.dispatchEvent(new Event("nbr:changed"));
  });
  following.addEventListener("error", () => {
    if (following && following.readyState === EventSource.CLOSED) ask(outcome, job);
  });
}

// where no thread is to be spared for a stream
function ask(outcome, job) {
  unfollow();
  const mine = (following = { close: () => clearTimeout(mine.timer) });
  mine.timer = setTimeout(async () => {
    const now = await send({ method: "GET", path: job.links.self, body: null }).then((answer) => (answer.ok ? answer.json() : job), () => job);
    if (following !== mine) return;
    tell(outcome, now);
    if (!ENDED.has(now.state)) return ask(outcome, now);
    unfollow();
    document.dispatchEvent(new Event("nbr:changed"));
  }, AGAIN);
}

function unfollow() {
  if (following) following.close();
  following = null;
}

const about = (job) => `${job.kind}${job.database ? ` of ${job.database}` : ""}`;

function tell(outcome, job) {
  const [found, doubt] = job.state === "succeeded" && job.result ? finding(job) : ["", false];
  const tone = job.state === "failed" ? "bad" : doubt ? "warn" : job.state === "succeeded" ? "ok" : "";
  const now = job.state === "failed" ? `failed: ${job.error.detail}` : job.state === "running" ? words(job) : job.state;
  // each percent is shown, and only another state is read out
  outcome.setAttribute("aria-live", outcome.dataset.told === job.state ? "off" : "polite");
  outcome.dataset.told = job.state;
  say(outcome, `${about(job)}: ${now}. ${found}`, tone, { href: `/jobs/${job.id}`, text: "See the job" });
}

// what a person wants to know before they close the dialog, and whether it is no good news
function finding({ kind, params, result }) {
  if (kind === "verify") {
    const mended = result.repaired ? ` ${result.repaired.count} repaired.` : "";
    if (result.equal) return [`The nodes hold the same.${mended} `, false];
    return [`${result.differing.count} documents differ, of ${result.unconfirmed} it is not known.${mended} `, true];
  }
  if (!params.dry_run || !result.counts) return ["", false];
  return [`${Object.entries(result.counts).map(([name, count]) => `${name.replaceAll("_", " ")} ${count}`).join(", ")}. `, false];
}

function say(outcome, text, tone = "", link = null) {
  const line = document.createElement("p");
  line.className = tone;
  line.textContent = text;
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link.href;
    anchor.textContent = link.text;
    line.append(anchor);
  }
  outcome.replaceChildren(line);
}
