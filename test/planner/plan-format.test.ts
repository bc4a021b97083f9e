// The plan format as other languages see it: the documented readers in C and Python say what TypeScript says.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type AttentionBatch,
  type AttentionShape,
  createPlanner,
  decodePlan,
  encodePlan,
  H100_SXM,
  Header,
  Launch,
  MergeLaunch,
  MergeOrder,
  Piece,
  type Plan,
  POLICIES,
  type PolicyName,
} from "@isochron/planner";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findCCompiler, findPython } from "../support/tools.ts";
import { LLAMA_8B, randomNumbers } from "./support.ts";

const EXAMPLES = fileURLToPath(new URL("../../docs/examples/plan-format", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "isochron-plan-format-"));
const cReader = join(folder, "read_plan");
let python = "";
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(() => {
  python = findPython();
  const compiler = findCCompiler();
  const strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O1", "-o", cReader];
  const source = join(EXAMPLES, "read_plan.c");
  // Reads out of bounds must be seen where the compiler comes with its sanitizers.
  const checked = spawnSync(compiler, ["-fsanitize=address,undefined", "-fno-sanitize-recover", ...strict, source]);
  if (checked.status !== 0) execFileSync(compiler, [...strict, source], { stdio: "pipe" });
});

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const readers: readonly [string, (path: string) => Run][] = [
  ["read_plan.c", (path) => spawnSync(cReader, [path], { encoding: "utf8" })],
  ["read_plan.py", (path) => spawnSync(python, [join(EXAMPLES, "read_plan.py"), path], { encoding: "utf8" })],
];

function fileOf(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** What the readers print, from the TypeScript side. */
function summaryOf(plan: Plan): string {
  const { header, pieces, attention, stats, workers } = plan;
  const name = (table: Readonly<Record<string, number>>, value: number): string =>
    Object.keys(table).find((key) => table[key] === value)!;
  const total = (field: "qoLen" | "kvLen"): number => {
    let sum = 0;
    for (let i = 0; i < plan.requestCount; i++) sum += plan.requests[i * 4 + (field === "qoLen" ? 1 : 2)]!;
    return sum;
  };
  const tile = header[Header.kvTileTokens]!;
  const piecesOf: number[] = [];
  const tilesOf: number[] = [];
  let partial = 0;
  for (let w = 0; w < workers; w++) {
    let pieceCount = 0;
    let tiles = 0;
    for (let i = plan.workerPieceIndptr[w]!; i < plan.workerPieceIndptr[w + 1]!; i++) {
      const at = i * Piece.stride;
      const heads = pieces[at + Piece.headCount]!;
      const start = pieces[at + Piece.kvStart]!;
      const end = pieces[at + Piece.kvEnd]!;
      pieceCount += heads;
      if (end > start) tiles += heads * (Math.ceil(end / tile) - Math.floor(start / tile));
      if (pieces[at + Piece.slot]! >= 0) partial += heads;
    }
    piecesOf.push(pieceCount);
    tilesOf.push(tiles);
  }
  const range = (values: number[]): string =>
    values.length === 0 ? "0 to 0" : `${Math.min(...values)} to ${Math.max(...values)}`;
  const { mask } = attention;
  return [
    `policy: ${plan.policy}`,
    `launch: ${name(Launch, header[Header.launch]!)}`,
    `merge launch: ${name(MergeLaunch, header[Header.mergeLaunch]!)}`,
    `merge order: ${name(MergeOrder, header[Header.mergeOrder]!)}, grid of ${header[Header.mergeGridTokens]} tokens`,
    `heads: ${attention.queryHeads} query, ${attention.kvHeads} KV, ${header[Header.packedHeads]} packed`,
    `head dimensions: ${attention.headDim} query and key, ${attention.valueHeadDim ?? attention.headDim} value`,
    `types: ${attention.dtype}, KV ${attention.kvDtype}`,
    `mask: ${mask.kind}, window ${mask.kind === "sliding-window" ? mask.window : 0}`,
    `soft cap: ${(attention.softCap ?? 0).toFixed(3)}, sinks ${attention.sinks === true ? 1 : 0}`,
    `page size: ${attention.pageSize}, KV tile: ${tile} tokens`,
    `requests: ${plan.requestCount}, query tokens: ${total("qoLen")}, KV tokens: ${total("kvLen")}`,
    `shared prefixes: ${plan.groupCount} groups, ${header[Header.groupMemberCount]} members`,
    `workers: ${workers}`,
    `pieces: ${stats.pieces} in ${plan.pieceRecordCount} records`,
    `pieces per worker: ${range(piecesOf)}`,
    `KV tiles per worker: ${range(tilesOf)}`,
    `write-through pieces: ${stats.pieces - partial}, partial pieces: ${partial}`,
    `split jobs: ${stats.splitJobs}, partial slots: ${stats.partialSlots} of ${header[Header.slotRows]} rows`,
    `merges: ${plan.mergeCount} from ${header[Header.mergeSourceCount]} sources, rows merged: ${stats.mergeRows}`,
    `makespan: ${stats.makespanUs.toFixed(3)} us`,
    `lower bound: ${stats.lowerBoundUs.toFixed(3)} us`,
    `imbalance: ${stats.imbalance.toFixed(4)}`,
    `bytes: ${plan.usedBytes} used of ${plan.buffer.byteLength}`,
    `fingerprint: ${(plan.fingerprint >>> 0).toString(16).padStart(8, "0")}`,
    "",
  ].join("\n");
}

const decodes: AttentionBatch = { qoLens: [1, 1, 1, 1, 1], kvLens: [131_072, 4096, 70, 9000, 0] };
const mixed: AttentionBatch = { qoLens: [1, 700, 0, 1, 33], kvLens: [50_000, 3000, 128, 1, 33] };
const shared: AttentionBatch = {
  qoLens: [1, 1, 1, 1, 40, 1],
  kvLens: [40_000, 40_100, 33_000, 33_100, 33_500, 700],
  prefixes: [
    { requests: [0, 1, 2, 3, 4], kvLen: 32_000 },
    { requests: [0, 1], kvLen: 36_000 },
  ],
};
const mla: AttentionShape = { ...LLAMA_8B, queryHeads: 128, kvHeads: 1, headDim: 576, valueHeadDim: 512, pageSize: 64 };
const dressed: AttentionShape = {
  ...LLAMA_8B,
  kvDtype: "fp8_e4m3",
  mask: { kind: "sliding-window", window: 1000 },
  softCap: 30.5,
  sinks: true,
};

const plans: [string, () => Plan][] = [
  ...(Object.keys(POLICIES) as PolicyName[]).map((policy): [string, () => Plan] => [
    policy,
    () =>
      createPlanner({ attention: policy === "flashinfer-mla" ? mla : LLAMA_8B, device: H100_SXM, policy }).plan(
        decodes,
      ),
  ]),
  ["balanced with prefills", () => createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(mixed)],
  ["balanced with every option", () => createPlanner({ attention: dressed, device: H100_SXM }).plan(mixed)],
  [
    "balanced inside a budget",
    () =>
      createPlanner({
        attention: LLAMA_8B,
        device: H100_SXM,
        budget: { maxRequests: 64, maxQueryTokens: 2048 },
      }).plan(mixed),
  ],
  ["balanced with shared prefixes", () => createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(shared)],
  [
    "invariant with shared prefixes",
    () => createPlanner({ attention: LLAMA_8B, device: H100_SXM, policy: "invariant" }).plan(shared),
  ],
  ["an empty batch", () => createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan({ qoLens: [], kvLens: [] })],
];

describe.each(readers)("%s", (_, read) => {
  test.each(plans)("reads %s as TypeScript does", (name, make) => {
    const plan = make();
    const { status, stdout, stderr } = read(fileOf(`${name}.plan`, encodePlan(plan)));
    expect(stderr).toBe("");
    expect(stdout).toBe(summaryOf(plan));
    expect(status).toBe(0);
  });

  test("refuses what is no plan, in one line", () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(4096), new TextEncoder().encode("ISOP".repeat(200))]) {
      const { status, stdout, stderr } = read(fileOf("hostile.plan", bytes));
      expect(status).toBe(1);
      expect(stdout).toBe("");
      expect(stderr).toMatch(/^read_plan: .+\n$/);
    }
    expect(read(join(folder, "there-is-no-such.plan")).status).toBe(1);
  });
});

