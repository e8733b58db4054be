// Requests: to the plugin under /ai/, and to Orthanc's own routes beside it.

const AI = new URL("./", document.baseURI);
const ORTHANC = new URL("../", AI);

/** The address of one of the plugin's routes, of one of Orthanc's. */
export const ai = (path) => new URL(path, AI).href;
export const orthanc = (path) => new URL(path, ORTHANC).href;

/** JSON that a route answers. Throws an Error with what the route says, and its `status`. */
export async function getJson(address, options = {}) {
  const answer = await fetch(address, { credentials: "same-origin", ...options });
  const text = await answer.text();
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (!answer.ok || value === null) {
    const error = new Error(value?.error ?? value?.Message ?? `${answer.status} ${answer.statusText}`);
    error.status = answer.status;
    throw error;
  }
  return value;
}

/** What a route answers to JSON that is posted to it. */
export function postJson(address, value) {
  const headers = { "Content-Type": "application/json" };
  return getJson(address, { method: "POST", headers, body: JSON.stringify(value) });
}

/** The bytes that a route answers. */
export async function getBytes(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/**
 * Call `work` now and again, `seconds()` after it has ended; never while nobody sees the page.
 * Gives `now`, which calls it at once, and `end`.
 */
export function repeat(work, seconds) {
  let timer = null;
  let turn = 0; // only the latest call goes on
  const now = async () => {
    const mine = ++turn;
    clearTimeout(timer);
    await work();
    if (mine === turn && !document.hidden) timer = setTimeout(now, 1000 * seconds());
  };
  const seen = () => {
    turn++;
    clearTimeout(timer);
    if (!document.hidden) now();
  };
  const end = () => {
    turn++;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
  document.addEventListener("visibilitychange", seen);
  now();
  return { now, end };
}
