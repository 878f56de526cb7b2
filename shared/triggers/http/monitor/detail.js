/** One transfer: how it goes, what to do about it, and its attachment. */

import { ADVICE } from './advice.js';
import { call, download } from './api.js';
import { ask, byId, draw, element, facts, setText } from './dom.js';
import { bytes, time } from './format.js';
import { nameOf, paceOf, progressBar, stateMark } from './list.js';
import { isOver } from './progress.js';
import { timelineOf } from './timeline.js';

const PHASES = { done: 'done', bad: 'failed', now: 'now', ahead: 'not yet', skipped: 'not seen' };
const ENDED_WITHOUT = new Set(['failed', 'cancelled', 'superseded']);

export class Detail {
  #changed;
  #transfer = null;
  #parts;
  #described = '';
  #gone = false;

  /** `changed` is called when something was done, with the id to look at from now on. */
  constructor(changed) {
    this.#changed = changed;
    this.#parts = newParts({
      download: () => this.#download(),
      cancel: () => this.#cancel(),
      remove: () => this.#remove(),
      again: () => this.#again(),
    });
    byId('detail').replaceChildren(...this.#parts.all);
  }

  /** Begin to show another transfer. */
  clear() {
    this.#transfer = null;
    this.#described = '';
    this.#gone = false;
    setText(byId('detail-heading'), '');
    byId('detail').hidden = true;
    this.#parts.attachment.replaceChildren();
    this.#say('');
  }

  show(transfer, progress) {
    this.#transfer = transfer;
    const parts = this.#parts;
    setText(byId('detail-heading'), nameOf(transfer));
    parts.state.show(transfer.state);
    parts.bar.show(transfer);
    setText(parts.pace, paceOf(transfer, progress));
    showFailure(parts, transfer.error);
    showTimeline(parts.timeline, timelineOf(transfer, progress));
    draw(parts.facts, transfer, () => [factsOf(transfer)]);
    this.#offer();
    this.#describe();
    byId('detail').hidden = false;
  }

  /** Which buttons there are, as the transfer stands. */
  #offer() {
    const { state, mailbox, itemId } = this.#transfer;
    const attached = state === 'attached' && !this.#gone;
    const { buttons } = this.#parts;
    buttons.download.hidden = !attached;
    buttons.remove.hidden = !attached;
    buttons.cancel.hidden = isOver(this.#transfer) || state === 'recording';
    const missing = ENDED_WITHOUT.has(state) || this.#gone;
    buttons.again.hidden = !(missing && mailbox && itemId);
  }

  /** What Outlook says of the attachment, asked once. */
  async #describe() {
    const { id, state } = this.#transfer;
    if (state !== 'attached' || this.#described === id) return;
    this.#described = id;
    try {
      const found = await call('GET', `${pathOf(id)}/attachment`);
      if (this.#transfer?.id === id) this.#parts.attachment.replaceChildren(attachmentOf(found));
    } catch (problem) {
      if (this.#transfer?.id !== id) return;
      this.#gone = problem.code === 'AttachmentNotFound' || problem.code === 'ItemNotFound';
      this.#parts.attachment.replaceChildren(element('p', { class: 'note' }, problem.message));
      this.#offer();
    }
  }

  async #download() {
    await this.#doing(async ({ id, ...transfer }) => {
      const address = URL.createObjectURL(await download(id));
      element('a', { href: address, download: nameOf(transfer) }).click();
      URL.revokeObjectURL(address);
    });
  }

  async #cancel() {
    await this.#doing(async ({ id }) => {
      await call('DELETE', pathOf(id));
      this.#changed(id);
    });
  }

  async #remove() {
    if (!(await ask(`Remove ${nameOf(this.#transfer)} from its ${this.#transfer.itemType}?`))) return;
    await this.#doing(async ({ id }) => {
      await call('DELETE', `${pathOf(id)}/attachment`);
      this.#described = '';
      this.#changed(id);
    });
  }

  async #again() {
    await this.#doing(async ({ id, blob, mailbox, itemType, itemId, fileName }) => {
      const item = itemType === 'event' ? { eventId: itemId } : { messageId: itemId };
      const body = { blob, mailbox, ...item };
      if (fileName) body.fileName = fileName;
      // Somebody may have removed it in Outlook, of which the blob's record knows nothing.
      if (this.#gone) body.force = true;
      const begun = await call('POST', '/transfers', { body, attempt: `again-${id}` });
      this.clear();
      this.#changed(begun.id);
    });
  }

  /** Do something about the transfer that is shown; what goes wrong is said beside the buttons. */
  async #doing(something) {
    const buttons = Object.values(this.#parts.buttons);
    this.#say('');
    for (const button of buttons) button.disabled = true;
    try {
      await something(this.#transfer);
    } catch (problem) {
      this.#say(problem.message);
    }
    for (const button of buttons) button.disabled = false;
  }

  #say(text) {
    setText(this.#parts.said, text);
    this.#parts.said.hidden = text === '';
  }
}

