/** Sends files by hand: into the watched container, where they go the way of any other blob. */

import { address } from './address.js';
import { call, Problem } from './api.js';
import { byId, element, setText } from './dom.js';
import { bytes } from './format.js';
import { nameOf } from './list.js';

const LOOK_EVERY = 1_000;
// Azure tells of a new blob within seconds, as a rule.
const LOOKS_AT_MOST = 120;

export class Sending {
  #began;
  #busy = false;

  /** `began` is called with the name of each file whose transfer has begun. */
  constructor(began) {
    this.#began = began;
    byId('send').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send([...byId('send-files').files]);
    });
    takeDrops();
    window.addEventListener('beforeunload', (event) => {
      if (this.#busy) event.preventDefault();
    });
  }

  /** Fill in the item that the page's address names. */
  fill(parts) {
    if (!parts.has('mailbox')) return;
    const kind = parts.has('event') ? 'event' : 'message';
    byId('send-mailbox').value = parts.get('mailbox');
    byId('send-item').value = parts.get(kind) ?? '';
    byId('send').elements.kind.value = kind;
  }

  /** One after the other; those that were not stored stay chosen. */
  async #send(files) {
    const mailbox = byId('send-mailbox').value.trim();
    const item = { [`${byId('send').elements.kind.value}Id`]: byId('send-item').value.trim() };
    const button = byId('send').querySelector('button');
    const left = new DataTransfer();
    byId('sendings').replaceChildren();
    this.#busy = button.disabled = true;
    for (const file of files) {
      const row = newRow(file);
      byId('sendings').append(row.element);
      try {
        const upload = await call('POST', '/uploads', { body: orderOf(file, { mailbox, ...item }) });
        await put(upload, file, row);
        row.say('Stored. Its transfer is about to begin.');
        this.#follow(upload.blob, mailbox, row);
      } catch (problem) {
        row.fail(problem);
        left.items.add(file);
      }
    }
    byId('send-files').files = left.files;
    this.#busy = button.disabled = false;
  }

  /** Look for the transfer that the blob door starts, and lead to it. */
  async #follow(blob, mailbox, row) {
    const query = { mailbox, top: 100 };
    for (let look = 0; look < LOOKS_AT_MOST; look += 1) {
      const found = await call('GET', '/transfers', { query }).catch(() => null);
      const transfer = found?.items.find((each) => each.blob === blob);
      if (transfer) {
        row.lead(transfer.id);
        this.#began(nameOf(transfer));
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
    }
    row.say('Stored, but no transfer has begun. Is the app told of new blobs?');
  }
}

/** A file that is dropped anywhere on the page is chosen. */
function takeDrops() {
  const mark = (event) => {
    if (!event.dataTransfer.types.includes('Files')) return;
    event.preventDefault();
    byId('drop').classList.toggle('over', event.type !== 'drop');
  };
  document.addEventListener('dragover', mark);
  document.addEventListener('dragleave', () => byId('drop').classList.remove('over'));
  document.addEventListener('drop', (event) => {
    mark(event);
    const form = byId('send');
    if (!form.checkVisibility() || event.dataTransfer.files.length === 0) return;
    byId('send-files').files = event.dataTransfer.files;
    const missing = [...form.elements].find((each) => !each.validity.valid);
    (missing ?? form.querySelector('button')).focus();
  });
}

function orderOf(file, item) {
  const [contentType] = file.type.split(';');
  return { fileName: file.name, size: file.size, ...(contentType && { contentType }), ...item };
}

/** Put the file in, in one request. Throws a Problem. */
function put(upload, file, row) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const failed = (message) => reject(new Problem(request.status, { message }));
    request.open('PUT', upload.url);
    for (const [name, value] of Object.entries(upload.headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener('progress', ({ loaded }) => row.sent(loaded));
    request.addEventListener('abort', () => failed('Stopped.'));
    request.addEventListener('error', () =>
      failed(
        'The storage account does not answer this page. ' +
          'See whether the file has arrived before you send it again.',
      ),
    );
    request.addEventListener('load', () => {
      const code = request.getResponseHeader('x-ms-error-code') ?? request.status;
      if (request.status === 201) resolve();
      else failed(`The storage account did not take the file (${code}).`);
    });
    row.stoppable(() => request.abort());
    request.send(file);
  });
}

/** A file that is being sent, as the page shows it. */
function newRow(file) {
  const name = element('strong', {}, file.name);
  const bar = element('progress', { max: Math.max(file.size, 1), value: 0, 'aria-label': file.name });
  const said = element('span', {}, `0 B of ${bytes(file.size)}`);
  const stop = element('button', { type: 'button' }, 'Stop');
  const end = (...shown) => row.replaceChildren(name, ...shown);
  const row = element('li', { class: 'line' }, name, bar, said);
  return {
    element: row,
    sent(count) {
      bar.value = count;
      setText(said, `${bytes(count)} of ${bytes(file.size)}`);
    },
    stoppable(act) {
      stop.addEventListener('click', act);
      row.append(stop);
    },
    say(text) {
      setText(said, text);
      end(said);
    },
    lead(id) {
      end(element('a', { href: address({ transfer: id }) }, 'Watch its transfer'));
    },
    fail(problem) {
      const faults = problem.details.map(({ field, message }) => `${field}: ${message}`);
      const text = faults.join(' ') || problem.message;
      end(element('span', { class: 'trouble', role: 'alert' }, text));
    },
  };
}
