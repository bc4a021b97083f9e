import { gzipSync } from "node:zlib";
import { encodeBinaryDocument } from "@isochron/viz";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DocumentProblem } from "../../packages/viz/app/documents/problem.ts";
import { readDocuments } from "../../packages/viz/app/documents/read.ts";
import type { TimelineDocument } from "../../packages/viz/app/documents/timeline.ts";
import { classify } from "../../packages/viz/app/draw/classes.ts";
import { slicesCsv, timelineJson } from "../../packages/viz/app/export/timeline-exports.ts";
import { writeTraceEvents } from "../../packages/viz/app/export/trace-events.ts";
import { compare } from "../../packages/viz/app/model/compare.ts";
import { diagnose } from "../../packages/viz/app/model/diagnose.ts";
import { jobs } from "../../packages/viz/app/model/jobs.ts";
import { prepare } from "../../packages/viz/app/model/prepared.ts";
import { sumWork } from "../../packages/viz/app/model/work.ts";
import { makeBundle, makeReport, makeTimeline } from "../support/documents.ts";

const SMALL = { kvLens: [4096, 64, 64], smCount: 4 } as const;
const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const read = (value: unknown): Promise<unknown> => readDocuments(bytes(value), "file.json");

async function timelineOf(value: unknown): Promise<TimelineDocument> {
  const [document] = await readDocuments(value instanceof Uint8Array ? value : bytes(value), "file.json");
  return document as TimelineDocument;
}

/** A small timeline with some of its fields replaced, by path. */
function changed(changes: Record<string, unknown>): unknown {
  const document = JSON.parse(JSON.stringify(makeTimeline(SMALL))) as Record<string, unknown>;
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split(".");
    const last = keys.pop()!;
    const parent = keys.reduce((at, key) => at[key] as Record<string, unknown>, document);
    if (value === undefined) delete parent[last];
    else parent[last] = value;
  }
  return document;
}

