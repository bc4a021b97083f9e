// What views and controls know of the page: the documents, the state and how to change them. The page itself is app.ts.

import type { ViewerDocument } from "./documents/read.ts";
import type { ReportDocument } from "./documents/report.ts";
import type { SweepResultsDocument } from "./documents/sweep.ts";
import type { TimelineDocument } from "./documents/timeline.ts";
import type { Palette, Theme } from "./draw/palette.ts";
import type { State, ViewName } from "./state.ts";
import type { Notices } from "./ui/notices.ts";

export interface Viewer {
  readonly documents: readonly ViewerDocument[];
  readonly state: State;
  readonly theme: Theme;
  readonly palette: Palette;
  readonly notices: Notices;
  /** The view that is shown; null while nothing is open. */
  readonly view: View | null;
  readonly current: ViewerDocument | undefined;
  /** The current document, where it is a timeline; where it is a report; where it is a sweep. */
  readonly timeline: TimelineDocument | undefined;
  readonly report: ReportDocument | undefined;
  readonly sweep: SweepResultsDocument | undefined;
  /** A link to exactly what is shown. */
  readonly link: string;
  /** Changes the state; the page is drawn once before the next frame. */
  set(patch: Partial<State>): void;
  /** Draws again, with the state as it is. */
  refresh(): void;
  /** Shows a document in the view that suits it. */
  open(doc: number, patch?: Partial<State>): void;
  /** Goes to a view, and to a document that suits it where the current one does not. */
  show(view: ViewName): void;
  /** Replaces what is open. */
  setDocuments(documents: readonly ViewerDocument[]): void;
  /** Shows, while nothing else is open, a document of which only the overview has arrived; it will be number `doc`. */
  showOverview(document: TimelineDocument, doc: number): void;
  /** Opens more documents beside what is open, and shows the first of them. */
  addDocuments(added: readonly ViewerDocument[]): void;
  toggleTheme(): void;
  focusSearch(): void;
  copyLink(): void;
}

export interface View {
  readonly element: HTMLElement;
  /** The state, the theme or the size has changed. */
  update(): void;
  destroy(): void;
  /** True where the view took the key. */
  key(event: KeyboardEvent): boolean;
  /** Matches of a search, best first. */
  search(text: string): SearchResult[];
  /** What can be searched for, by example: said where nothing matches. */
  readonly searchable: string;
  readonly exports: readonly ExportChoice[];
}

export interface SearchResult {
  readonly label: string;
  readonly note: string;
  go(): void;
}

export interface ExportChoice {
  readonly label: string;
  run(): void | Promise<void>;
}
