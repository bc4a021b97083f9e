// Draws docs/images/planning-*.svg from plans that the planner makes here and now.
//
//   node scripts/draw-planning.mjs [--check]      (after npm run build)

import { readFileSync, writeFileSync } from "node:fs";
import { budgetBuffers } from "./drawings/budget.mjs";
import { invariance } from "./drawings/invariance.mjs";
import { lowerBoundCurve } from "./drawings/lower-bound.mjs";
import { merging } from "./drawings/merging.mjs";
import { problem } from "./drawings/problem.mjs";
import { wrapAround } from "./drawings/wrap-around.mjs";

const IMAGES = new URL("../docs/images/", import.meta.url);

const DRAWINGS = {
  "planning-problem.svg": problem,
  "planning-wrap-around.svg": wrapAround,
  "planning-lower-bound.svg": lowerBoundCurve,
  "planning-budget.svg": budgetBuffers,
  "planning-merge.svg": merging,
  "planning-invariance.svg": invariance,
};

for (const [name, draw] of Object.entries(DRAWINGS)) {
  const svg = draw();
  const file = new URL(name, IMAGES);
  if (!process.argv.includes("--check")) writeFileSync(file, svg);
  else if (readFileSync(file, "utf8") !== svg) {
    console.error(`docs/images/${name} is out of date: run node scripts/draw-planning.mjs`);
    process.exitCode = 1;
  }
}
