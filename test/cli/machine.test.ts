import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isochron, isochronJson } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

describe("what there is", () => {
  it("lists GPU profiles and says which rest on measurements", async () => {
    const { gpus } = await isochronJson(["gpus"]);
    const profiles = gpus as { name: string; calibrated: boolean }[];
    expect(profiles.map((profile) => profile.name)).toContain("h100-sxm");
    const { stdout } = await isochron(["gpus"]);
    for (const { name, calibrated } of profiles) {
      expect(stdout).toMatch(new RegExp(`^${name} .*${calibrated ? "measurements" : "data sheets$"}`, "m"));
    }
  });

  it("lists models with the parameters that they publish", async () => {
    const { models } = await isochronJson(["models"]);
    const parameters = new Map((models as { name: string; parameters: number }[]).map((m) => [m.name, m.parameters]));
    // From the model card of meta-llama/Llama-3.1-8B.
    expect(parameters.get("llama-3.1-8b")).toBe(8_030_261_248);
    expect((await isochron(["models"])).stdout).toMatch(/^llama-3\.1-8b +32 +32\/8 × 128 +8\.0 B/m);
  });

  it("says how it reads a config.json, and what of it is not modelled", async () => {
    const path = join(temporaryFolder(), "my-mistral.json");
    const sizes = { hidden_size: 4096, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 8 };
    const others = { intermediate_size: 14_336, vocab_size: 32_000, max_position_embeddings: 32_768 };
    writeFileSync(path, JSON.stringify({ model_type: "mistral", sliding_window: 4096, ...sizes, ...others }));
    const { models } = await isochronJson(["models", path]);
    expect(models).toMatchObject([{ name: "my-mistral", parameters: 7_241_732_096, kvBytesPerToken: 131_072 }]);
    const warning = "my-mistral: the attention window of 4,096 tokens is not modelled";
    expect((await isochron(["models", path])).stdout).toContain(`warning: ${warning}`);
    const report = await isochronJson(["replay", "azure-conv-2023", "--limit", "2", "--model", path]);
    expect(report["warnings"]).toEqual([expect.stringContaining(warning)]);
  });

  it("says in one line why it cannot calibrate or replay on a GPU where there is none", async () => {
    const { findings } = (await isochronJson(["doctor"])) as { findings: { name: string; status: string }[] };
    if (findings.filter(({ name }) => name.startsWith("CUDA")).every(({ status }) => status === "ok")) return;
    const replaying = ["replay", "azure-conv-2023", "--limit", "5", "--step-timer", "cuda"];
    for (const command of [["calibrate"], replaying]) {
      const { exitCode, stdout, stderr } = await isochron(command);
      expect([exitCode, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^isochron: the CUDA executor is not available: .+\n$/);
    }
  });

  it("says what works on this machine and what is missing, and needs no GPU to be well", async () => {
    const doctor = await isochronJson(["doctor"]);
    const findings = doctor["findings"] as { name: string; status: string; detail: string }[];
    const status = new Map(findings.map((finding) => [finding.name, finding.status]));
    for (const name of ["Node", "machine", "traces", "data"]) expect(status.get(name)).toBe("ok");
    expect([...status.keys()].some((name) => name.startsWith("CUDA"))).toBe(true);
    expect(findings.filter((finding) => finding.detail.includes("unexpected error"))).toEqual([]);
    const { stdout, exitCode } = await isochron(["doctor"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^✓ Node +v\d+/);
  });
});
