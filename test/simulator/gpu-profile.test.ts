import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createPlanner, H100_SXM, PlanViolation } from "@isochron/planner";
import {
  findProfile,
  gpuFacts,
  InvalidProfileError,
  listProfiles,
  parseProfile,
  plannerDevice,
  simulateKernel,
  UnknownProfileError,
} from "@isochron/simulator";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { LLAMA_8B_ATTENTION } from "./hand-made-plans.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests break a document wherever they like
const h100 = () => structuredClone(findProfile("h100-sxm")) as unknown as Record<string, any>;

/** The error of parsing this document as a profile file. */
function errorOf(document: unknown): InvalidProfileError {
  try {
    parseProfile(JSON.stringify(document), "broken.json");
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidProfileError);
    return error as InvalidProfileError;
  }
  throw new Error("the profile was accepted");
}

describe("GPU profiles", () => {
  test("are what the committed measurements say", () => {
    const builder = fileURLToPath(new URL("../../packages/simulator/validation/build-profiles.mjs", import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [builder, "--check"], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  test("every bundled profile is valid, carries its own name and can be planned for", () => {
    const names = listProfiles();
    expect(names).toEqual([...names].sort());
    for (const name of ["h100-sxm", "h200-sxm", "a100-sxm", "b200", "l40s", "rtx-4090", "rtx-pro-6000"]) {
      expect(names).toContain(name);
    }
    for (const name of names) {
      const profile = findProfile(name);
      expect(profile.name).toBe(name);
      const planner = createPlanner({ attention: LLAMA_8B_ATTENTION, device: plannerDevice(profile) });
      expect(planner.plan({ qoLens: [1, 700], kvLens: [5000, 700] }).stats.makespanUs).toBeGreaterThan(0);
    }
  });

  test("a profile that was not measured says so, and no number of it claims to be measured there", () => {
    for (const name of ["a100-sxm", "b200", "l40s", "rx-7900-xtx"]) {
      const profile = findProfile(name);
      expect(profile.calibrated).toBe(false);
      expect(profile.sources[profile.memory.achievedGBps.source]!.basis).toBe("estimated");
      expect(profile.gemm.shapes).toEqual([]);
    }
    expect(findProfile("h100-sxm").calibrated).toBe(true);
  });

  test("no bundled profile reaches more than its data sheet", () => {
    for (const name of listProfiles()) {
      const { memory, tensor, attention, gemm } = findProfile(name);
      for (const [, gbps] of memory.achievedGBps.rows) expect(gbps).toBeLessThanOrEqual(memory.dataSheetGBps.value);
      for (const [, tflops] of attention.tensorTflops.rows) expect(tflops).toBeLessThan(tensor.peakTflops.bf16.value);
      expect(gemm.tflops.value).toBeLessThan(tensor.peakTflops.bf16.value);
    }
  });

  test("the H100 profile gives the planner its H100", () => {
    expect(plannerDevice(findProfile("h100-sxm"))).toEqual(H100_SXM);
  });

  test("an unknown name is an error that carries the known names", () => {
    expect(() => findProfile("h100")).toThrow(UnknownProfileError);
    try {
      findProfile("h100");
    } catch (error) {
      expect((error as UnknownProfileError).known).toEqual(listProfiles());
      expect((error as Error).message).toContain("h100-sxm");
    }
    expect(() => findProfile("./no-such-profile.json")).toThrow(UnknownProfileError);
  });

  test("a file is found by its path", () => {
    const folder = temporaryFolder();
    const file = join(folder, "mine.json");
    writeFileSync(file, JSON.stringify({ ...h100(), name: "mine" }));
    expect(findProfile(file).name).toBe("mine");
    writeFileSync(file, readFileSync(file, "utf8").slice(0, 100));
    expect(() => findProfile(file)).toThrow(InvalidProfileError);
  });

  test("a broken file is refused with the field that is wrong", () => {
    const missing = h100();
    delete missing["memory"].perCtaGBps;
    expect(errorOf(missing).field).toBe("memory.perCtaGBps");

    const negative = h100();
    negative["attention"].startUs.value = -1;
    expect(errorOf(negative).field).toBe("attention.startUs.value");

    const unsorted = h100();
    unsorted["memory"].achievedGBps.rows.reverse();
    expect(errorOf(unsorted).field).toBe("memory.achievedGBps.rows");

    const unsourced = h100();
    unsourced["merge"].partialUs.source = "hearsay";
    expect(errorOf(unsourced).field).toBe("merge.partialUs.source");
    expect(errorOf(unsourced).message).toContain("hearsay");

    expect(errorOf({ ...h100(), isochron: "gpu-profile/2" }).field).toBe("isochron");
    expect(errorOf({ ...h100(), speed: 1 }).message).toContain("speed");
    expect(errorOf([]).file).toBe("broken.json");
  });
});

test("what is no profile, or no plan, is told so", () => {
  const plan = createPlanner({ attention: LLAMA_8B_ATTENTION, device: H100_SXM }).plan({ qoLens: [1], kvLens: [100] });
  for (const nothing of [undefined, null, "h100-sxm", {}] as unknown[]) {
    const profile = nothing as ReturnType<typeof findProfile>;
    expect(() => gpuFacts(profile)).toThrow(InvalidProfileError);
    expect(() => simulateKernel(plan, profile)).toThrow(InvalidProfileError);
    expect(() => simulateKernel(nothing as typeof plan, findProfile("h100-sxm"))).toThrow(PlanViolation);
  }
  expect(() => gpuFacts("h100-sxm" as never)).toThrow(
    'the GPU profile: found "h100-sxm", expected what findProfile() returns',
  );
});
