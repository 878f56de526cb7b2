/** Bytes and outcomes of the last hours, as charts and as a table. */

import { element, svg } from './dom.js';
import { bytes } from './format.js';
import { isOver } from './progress.js';

export const HOURS = 12;
const SLOTS = 24;
const SLOT = (HOURS * 3_600_000) / SLOTS;
const WIDTH = 720;
const HEIGHT = 90;
const GAP = 4;
const KINDS = ['attached', 'failed', 'cancelled', 'in progress'];

/** The transfers grouped by the half hour in which they started, oldest first. */
export function slotsOf(transfers, now) {
  const slots = Array.from({ length: SLOTS }, (_, index) => ({
    from: new Date(now - (SLOTS - index) * SLOT),
    bytes: 0,
    counts: Object.fromEntries(KINDS.map((kind) => [kind, 0])),
  }));
  for (const transfer of transfers) {
    const slot = slots[SLOTS - 1 - Math.floor((now - new Date(transfer.createdAt)) / SLOT)];
    if (!slot) continue;
    slot.counts[kindOf(transfer)] += 1;
    if (transfer.state === 'attached') slot.bytes += transfer.size ?? 0;
  }
  return slots;
}

/** Replace the container's content with both charts, their legends and the table. */
export function showChart(container, { items, next }, now) {
  // Redrawing would take the keyboard focus away.
  if (container.contains(document.activeElement)) return;
  const slots = slotsOf(items, now);
  const open = container.querySelector('details')?.open ?? false;
  container.replaceChildren(
    element(
      'div',
      { class: 'charts' },
      figure('Bytes attached', bytesOf(slots), slots, (slot) => [['attached', slot.bytes]]),
      figure('Transfers', outcomesOf(slots), slots, (slot) => Object.entries(slot.counts)),
    ),
    ...(next ? [element('p', { class: 'note' }, `Only the newest ${items.length}.`)] : []),
    table(slots, open),
  );
}

function kindOf(transfer) {
  if (!isOver(transfer)) return 'in progress';
  // An overwritten file is not a failure, nor is one that names no item, or was removed again.
  return KINDS.includes(transfer.state) ? transfer.state : 'cancelled';
}

/** A bar chart with the parts of each slot; `legend` gives the sum of each kind. */
function figure(caption, legend, slots, partsOf) {
  const highest = Math.max(1, ...slots.map((slot) => total(partsOf(slot))));
  const width = WIDTH / SLOTS;
  const bars = slots.flatMap((slot, index) => {
    let top = HEIGHT;
    return partsOf(slot)
      .filter(([, value]) => value > 0)
      .map(([kind, value]) => {
        const height = Math.max(2, (value / highest) * (HEIGHT - 2));
        top -= height;
        const x = index * width + GAP / 2;
        return svg('rect', { class: classOf(kind), x, y: top, width: width - GAP, height });
      });
  });
  const base = svg('line', { x1: 0, y1: HEIGHT, x2: WIDTH, y2: HEIGHT });
  const summary = legend.map(([, text]) => text).join(', ');
  const label = `${caption} in ${HOURS} hours: ${summary}`;
  const view = { viewBox: `0 0 ${WIDTH} ${HEIGHT + 1}`, preserveAspectRatio: 'none' };
  const keys = legend.map(([kind, text]) => element('span', { class: `key ${classOf(kind)}` }, text));
  return element(
    'figure',
    {},
    element('figcaption', {}, element('strong', {}, caption), ...keys),
    svg('svg', { ...view, role: 'img', 'aria-label': label }, ...bars, base),
    element(
      'p',
      { class: 'axis', 'aria-hidden': 'true' },
      element('span', {}, timeOfDay(slots[0].from)),
      element('span', {}, 'now'),
    ),
  );
}

const classOf = (kind) => kind.replace(' ', '-');
const timeOfDay = (date) => date.toTimeString().slice(0, 5);
const total = (parts) => parts.reduce((sum, [, value]) => sum + value, 0);

function bytesOf(slots) {
  return [['attached', bytes(slots.reduce((sum, slot) => sum + slot.bytes, 0))]];
}

function outcomesOf(slots) {
  const counts = KINDS.map((kind) => [kind, slots.reduce((sum, s) => sum + s.counts[kind], 0)]);
  const shown = counts.filter(([, count]) => count > 0);
  if (shown.length === 0) return [['in progress', 'none yet']];
  return shown.map(([kind, count]) => [kind, `${count} ${kind}`]);
}

function table(slots, open) {
  const busy = slots.filter((slot) => total(Object.entries(slot.counts)) > 0).reverse();
  const head = ['From', 'Bytes', ...KINDS];
  return element(
    'details',
    { open, hidden: busy.length === 0 },
    element('summary', {}, 'Show as a table'),
    element(
      'div',
      { class: 'wide', tabindex: '0', role: 'group', 'aria-label': 'Table' },
      element(
        'table',
        {},
        element('thead', {}, row('th', head)),
        element('tbody', {}, ...busy.map((slot) => row('td', cellsOf(slot)))),
      ),
    ),
  );
}

function cellsOf(slot) {
  const counts = KINDS.map((kind) => String(slot.counts[kind]));
  return [timeOfDay(slot.from), bytes(slot.bytes), ...counts];
}

const row = (tag, texts) => element('tr', {}, ...texts.map((text) => element(tag, {}, text)));
