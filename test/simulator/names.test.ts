// The entries of the library that take names: what they find, and what they tell a program in JavaScript that gives none.

import {
  createStepTimer,
  findModel,
  findProfile,
  findTrace,
  gpuFacts,
  InvalidProfileError,
  ModelError,
  openTrace,
  plannerDevice,
  ReplayOptionsError,
  replay,
  StepTimerError,
  TraceError,
  traceOf,
} from "@isochron/simulator";
import { describe, expect, it } from "vitest";

const model = findModel("llama-3.1-8b");
const profile = findProfile("h100-sxm");

describe("the library", () => {
  it("opens a bundled trace by its name, as the command does", async () => {
    const byName = await openTrace("azure-code-2023", { limit: 5 });
    const byFile = await openTrace(findTrace("azure-code-2023").file, { limit: 5, name: "azure-code-2023" });
    expect(byName.identity()).toEqual(byFile.identity());
    expect(byName.name).toBe("azure-code-2023");
    await expect(openTrace("azure-code-2032")).rejects.toThrow(/azure-code-2032: found no such file/);
  });

  it("says what it was not given, by class and in one sentence", async () => {
    await expect(openTrace(undefined as never)).rejects.toThrow(TraceError);
    await expect(openTrace(undefined as never)).rejects.toThrow(/found no path, expected that of a trace file/);
    expect(() => plannerDevice("h100-sxm" as never)).toThrow(InvalidProfileError);
    expect(() => plannerDevice("h100-sxm" as never)).toThrow(/^h100-sxm: is no GPU profile, expected what findProfile/);
    expect(() => findModel(undefined as never)).toThrow(ModelError);
    expect(() => findModel(undefined as never)).toThrow(/undefined: is no name of a model \(llama-3\.1-8b, /);
  });

  it.each([
    ["trace is undefined, expected what openTrace() or traceOf() returns", { trace: undefined }],
    ['trace is "azure-conv-2023", expected what openTrace() or traceOf() returns', { trace: "azure-conv-2023" }],
    ["deployment.model is undefined, expected what findModel() returns", { deployment: undefined }],
    [
      'deployment.model is "llama-3.1-8b", expected what findModel() returns',
      { deployment: { model: "llama-3.1-8b" } },
    ],
    ['deployment.gpu is "h100-sxm", expected what gpuFacts() returns', { deployment: { model, gpu: "h100-sxm" } }],
    ["deployment.gpu is another object, expected what gpuFacts() returns", { deployment: { model, gpu: profile } }],
    ["stepTimer is undefined, expected what createStepTimer() returns", { stepTimer: undefined }],
    [
      "stepTimer.tensorParallel is 1, expected 2, the deployment's: give createStepTimer() the same",
      { deployment: { model, gpu: gpuFacts(profile), tensorParallel: 2 } },
    ],
  ])("says of a replay: %s", async (message, change) => {
    const options = {
      trace: traceOf([]),
      deployment: { model, gpu: gpuFacts(profile) },
      stepTimer: createStepTimer({ kind: "kernel", model, profile }),
      ...change,
    };
    await expect(replay(options as never)).rejects.toThrow(ReplayOptionsError);
    await expect(replay(options as never)).rejects.toThrow(`replay: ${message}`);
  });

  it.each([
    ["kind is undefined, expected one of analytic, kernel", undefined],
    ["model is undefined, expected what findModel() returns", { kind: "kernel", profile }],
    ['model is "llama-3.1-8b", expected what findModel() returns', { kind: "kernel", model: "llama-3.1-8b", profile }],
    ["profile is undefined, expected what findProfile() returns", { kind: "analytic", model }],
    ['profile is "h100-sxm", expected what findProfile() returns', { kind: "analytic", model, profile: "h100-sxm" }],
  ])("says of a step timer: %s", (message, options) => {
    const create = (): unknown => createStepTimer(options as never);
    expect(create).toThrow(StepTimerError);
    expect(create).toThrow(`step timer: ${message}`);
  });
});
