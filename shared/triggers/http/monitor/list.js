/** The table of transfers: rows are reused, and only what has changed is updated. */

import { fragment } from './address.js';
import { byId, element, setText } from './dom.js';
import { bytes, duration, rate, time } from './format.js';
import { isOver, sentBytes } from './progress.js';

const SYMBOLS = {
  queued: '…',
  waiting: '◷',
  uploading: '↑',
  recording: '✎',
  attached: '✓',
  failed: '✕',
  cancelled: '⊘',
  superseded: '↷',
  unaddressed: '?',
  removed: '−',
};
export const STATES = Object.keys(SYMBOLS);

/** A state as a symbol, a colour and its name. */
export function stateMark() {
  const symbol = element('span', { 'aria-hidden': 'true' });
  const name = element('span');
  const mark = element('span', { class: 'state' }, symbol, ' ', name);
  return {
    mark,
    show(state) {
      mark.dataset.state = state;
      setText(symbol, SYMBOLS[state] ?? '');
      setText(name, state);
    },
  };
}

/** A progress bar of the bytes sent, with the percentage next to it. */
export function progressBar() {
  const bar = element('progress', { max: '1' });
  const text = element('span', { class: 'percent' });
  return {
    bar,
    text,
    show(transfer) {
      const sent = sentBytes(transfer);
      const size = transfer.size ?? 0;
      const complete = transfer.state === 'attached';
      bar.max = Math.max(size, 1);
      bar.value = complete ? bar.max : Math.min(sent, bar.max);
      bar.setAttribute('aria-label', `${nameOf(transfer)} sent`);
      const percent = size ? `${Math.floor((100 * sent) / size)} %` : '';
      setText(text, complete ? '100 %' : percent);
    },
  };
}

export const nameOf = (transfer) => transfer.fileName ?? transfer.blob.split('/').at(-1);

/** Speed and time left; the duration once the transfer has ended. */
export function speedOf(transfer, progress) {
  if (isOver(transfer)) {
    const took = (new Date(transfer.completedAt) - new Date(transfer.createdAt)) / 1_000;
    return `took ${duration(took)}`;
  }
  const speed = progress.speed(transfer);
  const left = progress.secondsLeft(transfer);
  if (speed === null || left === null) return '';
  return `${rate(speed)}, ${duration(left)} left`;
}

export class TransferList {
  #rows = new Map();
  #body = byId('transfers').tBodies[0];

  /** Show these transfers, in this order. */
  show(transfers, progress) {
    const rows = new Map();
    transfers.forEach((transfer, index) => {
      const row = this.#rows.get(transfer.id) ?? newRow(transfer);
      row.show(transfer, progress);
      const present = this.#body.children[index] ?? null;
      if (present !== row.element) this.#body.insertBefore(row.element, present);
      rows.set(transfer.id, row);
    });
    for (const [id, row] of this.#rows) if (!rows.has(id)) row.element.remove();
    this.#rows = rows;
    byId('transfers').hidden = transfers.length === 0;
  }

  /** Return the keyboard focus to the transfer that was open. */
  focus(id) {
    this.#rows.get(id)?.link.focus();
  }
}

function newRow({ id }) {
  const state = stateMark();
  const bar = progressBar();
  const link = element('a', { href: fragment({ transfer: id }) });
  const mailbox = element('span');
  const item = element('span', { class: 'id' });
  const [size, speed, started] = [1, 2, 3].map(() => element('td', { class: 'number' }));
  const row = element(
    'tr',
    {},
    element('td', {}, state.mark),
    element('th', { scope: 'row' }, link),
    element('td', { class: 'to' }, mailbox, item),
    element('td', { class: 'progress' }, bar.bar, ' ', bar.text),
    size,
    speed,
    started,
  );
  return {
    element: row,
    link,
    show(transfer, progress) {
      state.show(transfer.state);
      setText(link, nameOf(transfer));
      setText(mailbox, transfer.mailbox ?? 'no item');
      setText(item, transfer.itemId ? `${transfer.itemType} ${transfer.itemId}` : '');
      bar.show(transfer);
      setText(size, transfer.size === null ? '' : bytes(transfer.size));
      setText(speed, speedOf(transfer, progress));
      setText(started, transfer.createdAt ? time(new Date(transfer.createdAt)) : '');
    },
  };
}
