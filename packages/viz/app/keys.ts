// Keys that work everywhere; the others go to the view.

import { VIEWS } from "./state.ts";
import { showHelp } from "./ui/help.ts";
import type { Viewer } from "./viewer.ts";

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.matches("input, select, textarea, [contenteditable]");

export function listenForKeys(app: Viewer): void {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]") !== null) return;
    if (handle(app, event)) event.preventDefault();
  });
}

function handle(app: Viewer, event: KeyboardEvent): boolean {
  if (event.key === "?") {
    showHelp();
    return true;
  }
  if (app.documents.length === 0) return event.key === "Escape" && app.notices.closeLast();
  if (event.key === "/") {
    app.focusSearch();
    return true;
  }
  if (event.key === "l" || event.key === "L") {
    app.copyLink();
    return true;
  }
  const view = VIEWS[Number(event.key) - 1];
  if (view !== undefined) {
    app.show(view);
    return true;
  }
  return app.view?.key(event) ?? false;
}
