/** What only polling shows of a transfer: its speed, and when each state was first seen. */

// Milliseconds over which the speed is measured.
const SPEED_WINDOW = 60_000;

export const OVER = new Set([
  'attached',
  'failed',
  'cancelled',
  'superseded',
  'unaddressed',
  'removed',
]);

export const isOver = (transfer) => OVER.has(transfer.state);

/** Bytes that Outlook has, as far as known; all of them once the file is attached. */
export function sentBytes(transfer) {
  return transfer.state === 'attached' ? (transfer.size ?? 0) : transfer.bytesSent;
}

export class Progress {
  #observed = new Map();

  /** Record the transfer's state and bytes at this time, in milliseconds. */
  observe(transfer, now) {
    const observed = this.#observed.get(transfer.id) ?? { samples: [], states: new Map() };
    this.#observed.set(transfer.id, observed);
    const previous = [...observed.states.keys()].at(-1);
    // The transfer was started again with the same id.
    if (OVER.has(previous) && !isOver(transfer)) observed.states.clear();
    if (!observed.states.has(transfer.state)) observed.states.set(transfer.state, new Date(now));
    const last = observed.samples.at(-1);
    if (last && transfer.bytesSent < last.bytes) observed.samples = [];
    if (last?.bytes !== transfer.bytesSent) {
      observed.samples.push({ at: now, bytes: transfer.bytesSent });
      observed.samples = observed.samples.filter((sample) => now - sample.at < SPEED_WINDOW);
    }
  }

  /** When the transfer was first seen in this state; undefined if it never was. */
  firstSeen(transfer, state) {
    return this.#observed.get(transfer.id)?.states.get(state);
  }

  /** Bytes per second during the upload; null if there are not enough samples. */
  speed(transfer) {
    const samples = this.#observed.get(transfer.id)?.samples ?? [];
    if (transfer.state !== 'uploading' || samples.length < 2) return null;
    const [first, last] = [samples[0], samples.at(-1)];
    return ((last.bytes - first.bytes) * 1_000) / (last.at - first.at);
  }

  /** Seconds until everything is sent; null if unknown. */
  secondsLeft(transfer) {
    const speed = this.speed(transfer);
    return speed && transfer.size ? (transfer.size - transfer.bytesSent) / speed : null;
  }
}
