// timeline/1 as the page holds it: checked, in lane order, in typed arrays.

import type { AttentionShape, Generator, PlanStats, Timeline } from "@isochron/planner";
import type { Column } from "../../src/columns.ts";
import { type Lanes, makeLanes } from "../../src/lanes.ts";
import type { OverviewParts } from "../../src/overview.ts";
import { Field, type Numbers } from "./check.ts";
import { DocumentProblem } from "./problem.ts";

/** As SLICE_KINDS of the planner, by index. */
export const KINDS = ["prefill", "decode", "prefix", "merge"] as const;
export const MERGE = 3;

type IntegerColumn = Exclude<Column, Float32Array | Float64Array>;

export interface Slices {
  readonly count: number;
  readonly start: Float64Array;
  readonly end: Float64Array;
  /** Worker number in the document (in lane order, so a few runs). */
  readonly worker: IntegerColumn;
  readonly kind: IntegerColumn;
  readonly request: IntegerColumn;
  readonly kvHead: IntegerColumn;
  readonly qTile: IntegerColumn;
  readonly kvStart: IntegerColumn;
  readonly kvEnd: IntegerColumn;
}

export interface TimelineDocument {
  readonly type: "timeline";
  readonly file: string;
  readonly title: string;
  readonly source: Timeline["source"];
  readonly generator: Generator;
  readonly device: Timeline["device"];
  readonly profile: string | undefined;
  readonly attention: AttentionShape;
  readonly policy: string;
  readonly qoLens: Numbers;
  readonly kvLens: Numbers;
  readonly stats: PlanStats;
  readonly durationUs: number;
  readonly lowerBoundUs: number;
  readonly slices: Slices;
  readonly lanes: Lanes;
  readonly bandwidth: { readonly atUs: Numbers; readonly gigabytesPerSecond: Numbers } | undefined;
  readonly warnings: readonly string[];
  /** Only some slices are here, and this stands for all of them. */
  readonly overview?: OverviewParts;
}

/** Checks a parsed document. Throws DocumentProblem at the first field that is not as it should be. */
export function readTimeline(value: unknown, file: string): TimelineDocument {
  const root = new Field(file, "", value);
  const device = readDevice(root.get("device"));
  const batch = root.get("batch");
  const qoLens = batch.get("qoLens").numbers({ low: 0, integers: true });
  const kvLens = batch.get("kvLens").numbers({ low: 0, integers: true, length: qoLens.length });
  const statsField = root.get("stats");
  const stat = (name: keyof PlanStats): number => statsField.get(name).number();
  const stats: PlanStats = {
    pieces: stat("pieces"),
    splitJobs: stat("splitJobs"),
    partialSlots: stat("partialSlots"),
    mergeRows: stat("mergeRows"),
    makespanUs: stat("makespanUs"),
    lowerBoundUs: stat("lowerBoundUs"),
    imbalance: stat("imbalance"),
  };
  const warnings: string[] = [];
  const { slices, lanes } = readSlices(root.get("slices"), device, kvLens.length);
  if (lanes.overlaps > 0) {
    warnings.push(`${lanes.overlaps} slices begin before the one before them on their worker has ended.`);
  }
  let durationUs = root.get("durationUs").number(0);
  let last = 0;
  for (let i = 0; i < slices.count; i++) if (slices.end[i]! > last) last = slices.end[i]!;
  // Chosen: 1 ns of tolerance, the resolution of a GPU's global timer at its best.
  if (last > durationUs + 0.001) {
    warnings.push(`The last slice ends at ${last} µs, after the stated duration of ${durationUs} µs.`);
    durationUs = last;
  }
  const profile = root.get("profile");
  const title = root.get("title");
  return {
    type: "timeline",
    file,
    title: title.missing ? "" : title.string(),
    source: root.get("source").oneOf(["simulated", "measured"]),
    generator: readGenerator(root.get("generator")),
    device,
    profile: profile.missing ? undefined : profile.string(),
    attention: readAttention(root.get("attention")),
    policy: root.get("policy").string(),
    qoLens,
    kvLens,
    stats,
    durationUs,
    lowerBoundUs: root.get("lowerBoundUs").number(0),
    slices,
    lanes,
    bandwidth: readBandwidth(root.get("bandwidth")),
    warnings,
  };
}

export function readGenerator(field: Field): Generator {
  const seed = field.get("seed");
  const generator = { version: field.get("version").string(), command: field.get("command").string() };
  return seed.missing ? generator : { ...generator, seed: seed.integer(Number.MIN_SAFE_INTEGER) };
}

function readDevice(field: Field): Timeline["device"] {
  // Chosen: no GPU is near these; they keep a broken file from asking for gigabytes of rows.
  const smCount = field.get("smCount").integer(1, 65_536);
  const ctasPerSm = field.get("ctasPerSm").integer(1, 256);
  return {
    name: field.get("name").string(),
    smCount,
    ctasPerSm,
    workers: field.get("workers").integer(1, 2 ** 31 - 1),
  };
}

