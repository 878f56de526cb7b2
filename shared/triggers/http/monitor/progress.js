/** What can be told of transfers only by somebody who watches them: pace, and when what was seen. */

// Milliseconds of the past that count for the pace.
const MEMORY = 60_000;

export const OVER = new Set(['attached', 'failed', 'cancelled', 'superseded']);

export const isOver = (transfer) => OVER.has(transfer.state);

/** Bytes at Outlook, as far as is known; all of them once the file is attached. */
export function sentBytes(transfer) {
  return transfer.state === 'attached' ? (transfer.size ?? 0) : transfer.bytesSent;
}

export class Progress {
  #seen = new Map();

  /** Take note of a transfer as it is at this time, in milliseconds. */
  see(transfer, now) {
    const seen = this.#seen.get(transfer.id) ?? { marks: [], states: new Map() };
    this.#seen.set(transfer.id, seen);
    const previous = [...seen.states.keys()].at(-1);
    // It began anew, under the same id.
    if (OVER.has(previous) && !isOver(transfer)) seen.states.clear();
    if (!seen.states.has(transfer.state)) seen.states.set(transfer.state, new Date(now));
    const last = seen.marks.at(-1);
    if (last && transfer.bytesSent < last.bytes) seen.marks = [];
    if (last?.bytes !== transfer.bytesSent) {
      seen.marks.push({ at: now, bytes: transfer.bytesSent });
      seen.marks = seen.marks.filter((mark) => now - mark.at < MEMORY);
    }
  }

  /** When the transfer was first seen in this state; undefined when it was not. */
  seenIn(transfer, state) {
    return this.#seen.get(transfer.id)?.states.get(state);
  }

  /** Bytes a second while it uploads, null when too little was seen of it. */
  pace(transfer) {
    const marks = this.#seen.get(transfer.id)?.marks ?? [];
    if (transfer.state !== 'uploading' || marks.length < 2) return null;
    const [first, last] = [marks[0], marks.at(-1)];
    return ((last.bytes - first.bytes) * 1_000) / (last.at - first.at);
  }

  /** Seconds until all is sent, null when nobody can tell. */
  secondsLeft(transfer) {
    const pace = this.pace(transfer);
    return pace && transfer.size ? (transfer.size - transfer.bytesSent) / pace : null;
  }
}
