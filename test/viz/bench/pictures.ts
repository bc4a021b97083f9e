// Remakes the pictures of docs/viewer.md from documents that the command line makes on the spot:
//
//   npm run build && npm run screenshots -w @isochron/viz
//
// Needs the built command line (npm run build) and a Chromium.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { launchChromium } from "../../support/browser.ts";
import { settle } from "../../support/viewer-page.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const IMAGES = join(ROOT, "docs", "images");
const folder = mkdtempSync(join(tmpdir(), "isochron-pictures-"));

function isochron(...args: string[]): void {
  execFileSync(process.execPath, [join(ROOT, "packages", "cli", "bin", "isochron.js"), ...args], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

interface Picture {
  readonly name: string;
  readonly file: string;
  readonly hash: string;
  readonly theme: "light" | "dark";
  readonly act?: (page: Page) => Promise<void>;
}

const PICTURES: readonly Picture[] = [
  {
    name: "viewer-occupancy-unsplit",
    file: "compare.html",
    hash: "#doc=1",
    theme: "light",
    act: async (page) => {
      const box = (await page.locator("canvas.lanes").boundingBox())!;
      // The long bars are a pixel or two tall: the pointer moves down until it is on one.
      for (let y = 0.5; y < 20 && !(await page.locator(".tooltip").isVisible()); y += 0.5) {
        await page.mouse.move(box.x + box.width * 0.55, box.y + y);
        await settle(page);
      }
    },
  },
  { name: "viewer-occupancy-balanced", file: "compare.html", hash: "#doc=0&pin=0", theme: "dark" },
  { name: "viewer-compare", file: "compare.html", hash: "#doc=1&other=0&view=compare", theme: "light" },
  { name: "viewer-plan", file: "compare.html", hash: "#doc=0&view=plan&job=2", theme: "light" },
  { name: "viewer-replay", file: "replay.html", hash: "", theme: "light" },
  { name: "viewer-sweep", file: "sweep.html", hash: "#point=3", theme: "light" },
];

const batch = {
  isochron: "batch/1",
  attention: {
    queryHeads: 32,
    kvHeads: 8,
    headDim: 128,
    dtype: "bf16",
    kvDtype: "bf16",
    pageSize: 16,
    mask: { kind: "causal" },
  },
  qoLens: new Array<number>(64).fill(1),
  kvLens: [131_072, ...new Array<number>(63).fill(512)],
};

mkdirSync(IMAGES, { recursive: true });
try {
  writeFileSync(join(folder, "one-long.json"), JSON.stringify(batch));
  for (const policy of ["balanced", "none"]) {
    isochron("simulate", "one-long.json", "--policy", policy, "--out", `${policy}.json`);
  }
  isochron("view", "balanced.json", "none.json", "--html", "compare.html");
  const replay = ["--limit", "1000", "--rate", "4.5", "--step-timer", "kernel", "--slo", "ttft=500,tpot=25"];
  isochron("replay", "azure-conv-2023", ...replay, "--html", "replay.html");
  isochron("sweep", join(ROOT, "docs/examples/sweep.json"), "--html", "sweep.html");
  const browser = await launchChromium();
  try {
    for (const { name, file, hash, theme, act } of PICTURES) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, colorScheme: theme });
      const page = await context.newPage();
      await page.goto(pathToFileURL(join(folder, file)).href + hash);
      await page.locator(".view").waitFor();
      await settle(page);
      await act?.(page);
      await settle(page);
      await page.screenshot({ path: join(IMAGES, `${name}.png`) });
      console.log(`wrote docs/images/${name}.png`);
      await context.close();
    }
  } finally {
    await browser.close();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
