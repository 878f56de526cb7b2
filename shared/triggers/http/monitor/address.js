/** What the page's address asks for, after its #: a transfer, or an item to send a file to. */

export const asked = () => new URLSearchParams(location.hash.slice(1));

export const address = (parts) => `#${new URLSearchParams(parts)}`;
