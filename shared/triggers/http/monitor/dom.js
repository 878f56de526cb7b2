/**
 * The only module that creates elements. Text is inserted as text, and no attribute is a script:
 * nothing in the API's responses can become markup.
 */

export const byId = (id) => document.getElementById(id);

/** An element with these attributes (those that are false or null are omitted) and children. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

/** Set the text only if it has changed, which keeps selections and the scroll position. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const shownStates = new WeakMap();

/** Replace the container's content with `children()`, unless it already shows this state. */
export function draw(container, state, children) {
  const serialized = JSON.stringify(state);
  if (shownStates.get(container) === serialized) return;
  shownStates.set(container, serialized);
  container.replaceChildren(...children());
}

/** A list of terms and values; those without a value are omitted. */
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

/** Request confirmation of something that cannot be undone; resolves to true for yes. */
export function confirmed(text) {
  const dialog = byId('confirmation');
  setText(byId('confirmation-text'), text);
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
