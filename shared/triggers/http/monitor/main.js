/** The page: which view is shown, and what is looked at again and again. */

import { address, asked } from './address.js';
import { call, forgetKey, hasKey, keepKey } from './api.js';
import { HOURS, showChart } from './chart.js';
import { Detail } from './detail.js';
import { byId, element, setText } from './dom.js';
import { duration, time } from './format.js';
import { nameOf, STATES, TransferList } from './list.js';
import { Polling } from './polling.js';
import { isOver, Progress } from './progress.js';
import { Sending } from './sending.js';

const PAGE = 25;
const ALL = 1_000;
// Milliseconds; the chart is a large question, which is asked sooner when something has changed.
const CHART_EVERY = 30_000;
const CHART_SOON = 3_000;

const progress = new Progress();
const list = new TransferList();
const detail = new Detail(look);
const polling = new Polling(poll, trouble);
const sending = new Sending((name) => {
  setText(byId('news'), `The transfer of ${name} has begun.`);
  polling.now();
});

let page = 0;
let chartAt = 0;
let left = '';
// Whether each transfer that was seen is over.
const known = new Map();

/** Show the view that the address asks for, and look at once. */
function route() {
  const id = openId();
  byId('key-view').hidden = hasKey();
  byId('forget-key').hidden = !hasKey();
  byId('list-view').hidden = !hasKey() || id !== '';
  byId('detail-view').hidden = !hasKey() || id === '';
  if (!hasKey()) {
    polling.stop();
    setText(byId('freshness'), '');
    byId('key').focus();
    return;
  }
  sending.fill(asked());
  if (id) {
    detail.clear();
    byId('detail-heading').focus();
  }
  polling.now();
}

/** Look at this transfer from now on. */
function look(id) {
  const place = address({ transfer: id });
  if (location.hash === place) polling.now();
  else location.hash = place;
}

const openId = () => asked().get('transfer') ?? '';

/** Ask for what the view shows; whether something in it moves. */
async function poll(counts) {
  const id = openId();
  const found = id ? [await call('GET', `/transfers/${encodeURIComponent(id)}`)] : await listed();
  if (!counts()) return false;
  for (const transfer of found) progress.see(transfer, Date.now());
  tellEnds(found);
  if (id) {
    left = id;
    detail.show(found[0], progress);
  } else {
    showList(found);
  }
  byId('trouble').hidden = true;
  setText(byId('freshness'), `as of ${time(new Date())}`);
  return found.some((transfer) => !isOver(transfer));
}

/** The transfers of the page that is shown and one more, and the chart when it is due. */
async function listed() {
  if (Date.now() - chartAt > CHART_EVERY) {
    const since = new Date(Date.now() - HOURS * 3_600_000).toISOString();
    const found = await call('GET', '/transfers', { query: { since, top: ALL } });
    showChart(byId('chart'), found, Date.now());
    chartAt = Date.now();
    const mailboxes = [...new Set(found.items.map((each) => each.mailbox).filter(Boolean))].sort();
    byId('mailboxes').replaceChildren(...mailboxes.map((value) => element('option', { value })));
  }
  const days = Number(byId('filter-days').value);
  const query = {
    since: new Date(Date.now() - days * 86_400_000).toISOString(),
    status: byId('filter-status').value,
    mailbox: byId('filter-mailbox').value.trim(),
    top: Math.min(ALL, (page + 1) * PAGE + 1),
  };
  const { items } = await call('GET', '/transfers', { query });
  return items;
}

function showList(found) {
  const shown = found.slice(page * PAGE, (page + 1) * PAGE);
  list.show(shown, progress);
  if (left) list.focus(left);
  left = '';
  const filtered = byId('filter-status').value || byId('filter-mailbox').value.trim();
  byId('nothing').hidden = shown.length > 0;
  if (shown.length === 0) showNothing(filtered || page > 0);
  byId('pages').hidden = page === 0 && found.length <= PAGE;
  byId('newer').disabled = page === 0;
  byId('older').disabled = found.length <= (page + 1) * PAGE;
  setText(byId('page-number'), `Page ${page + 1}`);
}

/** Either nothing matches, or nothing has been dropped yet: then how that is done. */
function showNothing(filtered) {
  if (filtered) {
    byId('nothing').replaceChildren(element('p', {}, 'No transfer matches.'));
    return;
  }
  byId('nothing').replaceChildren(
    element('p', {}, element('strong', {}, 'Nothing has arrived yet.')),
    element('p', {}, 'Drop a first file on this page, say which draft or event gets it, and send it.'),
    element('p', {}, 'Or put it into the watched container, and it shows up here:'),
    element(
      'pre',
      { tabindex: '0', 'aria-label': 'Command' },
      'az storage blob upload -c outlook-attachments -n scan.pdf -f scan.pdf \\\n' +
        '  --metadata mailbox=scans@contoso.com messageid=AAMkADI5MAAIT3drCAAA=',
    ),
  );
}

/** Tell a screen reader what came to its end since the last look; have what is new in the chart. */
function tellEnds(found) {
  for (const transfer of found) {
    const over = isOver(transfer);
    const before = known.get(transfer.id);
    if (over && before === false) setText(byId('news'), `${nameOf(transfer)} is ${transfer.state}.`);
    if (over !== before) chartAt = Math.min(chartAt, Date.now() - CHART_EVERY + CHART_SOON);
    known.set(transfer.id, over);
  }
}

function trouble(problem, delay) {
  if (problem.status === 401) forgetKey();
  const again = problem.status === 401 ? '' : ` Next try in ${duration(delay / 1_000)}.`;
  setText(byId('trouble'), `${problem.message}${again}`);
  byId('trouble').hidden = false;
  if (problem.status === 401) route();
}

function filter() {
  page = 0;
  polling.now();
}

byId('filter-status').append(...STATES.map((state) => element('option', { value: state }, state)));
byId('filters').addEventListener('change', filter);
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
  keepKey(byId('key').value.trim());
  byId('key').value = '';
  byId('trouble').hidden = true;
  route();
});
byId('forget-key').addEventListener('click', () => {
  forgetKey();
  // Nothing that the key has opened stays in the page.
  location.reload();
});
window.addEventListener('hashchange', route);
route();
