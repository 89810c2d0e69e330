// The few things every module needs of the document.

/** Run `start` on the elements that match now, and on those that htmx brings later. */
export function whenPresent(selector, start) {
  const begin = (root) => {
    if (root.matches?.(selector)) start(root);
    for (const element of root.querySelectorAll?.(selector) ?? []) start(element);
  };
  begin(document);
  document.addEventListener("htmx:after:settle", (event) => begin(event.target));
  document.addEventListener("gds:content", (event) => begin(event.target));
}

/** An icon of the sprite as a new element. */
export function icon(name, css = "") {
  const template = document.getElementById("icon-template");
  const svg = template.content.firstElementChild.cloneNode(true);
  if (css) svg.setAttribute("class", `icon ${css}`);
  const use = svg.querySelector("use");
  use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#${name}`);
  return svg;
}

/** A new element with attributes and children; text is always text. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** The field in `type:key:field` behind this `type:key:`. Keys may hold colons, so another may begin alike; fields don't. */
export function fieldOf(address, prefix) {
  const field = address?.startsWith(prefix) ? address.slice(prefix.length) : "";
  return field && !field.includes(":") ? field : null;
}

export const isTyping = (target) =>
  target instanceof Element &&
  target.matches("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
