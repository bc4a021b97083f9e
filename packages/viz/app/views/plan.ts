import type { App, View } from "../app.ts";
import { h } from "../ui/dom.ts";

export function planView(_app: App): View {
  return { element: h("div"), update: () => {}, destroy: () => {}, key: () => false, search: () => [], exports: [] };
}
