// Files from the person: the file dialog, and drag and drop anywhere on the page.

import { LARGE_BYTES, readLarge } from "../documents/large.ts";
import { readDocuments, type ViewerDocument } from "../documents/read.ts";
import type { Viewer } from "../viewer.ts";
import { h } from "./dom.ts";

/** Reads files one by one; those that cannot be shown are named, the others are opened. */
export async function openAll(app: Viewer, files: Iterable<File>): Promise<void> {
  const opened: ViewerDocument[] = [];
  for (const file of files) {
    try {
      opened.push(...(await readFile(app, file)));
    } catch (error) {
      app.notices.problem(error, file.name);
    } finally {
      app.notices.progressDone();
    }
  }
  app.addDocuments(opened);
}

async function readFile(app: Viewer, file: File): Promise<ViewerDocument[]> {
  if (file.size < LARGE_BYTES) return readDocuments(new Uint8Array(await file.arrayBuffer()), file.name);
  return readLarge(file, file.name, {
    onOverview: (document) => app.showOverview(document, app.documents.length),
    onProgress: (done, all) => app.notices.progress(file.name, done, all),
  });
}

export function openFiles(app: Viewer): void {
  const input = h("input", { type: "file", multiple: true });
  input.addEventListener("change", () => void openAll(app, input.files ?? []));
  input.click();
}

export function acceptDrops(app: Viewer): void {
  const curtain = h("div", { class: "curtain", hidden: true, "aria-hidden": "true" }, h("p", {}, "Drop to open"));
  document.body.append(curtain);
  let depth = 0;
  const show = (visible: boolean): void => {
    depth = visible ? depth : 0;
    curtain.hidden = !visible;
  };
  addEventListener("dragenter", (event) => {
    if (event.dataTransfer?.types.includes("Files") === true) {
      depth++;
      show(true);
    }
  });
  addEventListener("dragleave", () => {
    depth--;
    if (depth <= 0) show(false);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(false);
    void openAll(app, event.dataTransfer?.files ?? []);
  });
}
