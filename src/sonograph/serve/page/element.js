// Elements, made in one line; and the colours that hold now, for canvases.

/**
 * make("a", {class: "soft", href: "/", onclick: go}, "text", child, null) is an element.
 * Names that begin with "on" are listeners; false, null and undefined leave an attribute out.
 */
export function make(name, about = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(about)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  fill(made, ...children);
  return made;
}

/** Put other children into an element. */
export function fill(parent, ...children) {
  parent.replaceChildren(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
}

let count = 0;
/** An id that nothing else on the page has. */
export const unique = (word) => `${word}-${++count}`;

/** A registered colour of the style sheet ("ink", "accent") as it is now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

/** A canvas made as sharp as the screen: its context in CSS pixels, cleared, and its size. */
export function sharp(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = Math.min(devicePixelRatio || 1, 2);
  const [wide, high] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const pen = canvas.getContext("2d");
  pen.setTransform(wide / Math.max(1, width), 0, 0, high / Math.max(1, height), 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

/** Said to whoever cannot see the page. */
export function say(words) {
  document.getElementById("said").textContent = words;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
