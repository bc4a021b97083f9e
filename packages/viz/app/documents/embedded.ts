// Documents that came with the page, or that the loopback server which sent it offers.
//
// `isochron-documents` holds a bundle, as JSON or as base64 of gzip; `isochron-files` holds the names that the server
// serves as documents/0, documents/1, …

import { fromBase64 } from "../../src/columns.ts";
import type { Viewer } from "../viewer.ts";
import { LARGE_BYTES, readLarge } from "./large.ts";
import { DocumentProblem } from "./problem.ts";
import { documentsIn, parseJson, readDocuments, type ViewerDocument } from "./read.ts";

export interface Embedded {
  readonly documents: ViewerDocument[];
  readonly problems: { readonly error: unknown; readonly file: string }[];
  /** Follows changes of the files, where there is a server. */
  readonly follow?: (app: Viewer) => void;
}

export async function readEmbedded(app: Viewer): Promise<Embedded> {
  const files = document.getElementById("isochron-files");
  if (files !== null) return fromServer(JSON.parse(files.textContent ?? "[]") as string[], app);
  const element = document.getElementById("isochron-documents");
  if (element === null) return { documents: [], problems: [] };
  const file = "this page";
  try {
    const text = element.textContent ?? "";
    const documents =
      element.getAttribute("type") === "application/gzip"
        ? await readDocuments(fromBase64(text.trim()), file)
        : documentsIn(parseJson(text, file), file);
    return { documents, problems: [] };
  } catch (error) {
    return { documents: [], problems: [{ error, file }] };
  }
}

async function fromServer(names: readonly string[], viewer: Viewer): Promise<Embedded> {
  const problems: { error: unknown; file: string }[] = [];
  const held: ViewerDocument[][] = names.map(() => []);
  const load = async (i: number): Promise<void> => {
    const response = await fetch(`documents/${i}`, { cache: "no-store" });
    if (!response.ok)
      throw new DocumentProblem(names[i]!, `the server answered ${response.status}`, "the file it was started with");
    if (Number(response.headers.get("content-length")) < LARGE_BYTES) {
      held[i] = await readDocuments(new Uint8Array(await response.arrayBuffer()), names[i]!);
      return;
    }
    await response.body?.cancel();
    held[i] = await readLarge(`documents/${i}`, names[i]!, {
      onOverview: (document) => viewer.showOverview(document, i),
      onProgress: (done, all) => viewer.notices.progress(names[i]!, done, all),
    });
  };
  for (let i = 0; i < names.length; i++) {
    try {
      await load(i);
    } catch (error) {
      problems.push({ error, file: names[i]! });
    } finally {
      viewer.notices.progressDone();
    }
  }
  const follow = (app: Viewer): void => {
    const events = new EventSource("events");
    events.addEventListener("change", (event) => {
      const i = Number((event as MessageEvent<string>).data);
      load(i).then(
        () => app.setDocuments(held.flat()),
        // A replay may be half-way through writing: what is shown stays, and the next change brings the rest.
        () => app.notices.info(`${names[i]} is being written…`),
      );
    });
  };
  return { documents: held.flat(), problems, follow };
}
