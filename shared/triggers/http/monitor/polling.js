/** Looks again and again: often while something moves, seldom while nobody sees the page. */

const MOVING = 2_000;
const STILL = 8_000;
const HIDDEN = 60_000;
const AT_MOST = 60_000;

/** Milliseconds until the next look; `retryAfter` is in seconds. */
export function nextDelay({ moving = false, hidden = false, failures = 0, retryAfter = 0 }) {
  const seen = failures ? Math.min(AT_MOST, 1_000 * 2 ** failures) : moving ? MOVING : STILL;
  return Math.max(hidden ? HIDDEN : seen, retryAfter * 1_000);
}

/** `look` returns whether something moves; what it throws is handed to `failed`, with the delay. */
export class Polling {
  #look;
  #failed;
  #timer = 0;
  #round = 0;

  constructor(look, failed) {
    this.#look = look;
    this.#failed = failed;
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && this.#timer) this.now();
    });
  }

  /** Look at once, and go on from there; a look that is under way no longer counts. */
  now() {
    this.stop();
    this.#go(this.#round, 0);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#round += 1;
  }

  async #go(round, failures) {
    const state = {};
    try {
      state.moving = await this.#look(() => round === this.#round);
    } catch (problem) {
      if (round !== this.#round) return;
      state.failures = failures + 1;
      state.retryAfter = problem.retryAfter;
      this.#failed(problem, nextDelay(state));
    }
    // The look may have ended the round.
    if (round !== this.#round) return;
    const delay = nextDelay({ ...state, hidden: document.hidden });
    this.#timer = setTimeout(() => this.#go(round, state.failures ?? 0), delay);
  }
}
