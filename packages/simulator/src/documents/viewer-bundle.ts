// What a page of the viewer is given: documents side by side. A timeline of a replayed step carries the title
// `stepTitle(replica, step)`, which is how the viewer finds it from the report.

import type { Timeline } from "@isochron/planner";
import type { Report } from "./report.ts";
import type { SweepResults } from "./sweep-results.ts";

export interface ViewerBundle {
  readonly reports: readonly Report[];
  readonly timelines: readonly Timeline[];
  /** With their rows. */
  readonly sweeps?: readonly SweepResults[] | undefined;
}
