// A real Chromium for tests, wherever they run. Looks for one, tries to install one, else says how; it never skips.

import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/** No sandbox: tests often run as root in a container. The rest keeps the browser off the network and quiet. */
export const CHROMIUM_FLAGS: readonly string[] = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export class NoChromiumError extends Error {
  override readonly name = "NoChromiumError";

  constructor(tried: readonly string[]) {
    super(
      `no Chromium was found and none could be installed (${tried.join("; ")}). Install one ("apt-get install chromium", or "npx playwright-core install chromium") or name one in CHROMIUM_PATH.`,
    );
  }
}

function executable(path: string | undefined): path is string {
  if (path === undefined || path === "" || !existsSync(path)) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function installed(): string | null {
  const folders = ["/usr/bin", ...(process.env["PATH"] ?? "").split(delimiter)];
  const candidates = [
    process.env["CHROMIUM_PATH"],
    ...folders.flatMap((folder) => NAMES.map((name) => join(folder, name))),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    chromium.executablePath(),
  ];
  return candidates.find(executable) ?? null;
}

/** Path of a Chromium. Throws NoChromiumError where there is none and none can be installed. */
export function findChromium(): string {
  const wished = process.env["CHROMIUM_PATH"];
  const tried: string[] = [];
  if (wished !== undefined && wished !== "" && !executable(wished)) tried.push(`CHROMIUM_PATH=${wished} cannot be run`);
  const found = installed();
  if (found !== null) return found;
  tried.push("none of the usual places has one");
  const playwright = join(dirname(createRequire(import.meta.url).resolve("playwright-core/package.json")), "cli.js");
  const ways: [string, string, string[]][] = [
    ["playwright-core install chromium", process.execPath, [playwright, "install", "chromium"]],
  ];
  if (process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    ways.unshift([
      "apt-get install chromium",
      "/usr/bin/apt-get",
      ["install", "-y", "--no-install-recommends", "chromium"],
    ]);
  }
  for (const [name, command, args] of ways) {
    try {
      execFileSync(command, args, { stdio: "ignore", timeout: 300_000 });
    } catch {
      tried.push(`${name} failed`);
    }
    const now = installed();
    if (now !== null) return now;
  }
  throw new NoChromiumError(tried);
}

/** Starts a headless Chromium. The caller closes it. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), headless: true, args: [...CHROMIUM_FLAGS] });
}