describe("reading documents", () => {
  it("takes a timeline as JSON, gzip and binary, and finds the same in each", async () => {
    const timeline = makeTimeline(SMALL);
    const forms = [bytes(timeline), new Uint8Array(gzipSync(JSON.stringify(timeline))), encodeBinaryDocument(timeline)];
    const [json, gzip, binary] = await Promise.all(forms.map(timelineOf));
    const text = timelineJson(json!);
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(timeline)));
    expect(timelineJson(gzip!)).toBe(text);
    expect(timelineJson(binary!)).toBe(text);
  });

  it("takes a report, a bundle and several documents in one file", async () => {
    expect(await read(makeReport({ requests: 20 }))).toHaveLength(1);
    expect(await read(makeBundle())).toHaveLength(1 + makeBundle().timelines.length);
    expect(await read([makeTimeline(SMALL), makeTimeline(SMALL)])).toHaveLength(2);
  });

  it("puts slices that are out of order into lane order", async () => {
    const timeline = JSON.parse(JSON.stringify(makeTimeline(SMALL))) as { slices: Record<string, number[]> };
    const shuffled = Object.fromEntries(
      Object.entries(timeline.slices).map(([key, column]) => [key, [...column].reverse()]),
    );
    const straight = await timelineOf(timeline);
    expect(slicesCsv(await timelineOf({ ...timeline, slices: shuffled }))).toBe(slicesCsv(straight));
  });

  it("gives CTAs of a grid launch the seats of their SM", async () => {
    const count = 20;
    const column = (at: (i: number) => number): number[] => Array.from({ length: count }, (_, i) => at(i));
    const document = await timelineOf(
      changed({
        device: { name: "gpu", smCount: 4, ctasPerSm: 2, workers: count },
        slices: {
          worker: column((i) => i),
          sm: column((i) => i % 4),
          startUs: column((i) => Math.floor(i / 8) * 10),
          endUs: column((i) => Math.floor(i / 8) * 10 + 10),
          kind: column(() => 1),
          request: column(() => 0),
          kvHead: column(() => 0),
          qTile: column(() => 0),
          kvStart: column(() => 0),
          kvEnd: column(() => 64),
        },
      }),
    );
    expect(document.lanes.count).toBe(8);
    expect(Array.from(document.lanes.sm)).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    for (let lane = 0; lane < 8; lane++) {
      for (let i = document.lanes.offset[lane]! + 1; i < document.lanes.offset[lane + 1]!; i++) {
        expect(document.slices.start[i]).toBeGreaterThanOrEqual(document.slices.end[i - 1]!);
      }
    }
  });

  it("gives workers without a slice a row of their own: idleness is seen", async () => {
    const document = await timelineOf(makeTimeline({ kvLens: [64], smCount: 132 }));
    expect(document.lanes.count).toBe(264);
    expect(Array.from(document.lanes.sm).filter((sm) => sm === 131)).toHaveLength(2);
  });

  it.each([
    ["nothing", "", /the file is empty/],
    ["a text that is not JSON", "hello", /the file is not JSON/],
    ["JSON that is cut off", JSON.stringify(makeTimeline(SMALL)).slice(0, 500), /the file is not JSON/],
    ["NaN in JSON, which JSON does not have", '{"isochron":"timeline/1","durationUs":NaN}', /the file is not JSON/],
    ["a number", "42", /the file is 42/],
    ["an empty array", "[]", /an empty array/],
    ["another tool's JSON", '{"name":"x","dependencies":{}}', /another tool, with the fields "name", "dependencies"/],
    [
      "a trace of another tool",
      '{"traceEvents":[{"ph":"X","ts":1,"dur":2,"pid":0,"tid":0}]}',
      /trace-event file that Isochron did not write/,
    ],
    [
      "a newer version",
      '{"isochron":"timeline/2"}',
      /"timeline\/2" document, newer than this viewer reads.*timeline\/1/,
    ],
    ["an older version", '{"isochron":"report/0"}', /of another version.*report\/1/],
    ["a batch", '{"isochron":"batch/1"}', /"batch\/1" document.*isochron simulate/],
    ["a plan summary", '{"isochron":"plan-summary/1"}', /isochron simulate/],
    ["a kind that is unknown", '{"isochron":"toString/1"}', /"toString\/1" document/],
    ["a report without metrics", '{"isochron":"report/1","trace":{"name":"x"},"deployment":3}', /deployment is 3/],
  ])("refuses %s by name", async (_, text, message) => {
    await expect(read(text)).rejects.toThrow(message);
  });

  it.each([
    ["a negative time", { "slices.startUs": changedColumn("startUs", -1) }, /slices\.startUs\[0\] is -1.*at least 0/],
    [
      "a time that is null, as NaN becomes in JSON",
      { "slices.endUs": changedColumn("endUs", null) },
      /slices\.endUs\[0\] is null/,
    ],
    ["a time that is a text", { "slices.endUs": changedColumn("endUs", "NaN") }, /slices\.endUs\[0\] is "NaN"/],
    [
      "an end before its start",
      { "slices.endUs": changedColumn("endUs", 0.5) },
      /slices\.endUs\[0\] is 0\.5, before its start/,
    ],
    ["an SM that does not exist", { "slices.sm": changedColumn("sm", 132) }, /slices\.sm\[0\] is 132.*0 to 3/],
    [
      "a request that is not in the batch",
      { "slices.request": changedColumn("request", 3) },
      /slices\.request\[0\] is 3/,
    ],
    ["a kind that is unknown", { "slices.kind": changedColumn("kind", 4) }, /slices\.kind\[0\] is 4.*from 0 to 3/],
    ["columns of unequal length", { "slices.kvEnd": [] }, /slices\.kvEnd has 0 entries/],
    ["a missing column", { "slices.kvHead": undefined }, /slices\.kvHead is missing/],
    ["a device without SMs", { "device.smCount": 0 }, /device\.smCount is 0/],
    ["an absurd device", { "device.smCount": 1e9 }, /device\.smCount is 1000000000/],
    ["a fraction for an integer", { "slices.worker": changedColumn("worker", 0.5) }, /slices\.worker\[0\] is 0\.5/],
    ["an infinite duration", { durationUs: "Infinity" }, /durationUs is "Infinity"/],
    ["a source that is neither", { source: "guessed" }, /source is "guessed".*"simulated", "measured"/],
    ["stats that are missing", { stats: {} }, /stats\.pieces is missing/],
  ])("refuses a timeline with %s, naming the field", async (_, changes, message) => {
    await expect(read(changed(changes))).rejects.toThrow(message);
  });

  it("refuses infinite numbers that JSON can spell, and NaN that the binary form can hold", async () => {
    const text = JSON.stringify(makeTimeline(SMALL)).replace(/"durationUs":[\d.]+/, '"durationUs":1e999');
    await expect(read(text)).rejects.toThrow(/durationUs is Infinity/);
    const timeline = makeTimeline({ kvLens: new Array<number>(64).fill(640), smCount: 4 });
    const endUs = Float64Array.from(timeline.slices.endUs);
    const file = encodeBinaryDocument({ ...timeline, slices: { ...timeline.slices, endUs } });
    // The column's bytes are in the file as they are: find the last end and spoil it.
    const last = endUs.length - 1;
    const at = Buffer.from(file).lastIndexOf(Buffer.from(Float64Array.of(endUs[last]!).buffer));
    file.set(new Uint8Array(Float64Array.of(Number.NaN).buffer), at);
    await expect(readDocuments(file, "file.bin")).rejects.toThrow(`slices.endUs[${last}] is NaN`);
  });

  it.each<[string, string, (slices: Record<string, ArrayLike<number>>) => object, RegExp]>([
    ["a negative time", "startUs", first(-1), /slices\.startUs\[0\] is -1.*at least 0/],
    ["an infinite time", "endUs", first(Number.POSITIVE_INFINITY), /slices\.endUs.* is (Infinity|null)/],
    ["an end before its start", "startUs", first(1e6), /slices\.endUs\[0\] is .*, before its start at 1000000/],
    ["an SM that does not exist", "sm", first(77), /slices\.sm\[0\] is 77.*0 to 3/],
    ["a request that does not exist", "request", first(64), /slices\.request\[0\] is 64/],
  ])("refuses a binary timeline with %s, naming the slice", async (_, column, change, message) => {
    const timeline = makeTimeline({ kvLens: new Array<number>(64).fill(640), smCount: 4 });
    const slices = { ...timeline.slices, [column]: change(timeline.slices as never)[column as never] };
    await expect(readDocuments(encodeBinaryDocument({ ...timeline, slices }, 1), "file.isoc")).rejects.toThrow(message);
  });

  it("refuses a binary file of another version by its name", async () => {
    const file = encodeBinaryDocument(makeTimeline(SMALL));
    file[7] = "2".charCodeAt(0);
    await expect(readDocuments(file, "file.isoc")).rejects.toThrow(
      /binary form "ISOCDOC2", and only ISOCDOC1 can be read/,
    );
  });

  it("never opens a binary file with a byte changed other than as what it says, or with a message", async () => {
    const file = encodeBinaryDocument(makeTimeline({ kvLens: new Array<number>(64).fill(640), smCount: 4 }), 1);
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = file.slice();
        changed[at]! ^= flip;
        const result = await readDocuments(changed, "file.isoc").catch((error: unknown) => error);
        if (!Array.isArray(result)) {
          expect(result).toBeInstanceOf(DocumentProblem);
          return;
        }
        // What was read is in bounds, so that drawing it is safe.
        const { slices, lanes } = result[0] as TimelineDocument;
        for (let i = 0; i < slices.count; i++)
          expect(slices.end[i]! >= slices.start[i]! && slices.start[i]! >= 0).toBe(true);
        expect(lanes.offset[lanes.count]).toBe(slices.count);
      }),
      { numRuns: 1_000 },
    );
  });

  it("accepts no slice and one slice", async () => {
    const empty = await timelineOf(makeTimeline({ kvLens: [], smCount: 4 }));
    expect(empty.slices.count).toBe(0);
    expect(diagnose(empty, sumWork(empty)).headline).toMatch(/no slices/);
    const one = makeTimeline({ kvLens: [64], smCount: 1 });
    const first = Object.fromEntries(
      Object.entries(one.slices).map(([key, column]) => [key, [(column as number[])[0]]]),
    );
    const single = await timelineOf({ ...one, slices: first });
    expect(single.slices.count).toBe(1);
    expect(diagnose(single, sumWork(single)).findings.length).toBeGreaterThan(0);
  });

  it("takes shared-prefix groups: their work is summed, named and coloured apart", async () => {
    const count = makeTimeline(SMALL).slices.worker.length;
    const request = new Array<number>(count).fill(0);
    const kind = new Array<number>(count).fill(1);
    request[0] = -1;
    kind[0] = 2;
    request[1] = -3;
    kind[1] = 2;
    const document = await timelineOf(changed({ "slices.request": request, "slices.kind": kind }));
    const work = sumWork(document);
    expect(work.byRequest.get(-1)).toMatchObject({ pieces: 1, kvLen: document.slices.kvEnd[0] });
    expect(work.byRequest.get(-3)!.pieces).toBe(1);
    expect(work.requests.some((row) => row.request === -2)).toBe(false);
    expect(work.kinds[2]!.slices).toBe(2);
    expect(classify(document, work, "request").ofSlice[0]).toBeLessThan(8);
    expect(jobs(document)[0]).toMatchObject({ request: -3 });
  });

  it("warns of slices that overlap on a worker instead of refusing them", async () => {
    const document = await timelineOf(
      changed({
        "slices.worker": new Array(makeTimeline(SMALL).slices.worker.length).fill(0),
        "slices.sm": new Array(makeTimeline(SMALL).slices.worker.length).fill(0),
        "slices.startUs": new Array(makeTimeline(SMALL).slices.worker.length).fill(1),
      }),
    );
    expect(document.warnings.join()).toMatch(/slices begin before/);
  });
});

