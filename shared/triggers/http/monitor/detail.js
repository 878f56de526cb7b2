/** One transfer: its progress, what can be done about it, and its attachment. */

import { ADVICE } from './advice.js';
import { call, download } from './api.js';
import { byId, confirmed, draw, element, facts, setText } from './dom.js';
import { bytes, time } from './format.js';
import { nameOf, progressBar, speedOf, stateMark } from './list.js';
import { isOver } from './progress.js';
import { timelineOf } from './timeline.js';

const PHASES = {
  done: 'done',
  failed: 'failed',
  current: 'in progress',
  pending: 'pending',
  skipped: 'not observed',
};
const ENDED_WITHOUT_ATTACHMENT = new Set([
  'failed',
  'cancelled',
  'superseded',
  'unaddressed',
  'removed',
]);
const MISSING = new Set(['AttachmentNotFound', 'ItemNotFound']);

export class Detail {
  #onChange;
  #transfer = null;
  #parts;
  #describedId = '';
  #attachmentMissing = false;

  /** `onChange` is called after an action, with the id of the transfer to show from now on. */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#parts = newParts({
      download: () => this.#download(),
      cancel: () => this.#cancel(),
      remove: () => this.#remove(),
      retry: () => this.#retry(),
    });
    byId('detail').replaceChildren(...this.#parts.all);
  }

  /** Empty the view before another transfer is shown. */
  clear() {
    this.#transfer = null;
    this.#describedId = '';
    this.#attachmentMissing = false;
    setText(byId('detail-heading'), '');
    byId('detail').hidden = true;
    this.#parts.attachment.replaceChildren();
    this.#showError('');
  }

  show(transfer, progress) {
    this.#transfer = transfer;
    const parts = this.#parts;
    setText(byId('detail-heading'), nameOf(transfer));
    parts.state.show(transfer.state);
    parts.bar.show(transfer);
    setText(parts.speed, speedOf(transfer, progress));
    showFailure(parts, transfer.error);
    showTimeline(parts.timeline, timelineOf(transfer, progress));
    draw(parts.facts, transfer, () => [factsOf(transfer)]);
    this.#showButtons();
    this.#describe();
    byId('detail').hidden = false;
  }

  /** Show the buttons that the transfer's state allows. */
  #showButtons() {
    const { state, mailbox, itemId } = this.#transfer;
    const attached = state === 'attached' && !this.#attachmentMissing;
    const { buttons } = this.#parts;
    buttons.download.hidden = !attached;
    buttons.remove.hidden = !attached;
    buttons.cancel.hidden = isOver(this.#transfer) || state === 'recording';
    const notAttached = ENDED_WITHOUT_ATTACHMENT.has(state) || this.#attachmentMissing;
    buttons.retry.hidden = !(notAttached && mailbox && itemId);
  }

  /** Show what Outlook reports about the attachment; requested once. */
  async #describe() {
    const { id, state } = this.#transfer;
    if (!['attached', 'removed'].includes(state) || this.#describedId === id) return;
    this.#describedId = id;
    try {
      const found = await call('GET', `${pathOf(id)}/attachment`);
      if (this.#transfer?.id === id) this.#parts.attachment.replaceChildren(attachmentOf(found));
    } catch (problem) {
      if (this.#transfer?.id !== id) return;
      this.#attachmentMissing = MISSING.has(problem.code);
      this.#parts.attachment.replaceChildren(element('p', { class: 'note' }, problem.message));
      this.#showButtons();
    }
  }

  async #download() {
    await this.#run(async ({ id, ...transfer }) => {
      const url = URL.createObjectURL(await download(id));
      element('a', { href: url, download: nameOf(transfer) }).click();
      URL.revokeObjectURL(url);
    });
  }

  async #cancel() {
    await this.#run(async ({ id }) => {
      await call('DELETE', pathOf(id));
      this.#onChange(id);
    });
  }

  async #remove() {
    const { itemType } = this.#transfer;
    if (!(await confirmed(`Remove ${nameOf(this.#transfer)} from its ${itemType}?`))) return;
    await this.#run(async ({ id }) => {
      await call('DELETE', `${pathOf(id)}/attachment`);
      this.#describedId = '';
      this.#onChange(id);
    });
  }

  async #retry() {
    await this.#run(async ({ id, blob, mailbox, itemType, itemId, fileName }) => {
      const item = itemType === 'event' ? { eventId: itemId } : { messageId: itemId };
      const body = { blob, mailbox, ...item };
      if (fileName) body.fileName = fileName;
      // It may have been removed in Outlook, which the blob's record does not show.
      if (this.#attachmentMissing) body.force = true;
      const started = await call('POST', '/transfers', { body, attempt: `again-${id}` });
      this.clear();
      this.#onChange(started.id);
    });
  }

  /** Run an action on the transfer that is shown; an error is shown below the buttons. */
  async #run(action) {
    const buttons = Object.values(this.#parts.buttons);
    this.#showError('');
    for (const button of buttons) button.disabled = true;
    try {
      await action(this.#transfer);
    } catch (problem) {
      this.#showError(problem.message);
    }
    for (const button of buttons) button.disabled = false;
  }

  #showError(text) {
    setText(this.#parts.error, text);
    this.#parts.error.hidden = text === '';
  }
}

const pathOf = (id) => `/transfers/${encodeURIComponent(id)}`;

function newParts(actions) {
  const state = stateMark();
  const bar = progressBar();
  const speed = element('span');
  const labels = {
    download: 'Download',
    cancel: 'Cancel',
    remove: 'Remove from the item',
    retry: 'Try again',
  };
  const buttons = {};
  for (const [name, label] of Object.entries(labels)) {
    buttons[name] = element('button', { type: 'button' }, label);
    buttons[name].addEventListener('click', actions[name]);
  }
  const error = element('p', { class: 'error', role: 'alert', hidden: true });
  const failure = element('div', { class: 'failure', hidden: true });
  const timeline = element('ol', { class: 'timeline' });
  const transferFacts = element('div');
  const attachment = element('div');
  const all = [
    element('p', { class: 'line' }, state.mark, bar.bar, bar.text, speed),
    element('p', { class: 'buttons' }, ...Object.values(buttons)),
    error,
    failure,
    element('h3', {}, 'Timeline'),
    timeline,
    element('h3', {}, 'Transfer'),
    transferFacts,
    attachment,
  ];
  return {
    all,
    state,
    bar,
    speed,
    buttons,
    error,
    failure,
    timeline,
    facts: transferFacts,
    attachment,
  };
}

function showFailure(parts, error) {
  parts.failure.hidden = !error;
  if (!error) return;
  const advice = ADVICE[error.code] ?? 'Change what the message names.';
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
        { 'data-phase': phase, 'aria-current': phase === 'current' && 'step' },
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
    ['Started', when(transfer.createdAt)],
    ['Last update', when(transfer.updatedAt)],
    ['Ended', when(transfer.completedAt)],
    ['Transfer', transfer.id],
    ['Attachment', transfer.attachmentId],
  ]);
}

function attachmentOf(found) {
  return element(
    'section',
    {},
    element('h3', {}, 'Attachment in Outlook'),
    facts([
      ['Name', found.name],
      ['Type', found.contentType],
      ['Size in Outlook', found.size === null ? null : bytes(found.size)],
      ['Inline', found.isInline ? `as cid:${found.contentId}` : 'no'],
      ['Last modified', found.lastModifiedDateTime && time(new Date(found.lastModifiedDateTime))],
    ]),
  );
}
