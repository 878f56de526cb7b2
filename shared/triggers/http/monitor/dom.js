/**
 * Elements are made here alone. Text goes in as text, and no attribute is a script: nothing that
 * the API tells can become markup.
 */

export const byId = (id) => document.getElementById(id);

/** An element with these attributes (false and null leave one out) and children. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same, of a picture. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

/** Writes only what has changed, so that a reader's place and selection stay. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const drawn = new WeakMap();

/** Puts what `children` makes into a place, unless it already shows this state. */
export function draw(place, state, children) {
  const told = JSON.stringify(state);
  if (drawn.get(place) === told) return;
  drawn.set(place, told);
  place.replaceChildren(...children());
}

/** Terms and what they are, as a list; those without a value are left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return element(
    'dl',
    { class: 'facts' },
    ...known.map(([term, value]) =>
      element('div', {}, element('dt', {}, term), element('dd', {}, String(value))),
    ),
  );
}

/** Asks before something is done that cannot be undone; whether the answer is yes. */
export function ask(text) {
  const dialog = byId('question');
  setText(byId('question-text'), text);
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