/** The columns with another number in front. */
function first(value: number): (slices: Record<string, ArrayLike<number>>) => object {
  return (slices) =>
    Object.fromEntries(
      Object.entries(slices).map(([name, column]) => [name, Array.from(column, (old, i) => (i === 0 ? value : old))]),
    );
}

function changedColumn(name: string, first: unknown): unknown[] {
  const column = Array.from(
    (makeTimeline(SMALL).slices as unknown as Record<string, ArrayLike<number>>)[name]!,
  ) as unknown[];
  column[0] = first;
  return column;
}

describe("trace events", () => {
  it("hold everything: a file written and read again is the same timeline", async () => {
    const document = await timelineOf(makeTimeline());
    const again = await timelineOf(writeTraceEvents(document));
    expect(timelineJson(again)).toBe(timelineJson(document));
  });

  it("follow the format: nested X events on one thread per worker, names, counters and flows in pairs", async () => {
    const document = await timelineOf(makeTimeline());
    const { traceEvents } = JSON.parse(writeTraceEvents(document)) as {
      traceEvents: { ph: string; ts: number; dur: number; tid: number; pid: number; id: number; name: string }[];
    };
    const bars = traceEvents.filter((event) => event.ph === "X");
    expect(bars).toHaveLength(document.slices.count);
    const endOf = new Map<number, number>();
    for (const bar of bars) {
      expect(bar.ts).toBeGreaterThanOrEqual((endOf.get(bar.tid) ?? 0) - 1e-6);
      endOf.set(bar.tid, bar.ts + bar.dur);
    }
    const starts = traceEvents.filter((event) => event.ph === "s").map((event) => event.id);
    const ends = traceEvents.filter((event) => event.ph === "f").map((event) => event.id);
    expect(starts.length).toBeGreaterThan(0);
    expect(ends).toEqual(starts);
    const counter = traceEvents.filter((event) => event.ph === "C" && event.name === "busy workers");
    expect(counter.at(-1)).toMatchObject({ args: { workers: 0 } });
  });
});