describe("hostile plan files", () => {
  const whole = encodePlan(createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(shared));

  test("read_plan.c refuses a file that is cut anywhere", () => {
    const lengths = [...Array(8).keys(), 255, 256, 257, whole.length - 1];
    for (let length = 260; length < whole.length; length += Math.ceil(whole.length / 25)) lengths.push(length);
    for (const length of lengths) {
      const { status, stdout, stderr } = readers[0]![1](fileOf("cut.plan", whole.subarray(0, length)));
      expect({ length, status, stdout }).toEqual({ length, status: 1, stdout: "" });
      expect(stderr).toMatch(/^read_plan: found \d+ bytes, .+\n$/);
    }
  });

  test("read_plan.py refuses a file that is cut anywhere", () => {
    const script = [
      "import sys",
      `sys.path.insert(0, ${JSON.stringify(EXAMPLES)})`,
      "sys.dont_write_bytecode = True",
      "from read_plan import PlanFormatError, read_plan",
      "data = open(sys.argv[1], 'rb').read()",
      "for length in range(len(data)):",
      "    try:",
      "        read_plan(data[:length])",
      "        sys.exit(f'accepted {length} of {len(data)} bytes')",
      "    except PlanFormatError:",
      "        pass",
      "read_plan(data)",
    ].join("\n");
    const run = spawnSync(python, ["-c", script, fileOf("whole.plan", whole)], { encoding: "utf8" });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
  });

  test("read_plan.c survives 60 damaged plans: it reads them or refuses them, and what TypeScript accepts it reads", () => {
    const random = randomNumbers(7);
    const pick = (below: number): number => Math.floor(((random() + 1) / 2) * below);
    const values = [0, 1, -1, 255, 65_536, 0x7fff_ffff, -0x8000_0000, 16, 1 << 28];
    let refused = 0;
    for (let round = 0; round < 60; round++) {
      const bytes = whole.slice();
      const words = new Int32Array(bytes.buffer);
      // Half of the damage goes to the header.
      for (let n = pick(3); n >= 0; n--)
        words[pick(2) === 0 ? pick(64) : pick(words.length)] = values[pick(values.length)]!;
      const { status, stderr } = readers[0]![1](fileOf("damaged.plan", bytes));
      expect([0, 1], `round ${round}: ${stderr}`).toContain(status);
      if (status === 1) expect(stderr).toMatch(/^read_plan: .+\n$/);
      refused += status!;
      let isAccepted = true;
      try {
        decodePlan(bytes);
      } catch {
        isAccepted = false;
      }
      if (isAccepted) expect(status, `round ${round}: ${stderr}`).toBe(0);
    }
    expect(refused).toBeGreaterThan(20);
  });
});
