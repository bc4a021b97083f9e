// Writes the bundled GPU profiles from measurements in validation/data and from data sheets.
//
//   node packages/simulator/validation/build-profiles.mjs [--check]
//
// No attention measurement that `npm run validate` judges is looked at: the H100's constants come from microbenchmarks, GEMMs,
// collectives, and rows of attention tables that are left out of the judgement.

import { readFileSync, writeFileSync } from "node:fs";
import { compactJson } from "./profiles/compact-json.mjs";
import { a100, b200, l40s, rx7900 } from "./profiles/data-sheets.mjs";
import { h100 } from "./profiles/h100.mjs";
import { h200 } from "./profiles/h200.mjs";
import { rtx4090, rtxPro6000 } from "./profiles/serving.mjs";

let different = 0;
for (const profile of [h100, h200, a100, b200, l40s, rtx4090, rtxPro6000, rx7900]) {
  const file = new URL(`../profiles/${profile.name}.json`, import.meta.url);
  const text = `${compactJson(profile)}\n`;
  if (!process.argv.includes("--check")) writeFileSync(file, text);
  else if (readFileSync(file, "utf8") !== text) {
    different++;
    console.error(`profiles/${profile.name}.json is not what the measurements say`);
  }
}
process.exitCode = different === 0 ? 0 : 1;
