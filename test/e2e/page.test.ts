// The pages that the command writes, opened from file:// in a real browser, without a network.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { skewedDecode, writeDocument } from "../support/batches.ts";
import { launchChromium } from "../support/browser.ts";
import { isochron } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
}, 600_000);

afterAll(() => browser?.close());

/** Opens a file; errors of the page and requests that leave it end up in `complaints`. */
async function open(file: string): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) complaints.push(`asked the network for ${request.url()}`);
  });
  await page.goto(pathToFileURL(file).href);
  return { page, complaints };
}

/** Colours in all canvases of the page: more than a handful only when something was drawn. */
function canvasColours(page: Page): Promise<number> {
  return page.evaluate(() => {
    const colours = new Set<number>();
    for (const canvas of document.querySelectorAll("canvas")) {
      if (canvas.width === 0 || canvas.height === 0) continue;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      for (const colour of new Uint32Array(data.buffer)) colours.add(colour);
    }
    return colours.size;
  });
}

describe("a page that the command writes", () => {
  it("shows SM occupancy, the lower bound and the heaviest request of a simulated batch", async () => {
    const folder = temporaryFolder();
    const html = join(folder, "timeline.html");
    const batch = writeDocument(folder, "batch.json", skewedDecode);
    expect((await isochron(["simulate", batch, "--policy", "none", "--html", html])).exitCode).toBe(0);
    const { page, complaints } = await open(html);
    await page.getByText("Lower bound", { exact: true }).first().waitFor();
    const text = await page.locator("#app").textContent();
    expect(text).toContain("SM occupancy");
    expect(text).toContain("132 SMs");
    expect(text).toMatch(/request 0/);
    expect(text).toMatch(/131,072/);
    await expect.poll(() => canvasColours(page)).toBeGreaterThan(5);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("leads from a replay to a step, and from the step to its SMs", async () => {
    const html = join(temporaryFolder(), "replay.html");
    expect((await isochron(["replay", "azure-conv-2023", "--limit", "300", "--html", html])).exitCode).toBe(0);
    const { page, complaints } = await open(html);
    await page.getByText("Steps to look into").waitFor();
    await page
      .getByRole("button", { name: /^Step \d+/ })
      .last()
      .click();
    await page.getByText("Lower bound", { exact: true }).first().waitFor();
    const text = await page.locator("#app").textContent();
    expect(text).toMatch(/replica 0 · step \d+/);
    expect(text).toContain("132 SMs");
    await expect.poll(() => canvasColours(page)).toBeGreaterThan(5);
    expect(complaints).toEqual([]);
    await page.close();
  });
});
