// Measurements in validation/data.

import { readText } from "../layout.mjs";

const data = new URL("../data/", import.meta.url);

/** Rows of a gzipped CSV file as texts by column. */
export function readTable(path) {
  const [head, ...lines] = readText(new URL(path, data)).trim().split(/\r?\n/);
  const columns = head.split(",");
  return lines.map((line) => Object.fromEntries(line.split(",").map((cell, i) => [columns[i], cell])));
}

export function readJson(path) {
  return JSON.parse(readText(new URL(path, data)));
}
