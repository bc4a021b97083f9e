// Elements from code. Text from files reaches the page as text nodes only; nothing here parses HTML.

type Child = Node | string | number | null | undefined | false;
type Handlers = { readonly [K in keyof HTMLElementEventMap as `on${K}`]?: (event: HTMLElementEventMap[K]) => void };
type Attributes = { readonly [name: string]: string | number | boolean | undefined } & { readonly class?: string };

const SVG = "http://www.w3.org/2000/svg";

function apply(element: Element, attributes: Record<string, unknown>, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on") && typeof value === "function") {
      element.addEventListener(name.slice(2), value as EventListener);
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false)
      element.append(child instanceof Node ? child : String(child));
  }
}

/** An HTML element: `h("p", { class: "note" }, "text")`. Handlers are attributes such as `onclick`. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes | Handlers = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  apply(element, attributes as Record<string, unknown>, children);
  return element;
}

/** An SVG element. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes | Handlers = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  apply(element, attributes as Record<string, unknown>, children);
  return element;
}

/** A coloured square for legends. Set through CSSOM: the page's policy forbids style attributes. */
export function swatch(color: string): HTMLElement {
  const element = h("span", { class: "swatch", "aria-hidden": "true" });
  element.style.backgroundColor = color;
  return element;
}

/** A horizontal bar of `share` of its track. */
export function meter(share: number, color: string): HTMLElement {
  const bar = h("span", { class: "meter-bar" });
  bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  bar.style.backgroundColor = color;
  return h("span", { class: "meter", "aria-hidden": "true" }, bar);
}

/** Saves bytes or text as a file. */
export function download(name: string, content: BlobPart, type: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function debounce(run: () => void, waitMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, waitMs);
  };
}
