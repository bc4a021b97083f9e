// Takes the pictures of README.md with the built command and a real Chromium (CHROMIUM_PATH, or one of the usual places).
//
//   npm run build && node scripts/take-pictures.mjs

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("..", import.meta.url));
const images = join(root, "docs/images");
const folder = mkdtempSync(join(tmpdir(), "isochron-pictures-"));
const inFolder = (name) => join(folder, name);
const isochron = (...args) =>
  execFileSync(process.execPath, [join(root, "packages/cli/bin/isochron.js"), ...args], { cwd: root, stdio: "ignore" });

const candidates = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
  chromium.executablePath(),
];
const executablePath = candidates.find((path) => path !== undefined && existsSync(path));
if (executablePath === undefined) throw new Error("no Chromium was found: name one in CHROMIUM_PATH");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

try {
  const batch = "docs/examples/skewed-decode.json";
  isochron("simulate", batch, "--policy", "none", "--out", inFolder("none.json"));
  isochron("simulate", batch, "--policy", "balanced", "--out", inFolder("balanced.json"));
  isochron("view", inFolder("none.json"), inFolder("balanced.json"), "--html", inFolder("compare.html"));
  await take("compare.html", "compare.png", async (page) => {
    await page.getByRole("navigation").getByText("Compare", { exact: true }).click();
  });
  isochron("replay", "azure-conv-2023", "--limit", "2000", "--step-timer", "kernel", "--html", inFolder("replay.html"));
  await take("replay.html", "replay.png", async () => {});
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}

async function take(html, image, prepare) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  await page.goto(pathToFileURL(inFolder(html)).href);
  await prepare(page);
  // Canvases are drawn in the frame after the layout.
  await page.waitForTimeout(800);
  await page.screenshot({ path: join(images, image) });
  await page.close();
}
