/** Calls of the app's HTTP API. The key is sent in a header, never in a URL. */

const KEY_NAME = 'blob-to-outlook.key';

export const hasKey = () => sessionStorage.getItem(KEY_NAME) !== null;
export const storeKey = (key) => sessionStorage.setItem(KEY_NAME, key);
export const removeKey = () => sessionStorage.removeItem(KEY_NAME);

/** Why a call failed; `status` is 0 if there was no response, `retryAfter` is in seconds. */
export class Problem extends Error {
  constructor(status, { code = '', message = '', details = [] } = {}, retryAfter = 0) {
    super(message);
    Object.assign(this, { status, code, details, retryAfter });
  }
}

/**
 * The JSON of the response, null for a response without a body. Options are `query`, `body` and
 * `attempt`, the idempotency key. Throws a Problem.
 */
export async function call(method, path, options = {}) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

/** The bytes of an attachment. Throws a Problem. */
export async function download(id) {
  const response = await send('GET', `/transfers/${encodeURIComponent(id)}/attachment/content`);
  return response.blob();
}

async function send(method, path, { query = {}, body, attempt } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== '');
  const search = given.length ? `?${new URLSearchParams(given)}` : '';
  const headers = { 'x-functions-key': sessionStorage.getItem(KEY_NAME) ?? '' };
  if (body) headers['content-type'] = 'application/json';
  if (attempt) headers['idempotency-key'] = attempt;
  let response;
  try {
    response = await fetch(`/api${path}${search}`, {
      method,
      headers,
      body: body && JSON.stringify(body),
      cache: 'no-store',
    });
  } catch {
    throw new Problem(0, { message: 'The app does not answer.' });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const retryAfter = Number(response.headers.get('Retry-After')) || 0;
  if (response.status === 401) {
    return new Problem(401, { message: 'The function key is wrong.' });
  }
  try {
    return new Problem(response.status, (await response.json()).error, retryAfter);
  } catch {
    const message = `The app answered ${response.status} without a reason.`;
    return new Problem(response.status, { message }, retryAfter);
  }
}
