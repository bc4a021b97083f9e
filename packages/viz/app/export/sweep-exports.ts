// What a sweep's view can be saved as: its pictures as they are shown, and all configurations.

import type { Row } from "../documents/sweep.ts";
import { FONT } from "../draw/measures.ts";
import type { Palette } from "../draw/palette.ts";
import type { Sweep } from "../model/sweep.ts";
import { download, s } from "../ui/dom.ts";
import type { ExportChoice } from "../viewer.ts";
import { csv } from "./csv.ts";

interface SavedPicture {
  readonly label: string;
  /** What stands above it on the page. */
  readonly title: string;
  readonly svg: SVGSVGElement;
}

const TITLE_HEIGHT = 52;

export function sweepExports(sweep: Sweep, palette: Palette, pictures: readonly SavedPicture[]): ExportChoice[] {
  const { title } = sweep.document;
  const stem =
    title
      .replace(/[^A-Za-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 80) || "sweep";
  return [
    ...pictures.map((picture) => ({
      label: `${picture.label} (SVG)`,
      run: () => {
        const name = `${stem}-${picture.label.toLowerCase().replaceAll(" ", "-")}.svg`;
        download(name, new XMLSerializer().serializeToString(titled(picture, title, palette)), "image/svg+xml");
      },
    })),
    { label: "Configurations (CSV)", run: () => download(`${stem}.csv`, rowsCsv(sweep), "text/csv") },
  ];
}

function titled({ title, svg }: SavedPicture, name: string, palette: Palette): SVGSVGElement {
  const width = svg.width.baseVal.value;
  const height = svg.height.baseVal.value + TITLE_HEIGHT;
  const picture = svg.cloneNode(true) as SVGSVGElement;
  picture.setAttribute("y", String(TITLE_HEIGHT));
  return s(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT },
    s("rect", { width, height, fill: palette.background }),
    s("text", { x: 12, y: 22, "font-size": 15, "font-weight": 600, fill: palette.text }, name),
    s("text", { x: 12, y: 42, "font-size": 12, fill: palette.muted }, title),
    picture,
  );
}

function rowsCsv({ document, measureGroups }: Sweep): string {
  const { varying, rows } = document;
  const measures = measureGroups.flatMap((group) => group.measures);
  const cells = (row: Row): (string | number | null)[] => [
    row.configuration,
    ...varying.map((path) => {
      const value = row.fields[path];
      return value === undefined ? null : typeof value === "number" ? value : String(value);
    }),
    row.status,
    ...measures.map((measure) => measure.of(row)),
    row.command,
  ];
  const names = ["configuration", ...varying, "status", ...measures.map(({ key }) => key), "command"];
  return csv(names, rows.map(cells));
}
