// The page: documents, state, theme, header; it mounts one view at a time and tells it when the state has changed.

import type { ViewerDocument } from "./documents/read.ts";
import type { ReportDocument } from "./documents/report.ts";
import type { SweepResultsDocument } from "./documents/sweep.ts";
import type { TimelineDocument } from "./documents/timeline.ts";
import { titleOf } from "./documents/title.ts";
import { PALETTES, type Palette, type Theme } from "./draw/palette.ts";
import { formatState, INITIAL, parseState, type State, type ViewName } from "./state.ts";
import { debounce, h } from "./ui/dom.ts";
import { emptyState } from "./ui/empty.ts";
import { copyLink, Header } from "./ui/header.ts";
import { Notices } from "./ui/notices.ts";
import type { View, Viewer } from "./viewer.ts";
import { compareView } from "./views/compare.ts";
import { occupancyView } from "./views/occupancy.ts";
import { planView } from "./views/plan.ts";
import { replayView } from "./views/replay.ts";
import { sweepView } from "./views/sweep.ts";

const VIEW_OF: Readonly<Record<ViewName, (viewer: Viewer) => View>> = {
  occupancy: occupancyView,
  plan: planView,
  compare: compareView,
  replay: replayView,
  sweep: sweepView,
};

/** The kind of document that a view shows. */
const TYPE_OF: Readonly<Record<ViewName, ViewerDocument["type"]>> = {
  occupancy: "timeline",
  plan: "timeline",
  compare: "timeline",
  replay: "report",
  sweep: "sweep",
};
const FIRST_VIEW: Readonly<Record<ViewerDocument["type"], ViewName>> = {
  timeline: "occupancy",
  report: "replay",
  sweep: "sweep",
};

const NOTHING_CHOSEN = { doc: 0, view: "occupancy", pin: -1, request: null, range: null, table: false } as const;

const THEME_KEY = "isochron-viewer-theme";

export class App implements Viewer {
  readonly root: HTMLElement;
  readonly notices: Notices;
  readonly #header: Header;
  readonly #stage: HTMLElement;
  readonly #darkQuery: MediaQueryList = matchMedia("(prefers-color-scheme: dark)");
  documents: readonly ViewerDocument[] = [];
  state: State = INITIAL;
  #view: View | null = null;
  #mounted = "";
  #frame = 0;
  #writing: string | null = null;
  /** What the link chooses, while an overview is shown; null otherwise. */
  #asked: Pick<State, keyof typeof NOTHING_CHOSEN> | null = null;

