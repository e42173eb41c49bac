// The curl line that does the same: what a person learns here a script can do.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function curl({ method, path, body }) {
  const parts = ["curl", "-X", method, quoted(location.origin + path)];
  if (!("anonymous" in document.body.dataset)) parts.push("-H", '"Authorization: Bearer $TOKEN"');
  if (body !== null) parts.push("-H", "'Content-Type: application/json'", "-d", quoted(JSON.stringify(body)));
  return parts.join(" ");
}

export function send({ method, path, body }, key = null) {
  const headers = { Accept: "application/json" };
  const token = document.querySelector('meta[name="csrf-token"]');
  if (token) headers["X-CSRF-Token"] = token.content;
  if (key !== null && method === "POST") headers["Idempotency-Key"] = key;
  if (body !== null) headers["Content-Type"] = "application/json";
  return fetch(path, { method, headers, body: body === null ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(30000) });
}
