/** Polls repeatedly: often while transfers are running, rarely while the page is hidden. */

const ACTIVE = 2_000;
const IDLE = 8_000;
const HIDDEN = 60_000;
const MAX_BACKOFF = 60_000;

/** Milliseconds until the next poll; `retryAfter` is in seconds. */
export function nextDelay({ active = false, hidden = false, failures = 0, retryAfter = 0 }) {
  const backoff = Math.min(MAX_BACKOFF, 1_000 * 2 ** failures);
  const visible = failures ? backoff : active ? ACTIVE : IDLE;
  return Math.max(hidden ? HIDDEN : visible, retryAfter * 1_000);
}

/** `poll` resolves to whether transfers are running; `onError` gets its errors and the delay. */
export class Polling {
  #poll;
  #onError;
  #timer = 0;
  #round = 0;

  constructor(poll, onError) {
    this.#poll = poll;
    this.#onError = onError;
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && this.#timer) this.now();
    });
  }

  /** Poll at once and continue from there; the result of a poll in progress is ignored. */
  now() {
    this.stop();
    this.#run(this.#round, 0);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#round += 1;
  }

  async #run(round, failures) {
    const state = {};
    try {
      state.active = await this.#poll(() => round === this.#round);
    } catch (problem) {
      if (round !== this.#round) return;
      state.failures = failures + 1;
      state.retryAfter = problem.retryAfter;
      this.#onError(problem, nextDelay(state));
    }
    // The poll may have ended the round.
    if (round !== this.#round) return;
    const delay = nextDelay({ ...state, hidden: document.hidden });
    this.#timer = setTimeout(() => this.#run(round, state.failures ?? 0), delay);
  }
}
