// What is shown, as one plain object. It is written to the URL's hash, and a link with that hash shows the same again.

import { COLOR_MODES, type ColorMode } from "./draw/classes.ts";
import { ROW_MODES, type RowMode, SORTS, type Sort } from "./draw/lane-layout.ts";

export const VIEWS = ["occupancy", "plan", "compare", "replay", "sweep"] as const;
export type ViewName = (typeof VIEWS)[number];
/** Jobs drawn by their KV tokens, or all equally wide. */
export const JOB_SCALES = ["tokens", "share"] as const;
export type JobScale = (typeof JOB_SCALES)[number];
export const JOB_SORTS = ["request", "pieces", "finish"] as const;
export type JobSort = (typeof JOB_SORTS)[number];

export interface State {
  readonly view: ViewName;
  /** Index of the document shown. */
  readonly doc: number;
  /** Second document of the comparison. */
  readonly other: number;
  /** Visible time of a timeline, in µs; null: all of it. */
  readonly time: readonly [number, number] | null;
  /** Row zoom (1: all rows fit) and the first row shown, in rows. */
  readonly rows: readonly [number, number];
  readonly color: ColorMode;
  readonly group: RowMode;
  readonly sort: Sort;
  /** Pinned slice (index in lane order), −1 for none. */
  readonly pin: number;
  /** Request whose work stands out; null for none. */
  readonly request: number | null;
  /** Selected range in µs. */
  readonly range: readonly [number, number] | null;
  /** Visible time of a replay, in µs; null: all of it. */
  readonly brush: readonly [number, number] | null;
  /** Job pinned in the plan view, by position; −1 for none. */
  readonly job: number;
  readonly jobScale: JobScale;
  readonly jobSort: JobSort;
  /** Measures of a sweep's pictures: across both, up the first, up the second. Empty: the view's choice. */
  readonly x: string;
  readonly y: string;
  readonly z: string;
  /** Field that tells a sweep's marks apart; empty: the first. */
  readonly by: string;
  /** Workload of a sweep, by position. */
  readonly workload: number;
  /** Configuration of a sweep that is selected; −1 for none. */
  readonly point: number;
  /** Is the text table open? */
  readonly table: boolean;
}

export const INITIAL: State = {
  view: "occupancy",
  doc: 0,
  other: 1,
  time: null,
  rows: [1, 0],
  color: "request",
  group: "sm",
  sort: "sm",
  pin: -1,
  request: null,
  range: null,
  brush: null,
  job: -1,
  jobScale: "tokens",
  jobSort: "request",
  x: "",
  y: "",
  z: "",
  by: "",
  workload: 0,
  point: -1,
  table: false,
};

const span = (value: readonly [number, number] | null): string | null =>
  value === null ? null : value.map((us) => String(Number(us.toPrecision(12)))).join("~");

function readSpan(text: string | null): readonly [number, number] | null {
  const [from, to, ...rest] = (text ?? "").split("~").map(Number);
  const good =
    from !== undefined && to !== undefined && rest.length === 0 && Number.isFinite(from) && Number.isFinite(to);
  return good && to > from ? [from, to] : null;
}

function readInteger(text: string | null, low: number, otherwise: number): number {
  const value = text === null || text === "" ? Number.NaN : Number(text);
  return Number.isInteger(value) && value >= low ? value : otherwise;
}

function readOneOf<T extends string>(text: string | null, allowed: readonly T[], otherwise: T): T {
  return allowed.includes(text as T) ? (text as T) : otherwise;
}

/** Only what differs from the initial state stands in a link. */
export function formatState(state: State): string {
  const pairs: [string, string | null, string | null][] = [
    ["view", state.view, null],
    ["doc", String(state.doc), "0"],
    ["other", String(state.other), "1"],
    ["time", span(state.time), null],
    ["rows", state.rows.map((value) => String(Number(value.toPrecision(6)))).join("~"), "1~0"],
    ["color", state.color, INITIAL.color],
    ["group", state.group, INITIAL.group],
    ["sort", state.sort, INITIAL.sort],
    ["pin", String(state.pin), "-1"],
    ["request", state.request === null ? null : String(state.request), null],
    ["range", span(state.range), null],
    ["brush", span(state.brush), null],
    ["job", String(state.job), "-1"],
    ["scale", state.jobScale, INITIAL.jobScale],
    ["jobs", state.jobSort, INITIAL.jobSort],
    ["x", state.x, ""],
    ["y", state.y, ""],
    ["z", state.z, ""],
    ["by", state.by, ""],
    ["workload", String(state.workload), "0"],
    ["point", String(state.point), "-1"],
    ["table", state.table ? "1" : null, null],
  ];
  const shown = pairs.filter(([, value, initial]) => value !== null && value !== initial);
  return `#${shown.map(([key, value]) => `${key}=${encodeURIComponent(value!)}`).join("&")}`;
}

/** Reads a hash; what is missing or makes no sense stays as it is initially. */
export function parseState(hash: string): State {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const rows = (fields.get("rows") ?? "").split("~").map(Number);
  return {
    view: readOneOf(fields.get("view"), VIEWS, INITIAL.view),
    doc: readInteger(fields.get("doc"), 0, 0),
    other: readInteger(fields.get("other"), 0, 1),
    time: readSpan(fields.get("time")),
    rows: rows.length === 2 && rows[0]! >= 1 && rows[1]! >= 0 ? [rows[0]!, rows[1]!] : INITIAL.rows,
    color: readOneOf(fields.get("color"), COLOR_MODES, INITIAL.color),
    group: readOneOf(fields.get("group"), ROW_MODES, INITIAL.group),
    sort: readOneOf(fields.get("sort"), SORTS, INITIAL.sort),
    pin: readInteger(fields.get("pin"), 0, -1),
    request: fields.has("request") ? readInteger(fields.get("request"), -(2 ** 31), 0) : null,
    range: readSpan(fields.get("range")),
    brush: readSpan(fields.get("brush")),
    job: readInteger(fields.get("job"), 0, -1),
    jobScale: readOneOf(fields.get("scale"), JOB_SCALES, INITIAL.jobScale),
    jobSort: readOneOf(fields.get("jobs"), JOB_SORTS, INITIAL.jobSort),
    x: fields.get("x") ?? "",
    y: fields.get("y") ?? "",
    z: fields.get("z") ?? "",
    by: fields.get("by") ?? "",
    workload: readInteger(fields.get("workload"), 0, 0),
    point: readInteger(fields.get("point"), 0, -1),
    table: fields.get("table") === "1",
  };
}
