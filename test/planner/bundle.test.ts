// What a bundler makes of the package: names are found by the main entry alone, and what is not imported is not bundled.

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as main from "@isochron/planner";
import * as core from "@isochron/planner/core";
import { describe, expect, test } from "vitest";
import { LLAMA_8B } from "./support.ts";

const SOURCES = fileURLToPath(new URL("../../packages/planner/src/", import.meta.url));

/** The minified program that exports these names of an entry, and the files that are left in it. */
async function bundle(entry: string, names: string) {
  const script: string = "../../packages/planner/bench/package-size.mjs";
  const { bundleImport } = await import(/* @vite-ignore */ script);
  const { code, modules } = (await bundleImport(SOURCES + entry, names)) as { code: string; modules: string[] };
  return { gzipBytes: gzipSync(code, { level: 9 }).length, files: modules.map((id) => id.replace(SOURCES, "")) };
}

describe("the core entry", () => {
  const { H100_SXM } = main;
  const batch = { qoLens: [1, 1, 1, 300], kvLens: [20_000, 900, 70, 3000] };

  test("plans with policy objects what the main entry plans with their names", () => {
    const { balanced, tight, invariant, auto, none } = core;
    for (const [name, policy] of Object.entries({ balanced, tight, invariant, auto, none })) {
      const options = { attention: LLAMA_8B, device: H100_SXM };
      const byName = main.createPlanner({ ...options, policy: name as main.PolicyName }).plan(batch);
      const byObject = core.createPlanner({ ...options, policy }).plan(batch);
      core.verifyPlan(byObject, batch, H100_SXM);
      expect(byObject.policy).toBe(name);
      expect(Buffer.from(core.encodePlan(byObject)).equals(main.encodePlan(byName))).toBe(true);
    }
    expect(core.createPlanner({ attention: LLAMA_8B, device: H100_SXM }).policy).toBe("balanced");
  });

  test("refuses a name, and says where names work", () => {
    const policy = "tight" as unknown as core.Policy;
    const options = { attention: LLAMA_8B, device: H100_SXM, policy };
    expect(() => core.createPlanner(options)).toThrow(core.UnknownPolicyError);
    expect(() => core.createPlanner(options)).toThrow(/expected a policy object \(names need @isochron\/planner\)/);
    expect(() => core.budgetFor({ ...options, maxRequests: 1, maxQueryTokens: 1 })).toThrow(core.UnknownPolicyError);
  });

  test("is all there in the main entry", () => {
    const { createPlanner, budgetFor, ...rest } = core;
    expect(main).toMatchObject(rest);
    expect([typeof main.createPlanner, typeof main.budgetFor]).toEqual([typeof createPlanner, typeof budgetFor]);
  });
});

describe("a bundle", () => {
  test("of one constant holds the file of that constant and no more", async () => {
    expect((await bundle("index.ts", "{ HEADER_BYTES }")).files).toEqual(["layout.ts"]);
  });

  test("of the core's createPlanner holds the default policy and none of the others", async () => {
    const { files } = await bundle("core.ts", "{ createPlanner }");
    expect(files).toContain("policies/balanced.ts");
    for (const policy of Object.values(main.POLICIES)) {
      if (policy.name !== "balanced") expect(files).not.toContain(`policies/${policy.name}.ts`);
    }
    expect(files.filter((file) => file.startsWith("policies/flashinfer/"))).toEqual([]);
    for (const file of ["policies/registry.ts", "verify.ts", "reference.ts", "codec.ts", "interop.ts"])
      expect(files).not.toContain(file);
  });

  test("of a policy object holds what that policy needs", async () => {
    const { files } = await bundle("core.ts", "{ tight }");
    expect(files).toContain("policies/packing.ts");
    expect(files).not.toContain("policies/auto.ts");
    expect(files).not.toContain("planner.ts");
  });

  test("of the main entry's createPlanner holds every rule, for their names", async () => {
    const { files } = await bundle("index.ts", "{ createPlanner }");
    for (const file of ["policies/flashmla.ts", "policies/flashinfer/holistic-plan.ts"]) expect(files).toContain(file);
    expect(files).not.toContain("reference.ts");
  });

  test("of the core that plans by the default, verifies and encodes stays below 22 KiB gzipped", async () => {
    const names = "{ budgetFor, createPlanner, decodePlan, encodePlan, verifyPlan }";
    expect((await bundle("core.ts", names)).gzipBytes).toBeLessThan(22 * 1024);
  });
});