const pathOf = (id) => `/transfers/${encodeURIComponent(id)}`;

function newParts(actions) {
  const state = stateMark();
  const bar = progressBar();
  const pace = element('span');
  const labels = {
    download: 'Download',
    cancel: 'Cancel',
    remove: 'Remove from the item',
    again: 'Try again',
  };
  const buttons = {};
  for (const [name, label] of Object.entries(labels)) {
    buttons[name] = element('button', { type: 'button' }, label);
    buttons[name].addEventListener('click', actions[name]);
  }
  const said = element('p', { class: 'trouble', role: 'alert', hidden: true });
  const failure = element('div', { class: 'failure', hidden: true });
  const timeline = element('ol', { class: 'timeline' });
  const own = element('div');
  const attachment = element('div');
  const all = [
    element('p', { class: 'line' }, state.mark, bar.bar, bar.text, pace),
    element('p', { class: 'buttons' }, ...Object.values(buttons)),
    said,
    failure,
    element('h3', {}, 'Timeline'),
    timeline,
    element('h3', {}, 'Transfer'),
    own,
    attachment,
  ];
  return { all, state, bar, pace, buttons, said, failure, timeline, facts: own, attachment };
}

function showFailure(parts, error) {
  parts.failure.hidden = !error;
  if (!error) return;
  const advice = ADVICE[error.code] ?? 'Do what the sentence says.';
  draw(parts.failure, error, () => [
    element('p', {}, element('strong', {}, error.code), `: ${error.message}`),
    element('p', {}, element('strong', {}, 'What to do: '), advice),
  ]);
}

function showTimeline(list, steps) {
  draw(list, steps, () =>
    steps.map(({ name, note, phase }) =>
      element(
        'li',
        { 'data-phase': phase, 'aria-current': phase === 'now' && 'step' },
        name,
        element('span', { class: 'visually-hidden' }, ` (${PHASES[phase]})`),
        element('span', { class: 'when' }, note),
      ),
    ),
  );
}

function factsOf(transfer) {
  const when = (text) => text && time(new Date(text));
  return facts([
    ['Mailbox', transfer.mailbox],
    [transfer.itemType === 'event' ? 'Event' : 'Message', transfer.itemId],
    ['Blob', transfer.blob],
    ['Size', transfer.size === null ? null : bytes(transfer.size)],
    ['Began', when(transfer.createdAt)],
    ['Last heard of', when(transfer.updatedAt)],
    ['Ended', when(transfer.completedAt)],
    ['Transfer', transfer.id],
    ['Attachment', transfer.attachmentId],
  ]);
}

function attachmentOf(found) {
  return element(
    'section',
    {},
    element('h3', {}, 'Attachment, as Outlook tells it'),
    facts([
      ['Name', found.name],
      ['Type', found.contentType],
      ['Size with its wrapping', found.size === null ? null : bytes(found.size)],
      ['Inline', found.isInline ? `as cid:${found.contentId}` : 'no'],
      ['Written', found.lastModifiedDateTime && time(new Date(found.lastModifiedDateTime))],
    ]),
  );
}
