// Decodes on an H100: time over the floor of the same run, ours and the fastest recorded FlashInfer kernel, by KV bytes.

import { COLOURS, drawing, line, text } from "./svg.mjs";

const WIDTH = 920;
const HEIGHT = 430;
const LEFT = 64;
const RIGHT = 24;
const TOP = 92;
const BOTTOM = 62;
/** KV bytes on a logarithmic axis, and time over floor on a linear one. */
const MEGABYTES = [2, 10_000];
const TICKS_MB = [2, 10, 40, 200, 1000, 10_000];
const OVER_FLOOR = [0.95, 3];
const SERIES = [
  {
    name: "best of FlashInfer's kernels for each case (recorded)",
    colour: COLOURS[1][0],
    us: (row) => row.bestFlashInferUs,
  },
  { name: "Isochron, balanced", colour: COLOURS[0][0], us: (row) => row.us },
];

const x = (megabytes) =>
  LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(megabytes / MEGABYTES[0])) / Math.log(MEGABYTES[1] / MEGABYTES[0]);
const y = (ratio) => TOP + ((HEIGHT - TOP - BOTTOM) * (OVER_FLOOR[1] - ratio)) / (OVER_FLOOR[1] - OVER_FLOOR[0]);

export function hardware(machine, decode) {
  const rows = decode.filter((row) => row.bestFlashInferUs !== undefined);
  const body = [text(24, 34, `${rows.length} decode cases on one ${machine.device}, measured`, { of: "title" })];
  SERIES.forEach(({ name, colour }, i) => {
    const left = 24 + (1 - i) * 190;
    body.push(`  <circle cx="${left + 6}" cy="56" r="4.5" fill="${colour}"/>`, text(left + 18, 60.5, name));
  });
  for (let ratio = 1; ratio <= 3; ratio += 0.5) {
    body.push(line(LEFT, y(ratio), WIDTH - RIGHT, y(ratio), ratio === 1 ? "bound" : "thin"));
    body.push(text(LEFT - 10, y(ratio) + 4.5, `${ratio.toFixed(1)} ×`, { anchor: "end", of: "quiet" }));
  }
  body.push(
    text(WIDTH - RIGHT, y(1) + 17, "floor: every K and V row read once", { anchor: "end", of: "bound-text small" }),
  );
  for (const megabytes of TICKS_MB) {
    const name = megabytes >= 1000 ? `${megabytes / 1000} GB` : `${megabytes} MB`;
    body.push(text(x(megabytes), HEIGHT - BOTTOM + 34, name, { anchor: "middle", of: "quiet" }));
  }
  body.push(
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "KV that the batch reads", { anchor: "middle", of: "quiet" }),
  );
  body.push(text(LEFT, TOP - 8, "time / floor", { of: "quiet" }));
  for (const { colour, us } of SERIES) {
    for (const row of rows) {
      const at = `cx="${x(row.kvBytes / 1e6).toFixed(1)}" cy="${y(us(row) / row.floorUs).toFixed(1)}"`;
      body.push(`  <circle ${at} r="3.2" fill="${colour}" fill-opacity="0.8"/>`);
    }
  }
  return drawing(WIDTH, HEIGHT, "Decode times over the floor, Isochron and FlashInfer, by KV bytes", body);
}
