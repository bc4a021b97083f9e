// A timeline with everything that views derive from it, each computed once.

import type { SpanData } from "../../src/levels.ts";
import type { WorkSums } from "../../src/work-sums.ts";
import type { TimelineDocument } from "../documents/timeline.ts";
import { type Classes, type ColorMode, classify } from "../draw/classes.ts";
import { makeRows, type RowMode, type Rows, type Sort } from "../draw/lane-layout.ts";
import { BusyIndex, type IndexParts } from "./busy-index.ts";
import { diagnose, type Verdict } from "./diagnose.ts";
import { type Job, jobs } from "./jobs.ts";
import { sumsOf, sumWork, type Work } from "./work.ts";

/** What takes long to compute, as plain arrays: another thread may do it. */
export interface PreparedParts {
  readonly index: IndexParts;
  readonly sums: WorkSums;
}

export function partsOf(document: TimelineDocument): PreparedParts {
  return { index: new BusyIndex(spansOf(document)).parts, sums: sumsOf(document) };
}

function spansOf({ slices, lanes, durationUs }: TimelineDocument): SpanData {
  return { laneCount: lanes.count, offset: lanes.offset, start: slices.start, end: slices.end, spanUs: durationUs };
}

export class Prepared {
  readonly document: TimelineDocument;
  readonly index: BusyIndex;
  readonly work: Work;
  readonly verdict: Verdict;
  readonly #classes = new Map<string, Classes>();
  readonly #rows = new Map<string, Rows>();
  #jobs: Job[] | null = null;

  constructor(document: TimelineDocument, given?: PreparedParts) {
    this.document = document;
    const { overview } = document;
    const parts = given?.index ?? (overview === undefined ? undefined : { overviewLevel: overview.level });
    this.index = new BusyIndex(spansOf(document), parts);
    this.work = sumWork(document, given?.sums ?? overview?.sums);
    this.verdict = diagnose(document, this.work);
  }

  classes(mode: ColorMode): Classes {
    let classes = this.#classes.get(mode);
    if (classes === undefined) {
      // One mode is kept: a byte per slice adds up on large timelines.
      this.#classes.clear();
      classes = classify(this.document, this.work, mode);
      this.#classes.set(mode, classes);
    }
    return classes;
  }

  rows(mode: RowMode, sort: Sort): Rows {
    const key = `${mode}/${sort}`;
    let rows = this.#rows.get(key);
    if (rows === undefined) {
      rows = makeRows(this.document, this.work.lanes, mode, sort);
      this.#rows.set(key, rows);
    }
    return rows;
  }

  get jobs(): readonly Job[] {
    this.#jobs ??= jobs(this.document);
    return this.#jobs;
  }
}

const prepared = new WeakMap<TimelineDocument, Prepared>();

export function prepare(document: TimelineDocument): Prepared {
  let found = prepared.get(document);
  if (found === undefined) {
    found = new Prepared(document);
    prepared.set(document, found);
  }
  return found;
}

/** Takes over what another thread has computed of a document. */
export function prepareAs(document: TimelineDocument, parts: PreparedParts): void {
  prepared.set(document, new Prepared(document, parts));
}
