// The overview that a long binary timeline brings along (src/overview.ts), as a document that can be drawn: some of its slices
// and, in `overview`, the pyramid and the sums of all of them. It is shown until the slices are there.

import { readBinaryHeader, unpackDocument } from "../../src/columns.ts";
import type { Level } from "../../src/levels.ts";
import { OVERVIEW_VERSION, type Overview } from "../../src/overview.ts";
import { readTimeline, type TimelineDocument } from "./timeline.ts";

/** Bytes that must be there before the overview can be read; null where the header is not there yet, or has none. */
export function overviewBytes(bytes: Uint8Array): number | null {
  const read = readBinaryHeader(bytes);
  const overview = read === null ? undefined : overviewIn(read.header);
  return overview === undefined ? null : read!.dataStart + overview.bytes;
}

/** Throws where the file is not as it should be; the reading of the whole file then says what is wrong with it. */
export function readOverview(bytes: Uint8Array, file: string): TimelineDocument {
  const { header, dataStart } = readBinaryHeader(bytes)!;
  const data = bytes.subarray(dataStart);
  const { $overview, ...rest } = header as { $overview: unknown; slices: unknown };
  const overview = unpackDocument($overview, data) as Overview;
  const plain = unpackDocument({ ...rest, slices: undefined }, data) as object;
  const document = readTimeline({ ...plain, slices: overview.slices }, file);
  const { buckets, share, slice, covered, spanUs, sliceCount, work } = overview;
  const size = document.lanes.count * buckets;
  if (document.lanes.order !== null || !(spanUs > 0) || document.lanes.count !== work.lanes.busyUs.length) {
    throw new Error("the overview is of other lanes");
  }
  for (const column of [share, slice, covered]) {
    if (column.length !== size) throw new Error(`a column of the overview has ${column.length} of ${size} entries`);
  }
  const level: Level = {
    buckets,
    share: Uint16Array.from(share),
    slice: Int32Array.from(slice, (at) => (at < document.slices.count ? at : -1)),
    covered: Uint16Array.from(covered),
  };
  return { ...document, durationUs: spanUs, overview: { sliceCount, level, sums: work } };
}

function overviewIn(header: unknown): { readonly bytes: number } | undefined {
  if (typeof header !== "object" || header === null || !("$overview" in header)) return undefined;
  const overview = header.$overview as { readonly version?: unknown; readonly bytes?: unknown } | null;
  // An overview of another version is left out: the slices say the same.
  const good = overview?.version === OVERVIEW_VERSION && Number.isSafeInteger(overview.bytes);
  return good ? (overview as { bytes: number }) : undefined;
}