describe("jobs and verdicts", () => {
  it("collects the pieces of each job, which cover its KV range once, and its merge", async () => {
    const document = await timelineOf(makeTimeline());
    const all = jobs(document);
    expect(all).toHaveLength(64 * 8);
    for (const { request, members } of all) {
      const pieces = members.filter(({ slice }) => document.slices.kind[slice] !== 3);
      let at = 0;
      for (const { slice } of pieces) {
        expect(document.slices.kvStart[slice]).toBe(at);
        at = document.slices.kvEnd[slice]!;
      }
      expect(at).toBe(document.kvLens[request]);
      expect(members.length - pieces.length).toBe(pieces.length > 1 ? 1 : 0);
    }
  });

  it("says what is wrong with an unsplit long request, and that nothing is wrong once it is split", async () => {
    const slow = await timelineOf(makeTimeline({ policy: "none" }));
    const bad = diagnose(slow, sumWork(slow));
    expect(bad.severity).toBe("bad");
    expect(bad.findings.map((finding) => finding.text).join(" ")).toMatch(/Request 0 .* one piece alone takes/);
    const fast = await timelineOf(makeTimeline({ policy: "balanced" }));
    expect(diagnose(fast, sumWork(fast)).severity).toBe("good");
  });

  it("sees who still has pieces, although everybody ends together with merges", async () => {
    const timeline = makeTimeline({ policy: "none" });
    const { slices } = timeline;
    const end = timeline.durationUs;
    const workers = Array.from(slices.worker);
    const merges = [...new Set(workers)].map((worker) => [worker, workers.indexOf(worker)] as const);
    const more = (column: ArrayLike<number>, of: (worker: number, first: number) => number): number[] => [
      ...Array.from(column),
      ...merges.map(([worker, first]) => of(worker, first)),
    ];
    const merged = await timelineOf({
      ...timeline,
      durationUs: end + 4,
      slices: {
        worker: more(slices.worker, (worker) => worker),
        sm: more(slices.sm, (_, first) => slices.sm[first]!),
        startUs: more(slices.startUs, () => end + 1),
        endUs: more(slices.endUs, () => end + 3),
        kind: more(slices.kind, () => 3),
        request: more(slices.request, (_, first) => slices.request[first]!),
        kvHead: more(slices.kvHead, (_, first) => slices.kvHead[first]!),
        qTile: more(slices.qTile, (_, first) => slices.qTile[first]!),
        kvStart: more(slices.kvStart, () => 0),
        kvEnd: more(slices.kvEnd, () => 0),
      },
    });
    const plain = await timelineOf(timeline);
    const tail = /Half of the \d+ workers are done after .*; (\d+) workers? carr(y|ies) the rest/;
    const found = [plain, merged].map((one) => tail.exec(diagnose(one, sumWork(one)).findings[0]!.text)?.[1]);
    expect(found[0]).toBeDefined();
    expect(found[1]).toBe(found[0]);
  });

  it("compares policies, and a simulation with its measurement piece by piece", async () => {
    const none = prepare(await timelineOf(makeTimeline({ policy: "none" })));
    const balanced = prepare(await timelineOf(makeTimeline({ policy: "balanced" })));
    const measured = prepare(await timelineOf(makeTimeline({ policy: "balanced", source: "measured" })));
    expect(compare(none, balanced).headline).toMatch(/^B \(balanced\) is .*× as fast as A \(none\)/);
    expect(compare(none, balanced).errors).toBeNull();
    const { errors } = compare(balanced, measured);
    expect(errors).not.toBeNull();
    expect(errors!.durationUs).toBeCloseTo(balanced.document.durationUs - measured.document.durationUs, 9);
    // The generator changes every piece by −4 % to +8 %.
    expect(errors!.meanPieceShare).toBeGreaterThan(0.01);
    expect(errors!.meanPieceShare).toBeLessThan(0.08);
    expect(compare(measured, balanced).errors!.durationUs).toBe(errors!.durationUs);
  });
});
