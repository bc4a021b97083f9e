// Every key and gesture, in a dialog.

import { h } from "./dom.ts";

export const KEYS: readonly { readonly keys: string; readonly does: string }[] = [
  { keys: "W S", does: "zoom in and out at the pointer" },
  { keys: "A D", does: "move left and right in time" },
  { keys: "← →", does: "pin the previous or next bar of the row; select the next deployment of a sweep's front" },
  { keys: "↑ ↓", does: "pin the bar of the row above or below" },
  { keys: "F", does: "fit the selection, or everything" },
  { keys: "/", does: "search for a request, SM, worker or kind" },
  { keys: "C", does: "next colouring" },
  { keys: "O", does: "next order of rows" },
  { keys: "T", does: "table of the same data (SM occupancy, sweep)" },
  { keys: "L", does: "copy a link to exactly this view" },
  { keys: "1 … 5", does: "SM occupancy, plan, compare, replay, sweep" },
  { keys: "Escape", does: "close, unpin, clear the range, zoom out" },
  { keys: "?", does: "this help" },
];

const GESTURES: typeof KEYS = [
  { keys: "Wheel, pinch", does: "zoom at the pointer" },
  { keys: "Drag", does: "move" },
  { keys: "Shift + drag", does: "select a range (also a drag on the curves above): sums and gaps" },
  { keys: "Alt + wheel", does: "zoom the rows" },
  { keys: "Shift + wheel", does: "scroll the rows" },
  { keys: "Click", does: "pin a bar" },
  { keys: "Double click", does: "zoom to a bar" },
];

export function showHelp(): void {
  const list = (rows: typeof KEYS): HTMLElement =>
    h("dl", {}, ...rows.flatMap(({ keys, does }) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, does)]));
  const close = h("button", { type: "button", class: "plain", autofocus: true }, "Close");
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Keys and gestures"),
    h("div", { class: "help-columns" }, list(KEYS), list(GESTURES)),
    h("p", { class: "muted" }, "Files are read on this computer and sent nowhere."),
    close,
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
