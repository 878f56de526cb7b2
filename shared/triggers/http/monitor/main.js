/** The page: which view is shown, and what is polled. */

import { fragment, parameters } from './address.js';
import { call, hasKey, removeKey, storeKey } from './api.js';
import { HOURS, showChart } from './chart.js';
import { Detail } from './detail.js';
import { byId, element, setText } from './dom.js';
import { duration, time } from './format.js';
import { nameOf, STATES, TransferList } from './list.js';
import { Polling } from './polling.js';
import { isOver, Progress } from './progress.js';
import { Sending } from './sending.js';

const PAGE = 25;
const MAX_LISTED = 1_000;
// Milliseconds. The chart needs a long listing, so it is updated less often than the rest.
const CHART_INTERVAL = 30_000;
const CHART_DELAY_AFTER_CHANGE = 3_000;

const progress = new Progress();
const list = new TransferList();
const detail = new Detail(openTransfer);
const polling = new Polling(poll, showError);
const sending = new Sending((name) => {
  setText(byId('announcement'), `The transfer of ${name} has started.`);
  polling.now();
});

// The query of each page up to the one after the current, as far as they are known. A cursor is
// good for the query that returned it, so that all pages have the time of the first one.
let pages = [{}];
let page = 0;
let chartUpdatedAt = 0;
// The id of the transfer that was shown last.
let lastOpened = '';
// Whether each transfer has ended, by id.
const ended = new Map();

/** Show the view for the page's address, and poll at once. */
function route() {
  const id = openId();
  byId('key-view').hidden = hasKey();
  byId('remove-key').hidden = !hasKey();
  byId('list-view').hidden = !hasKey() || id !== '';
  byId('detail-view').hidden = !hasKey() || id === '';
  if (!hasKey()) {
    polling.stop();
    setText(byId('freshness'), '');
    byId('key').focus();
    return;
  }
  sending.fill(parameters());
  if (id) {
    detail.clear();
    byId('detail-heading').focus();
  }
  polling.now();
}

/** Show this transfer from now on. */
function openTransfer(id) {
  const target = fragment({ transfer: id });
  if (location.hash === target) polling.now();
  else location.hash = target;
}

const openId = () => parameters().get('transfer') ?? '';

/** Get and show the view's content; resolves to whether transfers in it are running. */
async function poll(isCurrent) {
  const id = openId();
  const found = id ? [await call('GET', `/transfers/${encodeURIComponent(id)}`)] : await listed();
  if (!isCurrent()) return false;
  for (const transfer of found) progress.observe(transfer, Date.now());
  announceEnds(found);
  if (id) {
    lastOpened = id;
    detail.show(found[0], progress);
  } else {
    showList(found);
  }
  byId('error').hidden = true;
  setText(byId('freshness'), `as of ${time(new Date())}`);
  return found.some((transfer) => !isOver(transfer));
}

/** The transfers of the current page; updates the chart when it is due. */
async function listed() {
  if (Date.now() - chartUpdatedAt > CHART_INTERVAL) {
    const since = new Date(Date.now() - HOURS * 3_600_000).toISOString();
    const found = await call('GET', '/transfers', { query: { since, top: MAX_LISTED } });
    showChart(byId('chart'), found, Date.now());
    chartUpdatedAt = Date.now();
    const mailboxes = [...new Set(found.items.map((each) => each.mailbox).filter(Boolean))].sort();
    byId('mailboxes').replaceChildren(...mailboxes.map((value) => element('option', { value })));
  }
  const days = Number(byId('filter-days').value);
  const current = page;
  if (current === 0) pages = [{ since: new Date(Date.now() - days * 86_400_000).toISOString() }];
  const query = {
    ...pages[current],
    state: byId('filter-state').value,
    mailbox: byId('filter-mailbox').value.trim(),
    top: PAGE,
  };
  const { items, next } = await call('GET', '/transfers', { query });
  if (page !== current) return items;
  pages.length = current + 1;
  if (next) pages.push({ since: pages[0].since, cursor: next });
  return items;
}

function showList(found) {
  list.show(found, progress);
  if (lastOpened) list.focus(lastOpened);
  lastOpened = '';
  const filtered = byId('filter-state').value || byId('filter-mailbox').value.trim();
  const isLast = pages.length <= page + 1;
  byId('empty').hidden = found.length > 0;
  if (found.length === 0) showEmpty(filtered || page > 0);
  byId('pages').hidden = page === 0 && isLast;
  byId('newer').disabled = page === 0;
  byId('older').disabled = isLast;
  setText(byId('page-number'), `Page ${page + 1}`);
}

/** Say that no transfer matches; without filters, also how to send a first file. */
function showEmpty(filtered) {
  if (filtered) {
    byId('empty').replaceChildren(element('p', {}, 'No transfer matches.'));
    return;
  }
  byId('empty').replaceChildren(
    element('p', {}, element('strong', {}, 'No transfers yet.')),
    element('p', {}, 'Drop a file on this page, name the draft or event it is for, and send it.'),
    element('p', {}, 'Or upload it to the watched container:'),
    element(
      'pre',
      { tabindex: '0', 'aria-label': 'Command' },
      'az storage blob upload -c outlook-attachments -n scan.pdf -f scan.pdf \\\n' +
        '  --metadata mailbox=scans@contoso.com messageid=AAMkADI5MAAIT3drCAAA=',
    ),
  );
}

/** Announce to screen readers which transfers have ended; update the chart soon after changes. */
function announceEnds(found) {
  for (const transfer of found) {
    const isEnded = isOver(transfer);
    const wasEnded = ended.get(transfer.id);
    if (isEnded && wasEnded === false) {
      setText(byId('announcement'), `${nameOf(transfer)} is ${transfer.state}.`);
    }
    if (isEnded !== wasEnded) {
      const due = Date.now() - CHART_INTERVAL + CHART_DELAY_AFTER_CHANGE;
      chartUpdatedAt = Math.min(chartUpdatedAt, due);
    }
    ended.set(transfer.id, isEnded);
  }
}

function showError(problem, delay) {
  if (problem.status === 401) removeKey();
  const retry = problem.status === 401 ? '' : ` Next try in ${duration(delay / 1_000)}.`;
  setText(byId('error'), `${problem.message}${retry}`);
  byId('error').hidden = false;
  if (problem.status === 401) route();
}

function applyFilters() {
  page = 0;
  polling.now();
}

byId('filter-state').append(...STATES.map((state) => element('option', { value: state }, state)));
byId('filters').addEventListener('change', applyFilters);
byId('filters').addEventListener('submit', (event) => event.preventDefault());
byId('newer').addEventListener('click', () => {
  page -= 1;
  polling.now();
});
byId('older').addEventListener('click', () => {
  page += 1;
  polling.now();
});
byId('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  storeKey(byId('key').value.trim());
  byId('key').value = '';
  byId('error').hidden = true;
  route();
});
byId('remove-key').addEventListener('click', () => {
  removeKey();
  // Remove everything from the page that the key gave access to.
  location.reload();
});
window.addEventListener('hashchange', route);
route();
