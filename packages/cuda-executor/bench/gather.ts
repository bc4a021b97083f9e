// Bandwidth of the floor's gather read against the number of CTAs, 32 KiB in flight each: what a GPU profile's
// `memory.achievedGBps` is made of.
//   node gather.js [--out FILE]

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CudaExecutor } from "@isochron/cuda-executor";
import type { Case } from "./case-file.ts";
import { MODEL } from "./check-context.ts";
import { machine } from "./machine.ts";
import { coldCase, createPool, timeFloor } from "./pool.ts";

const { values } = parseArgs({ options: { out: { type: "string" } } });
/** One request a CTA, 8 MiB of KV each: start and end are 2 % of its time. */
const TOKENS_PER_CTA = 2048;
const WARM_UPS = 4;
const REPETITIONS = 50;

const executor = CudaExecutor.open();
const pool = createPool(executor, 0.2);
const { smCount } = executor.device;
const counts = [1, 2, 4, 8, 16, 24, 33, 44, 55, 66, 77, 88, 99, 110, 121]
  .filter((ctas) => ctas < smCount)
  .concat([smCount, smCount * 1.5, smCount * 2, smCount * 3]);
const rows: { ctas: number; us: number; gigabytesPerSecond: number }[] = [];
for (const ctas of counts) {
  const lengths = (value: number): number[] => new Array(ctas).fill(value);
  const one: Case = { id: `gather_${ctas}`, qoLens: lengths(1), kvLens: lengths(TOKENS_PER_CTA), prefixTokens: 0 };
  const cold = await coldCase(executor, pool, MODEL, one, 128);
  const times = (await timeFloor(executor, pool, MODEL, cold, ctas, WARM_UPS, REPETITIONS)).sort();
  const us = times[REPETITIONS >> 1]!;
  const gigabytesPerSecond = cold.kvBytes / us / 1e3;
  rows.push({ ctas, us, gigabytesPerSecond });
  console.log(
    `${String(ctas).padStart(4)} CTAs ${us.toFixed(2).padStart(9)} µs ${gigabytesPerSecond.toFixed(1).padStart(8)} GB/s`,
  );
  cold.close();
}
if (values.out !== undefined) {
  writeFileSync(values.out, `${JSON.stringify({ machine: machine(executor), rows }, null, 1)}\n`);
}
await executor.close();
