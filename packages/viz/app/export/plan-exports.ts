// The plan view as data: every job with its pieces and merges.

import { MERGE, type TimelineDocument } from "../documents/timeline.ts";
import type { Job } from "../model/jobs.ts";
import { csv } from "./csv.ts";

export function jobsCsv(document: TimelineDocument, jobs: readonly Job[]): string {
  const { slices, lanes } = document;
  return csv(
    ["request", "kvHead", "qTile", "part", "kvStart", "kvEnd", "worker", "sm", "startUs", "endUs"],
    jobs.flatMap((job) =>
      job.members.map(({ slice, lane }) => [
        job.request,
        job.kvHead,
        job.qTile,
        slices.kind[slice] === MERGE ? "merge" : "piece",
        slices.kvStart[slice]!,
        slices.kvEnd[slice]!,
        slices.worker[slice]!,
        lanes.sm[lane]!,
        slices.start[slice]!,
        slices.end[slice]!,
      ]),
    ),
  );
}

export function jobsJson(document: TimelineDocument, jobs: readonly Job[]): string {
  const { slices, lanes } = document;
  const place = ({ slice, lane }: Job["members"][number]): Record<string, number> => ({
    worker: slices.worker[slice]!,
    sm: lanes.sm[lane]!,
    startUs: slices.start[slice]!,
    endUs: slices.end[slice]!,
  });
  const content = jobs.map((job) => ({
    request: job.request,
    kvHead: job.kvHead,
    qTile: job.qTile,
    pieces: job.members
      .filter(({ slice }) => slices.kind[slice] !== MERGE)
      .map((member) => ({
        kvStart: slices.kvStart[member.slice]!,
        kvEnd: slices.kvEnd[member.slice]!,
        ...place(member),
      })),
    merges: job.members.filter(({ slice }) => slices.kind[slice] === MERGE).map(place),
  }));
  return `${JSON.stringify({ policy: document.policy, stats: document.stats, jobs: content }, null, 1)}\n`;
}
