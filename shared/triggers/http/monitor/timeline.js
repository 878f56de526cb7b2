/** The steps of a transfer: which are done, which is current, and when, as far as known. */

import { bytes, time } from './format.js';
import { isOver, sentBytes } from './progress.js';

// Smaller files are sent in one request, without an upload session.
const SMALL_FILE = 3_000_000;
const RECORDED = new Set(['attached', 'failed', 'cancelled', 'unaddressed', 'removed']);

/** The steps in order: name, note and phase (done, failed, current, pending or skipped). */
export function timelineOf(transfer, progress) {
  const firstSeen = (state) => {
    const at = progress.firstSeen(transfer, state);
    return at ? time(at) : '';
  };
  const steps = [
    { name: 'Queued', note: time(new Date(transfer.createdAt)), phase: 'done' },
    {
      name: 'Waiting for the mailbox',
      note: firstSeen('waiting'),
      phase: waitingPhase(transfer, firstSeen),
    },
    ...sendingSteps(transfer, firstSeen('uploading')),
    { name: 'Record on the blob', note: firstSeen('recording'), phase: recordPhase(transfer) },
  ];
  if (transfer.state === 'queued') steps[0].phase = 'current';
  if (isOver(transfer)) {
    const note = time(new Date(transfer.completedAt));
    const phase = transfer.state === 'failed' ? 'failed' : 'done';
    steps.push({ name: `Ended: ${transfer.state}`, note, phase });
  }
  return steps;
}

function waitingPhase(transfer, firstSeen) {
  if (transfer.state === 'waiting') return 'current';
  if (transfer.state === 'queued') return 'pending';
  return firstSeen('waiting') ? 'done' : 'skipped';
}

function sendingSteps(transfer, since) {
  const sending = transfer.state === 'uploading';
  const sent = sentBytes(transfer);
  const complete = ['attached', 'recording', 'removed'].includes(transfer.state);
  const notReached = isOver(transfer) && !complete ? 'skipped' : 'pending';
  if (transfer.size !== null && transfer.size < SMALL_FILE) {
    const phase = complete ? 'done' : sending ? 'current' : notReached;
    return [{ name: 'One request with the whole file', note: since, phase }];
  }
  const started = complete || sent > 0;
  const sessionPhase = started ? 'done' : sending ? 'current' : notReached;
  return [
    { name: 'Upload session', note: since, phase: sessionPhase },
    {
      name: 'Ranges',
      note: started ? `${bytes(sent)} of ${bytes(transfer.size ?? 0)}` : '',
      phase: complete ? 'done' : started && !isOver(transfer) ? 'current' : notReached,
    },
  ];
}

function recordPhase(transfer) {
  if (transfer.state === 'recording') return 'current';
  if (RECORDED.has(transfer.state)) return 'done';
  return isOver(transfer) ? 'skipped' : 'pending';
}
