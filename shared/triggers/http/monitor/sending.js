/** Uploads files from the page to the watched container; the blob trigger does the rest. */

import { fragment } from './address.js';
import { call, Problem } from './api.js';
import { byId, element, setText } from './dom.js';
import { bytes } from './format.js';
import { nameOf } from './list.js';

const POLL_INTERVAL = 1_000;
// Azure usually reports a new blob within seconds.
const MAX_POLLS = 120;

export class Sending {
  #onStart;
  #busy = false;

  /** `onStart` is called with the name of each file whose transfer has started. */
  constructor(onStart) {
    this.#onStart = onStart;
    byId('send').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send([...byId('send-files').files]);
    });
    acceptDrops();
    window.addEventListener('beforeunload', (event) => {
      if (this.#busy) event.preventDefault();
    });
  }

  /** Fill in the item that the page's address names. */
  fill(parameters) {
    if (!parameters.has('mailbox')) return;
    const kind = parameters.has('event') ? 'event' : 'message';
    byId('send-mailbox').value = parameters.get('mailbox');
    byId('send-item').value = parameters.get(kind) ?? '';
    byId('send').elements.kind.value = kind;
  }

  /** Upload one file after the other; those that failed stay selected. */
  async #send(files) {
    const mailbox = byId('send-mailbox').value.trim();
    const item = { [`${byId('send').elements.kind.value}Id`]: byId('send-item').value.trim() };
    const button = byId('send').querySelector('button');
    const failed = new DataTransfer();
    byId('uploads').replaceChildren();
    this.#busy = button.disabled = true;
    for (const file of files) {
      const row = newRow(file);
      byId('uploads').append(row.element);
      try {
        const body = uploadRequest(file, { mailbox, ...item });
        const link = await call('POST', '/uploads', { body });
        await upload(link, file, row);
        row.showText('Uploaded. Its transfer will start shortly.');
        this.#waitForStart(link.blob, mailbox, row);
      } catch (problem) {
        row.showProblem(problem);
        failed.items.add(file);
      }
    }
    byId('send-files').files = failed.files;
    this.#busy = button.disabled = false;
  }

  /** Poll until the blob trigger has started the transfer, and link to it. */
  async #waitForStart(blob, mailbox, row) {
    const query = { mailbox, top: 100 };
    for (let poll = 0; poll < MAX_POLLS; poll += 1) {
      const found = await call('GET', '/transfers', { query }).catch(() => null);
      const transfer = found?.items.find((each) => each.blob === blob);
      if (transfer) {
        row.linkTo(transfer.id);
        this.#onStart(nameOf(transfer));
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
    }
    row.showText('Uploaded, but no transfer has started. Check that blob events reach the app.');
  }
}

/** Select a file that is dropped anywhere on the page. */
function acceptDrops() {
  const highlight = (event) => {
    if (!event.dataTransfer.types.includes('Files')) return;
    event.preventDefault();
    byId('drop').classList.toggle('over', event.type !== 'drop');
  };
  document.addEventListener('dragover', highlight);
  document.addEventListener('dragleave', () => byId('drop').classList.remove('over'));
  document.addEventListener('drop', (event) => {
    highlight(event);
    const form = byId('send');
    if (!form.checkVisibility() || event.dataTransfer.files.length === 0) return;
    byId('send-files').files = event.dataTransfer.files;
    const missing = [...form.elements].find((each) => !each.validity.valid);
    (missing ?? form.querySelector('button')).focus();
  });
}

function uploadRequest(file, item) {
  const [contentType] = file.type.split(';');
  return { fileName: file.name, size: file.size, ...(contentType && { contentType }), ...item };
}

/** Upload the file in one request. Throws a Problem. */
function upload(link, file, row) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const failed = (message) => reject(new Problem(request.status, { message }));
    request.open('PUT', link.url);
    for (const [name, value] of Object.entries(link.headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener('progress', ({ loaded }) => row.showSent(loaded));
    request.addEventListener('abort', () => failed('Stopped.'));
    request.addEventListener('error', () =>
      failed(
        'The storage account did not respond. ' +
          'Check whether the file has arrived before you send it again.',
      ),
    );
    request.addEventListener('load', () => {
      const code = request.getResponseHeader('x-ms-error-code') ?? request.status;
      if (request.status === 201) resolve();
      else failed(`The storage account refused the file (${code}).`);
    });
    row.showStop(() => request.abort());
    request.send(file);
  });
}

/** The row of a file that is being uploaded. */
function newRow(file) {
  const name = element('strong', {}, file.name);
  const bar = element('progress', { max: Math.max(file.size, 1), value: 0, 'aria-label': file.name });
  const status = element('span', {}, `0 B of ${bytes(file.size)}`);
  const stop = element('button', { type: 'button' }, 'Stop');
  const showOnly = (...nodes) => row.replaceChildren(name, ...nodes);
  const row = element('li', { class: 'line' }, name, bar, status);
  return {
    element: row,
    showSent(count) {
      bar.value = count;
      setText(status, `${bytes(count)} of ${bytes(file.size)}`);
    },
    showStop(onStop) {
      stop.addEventListener('click', onStop);
      row.append(stop);
    },
    showText(text) {
      setText(status, text);
      showOnly(status);
    },
    linkTo(id) {
      showOnly(element('a', { href: fragment({ transfer: id }) }, 'View the transfer'));
    },
    showProblem(problem) {
      const faults = problem.details.map(({ field, message }) => `${field}: ${message}`);
      const text = faults.join(' ') || problem.message;
      showOnly(element('span', { class: 'error', role: 'alert' }, text));
    },
  };
}