  constructor(root: HTMLElement) {
    this.root = root;
    this.state = parseState(location.hash);
    this.notices = new Notices();
    this.#header = new Header(this);
    this.#stage = h("main", { id: "stage", tabindex: -1 });
    root.replaceChildren(this.#header.element, this.#stage, this.notices.element);
    this.applyTheme();
    this.#darkQuery.addEventListener("change", () => this.applyTheme());
    addEventListener("hashchange", () => {
      if (location.hash === this.#writing) return;
      this.state = parseState(location.hash);
      this.refresh();
    });
  }

  get theme(): Theme {
    const chosen = readStored();
    return chosen ?? (this.#darkQuery.matches ? "dark" : "light");
  }

  get palette(): Palette {
    return PALETTES[this.theme];
  }

  toggleTheme(): void {
    try {
      localStorage.setItem(THEME_KEY, this.theme === "dark" ? "light" : "dark");
    } catch {
      // Storage is off (private window): the switch lasts as long as the page.
      fallbackTheme = this.theme === "dark" ? "light" : "dark";
    }
    this.applyTheme();
  }

  applyTheme(): void {
    const { dataset, style } = document.documentElement;
    dataset["theme"] = this.theme;
    // One source for colours that canvases and the style sheet share.
    const { requests, kinds, others, bound } = this.palette;
    requests.forEach((color, i) => {
      style.setProperty(`--request-${i}`, color);
    });
    kinds.forEach((color, i) => {
      style.setProperty(`--kind-${i}`, color);
    });
    style.setProperty("--other-0", others[0]);
    style.setProperty("--bound", bound);
    this.refresh();
  }

  /** Replaces what is open. */
  setDocuments(documents: readonly ViewerDocument[]): void {
    this.#endOverview();
    this.documents = documents;
    this.#mounted = "";
    this.refresh();
  }

  /**
   * Shows an overview where it is what the state asks for. It lacks most slices, so that nothing can be chosen in it: what
   * the link chooses is kept until the slices are there.
   */
  showOverview(document: TimelineDocument, doc: number): void {
    const { state } = this;
    if (this.documents.length > 0 || doc !== state.doc || (state.view !== "occupancy" && location.hash !== "")) return;
    const { view, pin, request, range, table } = state;
    this.#asked = { doc, view, pin, request, range, table };
    this.state = { ...state, ...NOTHING_CHOSEN };
    this.documents = [document];
    this.refresh();
  }

  /** What the link chose before an overview was shown. */
  #endOverview(): void {
    if (this.#asked === null) return;
    this.state = { ...this.state, ...this.#asked };
    this.#asked = null;
    this.documents = [];
    this.#mounted = "";
  }

  /** Opens more documents beside what is open, and shows the first of them. */
  addDocuments(added: readonly ViewerDocument[]): void {
    this.#endOverview();
    if (added.length === 0) {
      this.refresh();
      return;
    }
    const first = this.documents.length;
    this.documents = [...this.documents, ...added];
    this.open(first);
  }

  /** Shows a document in the view that suits it. */
  open(doc: number, patch: Partial<State> = {}): void {
    const view = FIRST_VIEW[this.documents[doc]?.type ?? "timeline"];
    const { color, group, sort, table, brush } = this.state;
    this.set({ ...INITIAL, color, group, sort, table, brush, doc, other: this.#otherTimeline(doc), view, ...patch });
    this.#stage.focus({ preventScroll: true });
  }

  #otherTimeline(doc: number): number {
    const other = this.documents.findIndex((entry, i) => i !== doc && entry.type === "timeline");
    return Math.max(other, 0);
  }

  get current(): ViewerDocument | undefined {
    return this.documents[this.state.doc];
  }

  get timeline(): TimelineDocument | undefined {
    const { current } = this;
    return current?.type === "timeline" ? current : undefined;
  }

  get report(): ReportDocument | undefined {
    const { current } = this;
    return current?.type === "report" ? current : undefined;
  }

  get sweep(): SweepResultsDocument | undefined {
    const { current } = this;
    return current?.type === "sweep" ? current : undefined;
  }

  get view(): View | null {
    return this.#view;
  }

  set(patch: Partial<State>): void {
    this.state = { ...this.state, ...patch, ...(this.#asked === null ? {} : NOTHING_CHOSEN) };
    this.refresh();
  }

  /** Draws once before the next frame, however many changes came in. */
  refresh(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw(): void {
    this.#repair();
    this.#header.update();
    const { state, current } = this;
    const key =
      current === undefined ? "empty" : `${state.view}/${state.doc}/${state.view === "compare" ? state.other : ""}`;
    if (key !== this.#mounted) {
      this.#view?.destroy();
      this.#mounted = key;
      if (current === undefined) {
        this.#view = null;
        this.#stage.replaceChildren(emptyState());
      } else {
        this.#view = VIEW_OF[state.view](this);
        this.#stage.replaceChildren(this.#view.element);
      }
      this.#header.update();
    }
    this.#view?.update();
    document.title = current === undefined ? "Isochron viewer" : `${titleOf(current)} · Isochron`;
    this.#writeHash();
  }

  /** A link may name a document that is not here, or a view that does not fit it. */
  #repair(): void {
    const { documents } = this;
    if (documents.length === 0) return;
    let { doc, other, view } = this.state;
    if (doc >= documents.length) doc = 0;
    const type = documents[doc]!.type;
    if (TYPE_OF[view] !== type) view = FIRST_VIEW[type];
    if (documents[other]?.type !== "timeline" || other === doc) other = this.#otherTimeline(doc);
    if (view === "compare" && documents.filter((entry) => entry.type === "timeline").length < 2) view = "occupancy";
    if (doc !== this.state.doc || other !== this.state.other || view !== this.state.view) {
      this.state = { ...this.state, doc, other, view };
    }
  }

  readonly #writeHash = debounce(() => {
    if (this.documents.length === 0 || this.#asked !== null) return;
    const hash = formatState(this.state);
    if (hash === location.hash) return;
    this.#writing = hash;
    try {
      history.replaceState(null, "", hash);
    } catch {
      // Browsers limit how often; the next change writes it.
    }
  }, 120);

  focusSearch(): void {
    this.#header.search.focus();
  }

  copyLink(): void {
    void copyLink(this);
  }

  /** Goes to a view, to a document that suits it where the current one does not. */
  show(view: ViewName): void {
    const wanted = TYPE_OF[view];
    if (this.current?.type === wanted) this.set({ view });
    else {
      const doc = this.documents.findIndex((entry) => entry.type === wanted);
      if (doc >= 0) this.open(doc, { view });
    }
  }

  /** A link to exactly what is shown. */
  get link(): string {
    return new URL(formatState(this.state), location.href).href;
  }
}

let fallbackTheme: Theme | null = null;

function readStored(): Theme | null {
  try {
    const stored = localStorage.getItem(THEME_KEY);
    if (stored === "dark" || stored === "light") return stored;
  } catch {
    // See toggleTheme.
  }
  return fallbackTheme;
}
