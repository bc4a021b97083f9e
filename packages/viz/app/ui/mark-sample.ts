// A mark of a sweep as it stands in legends and tables.

import type { MarkClass } from "../draw/point-marks.ts";
import { s } from "./dom.ts";

export function markSample({ color, edge, shape }: MarkClass, size: number, isFilled: boolean): SVGSVGElement {
  const room = Math.ceil(size * 1.4) * 2;
  return s(
    "svg",
    {
      class: "mark-sample",
      width: room,
      height: room,
      viewBox: `${-room / 2} ${-room / 2} ${room} ${room}`,
      "aria-hidden": "true",
    },
    s("path", { d: shape(size), fill: isFilled ? color : "none", stroke: edge, "stroke-width": 1.5 }),
  );
}