function readAttention(field: Field): AttentionShape {
  const mask = field.get("mask");
  const kind = mask.get("kind").oneOf(["causal", "full", "sliding-window"]);
  const optional = field.get("valueHeadDim");
  return {
    queryHeads: field.get("queryHeads").integer(1),
    kvHeads: field.get("kvHeads").integer(1),
    headDim: field.get("headDim").integer(1),
    ...(optional.missing ? {} : { valueHeadDim: optional.integer(1) }),
    dtype: field.get("dtype").oneOf(["bf16", "fp16", "fp32"]),
    kvDtype: field.get("kvDtype").oneOf(["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2"]),
    pageSize: field.get("pageSize").integer(1),
    mask: kind === "sliding-window" ? { kind, window: mask.get("window").integer(1) } : { kind },
  };
}

function readBandwidth(field: Field): TimelineDocument["bandwidth"] {
  if (field.missing) return undefined;
  const atUs = field.get("atUs").numbers({ low: 0 });
  return { atUs, gigabytesPerSecond: field.get("gigabytesPerSecond").numbers({ low: 0, length: atUs.length }) };
}

const INT32_MAX = 2 ** 31 - 1;

function readSlices(field: Field, device: Timeline["device"], requestCount: number): { slices: Slices; lanes: Lanes } {
  const worker = field.get("worker").numbers({ low: 0, high: INT32_MAX, integers: true });
  const length = worker.length;
  const integers = (name: string, low: number, high: number): Numbers =>
    field.get(name).numbers({ low, high, integers: true, length });
  const smField = field.get("sm");
  const sm = smField.numbers({ low: 0, high: INT32_MAX, integers: true, length });
  requireSms(smField, sm, device);
  const startUs = field.get("startUs").numbers({ low: 0, length });
  const endUs = field.get("endUs").numbers({ low: 0, length });
  requireEnds(field, startUs, endUs);
  const kind = integers("kind", 0, KINDS.length - 1);
  const request = integers("request", -INT32_MAX, Math.max(requestCount - 1, 0));
  const kvHead = integers("kvHead", 0, INT32_MAX);
  const qTile = integers("qTile", 0, INT32_MAX);
  const kvStart = integers("kvStart", 0, INT32_MAX);
  const kvEnd = integers("kvEnd", 0, INT32_MAX);
  const lanes = makeLanes({ worker, sm, startUs, endUs, ...device });
  const { order } = lanes;
  const slices: Slices = {
    count: length,
    start: inOrder(startUs, order, Float64Array) as Float64Array,
    end: inOrder(endUs, order, Float64Array) as Float64Array,
    worker: integerColumn(worker, order),
    kind: integerColumn(kind, order),
    request: integerColumn(request, order),
    kvHead: integerColumn(kvHead, order),
    qTile: integerColumn(qTile, order),
    kvStart: integerColumn(kvStart, order),
    kvEnd: integerColumn(kvEnd, order),
  };
  return { slices, lanes };
}

function requireSms(field: Field, sm: Numbers, device: Timeline["device"]): void {
  const { smCount } = device;
  for (let i = 0; i < sm.length; i++) {
    if (sm[i]! < smCount) continue;
    throw new DocumentProblem(
      field.file,
      `slices.sm[${i}] is ${sm[i]}`,
      `an SM of ${device.name}, 0 to ${smCount - 1} (device.smCount is ${smCount})`,
    );
  }
}

function requireEnds(field: Field, startUs: Numbers, endUs: Numbers): void {
  for (let i = 0; i < startUs.length; i++) {
    if (endUs[i]! >= startUs[i]!) continue;
    throw new DocumentProblem(
      field.file,
      `slices.endUs[${i}] is ${endUs[i]}, before its start at ${startUs[i]}`,
      "an end at or after the start",
    );
  }
}

/** A typed integer column is kept as it is (large files: no copy); JSON numbers become int32. */
function integerColumn(values: Numbers, order: Uint32Array | null): IntegerColumn {
  const keep = ArrayBuffer.isView(values) && !(values instanceof Float32Array) && !(values instanceof Float64Array);
  if (keep && order === null) return values as IntegerColumn;
  return inOrder(values, order, Int32Array) as Int32Array;
}

function inOrder(
  values: Numbers,
  order: Uint32Array | null,
  type: typeof Float64Array | typeof Int32Array,
): Float64Array | Int32Array {
  if (order === null) return values instanceof type ? values : type.from(values as ArrayLike<number>);
  const column = new type(values.length);
  for (let i = 0; i < column.length; i++) column[i] = values[order[i]!]!;
  return column;
}
