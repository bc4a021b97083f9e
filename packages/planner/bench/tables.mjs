// The measurements as text tables: rows of cells, first column to the left, the others to the right.

import { GROUPS } from "./balance.mjs";
import { IMPORTS } from "./package-size.mjs";
import { BATCH_SIZES } from "./plan-time.mjs";

export function balanceTables(balance) {
  const pair = ({ batches, mean, worst }) => (batches === 0 ? "–" : `${mean.toFixed(3)} / ${worst.toFixed(3)}`);
  return [
    {
      title: "Imbalance, mean / worst (makespan ÷ LB*), by KV tiles of work per worker",
      head: ["policy", ...GROUPS, "all ≥ 8", "planned", "not applicable"],
      rows: balance.map((row) => [
        row.policy,
        ...row.groups.map(pair),
        pair(row.from8),
        `${row.planned}`,
        `${row.notApplicable}`,
      ]),
    },
    {
      title: "Partial slots and bytes of a plan, over the same batches",
      head: ["policy", "slots, mean", "slots, most", "batches > 2(P − 1)", "bytes, mean", "bytes, most"],
      rows: balance.map(({ policy, partialSlots, bytes }) => [
        policy,
        count(partialSlots.mean),
        count(partialSlots.most),
        count(partialSlots.batchesOverBound),
        count(bytes.mean),
        count(bytes.most),
      ]),
    },
  ];
}

export function planTimeTable(planTimes) {
  return {
    title:
      "Plan time, µs, median, warm: decodes, 32/8 heads; and what 5,000 plans of 256 (comparisons: 500) leave behind",
    head: ["policy", ...BATCH_SIZES.map((size) => `batch ${size}`), "bytes, 256", "collections", "heap B / plan"],
    rows: planTimes.map(({ policy, medianUs, bytes, collections }) => [
      policy,
      ...BATCH_SIZES.map((size) => (medianUs[size] === undefined ? "–" : medianUs[size].toFixed(1))),
      bytes[256] === undefined ? "–" : count(bytes[256]),
      collections === undefined ? "–" : `${collections.collections}`,
      collections?.heapBytesPerPlan === undefined ? "–" : collections.heapBytesPerPlan.toFixed(1),
    ]),
  };
}

export function sizeTable(packageSize) {
  return {
    title: "Size, bytes: a program that takes these names from this entry and does nothing else",
    head: ["import", "minified", "and gzipped"],
    rows: Object.entries(packageSize).map(([name, { minifiedBytes, gzipBytes }]) => [
      `${IMPORTS[name].names} from ${IMPORTS[name].entry}`,
      count(minifiedBytes),
      count(gzipBytes),
    ]),
  };
}

export function targetTable(targets) {
  return {
    title: "Targets",
    head: ["what", "limit", "measured", "verdict"],
    rows: targets.map(({ what, limit, unit, measured, reached, excess }) => [
      what,
      `${figure(limit)} ${unit}`.trim(),
      measured === undefined ? "–" : `${figure(measured)} ${unit}`.trim(),
      verdict(measured, reached, excess),
    ]),
  };
}

function verdict(measured, reached, excess) {
  if (measured === undefined) return "not measured";
  if (excess === undefined) return reached ? "reached" : "not reached";
  const percent = Math.abs(excess * 100).toFixed(1);
  return reached ? `reached, ${percent} % below` : `not reached, ${percent} % above`;
}

export function print({ title, head, rows }) {
  const widths = head.map((cell, c) => Math.max(cell.length, ...rows.map((row) => row[c].length)));
  const line = (cells) =>
    cells.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join("  ");
  console.log(`\n${title}\n${line(head)}\n${widths.map((width) => "─".repeat(width)).join("  ")}`);
  for (const row of rows) console.log(line(row));
}

function count(value) {
  return Math.round(value).toLocaleString("en-US");
}

function figure(value) {
  if (value >= 100) return count(value);
  return Number.isInteger(value) ? `${value}` : value.toFixed(value < 2 ? 3 : 1);
}
