/** The steps of a transfer: which are done, which is under way, and when, as far as is known. */

import { bytes, time } from './format.js';
import { isOver, sentBytes } from './progress.js';

// Below it a file goes in one request, without an upload session.
const SMALL_FILE = 3_000_000;
const RECORDED = new Set(['attached', 'failed', 'cancelled']);

/** The steps in order, each with a name, a note and its phase: done, bad, now, ahead or skipped. */
export function timelineOf(transfer, progress) {
  const seen = (state) => {
    const at = progress.seenIn(transfer, state);
    return at ? time(at) : '';
  };
  const steps = [
    { name: 'Queued', note: time(new Date(transfer.createdAt)), phase: 'done' },
    { name: 'Waiting for the mailbox', note: seen('waiting'), phase: waitingPhase(transfer, seen) },
    ...sendingSteps(transfer, seen('uploading')),
    { name: 'Record on the blob', note: seen('recording'), phase: recordPhase(transfer) },
  ];
  if (transfer.state === 'queued') steps[0].phase = 'now';
  if (isOver(transfer)) {
    const note = time(new Date(transfer.completedAt));
    const phase = transfer.state === 'failed' ? 'bad' : 'done';
    steps.push({ name: `Ended: ${transfer.state}`, note, phase });
  }
  return steps;
}

function waitingPhase(transfer, seen) {
  if (transfer.state === 'waiting') return 'now';
  if (transfer.state === 'queued') return 'ahead';
  return seen('waiting') ? 'done' : 'skipped';
}

function sendingSteps(transfer, since) {
  const sending = transfer.state === 'uploading';
  const sent = sentBytes(transfer);
  const whole = transfer.state === 'attached' || transfer.state === 'recording';
  const notReached = isOver(transfer) && !whole ? 'skipped' : 'ahead';
  if (transfer.size !== null && transfer.size < SMALL_FILE) {
    const phase = whole ? 'done' : sending ? 'now' : notReached;
    return [{ name: 'One request with the whole file', note: since, phase }];
  }
  const begun = whole || sent > 0;
  return [
    { name: 'Upload session', note: since, phase: begun ? 'done' : sending ? 'now' : notReached },
    {
      name: 'Ranges',
      note: begun ? `${bytes(sent)} of ${bytes(transfer.size ?? 0)}` : '',
      phase: whole ? 'done' : begun && !isOver(transfer) ? 'now' : notReached,
    },
  ];
}

function recordPhase(transfer) {
  if (transfer.state === 'recording') return 'now';
  if (RECORDED.has(transfer.state)) return 'done';
  return isOver(transfer) ? 'skipped' : 'ahead';
}
