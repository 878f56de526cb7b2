/** Calls of the app's HTTP API. The key goes into a header, never into an URL. */

const KEY = 'blob-to-outlook.key';

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);
export const forgetKey = () => sessionStorage.removeItem(KEY);

/** Why a call failed; `status` is 0 when there was no answer, `retryAfter` is in seconds. */
export class Problem extends Error {
  constructor(status, { code = '', message = '', details = [] } = {}, retryAfter = 0) {
    super(message);
    Object.assign(this, { status, code, details, retryAfter });
  }
}

/**
 * The JSON that a call answers, null when it answers none. Options are its `query`, its `body`, and
 * `attempt`: the same again is the same attempt. Throws a Problem.
 */
export async function call(method, path, options = {}) {
  const answer = await answered(method, path, options);
  return answer.status === 204 ? null : answer.json();
}

/** The bytes of an attachment. Throws a Problem. */
export async function download(id) {
  const answer = await answered('GET', `/transfers/${encodeURIComponent(id)}/attachment/content`);
  return answer.blob();
}

async function answered(method, path, { query = {}, body, attempt } = {}) {
  const asked = Object.entries(query).filter(([, value]) => value !== '');
  const search = asked.length ? `?${new URLSearchParams(asked)}` : '';
  const headers = { 'x-functions-key': sessionStorage.getItem(KEY) ?? '' };
  if (body) headers['content-type'] = 'application/json';
  if (attempt) headers['idempotency-key'] = attempt;
  let answer;
  try {
    answer = await fetch(`/api${path}${search}`, {
      method,
      headers,
      body: body && JSON.stringify(body),
      cache: 'no-store',
    });
  } catch {
    throw new Problem(0, { message: 'The app does not answer.' });
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function problemOf(answer) {
  const retryAfter = Number(answer.headers.get('Retry-After')) || 0;
  if (answer.status === 401) {
    return new Problem(401, { message: 'The key is not the right one.' });
  }
  try {
    return new Problem(answer.status, (await answer.json()).error, retryAfter);
  } catch {
    const message = `The app answered ${answer.status} without a reason.`;
    return new Problem(answer.status, { message }, retryAfter);
  }
}
