// `isochron view`: opens the viewer on documents, on this machine only.

import { spawn } from "node:child_process";
import { serveViewer } from "@isochron/viz";
import type { Command } from "commander";
import { type CommonOptions, newCommand, print } from "../command.ts";
import type { Context } from "../context.ts";
import { writePage } from "../documents/page.ts";
import { readViewable } from "../documents/viewable.ts";
import { integerOption } from "../options.ts";
import { integer } from "../terminal/numbers.ts";

interface ViewOptions extends CommonOptions {
  readonly html?: string;
  readonly port: number;
  readonly open: boolean;
}

export function addViewCommand(program: Command, context: Context): void {
  newCommand(program, {
    usage: "view <file...>",
    summary: "show reports and timelines in a browser",
    examples: ["isochron view isochron-out", "isochron view balanced.json none.json --html compare.html"],
  })
    .option("--html <file>", "write one self-contained page instead of serving it")
    .option("--port <number>", "port on 127.0.0.1; 0 is any that is free", integerOption("--port", 0, 65_535), 0)
    .option("--no-open", "do not start a browser")
    .action(async (files: string[], options: ViewOptions) => {
      const bundle = readViewable(files);
      const shown = { reports: bundle.reports.length, timelines: bundle.timelines.length };
      if (options.html !== undefined) {
        writePage(options.html, bundle);
        print(context, options, { isochron: "view/1", file: options.html, ...shown }, () => `wrote ${options.html}\n`);
        return;
      }
      const viewer = await serveViewer({ bundle, port: options.port });
      print(context, options, { isochron: "view/1", url: viewer.url, ...shown }, (paint) => {
        const what = `${integer(shown.reports)} reports, ${integer(shown.timelines)} timelines`;
        return `${what} at ${paint("cyan", viewer.url)}\n${paint("dim", "Ctrl-C ends it")}\n`;
      });
      if (options.open) openBrowser(viewer.url);
      await new Promise<void>((resolve) => {
        if (context.interrupt.aborted) resolve();
        context.interrupt.addEventListener("abort", () => resolve(), { once: true });
      });
      await viewer.close();
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
