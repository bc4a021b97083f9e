// What a lane chart is told to draw.

import type { PiecePlace } from "../model/jobs.ts";
import type { Prepared } from "../model/prepared.ts";
import type { ColorMode } from "./classes.ts";
import type { RowMode, Sort } from "./lane-layout.ts";
import type { Palette } from "./palette.ts";

export interface LaneChartInput {
  readonly prepared: Prepared;
  readonly palette: Palette;
  readonly time: readonly [number, number];
  /** Time that can be shown. */
  readonly limits: readonly [number, number];
  readonly rows: readonly [number, number];
  readonly color: ColorMode;
  readonly group: RowMode;
  readonly sort: Sort;
  /** Slices that stand out; the rest fades. */
  readonly bright: readonly PiecePlace[] | null;
  /** The job whose pieces are joined to their merges. */
  readonly linked: readonly PiecePlace[] | null;
  readonly pin: number;
  readonly hover: number;
  readonly range: readonly [number, number] | null;
}
