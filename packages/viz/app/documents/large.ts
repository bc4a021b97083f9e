// Files of many megabytes are read, checked and indexed in a worker: the page stays alive meanwhile, and shows the overview
// as soon as that has arrived. What the worker made is handed over, not copied.
//
// The page's script is also the worker's: it is the only script that there is (one file, from file:// too), so the worker
// is made from its text.

import { type PreparedParts, partsOf, prepareAs } from "../model/prepared.ts";
import { Growing, isOverviewDue } from "./growing.ts";
import { readOverview } from "./overview.ts";
import { DocumentProblem } from "./problem.ts";
import { readDocuments, type ViewerDocument } from "./read.ts";
import type { TimelineDocument } from "./timeline.ts";

/** Chosen: below this many bytes a file is read in less time than a worker takes to start and answer. */
export const LARGE_BYTES = 24 * 2 ** 20;

/** Chosen: how often the worker says how far it is. */
const PROGRESS_MS = 150;

export interface Listener {
  /** A document with few of its slices: see overview.ts. */
  onOverview(document: TimelineDocument): void;
  onProgress(doneBytes: number, allBytes: number): void;
}

/** A file of the server by its address, or one that the person gave. */
export type Source = string | File;

type Answer =
  | { readonly overview: TimelineDocument }
  | { readonly done: number; readonly all: number }
  | { readonly documents: readonly ViewerDocument[]; readonly parts: readonly (PreparedParts | null)[] }
  | { readonly problem: { readonly found: string; readonly expected: string; readonly file: string } }
  | { readonly error: string };

const script = typeof document === "undefined" ? null : (document.currentScript?.textContent ?? null);

/** Reads a large file in a worker; where none can be started, here. Throws as readDocuments does. */
export function readLarge(source: Source, file: string, listener: Listener): Promise<ViewerDocument[]> {
  const worker = startWorker();
  if (worker === null) return readHere(source, file);
  return new Promise<ViewerDocument[]>((resolve, reject) => {
    const fail = (error: unknown): void => {
      worker.terminate();
      reject(error);
    };
    worker.addEventListener("error", (event) => fail(new Error(event.message || "the reading worker stopped")));
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
      if ("overview" in data) listener.onOverview(data.overview);
      else if ("done" in data) listener.onProgress(data.done, data.all);
      else if ("problem" in data) {
        fail(new DocumentProblem(data.problem.file, data.problem.found, data.problem.expected));
      } else if ("error" in data) fail(new Error(data.error));
      else {
        worker.terminate();
        data.documents.forEach((document, i) => {
          const parts = data.parts[i];
          if (parts != null && document.type === "timeline") prepareAs(document, parts);
        });
        resolve([...data.documents]);
      }
    });
    worker.postMessage({ source: typeof source === "string" ? new URL(source, location.href).href : source, file });
  });
}

function startWorker(): Worker | null {
  if (script === null) return null;
  try {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const worker = new Worker(url);
    URL.revokeObjectURL(url);
    return worker;
  } catch {
    return null;
  }
}

async function readHere(source: Source, file: string): Promise<ViewerDocument[]> {
  const body = typeof source === "string" ? await fetch(source, { cache: "no-store" }) : source;
  return readDocuments(new Uint8Array(await body.arrayBuffer()), file);
}

/** What the script does where there is no page. */
export function serveAsWorker(): void {
  const send = (answer: Answer): void => {
    postMessage(answer, { transfer: buffersIn(answer) });
  };
  addEventListener("message", ({ data }: MessageEvent<{ source: Source; file: string }>) => {
    read(data.source, data.file, send).catch((error: unknown) => {
      if (error instanceof DocumentProblem) {
        const { found, expected } = error;
        send({ problem: { found, expected, file: error.file } });
      } else send({ error: error instanceof Error ? error.message : String(error) });
    });
  });
}

async function read(source: Source, file: string, send: (answer: Answer) => void): Promise<void> {
  const { body, size } = await open(source, file);
  const bytes = new Growing(size, file);
  let overviewSent = false;
  let said = performance.now();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes.append(value);
    if (!overviewSent && isOverviewDue(bytes)) {
      overviewSent = true;
      try {
        send({ overview: readOverview(bytes.filled.slice(), file) });
      } catch {
        // The reading of all of it says what is wrong.
      }
    }
    if (performance.now() - said > PROGRESS_MS) {
      said = performance.now();
      send({ done: bytes.length, all: size });
    }
  }
  const documents = await readDocuments(bytes.filled, file);
  const parts = documents.map((document) => (document.type === "timeline" ? partsOf(document) : null));
  send({ documents, parts });
}

async function open(source: Source, file: string): Promise<{ body: ReadableStream<Uint8Array>; size: number }> {
  if (typeof source !== "string") return { body: source.stream(), size: source.size };
  const response = await fetch(source, { cache: "no-store" });
  if (!response.ok || response.body === null) {
    throw new DocumentProblem(file, `the server answered ${response.status}`, "the file it was started with");
  }
  return { body: response.body, size: Number(response.headers.get("content-length") ?? 0) };
}

/** The buffers of all typed arrays in a value, each once. */
function buffersIn(value: unknown, found: Set<ArrayBuffer> = new Set()): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) found.add(value.buffer as ArrayBuffer);
  else if (Array.isArray(value)) {
    // Long arrays hold numbers alone.
    if (typeof value[0] === "object") for (const entry of value) buffersIn(entry, found);
  } else if (typeof value === "object" && value !== null) {
    for (const entry of Object.values(value)) buffersIn(entry, found);
  }
  return [...found];
}
