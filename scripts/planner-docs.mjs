// Writes the generated parts of docs/plan-format.md and packages/planner/README.md: tables from the comments of
// layout.ts and from the policy registry, a hex dump of a real plan.
//
//   node scripts/planner-docs.mjs [--check]      (after npm run build)
//
// A generated part stands between <!-- generated: NAME --> and <!-- end -->. test/planner/docs.test.ts fails when one is old.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as planner from "@isochron/planner";

const root = new URL("../", import.meta.url);
const LAYOUT = "packages/planner/src/layout.ts";

/** The plan of the hex dump: two decodes on three workers, the first cut in three. */
export function examplePlan() {
  const device = {
    name: "three-workers",
    smCount: 3,
    ctasPerSm: 1,
    costModel: {
      kvTileTokens: 64,
      queryTiles: [{ rows: 16, pieceNs: 300, kvTileNs: 100 }],
      mergeNs: 300,
      mergePartialNs: 10,
      surchargeTiles: 0,
    },
  };
  const attention = {
    queryHeads: 4,
    kvHeads: 1,
    headDim: 128,
    dtype: "bf16",
    kvDtype: "bf16",
    pageSize: 16,
    mask: { kind: "causal" },
  };
  return planner.createPlanner({ attention, device }).plan({ qoLens: [1, 1], kvLens: [1000, 200] });
}

/** Field tables of layout.ts: name → [{ name, index, comment }], in file order, `stride` left out. */
export function fieldTables() {
  const source = readFileSync(new URL(LAYOUT, root), "utf8");
  const tables = {};
  for (const [, table, body] of source.matchAll(/export const (\w+) = \{\n([^}]*)\n\} as const;/g)) {
    const fields = [...body.matchAll(/(?:\/\*\*\s*([\s\S]*?)\s*\*\/\s*)?(\w+): (\d+),/g)].map(
      ([, comment, name, index]) => ({
        name,
        index: Number(index),
        comment: comment?.replace(/\s*\n\s*\*\s*/g, " "),
      }),
    );
    tables[table] = fields.filter(({ name }) => name !== "stride");
  }
  return tables;
}

/** Rows of a Markdown table, columns aligned. */
function markdown(heads, rows) {
  const cell = (value) => String(value).replaceAll("|", "\\|");
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => cell(row[column]).length)));
  const line = (cells) => `| ${cells.map((value, column) => cell(value).padEnd(widths[column])).join(" | ")} |`;
  return [line(heads), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join("\n");
}

function fieldTable(table) {
  const fields = fieldTables()[table];
  const undocumented = fields.find(({ comment }) => comment === undefined);
  if (undocumented !== undefined) throw new Error(`${LAYOUT}: ${table}.${undocumented.name} has no comment`);
  return markdown(
    ["int32", "byte", "field", "meaning"],
    fields.map(({ name, index, comment }) => [index, 4 * index, `\`${name}\``, comment]),
  );
}

function numberTable(values, heads) {
  return markdown(
    heads,
    Object.entries(values).map(([name, number]) => [number, `\`${name}\``]),
  );
}

/** 16 bytes to a line, each with what its four int32 are. */
function hexDump() {
  const plan = examplePlan();
  const { layout, header } = plan;
  const tables = fieldTables();
  const records = (name, what, table, { stride }, count) => ({
    name,
    used: count * stride,
    label: recordLabel(what, tables[table], plan[name], stride),
  });
  const ranges = (name, rows) => ({ name, used: rows + 1, label: indptrLabel(plan[name], rows) });
  const sections = [
    { name: "header", used: planner.HEADER_BYTES / 4, label: (word) => headerLabel(word, plan, tables.Header) },
    records("requests", "request", "Request", planner.Request, plan.requestCount),
    ranges("workerPieceIndptr", plan.workers),
    ranges("workerMergeIndptr", plan.workers),
    ranges("groupIndptr", plan.groupCount),
    records("merges", "merge", "Merge", planner.Merge, plan.mergeCount),
    records("mergeSources", "source", "MergeSource", planner.MergeSource, header[planner.Header.mergeSourceCount]),
    records("pieces", "piece", "Piece", planner.Piece, plan.pieceRecordCount),
  ];
  const bytes = planner.encodePlan(plan);
  const lines = [];
  for (const { name, used, label } of sections) {
    const from = layout[name] ?? 0;
    lines.push(`-- ${name}, at ${from} (0x${from.toString(16)})`);
    const end = Math.ceil((from + used * 4) / 16) * 16;
    for (let offset = from; offset < end; offset += 16) {
      const hex = [0, 4, 8, 12].map((word) =>
        [...bytes.subarray(offset + word, offset + word + 4)]
          .map((byte) => byte.toString(16).padStart(2, "0"))
          .join(" "),
      );
      const labels = [0, 1, 2, 3].map((word) => label((offset - from) / 4 + word)).filter((text) => text !== "");
      lines.push(`${offset.toString(16).padStart(4, "0")}  ${hex.join("  ")}  ${labels.join(", ")}`.trimEnd());
    }
  }
  return `\`\`\`text\n${lines.join("\n")}\n\`\`\``;
}

