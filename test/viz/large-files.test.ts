// Files that are read in a worker, and files that are too large: in a real browser.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeBinaryDocument, serveViewer, type ViewerServer } from "@isochron/viz";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeTimeline } from "../support/documents.ts";
import { settle, ViewerBrowser } from "../support/viewer-page.ts";
import { bigTimeline } from "./bench/big-timeline.ts";

const BIG = bigTimeline(132, 8_000);
const FILE = encodeBinaryDocument(BIG);

let viewer: ViewerBrowser;
let server: ViewerServer | undefined;
let page: Page;

beforeAll(async () => {
  viewer = await ViewerBrowser.start();
});
afterAll(() => viewer.close());
afterEach(async () => {
  await page.context().close();
  await server?.close();
  server = undefined;
  expect(viewer.trouble.splice(0)).toEqual([]);
});

/** Opens the page with a file; `overview` says whether an overview stood on it at any time. */
async function open(bytes: Uint8Array, hash = ""): Promise<void> {
  const file = join(viewer.folder, "big.isoc");
  writeFileSync(file, bytes);
  server = await serveViewer({ files: [file] });
  const init = (): void => {
    const seen = window as unknown as { overview: string; titles: Set<string> };
    seen.overview = "";
    new MutationObserver(() => {
      const note = document.querySelector(".overview-note");
      if (note !== null) seen.overview = `${note.textContent}; ${document.querySelector("h1")?.textContent}`;
    }).observe(document, { childList: true, subtree: true });
  };
  page = await viewer.openUrl(server.url + hash, { init });
}

const overviewSeen = (): Promise<string> => page.evaluate(() => (window as unknown as { overview: string }).overview);

describe("a large file", () => {
  it("is shown as an overview that says the same, then whole, with what its link chose", async () => {
    await open(FILE, "#pin=70000&range=100~200");
    await page.locator(".side .selection").first().waitFor();
    const headline = await page.locator("h1").innerText();
    expect(await overviewSeen()).toBe(`overview, while 1,056,000 slices are read; ${headline}`);
    expect(await page.locator(".overview-note").count()).toBe(0);
    expect(await page.locator(".notice").count()).toBe(0);
    expect(await page.evaluate(() => location.hash)).toContain("pin=70000");
    expect(await page.locator(".side .selection").count()).toBe(2);
  });

  it("that is broken after its overview is refused by field, and the overview goes", async () => {
    const broken = FILE.slice();
    const { startUs } = BIG.slices;
    const last = startUs.length - 1;
    const at = Buffer.from(broken.buffer).lastIndexOf(Buffer.from(Float64Array.of(startUs[last]!).buffer));
    broken.set(new Uint8Array(Float64Array.of(Number.NaN).buffer), at);
    await open(broken);
    await page.locator(".notice.problem").waitFor();
    expect(await page.locator(".notice.problem").innerText()).toContain(`Slices.startUs[${last}] is NaN`);
    await settle(page);
    expect(await page.locator(".overview.view, .occupancy.view").count()).toBe(0);
  });

  it("that is cut off is refused", async () => {
    await open(FILE.slice(0, FILE.length - 1_000));
    await page.locator(".notice.problem").waitFor();
    expect(await page.locator(".notice.problem").innerText()).toContain("the file is cut off");
  });

  it("of more slices than a browser holds is refused before memory is asked for", async () => {
    const small = makeTimeline({ kvLens: [64], smCount: 1 });
    const run = (value: number): object => ({ $column: "runs", length: 3e9, runs: [value, 3e9] });
    const slices = Object.fromEntries(Object.keys(small.slices).map((name) => [name, run(0)]));
    await open(new TextEncoder().encode(JSON.stringify({ ...small, slices })));
    await page.locator(".notice.problem").waitFor();
    expect(await page.locator(".notice.problem").innerText()).toMatch(
      /3000000000 entries, and at most 100000000 can be shown/,
    );
  });
});
