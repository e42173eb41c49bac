// A job's bar and words, from the job as the API tells it.

import { span } from "./ago.js";

export function words(job) {
  const progress = job.progress;
  if (!progress) return job.state;
  const done = percent(progress);
  return [
    progress.phase,
    done === null ? null : `${done} %`,
    progress.eta_seconds === null ? null : `${span(progress.eta_seconds)} left`,
  ].filter((word) => word !== null).join(", ");
}

export function percent(progress) {
  if (!progress || !progress.total || progress.done === null) return null;
  return Math.min(100, Math.floor((100 * progress.done) / progress.total));
}

export function show(element, job) {
  const bar = element.querySelector("progress");
  const done = percent(job.progress);
  if (done === null) bar.removeAttribute("value");
  else bar.value = done;
  element.querySelector("[data-words]").textContent = words(job);
}