function headerLabel(word, plan, fields) {
  const field = fields.find(({ index }) => index === word);
  if (field === undefined || field.name.startsWith("reserved")) return "";
  if (field.name === "magic") return "magic “ISOP”";
  if (field.name === "makespanNs" || field.name === "lowerBoundNs") {
    return `${field.name} ${plan.headerFloat64[word / 2]} (float64)`;
  }
  const value = plan.header[word];
  return `${field.name} ${field.name === "fingerprint" ? (value >>> 0).toString(16) : value}`;
}

function recordLabel(what, fields, section, stride) {
  return (word) => {
    const field = fields[word % stride];
    const value = section[word];
    const isFirst = word % stride === 0 ? `${what} ${Math.floor(word / stride)}: ` : "";
    if (field.name === "reserved") return "";
    if (what === "piece" && field.name === "rows")
      return `${isFirst}rows ${value & 0xffff} of a tile of ${value >>> 16}`;
    return `${isFirst}${field.name} ${value}`;
  };
}

function indptrLabel(section, rows) {
  return (word) => (word <= rows ? String(section[word]) : "");
}

function policyTable() {
  const rows = (isComparison) =>
    planner.POLICY_NAMES.map((name) => planner.POLICIES[name])
      .filter((policy) => policy?.isComparison === isComparison)
      .map((policy) => [
        `\`${policy.name}\``,
        policy.isComparison ? "comparison" : "own",
        policy.bound === undefined ? "no" : "yes",
        policy.summary,
      ]);
  return markdown(["policy", "kind", "budget", "rule"], [...rows(false), ...rows(true)]);
}

const GENERATED = {
  "docs/plan-format.md": {
    header: () => fieldTable("Header"),
    request: () => fieldTable("Request"),
    group: () => fieldTable("GroupRange"),
    piece: () => fieldTable("Piece"),
    merge: () => fieldTable("Merge"),
    source: () => fieldTable("MergeSource"),
    launch: () => numberTable(planner.Launch, ["launch", "name"]),
    "merge-launch": () => numberTable(planner.MergeLaunch, ["mergeLaunch", "name"]),
    "merge-order": () => numberTable(planner.MergeOrder, ["mergeOrder", "name"]),
    dtypes: () => numberTable(indices(planner.DTYPES), ["dtype", "name"]),
    masks: () => numberTable(indices(planner.MASK_KINDS), ["maskKind", "name"]),
    policies: () => numberTable(indices(planner.POLICY_NAMES), ["policy", "name"]),
    "hex-dump": hexDump,
  },
  "packages/planner/README.md": { policies: policyTable },
};

function indices(names) {
  return Object.fromEntries(names.map((name, index) => [name, index]));
}

/** Files with generated parts: their text on disk, and as it should be. */
export function renderDocs() {
  return Object.entries(GENERATED).map(([path, parts]) => {
    const found = readFileSync(new URL(path, root), "utf8");
    let expected = found;
    for (const [name, render] of Object.entries(parts)) {
      const part = new RegExp(`(<!-- generated: ${name} -->\\n)[\\s\\S]*?(<!-- end -->)`);
      if (!part.test(expected)) throw new Error(`${path} has no part "<!-- generated: ${name} -->" … "<!-- end -->"`);
      const text = render();
      expected = expected.replace(part, (_, before, after) => `${before}\n${text}\n\n${after}`);
    }
    return { path, found, expected };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const old = renderDocs().filter(({ found, expected }) => found !== expected);
  if (process.argv.includes("--check")) {
    for (const { path } of old) console.error(`${path} is out of date: run node scripts/planner-docs.mjs`);
    process.exitCode = old.length === 0 ? 0 : 1;
  } else {
    for (const { path, expected } of old) {
      writeFileSync(new URL(path, root), expected);
      console.log(`wrote ${path}`);
    }
  }
}
