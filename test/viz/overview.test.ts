import { encodeBinaryDocument } from "@isochron/viz";
import { describe, expect, it } from "vitest";
import { Growing, isOverviewDue } from "../../packages/viz/app/documents/growing.ts";
import { overviewBytes, readOverview } from "../../packages/viz/app/documents/overview.ts";
import { readDocuments } from "../../packages/viz/app/documents/read.ts";
import type { TimelineDocument } from "../../packages/viz/app/documents/timeline.ts";
import type { LaneSamples } from "../../packages/viz/app/model/busy-index.ts";
import { prepare } from "../../packages/viz/app/model/prepared.ts";
import { decodeBinaryDocument } from "../../packages/viz/src/columns.ts";
import { makeOverview } from "../../packages/viz/src/overview.ts";
import { bigTimeline } from "./bench/big-timeline.ts";

const TIMELINE = bigTimeline(4, 5_000);
const FILE = encodeBinaryDocument(TIMELINE, 1);
const NEEDED = overviewBytes(FILE)!;

/** As text, with the keys of every object in order and typed arrays as arrays. */
function plainly(value: unknown): string {
  return JSON.stringify(value, (_, entry: unknown) => {
    if (ArrayBuffer.isView(entry)) return Array.from(entry as Uint8Array);
    if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return entry;
    return Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

async function whole(): Promise<TimelineDocument> {
  return (await readDocuments(FILE, "big.isoc"))[0] as TimelineDocument;
}

describe("the overview in a binary timeline", () => {
  it("comes before the slices, and leaves the document as it was", () => {
    expect(NEEDED).toBeLessThan(FILE.length / 2);
    const plain = encodeBinaryDocument(TIMELINE);
    expect(overviewBytes(plain)).toBeNull();
    // Not toEqual: what differs would be printed number by number.
    expect(plainly(decodeBinaryDocument(FILE)) === plainly(decodeBinaryDocument(plain))).toBe(true);
  });

  it("can be read from the first bytes alone, and never from fewer", () => {
    const first = FILE.slice(0, NEEDED);
    expect(readOverview(first, "big.isoc").overview!.sliceCount).toBe(20_000);
    const bytes = new Growing(FILE.length, "big.isoc");
    for (let at = 0; at < NEEDED; at += 4_999) {
      expect(isOverviewDue(bytes)).toBe(false);
      bytes.append(FILE.slice(at, Math.min(at + 4_999, NEEDED)));
    }
    expect(isOverviewDue(bytes)).toBe(true);
  });

  it("explains the timeline in the words that all of its slices give", async () => {
    const all = prepare(await whole());
    const some = prepare(readOverview(FILE, "big.isoc"));
    expect(some.document.slices.count).toBeLessThan(all.document.slices.count);
    expect(some.verdict).toEqual(all.verdict);
    expect(plainly(some.work) === plainly(all.work)).toBe(true);
  });

  it("shows in each pixel column the busy share that the slices have", async () => {
    const all = prepare(await whole());
    const some = prepare(readOverview(FILE, "big.isoc"));
    const columns = 400;
    const { durationUs } = all.document;
    const samples: LaneSamples = {
      share: new Float32Array(columns),
      slice: new Int32Array(columns),
      longest: new Float32Array(columns),
    };
    for (const [from, to] of [[0, durationUs] as const, [durationUs * 0.25, durationUs * 0.5] as const]) {
      const columnUs = (to - from) / columns;
      for (let lane = 0; lane < all.document.lanes.count; lane++) {
        some.index.sampleLane(lane, from, to, columns, samples);
        for (let c = 1; c < columns - 1; c++) {
          // A bucket at the edge of a column may count for its neighbour: compared over three columns.
          const exact = all.index.busyIn(lane, from + (c - 1) * columnUs, from + (c + 2) * columnUs) / columnUs;
          const shown = samples.share[c - 1]! + samples.share[c]! + samples.share[c + 1]!;
          expect(Math.abs(shown - exact)).toBeLessThan(0.75);
          if (shown > 0.01)
            expect(samples.slice[c - 1]! + samples.slice[c]! + samples.slice[c + 1]!).toBeGreaterThan(-3);
        }
      }
    }
  });

  it("shows real slices: where, when and of which request", async () => {
    const { slices } = await whole();
    const starts = new Map(
      Array.from({ length: slices.count }, (_, i) => [`${slices.worker[i]}/${slices.start[i]}`, i]),
    );
    const some = readOverview(FILE, "big.isoc").slices;
    for (let i = 0; i < some.count; i++) {
      const same = starts.get(`${some.worker[i]}/${some.start[i]}`)!;
      expect([some.end[i], some.request[i], some.kind[i], some.kvEnd[i]]).toEqual([
        slices.end[same],
        slices.request[same],
        slices.kind[same],
        slices.kvEnd[same],
      ]);
    }
  });

  it("is left out of short timelines, of unsorted ones, and of those of another version", () => {
    expect(makeOverview(TIMELINE)).toBeNull();
    const worker = Array.from(TIMELINE.slices.worker).reverse();
    expect(makeOverview({ ...TIMELINE, slices: { ...TIMELINE.slices, worker } }, 1)).toBeNull();
    const other = Buffer.from(FILE);
    const at = other.indexOf('"version":1,"sliceCount"');
    other.write('"version":2', at);
    expect(overviewBytes(other)).toBeNull();
  });
});
