// docs/counterfactual.md says what its kept figures say.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

test("tables, commands and picture are made from the figures", () => {
  const { status, stderr } = spawnSync(process.execPath, [at("scripts/counterfactual.mjs"), "--check"], {
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});

test("both replays of a scenario differ in the attention policy alone", () => {
  const { scenarios } = JSON.parse(readFileSync(at("docs/counterfactual/figures.json"), "utf8"));
  for (const { runs } of scenarios) {
    const [first, ...others] = runs;
    for (const { deployment, trace, metrics } of others) {
      expect({ ...deployment, attention: first.deployment.attention }).toEqual(first.deployment);
      expect(trace).toEqual(first.trace);
      expect(metrics.completed).toBe(first.metrics.completed);
    }
  }
});
