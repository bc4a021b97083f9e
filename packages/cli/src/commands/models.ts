// `isochron models`: which models a deployment can serve, and what they weigh.

import { MODEL_NAMES, parameterCount, rankKvBytesPerToken, rankWeightBytes } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { findServedModel } from "../inputs.ts";
import { bytes, fixed, integer } from "../terminal/numbers.ts";
import { table } from "../terminal/table.ts";

interface ModelRow {
  readonly name: string;
  readonly huggingFaceId: string;
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Width of the latent that stands for all KV heads, and of its rotary part; absent without latent attention. */
  readonly latentDims?: readonly [number, number];
  readonly experts: number;
  readonly expertsPerToken: number;
  readonly weightDtype: string;
  readonly parameters: number;
  readonly weightBytes: number;
  readonly kvBytesPerToken: number;
  readonly maxContextTokens: number;
  /** What of its description is not modelled. */
  readonly notes: readonly string[];
}

export function addModelsCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "models [model...]",
    about: { model: "bundled model, config.json, or folder that has one" },
    summary: "list the bundled models, or say how a Hugging Face config.json is read",
    examples: ["isochron models", "isochron models ./config.json"],
  }).action((named: readonly string[], options: CommonOptions) => {
    const models = (named.length > 0 ? named : MODEL_NAMES).map(modelRow);
    print(context, options, { isochron: "models/1", models }, (paint, width) => {
      const rows = table(
        models,
        [
          { title: "model", value: (row) => row.name },
          { title: "layers", align: "right", isExtra: true, value: (row) => integer(row.layers) },
          { title: "query/KV heads × dim", value: heads },
          { title: "parameters", align: "right", value: (row) => `${fixed(row.parameters / 1e9, 1)} B` },
          { title: "weights", align: "right", value: (row) => `${bytes(row.weightBytes)} ${row.weightDtype}` },
          { title: "experts", align: "right", isExtra: true, value: experts },
          { title: "KV per token", align: "right", value: (row) => bytes(row.kvBytesPerToken) },
          { title: "context", align: "right", isExtra: true, value: (row) => integer(row.maxContextTokens) },
          { title: "Hugging Face", isExtra: true, value: (row) => row.huggingFaceId },
        ],
        paint,
        width,
      );
      const notes = models.flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`));
      const warnings = notes.map((note) => `${paint("yellow", "warning:")} ${note}\n`);
      return warnings.length === 0 ? rows : `${rows}\n${warnings.join("")}`;
    });
  });
}

function heads({ queryHeads, kvHeads, headDim, latentDims }: ModelRow): string {
  if (latentDims === undefined) return `${queryHeads}/${kvHeads} × ${headDim}`;
  return `${queryHeads}/1 latent × ${latentDims.join(" + ")}`;
}

function experts(row: ModelRow): string {
  return row.experts === 0 ? "–" : `${row.expertsPerToken} of ${row.experts}`;
}

function modelRow(nameOrPath: string): ModelRow {
  const model = findServedModel(nameOrPath);
  return {
    name: model.name,
    huggingFaceId: model.huggingFaceId,
    layers: model.layers,
    queryHeads: model.queryHeads,
    kvHeads: model.kvHeads,
    headDim: model.headDim,
    ...(model.mla === undefined ? {} : { latentDims: [model.mla.kvRank, model.mla.ropeHeadDim] as const }),
    experts: model.moe?.experts ?? 0,
    expertsPerToken: model.moe?.expertsPerToken ?? 0,
    weightDtype: model.weightDtype ?? model.dtype,
    parameters: parameterCount(model),
    weightBytes: rankWeightBytes(model, 1),
    kvBytesPerToken: rankKvBytesPerToken(model, 1),
    maxContextTokens: model.maxContextTokens,
    notes: model.notes ?? [],
  };
}
