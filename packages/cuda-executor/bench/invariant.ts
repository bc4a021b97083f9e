// What batch invariance costs: the same cases under `invariant` and under `balanced`, one after the other.
//   node invariant.js [--cases FILE] [--heads 32/8] [--pages 16] [--match TEXT] [--out FILE]

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CudaExecutor } from "@isochron/cuda-executor";
import { type AttentionShape, createPlanner, type PolicyName } from "@isochron/planner";
import { readCases, SECTIONS } from "./case-file.ts";
import { machine } from "./machine.ts";
import { coldCase, createPool } from "./pool.ts";

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    sections: { type: "string", default: "decode,prefill,mixed" },
    heads: { type: "string", default: "32/8" },
    pages: { type: "string", default: "16" },
    match: { type: "string", default: "" },
    repetitions: { type: "string", default: "50" },
    out: { type: "string" },
  },
});
const WARM_UPS = 5;
const cases = readCases(values.cases ?? new URL("../../bench/data/cases.json", import.meta.url));
const executor = CudaExecutor.open();
const pool = createPool(executor, 1);
const results: Record<string, unknown>[] = [];
const ratios = new Map<string, number[]>();
console.log("case                                heads ps     kvMB  balanced invariant  ratio   slots workspace MiB");
for (const heads of values.heads.split(",")) {
  const [queryHeads, kvHeads] = heads.split("/").map(Number) as [number, number];
  for (const pageSize of values.pages.split(",").map(Number)) {
    const mask = { kind: "causal" } as const;
    const dtype = "bf16";
    const attention: AttentionShape = { queryHeads, kvHeads, headDim: 128, dtype, kvDtype: dtype, pageSize, mask };
    for (const kind of SECTIONS.filter((section) => values.sections.split(",").includes(section))) {
      for (const one of (cases.get(kind) ?? []).filter(({ id }) => id.includes(values.match))) {
        const cold = await coldCase(executor, pool, attention, one, kind === "prefill" ? 3 : 128);
        const measure = async (policy: PolicyName): Promise<{ us: number; slots: number; workspaceBytes: number }> => {
          const device = executor.plannerDevice(attention);
          const plan = createPlanner({ attention, device, policy }).plan(one);
          const graph = executor.capture(plan, cold.layers);
          const times = (await graph.time(plan, WARM_UPS, Number(values.repetitions))).sort();
          const { workspaceBytes } = graph;
          graph.close();
          return { us: times[times.length >> 1]! / cold.copies, slots: plan.stats.partialSlots, workspaceBytes };
        };
        const balanced = await measure("balanced");
        const invariant = await measure("invariant");
        const ratio = invariant.us / balanced.us;
        ratios.set(kind, [...(ratios.get(kind) ?? []), ratio]);
        results.push({
          case: one.id,
          kind,
          heads,
          pageSize,
          kvBytes: cold.kvBytes,
          copies: cold.copies,
          balanced,
          invariant,
          ratio,
        });
        console.log(
          [
            one.id.padEnd(34),
            heads.padStart(5),
            String(pageSize).padStart(2),
            (cold.kvBytes / 1e6).toFixed(1).padStart(8),
            balanced.us.toFixed(2).padStart(9),
            invariant.us.toFixed(2).padStart(9),
            ratio.toFixed(3).padStart(6),
            String(invariant.slots).padStart(7),
            (invariant.workspaceBytes / 2 ** 20).toFixed(1).padStart(6),
          ].join(" "),
        );
        cold.close();
      }
    }
  }
}
const summary = Object.fromEntries(
  [...ratios].map(([kind, list]) => {
    const sorted = list.toSorted((a, b) => a - b);
    const geometricMean = Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length);
    return [kind, { geometricMean, median: sorted[sorted.length >> 1], worst: sorted.at(-1) }];
  }),
);
console.log(JSON.stringify(summary));
if (values.out !== undefined) {
  const written = { machine: machine(executor), benchmark: "invariant", summary, results };
  writeFileSync(values.out, `${JSON.stringify(written, null, 1)}\n`);
}
await executor.close();
