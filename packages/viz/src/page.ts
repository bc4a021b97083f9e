// One self-contained page: the built template with documents embedded in it.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Timeline } from "@isochron/planner";
import type { ViewerBundle } from "@isochron/simulator";
import { packDocument } from "./columns.ts";

/** Where the template's documents go. */
const PLACE = "<!--isochron:documents-->";

/** Chosen: above this, gzip in base64 is smaller than the text and opens as fast. */
const GZIP_ABOVE_BYTES = 256 * 1024;

/** The template has not been built, or is of another version. */
export class MissingTemplateError extends Error {
  override readonly name = "MissingTemplateError";
  readonly file: string;

  constructor(file: string, found: string) {
    super(`${file} ${found}; "npm run build -w @isochron/viz" makes it`);
    this.file = file;
  }
}

/** What is to be shown is no lists of documents: a document by itself, for instance. */
export class ViewerBundleError extends Error {
  override readonly name = "ViewerBundleError";
  readonly found: string;

  constructor(found: string) {
    super(`found ${found}, expected lists of documents: { timelines: […], reports: […], sweeps: […] }, each optional`);
    this.found = found;
  }
}

const LISTS = ["reports", "timelines", "sweeps"] as const;

/** Programs in JavaScript give a document where a bundle is meant, and would get an empty page. */
function requireBundle(documents: Partial<ViewerBundle>): void {
  if (typeof documents !== "object" || documents === null) throw new ViewerBundleError(String(documents));
  const { isochron } = documents as { readonly isochron?: unknown };
  if (isochron !== undefined) throw new ViewerBundleError(`a document of kind ${JSON.stringify(isochron)}`);
  const wrong = LISTS.find((list) => documents[list] !== undefined && !Array.isArray(documents[list]));
  if (wrong !== undefined) throw new ViewerBundleError(`${wrong} that is no list`);
}

/** Reads the built page. Throws MissingTemplateError where it is not there. */
export function readTemplate(): string {
  const url = new URL("../dist/viewer.html", import.meta.url);
  let template: string;
  try {
    template = readFileSync(url, "utf8");
  } catch {
    throw new MissingTemplateError("dist/viewer.html", "is missing");
  }
  if (!template.includes(PLACE)) throw new MissingTemplateError("dist/viewer.html", "has no place for documents");
  return template;
}

/**
 * A page that shows the documents wherever it is opened, from file:// and without a network. Long columns are packed
 * exactly (see columns.ts). Throws MissingTemplateError where the page has not been built, ViewerBundleError for what is no
 * bundle.
 */
export function renderPage(documents: Partial<ViewerBundle>): string {
  requireBundle(documents);
  const bundle = {
    reports: documents.reports ?? [],
    timelines: (documents.timelines ?? []) as readonly Timeline[],
    sweeps: documents.sweeps ?? [],
  };
  const packed = packDocument(bundle, (bytes) =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64"),
  );
  return fill(readTemplate(), embedDocuments(JSON.stringify(packed)));
}

/** The template with an element in its place for documents. */
export function fill(template: string, element: string): string {
  return template.replace(PLACE, () => element);
}

function embedDocuments(json: string): string {
  const id = 'id="isochron-documents"';
  if (json.length <= GZIP_ABOVE_BYTES) return `<script type="application/json" ${id}>${embeddable(json)}</script>`;
  return `<script type="application/gzip" ${id}>${gzipSync(json).toString("base64")}</script>`;
}

/** JSON that cannot end its script element or open a comment in it: "<" is written as an escape. */
export function embeddable(json: string): string {
  return json.replaceAll("<", "\\u003c");
}
