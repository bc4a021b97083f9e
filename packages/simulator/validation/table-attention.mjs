// Attention of an engine whose kernels are not modelled, from a table of even batches that was measured with it
// (AIConfigurator's columns): an AttentionRunner for createStepTimer. Prompts and decodes are launches of their own.

import { readText } from "./layout.mjs";

const own = new URL("./data/aiconfigurator/", import.meta.url);

/**
 * Runs attention with these heads by the tables `{name}_context_…` and `{name}_generation_…`, or with other query heads for
 * as many KV heads, which decide how much is read. Undefined where there are none.
 */
export function tableAttention(name, queryHeads, kvHeads) {
  const context = tableOf(`${name}_context_attention_bf16_hd128.csv`, queryHeads, kvHeads, (row) => Number(row.isl));
  const generation = tableOf(
    `${name}_generation_attention_bf16_hd128.csv`,
    queryHeads,
    kvHeads,
    (row) => Number(row.step) + 1,
  );
  if (context.length === 0 || generation.length === 0) return undefined;
  return { timeUs: (qoLens, kvLens) => decodesUs(generation, qoLens, kvLens) + promptsUs(context, qoLens, kvLens) };
}

/** [batch size, [length, µs] ascending] ascending, of the query heads nearest to these. */
function tableOf(file, queryHeads, kvHeads, lengthOf) {
  const [head, ...lines] = readText(new URL(file, own)).trim().split(/\r?\n/);
  const columns = head.split(",");
  const rows = lines
    .map((line) => Object.fromEntries(line.split(",").map((cell, i) => [columns[i], cell])))
    .filter((row) => Number(row.num_key_value_heads) === kvHeads);
  const distance = (row) => Math.abs(Number(row.num_heads) - queryHeads);
  const nearest = Math.min(...rows.map(distance));
  const byBatch = new Map();
  for (const row of rows.filter((one) => distance(one) === nearest)) {
    const batch = Number(row.batch_size);
    if (!byBatch.has(batch)) byBatch.set(batch, []);
    byBatch.get(batch).push([lengthOf(row), Number(row.latency) * 1000]);
  }
  const ascending = (a, b) => a[0] - b[0];
  return [...byBatch].map(([batch, times]) => [batch, times.sort(ascending)]).sort(ascending);
}

/** Decodes are taken to be as long as their mean. */
function decodesUs(table, qoLens, kvLens) {
  let count = 0;
  let tokens = 0;
  for (let i = 0; i < qoLens.length; i++) {
    if (qoLens[i] !== 1) continue;
    count++;
    tokens += kvLens[i];
  }
  return count === 0 ? 0 : timeUs(table, count, tokens / count);
}

/** Prompts likewise; a chunk behind a history takes what the whole takes longer than the history alone. */
function promptsUs(table, qoLens, kvLens) {
  let count = 0;
  let tokens = 0;
  let historyUs = 0;
  for (let i = 0; i < qoLens.length; i++) {
    if (qoLens[i] <= 1) continue;
    count++;
    tokens += qoLens[i];
    const history = kvLens[i] - qoLens[i];
    if (history === 0) continue;
    historyUs += timeUs(table, 1, kvLens[i]) - timeUs(table, 1, history) - timeUs(table, 1, qoLens[i]);
  }
  return count === 0 ? 0 : timeUs(table, count, tokens / count) + Math.max(0, historyUs);
}

/** Linear in length, then in requests; the largest batches, which were not measured with all lengths, only where they were. */
function timeUs(table, requests, length) {
  const points = table
    .filter(([batch, times]) => batch === table[0][0] || times[times.length - 1][0] >= length)
    .map(([batch, times]) => [batch, interpolate(times, length)]);
  return interpolate(points, Math.max(requests, points[0][0]));
}

/** Linear between neighbours, and on from the last two. */
function interpolate(points, x) {
  if (points.length === 1) return points[0][1];
  let i = 1;
  while (i < points.length - 1 && points[i][0] < x) i++;
  const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
  return Math.max(0, y0 + ((y1 - y0) * (x - x0)) / (x1 - x0));
}
