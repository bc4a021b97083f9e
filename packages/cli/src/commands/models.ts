// `isochron models`: which models a deployment can serve, and what they weigh.

import { findModel, MODEL_NAMES, parameterCount, rankKvBytesPerToken, rankWeightBytes } from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { bytes, fixed, integer } from "../terminal/numbers.ts";
import { table } from "../terminal/table.ts";

interface ModelRow {
  readonly name: string;
  readonly huggingFaceId: string;
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly parameters: number;
  readonly weightBytes: number;
  readonly kvBytesPerToken: number;
  readonly maxContextTokens: number;
}

export function addModelsCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "models",
    summary: "list the bundled models",
    examples: ["isochron models"],
  }).action((options: CommonOptions) => {
    const models = MODEL_NAMES.map(modelRow);
    print(context, options, { isochron: "models/1", models }, (paint, width) =>
      table(
        models,
        [
          { title: "model", value: (row) => row.name },
          { title: "layers", align: "right", value: (row) => integer(row.layers) },
          { title: "query/KV heads × dim", value: (row) => `${row.queryHeads}/${row.kvHeads} × ${row.headDim}` },
          { title: "parameters", align: "right", value: (row) => `${fixed(row.parameters / 1e9, 1)} B` },
          { title: "weights", align: "right", value: (row) => bytes(row.weightBytes) },
          { title: "KV per token", align: "right", value: (row) => bytes(row.kvBytesPerToken) },
          { title: "context", align: "right", value: (row) => integer(row.maxContextTokens) },
          { title: "Hugging Face", isExtra: true, value: (row) => row.huggingFaceId },
        ],
        paint,
        width,
      ),
    );
  });
}

function modelRow(name: string): ModelRow {
  const model = findModel(name);
  return {
    name: model.name,
    huggingFaceId: model.huggingFaceId,
    layers: model.layers,
    queryHeads: model.queryHeads,
    kvHeads: model.kvHeads,
    headDim: model.headDim,
    parameters: parameterCount(model),
    weightBytes: rankWeightBytes(model, 1),
    kvBytesPerToken: rankKvBytesPerToken(model, 1),
    maxContextTokens: model.maxContextTokens,
  };
}
