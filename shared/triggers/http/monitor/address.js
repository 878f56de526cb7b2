/** The part of the page's address after #: it names a transfer, or an item to send a file to. */

export const parameters = () => new URLSearchParams(location.hash.slice(1));

export const fragment = (values) => `#${new URLSearchParams(values)}`;
