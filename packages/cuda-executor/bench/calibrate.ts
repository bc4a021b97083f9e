// Calibrates the device and writes its profile; compares it with the one it starts from.
//   node calibrate.js --base PROFILE [--out FILE]

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type BaseProfile, CudaExecutor, calibrate } from "@isochron/cuda-executor";

const { values } = parseArgs({ options: { base: { type: "string" }, out: { type: "string" } } });
if (values.base === undefined) throw new Error("usage: calibrate --base PROFILE [--out FILE]");
const base = JSON.parse(readFileSync(values.base, "utf8")) as BaseProfile;
const executor = CudaExecutor.open();
const { profile, measurements, durationS } = await calibrate(executor, base);
await executor.close();
for (const { name, median, p10, p90 } of measurements) {
  console.log(`${name.padEnd(32)} ${median.toFixed(3).padStart(10)}  (${p10.toFixed(3)} to ${p90.toFixed(3)})`);
}
console.log(`calibrated in ${durationS.toFixed(1)} s`);
if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(profile, null, 1)}\n`);
