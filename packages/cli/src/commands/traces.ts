// `isochron traces`: what traces there are, what is in one, how to turn it into our own format, and how to make one.

import { existsSync, statSync } from "node:fs";
import {
  BUNDLED_TRACES,
  inspectTrace,
  openTrace,
  type TokenSummary,
  TRACE_FORMAT_NAMES,
  type Trace,
  type TraceFormatName,
  type TraceInspection,
} from "@isochron/simulator";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { writeTrace } from "../documents/write-trace.ts";
import { InputError, unknownName } from "../errors.ts";
import { integerOption, nameOption } from "../options.ts";
import { clock, fixed, integer, percent } from "../terminal/numbers.ts";
import type { Painter } from "../terminal/style.ts";
import { table } from "../terminal/table.ts";
import { columnsOption, type GivenColumns, wholeColumns } from "../trace-columns.ts";
import { ABOUT_TRACE, traceFile } from "../trace-files.ts";
import { watched } from "../watched-trace.ts";
import { addMakeTrace } from "./make-trace.ts";

interface ReadOptions extends CommonOptions {
  readonly format?: TraceFormatName;
  readonly columns?: GivenColumns;
  readonly limit?: number;
  readonly skipInvalid?: true;
}

export function addTracesCommand(program: Command, context: Context): void {
  const traces = program
    .command("traces")
    .summary("list, inspect, convert and make traces")
    .description("list, inspect, convert and make traces; alone it lists them")
    .addHelpText("before", "  $ isochron traces inspect azure-conv-2023\n")
    .option("--json", "print one JSON document and nothing else")
    .option("--debug", "show the stack trace of an error")
    .allowExcessArguments()
    .action((options: CommonOptions) => {
      const [word] = traces.args;
      if (word !== undefined) throw unknownName("unknown command traces", word, ["list", "inspect", "convert", "make"]);
      listTraces(options, context);
    });
  addList(traces, context);
  addInspect(traces, context);
  addConvert(traces, context);
  addMakeTrace(traces, context);
}

function addList(traces: Command, context: Context): void {
  newCommand(traces, {
    usage: "list",
    summary: "list the bundled traces",
    examples: ["isochron traces list"],
  }).action((_: CommonOptions, command: Command) => listTraces(command.optsWithGlobals(), context));
}

function listTraces(options: CommonOptions, context: Context): void {
  const rows = Object.entries(BUNDLED_TRACES).map(([name, trace]) => {
    const { file } = traceFile(name);
    return { name, summary: trace.summary, license: trace.license, source: trace.source, isPresent: existsSync(file) };
  });
  print(context, options, { isochron: "traces/1", traces: rows }, (paint, width) =>
    table(
      rows,
      [
        { title: "trace", value: (row) => (row.isPresent ? row.name : paint("red", `${row.name} (missing)`)) },
        { title: "licence", value: (row) => row.license },
        { title: "content", value: (row) => row.summary },
      ],
      paint,
      width,
    ),
  );
}

function addInspect(traces: Command, context: Context): void {
  const command = newCommand(traces, {
    usage: "inspect <trace>",
    about: { trace: ABOUT_TRACE },
    summary: "say what is in a trace",
    examples: [
      "isochron traces inspect azure-conv-2023",
      "isochron traces inspect log.csv --columns arrivalMs=time,inputTokens=prompt,outputTokens=completion",
    ],
  });
  readingOptions(command).action(async (nameOrPath: string, _: ReadOptions, self: Command) => {
    const options = self.optsWithGlobals<ReadOptions>();
    const inspection = await watched(await open(nameOrPath, options), context, inspectTrace);
    print(context, options, { isochron: "trace-inspection/1", ...inspection }, (paint) =>
      inspectionText(inspection, paint),
    );
  });
}

function addConvert(traces: Command, context: Context): void {
  const command = newCommand(traces, {
    usage: "convert <trace> <file>",
    about: { trace: ABOUT_TRACE, file: "file to write" },
    summary: "write a trace as trace/1 JSON lines (gzip when the name ends in .gz)",
    examples: ["isochron traces convert azure-conv-2023 conversations.jsonl.gz"],
  });
  readingOptions(command).action(async (nameOrPath: string, target: string, _: ReadOptions, self: Command) => {
    const options = self.optsWithGlobals<ReadOptions>();
    if (isSameFile(traceFile(nameOrPath).file, target)) {
      throw new InputError(`${target}: is the trace itself, expected another file to write to`);
    }
    const trace = await open(nameOrPath, options);
    const requests = await watched(trace, context, (read) => writeTrace(target, read, context.interrupt));
    const document = { isochron: "trace-conversion/1", file: target, requests, from: trace.identity() };
    print(context, options, document, () => `wrote ${integer(requests)} requests to ${target}\n`);
  });
}

function isSameFile(one: string, other: string): boolean {
  const facts = [one, other].map((file) => statSync(file, { throwIfNoEntry: false }));
  return facts[0] !== undefined && facts[0].ino === facts[1]?.ino && facts[0].dev === facts[1]?.dev;
}

function readingOptions(command: Command): Command {
  return command
    .option(
      "--format <name>",
      `format of the file, not recognised but given: ${TRACE_FORMAT_NAMES.join(", ")}`,
      nameOption("--format", "format", TRACE_FORMAT_NAMES),
    )
    .addOption(columnsOption())
    .option("--limit <number>", "only the first so many requests", integerOption("--limit", 1))
    .option("--skip-invalid", "leave bad lines out and count them, instead of stopping at the first");
}

async function open(nameOrPath: string, options: ReadOptions): Promise<Trace> {
  const { file, name } = traceFile(nameOrPath);
  const { format, limit, skipInvalid } = options;
  return openTrace(file, { name, format, columns: wholeColumns(options.columns, format), limit, skipInvalid });
}

function inspectionText(inspection: TraceInspection, paint: Painter): string {
  const { identity, requests, spanS, requestsPerS, gapCv, input, output, prefixHitBound, warnings } = inspection;
  const prefixes =
    prefixHitBound === null ? "not identified" : `${percent(prefixHitBound)} of prompt tokens seen before`;
  const facts = [
    ["format", identity.format],
    ["sha256", identity.sha256],
    ["requests", integer(requests)],
    ["span", `${clock(spanS)} (${fixed(requestsPerS, 2)} requests / s, gaps vary by ${fixed(gapCv, 2)} × their mean)`],
    ["prefixes", prefixes],
    ...(identity.linesSkipped > 0 ? [["lines skipped", integer(identity.linesSkipped)]] : []),
  ];
  const rows: (readonly [string, TokenSummary])[] = [
    ["input", input],
    ["output", output],
  ];
  const column = (title: string, key: keyof TokenSummary) => ({
    title,
    align: "right" as const,
    value: ([, tokens]: (typeof rows)[number]) => integer(tokens[key]),
  });
  return [
    `${paint("bold", identity.name)}\n${facts.map(([name, value]) => `${name!.padEnd(14)} ${value}\n`).join("")}`,
    table(
      rows,
      [
        { title: "tokens", value: ([name]) => name },
        column("total", "total"),
        column("mean", "mean"),
        column("min", "min"),
        column("p50", "p50"),
        column("p90", "p90"),
        column("p99", "p99"),
        column("max", "max"),
      ],
      paint,
    ),
    ...warnings.map((warning) => `${paint("yellow", "warning:")} ${warning}\n`),
  ].join("\n");
}
