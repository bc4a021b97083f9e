// Choices that SM occupancy and Compare have in common: what colours say, and in which order rows stand.

import { COLOR_LABELS, COLOR_MODES, type ColorMode } from "../draw/classes.ts";
import type { Sort } from "../draw/lane-layout.ts";
import { Choice } from "../ui/facts.ts";
import type { Viewer } from "../viewer.ts";

export function colorChoice(app: Viewer): Choice<ColorMode> {
  return new Choice<ColorMode>(
    "Colour",
    COLOR_MODES.map((mode) => [mode, COLOR_LABELS[mode]] as const),
    (mode) => app.set({ color: mode }),
  );
}

export function orderChoice(app: Viewer): Choice<Sort> {
  return new Choice<Sort>(
    "Order",
    [
      ["sm", "SM"],
      ["finish", "Finish"],
      ["load", "Load"],
    ],
    (order) => app.set({ sort: order }),
  );
}
