// `isochron view`: opens the viewer on documents, on this machine only.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { serveViewer } from "@isochron/viz";
import { type Command, Option } from "commander";
import { type CommonOptions, newCommand, print, warn } from "../command.ts";
import type { Context } from "../context.ts";
import { writePage } from "../documents/page.ts";
import { STDIN } from "../documents/read.ts";
import { readViewable, type Viewable } from "../documents/viewable.ts";
import { writeJson } from "../documents/write.ts";
import { integerOption, pathOption } from "../options.ts";

interface ViewOptions extends CommonOptions {
  readonly html?: string;
  readonly port: number;
  readonly open: boolean;
}

export function addViewCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "view <file...>",
    about: { file: "report, timeline or results of a sweep, or the folder that has them; - is standard input" },
    summary: "show reports, timelines and sweeps in a browser",
    examples: [
      "isochron view isochron-out",
      "isochron view sweep-results",
      "isochron view balanced.json none.json --html compare.html",
    ],
  })
    .option("--html <file>", "write one self-contained page instead of serving it", pathOption("--html"))
    .addOption(
      new Option("--port <number>", "port on 127.0.0.1; 0 is any that is free")
        .argParser(integerOption("--port", 0, 65_535))
        .default(0)
        .conflicts("html"),
    )
    .option("--no-open", "do not start a browser")
    .action(async (files: string[], options: ViewOptions) => {
      const viewables = files.map(readViewable);
      for (const warning of viewables.flatMap((one) => one.warnings)) warn(context, warning);
      if (options.html !== undefined) writeOnePage(options.html, viewables, options, context);
      else await serve(viewables, options, context);
    });
}

function writeOnePage(file: string, viewables: readonly Viewable[], options: ViewOptions, context: Context): void {
  const reports = viewables.flatMap((one) => one.reports);
  const timelines = viewables.flatMap((one) => one.timelines);
  const sweeps = viewables.flatMap((one) => one.sweeps ?? []);
  writePage(file, { reports, timelines, sweeps });
  const counts = { reports: reports.length, timelines: timelines.length, sweeps: sweeps.length };
  const document = { isochron: "view/1", file, ...counts };
  print(context, options, document, () => `wrote ${file}\n`);
}

/** Serves until Ctrl-C. */
async function serve(viewables: readonly Viewable[], options: ViewOptions, context: Context): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "isochron-view-"));
  try {
    const viewer = await serveViewer({ files: viewables.map((one) => servedFile(one, folder)), port: options.port });
    const document = { isochron: "view/1", url: viewer.url, files: viewables.map((one) => one.path) };
    print(context, options, document, (paint) => `${paint("cyan", viewer.url)}\n${paint("dim", "Ctrl-C ends it")}\n`);
    if (options.open) openBrowser(viewer.url);
    await interrupted(context.interrupt);
    await viewer.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The file itself where it is whole (the page then follows its changes), else a bundle of all that belongs to it. */
function servedFile({ path, isWhole, reports, timelines, sweeps = [] }: Viewable, folder: string): string {
  if (isWhole && path !== STDIN) return path;
  const name =
    basename(path) === "report.json" || basename(path) === "summary.json"
      ? basename(dirname(resolve(path)))
      : basename(path).replace(/\.(json|isoc)(\.gz)?$/, "");
  const bundle = join(mkdtempSync(join(folder, "bundle-")), `${name}.json`);
  writeJson(bundle, { reports, timelines, sweeps });
  return bundle;
}

function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

const OPENERS: Readonly<Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>>> = {
  darwin: ["open"],
  win32: ["cmd", "/c", "start", ""],
};

/** A machine without a browser is no error: the address has been printed. */
function openBrowser(url: string): void {
  const [program, ...args] = OPENERS[process.platform] ?? ["xdg-open"];
  const child = spawn(program, [...args, url], { stdio: "ignore", detached: true });
  child.on("error", () => {});
  child.unref();
}
