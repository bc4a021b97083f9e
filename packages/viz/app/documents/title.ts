// How a document is called in lists and titles.

import type { ViewerDocument } from "./read.ts";

export function titleOf(document: ViewerDocument): string {
  if (document.type !== "timeline") return document.title;
  const name = document.title === "" ? document.file : document.title;
  return `${name} · ${document.policy} · ${document.source}`;
}
