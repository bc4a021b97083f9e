import { readFileSync } from "node:fs";
import { join } from "node:path";
import { timelineSchema } from "@isochron/simulator";
import { describe, expect, it } from "vitest";
import { skewedDecode, writeDocument } from "../support/batches.ts";
import { isochron, isochronJson } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

describe("isochron simulate", () => {
  it("reports makespan, busy share, bandwidth and every SM", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", skewedDecode);
    const simulation = await isochronJson(["simulate", path, "--policy", "none"]);
    expect(simulation).toMatchObject({ isochron: "simulation/1", policy: "none", gpu: "h100-sxm" });
    expect(simulation["makespanUs"]).toBeGreaterThan(0);
    expect(simulation["busyFraction"]).toBeGreaterThan(0);
    expect(simulation["busyFraction"]).toBeLessThan(0.5);
    expect(simulation["bandwidthGBps"]).toBeGreaterThan(0);
    const perSm = simulation["perSm"] as { sm: number; busyUs: number; stalledUs: number; idleUs: number }[];
    expect(perSm.map((one) => one.sm)).toEqual(Array.from({ length: 132 }, (_, sm) => sm));
    for (const { busyUs, stalledUs, idleUs } of perSm) {
      expect(busyUs + stalledUs + idleUs).toBeCloseTo(simulation["makespanUs"] as number, 6);
    }
    expect(simulation).not.toHaveProperty("timeline");
  });

  it("writes a timeline that says which command made it", async () => {
    const folder = temporaryFolder();
    const path = writeDocument(folder, "batch.json", skewedDecode);
    const out = join(folder, "timeline.json");
    const { exitCode, stdout } = await isochron(["simulate", path, "--out", out]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`wrote ${out}`);
    const timeline = timelineSchema.parse(JSON.parse(readFileSync(out, "utf8")));
    expect(timeline.source).toBe("simulated");
    expect(timeline.policy).toBe("balanced");
    expect(timeline.generator.command).toContain("isochron simulate");
    expect(timeline.slices.worker.length).toBeGreaterThanOrEqual(timeline.stats.pieces);
  });

  it("is the same, byte for byte, for the same batch", async () => {
    const path = writeDocument(temporaryFolder(), "batch.json", skewedDecode);
    const first = await isochron(["simulate", path, "--json"]);
    const second = await isochron(["simulate", path, "--json"]);
    expect(second.stdout).toBe(first.stdout);
  });
});
