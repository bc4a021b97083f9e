// The page around its views: files that come and go, exports, sizes, themes, accessibility.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeBinaryDocument, renderPage, serveViewer } from "@isochron/viz";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { makeBundle, makeReport, makeTimeline } from "../support/documents.ts";
import { actionsOn, downloadOf, drop, holdViewer, settle, type ViewerBrowser } from "../support/viewer-page.ts";

const NONE = makeTimeline({ policy: "none" });
const BALANCED = makeTimeline({ policy: "balanced" });
const SMALL = makeTimeline({ kvLens: [4096, 64, 64], smCount: 4, title: "small" });
const BUNDLE = makeBundle();

let viewer: ViewerBrowser;
let page: Page;
holdViewer(
  (started) => {
    viewer = started;
  },
  () => page,
);
const { headline, press } = actionsOn(() => page);

describe("files", () => {
  it("says how to begin while nothing is open, and opens what is dropped, several at once", async () => {
    page = await viewer.open({});
    expect(await headline()).toBe("Open a timeline, a report or a sweep");
    await drop(page, [
      { name: "a.json", content: JSON.stringify(SMALL) },
      { name: "b.json", content: JSON.stringify(BALANCED) },
    ]);
    await page.locator(".occupancy.view").waitFor();
    expect(await page.locator(".picker option").count()).toBe(2);
  });

  it("names what is wrong with a file beside what it opened", async () => {
    page = await viewer.open({ timelines: [SMALL] });
    await drop(page, [
      { name: "broken.json", content: "{" },
      { name: "foreign.json", content: '{"version":3,"sources":[]}' },
      { name: "newer.json", content: '{"isochron":"timeline/9"}' },
    ]);
    await page.locator(".notice").nth(2).waitFor();
    const text = await page.locator(".notices").innerText();
    expect(text).toMatch(/Cannot open broken\.json\s+The file is not JSON/);
    expect(text).toContain("A file of another tool");
    expect(text).toContain("newer than this viewer reads");
    expect(await page.locator(".occupancy.view").count()).toBe(1);
    await press("Escape");
    expect(await page.locator(".notice").count()).toBe(2);
  });

  it("shows HTML in texts as text, wherever it stands", async () => {
    const evil = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">';
    const report = makeReport({ requests: 30 });
    const spoiled = {
      ...report,
      trace: { ...report.trace, name: evil },
      deployment: { ...report.deployment, model: evil },
      warnings: [evil],
      stepBatches: report.stepBatches.map((batch) => ({ ...batch, reason: evil })),
    };
    page = await viewer.open({ reports: [spoiled], timelines: [{ ...SMALL, title: evil, policy: evil }] });
    expect(await page.locator(".findings .warning").innerText()).toBe(evil);
    await press("1");
    expect(await page.locator(".summary").innerText()).toContain(evil);
    await press("2");
    await drop(page, [{ name: `${evil}.json`, content: `{"${evil.replaceAll('"', "'")}":1}` }]);
    await page.locator(".notice").waitFor();
    expect(await page.locator(".notice").innerText()).toContain("<img");
    expect(await page.evaluate(() => "pwned" in window)).toBe(false);
    expect(await page.locator("img").count()).toBe(0);
  });

  it("opens a timeline without slices, and one with a single slice", async () => {
    const empty = makeTimeline({ kvLens: [], smCount: 4 });
    page = await viewer.open({ timelines: [empty] });
    expect(await headline()).toContain("Nothing ran");
    for (const key of ["w", "f", "ArrowRight", "t", "2"]) await press(key);
    await page.context().close();
    const slices = Object.fromEntries(
      Object.entries(SMALL.slices).map(([key, column]) => [key, [(column as number[])[0]]]),
    );
    page = await viewer.open({ timelines: [{ ...SMALL, slices } as unknown as typeof SMALL] });
    expect(await page.locator(".request-row").count()).toBe(3);
  });

  it("follows a served file while it is written, and keeps the picture while it is half there", async () => {
    const file = join(viewer.folder, "live.json");
    writeFileSync(file, JSON.stringify(NONE));
    const server = await serveViewer({ files: [file], pollMs: 30 });
    page = await viewer.openUrl(server.url);
    await page.locator(".occupancy.view").waitFor();
    expect(await headline()).toContain("25.");
    writeFileSync(file, JSON.stringify(BALANCED).slice(0, 1000));
    await page.locator(".notice.info").waitFor();
    expect(await headline()).toContain("25.");
    writeFileSync(file, encodeBinaryDocument(BALANCED));
    await page.getByText("Near the bound").waitFor();
    await page.context().close();
    await server.close();
  });
});

describe("exports", () => {
  const choose = async (label: string): Promise<{ name: string; content: Buffer }> =>
    downloadOf(page, async () => {
      await page.getByRole("button", { name: /^Export/ }).click();
      await page.getByRole("menuitem", { name: label }).click();
    });

  it("gives a timeline as PNG, SVG, CSV, JSON and trace events that open here again", async () => {
    page = await viewer.open({ timelines: [BALANCED] });
    const png = await choose("Picture (PNG)");
    expect(png.content.subarray(1, 4).toString()).toBe("PNG");
    expect(png.content.readUInt32BE(16)).toBeGreaterThan(1600);
    const svg = (await choose("Picture (SVG)")).content.toString();
    expect(svg).toMatch(/^<svg [^>]*xmlns/);
    expect((svg.match(/<rect/g) ?? []).length).toBeGreaterThan(BALANCED.slices.worker.length);
    const csv = (await choose("Slices (CSV)")).content.toString().trim().split("\r\n");
    expect(csv[0]).toBe("worker,sm,startUs,endUs,kind,request,kvHead,qTile,kvStart,kvEnd");
    expect(csv).toHaveLength(BALANCED.slices.worker.length + 1);
    const json = JSON.parse((await choose("Timeline (JSON)")).content.toString()) as object;
    expect(json).toEqual(JSON.parse(JSON.stringify(BALANCED)));
    const trace = await choose("Trace events (Perfetto)");
    await drop(page, [{ name: trace.name, content: trace.content.toString() }]);
    await page.locator(".picker option").nth(1).waitFor({ state: "attached" });
    expect(await headline()).toMatch(/^Near the bound: 1\.05×/);
  });

  it("gives a plan as CSV and JSON, and a replay's steps, requests and metrics", async () => {
    page = await viewer.open(BUNDLE);
    expect((await choose("Steps (CSV)")).content.toString()).toContain("step,replica,startUs");
    expect((await choose("Requests (CSV)")).content.toString().trim().split("\r\n")).toHaveLength(401);
    expect(JSON.parse((await choose("Metrics (JSON)")).content.toString())).toEqual(BUNDLE.reports[0]!.metrics);
    await page.getByRole("button", { name: "Plan", exact: true }).click();
    await settle(page);
    expect((await choose("Jobs and pieces (CSV)")).content.toString()).toContain("request,kvHead,qTile,part");
    expect(JSON.parse((await choose("Jobs and pieces (JSON)")).content.toString())).toHaveProperty("jobs");
  });

  it("copies a link to the view", async () => {
    page = await viewer.open({ timelines: [SMALL] }, { hash: "#color=kind" });
    page.on("dialog", (dialog) => void dialog.accept());
    await page.evaluate(() => {
      Object.defineProperty(navigator, "clipboard", {
        value: { writeText: () => Promise.resolve() },
      });
    });
    await page.keyboard.press("l");
    await page.locator(".notice.info").waitFor();
    expect(await page.locator(".notice.info").innerText()).toContain("clipboard");
  });
});

describe("the page itself", () => {
  it("is at most 250 KB before data, names its scripts by hash, and reaches no network", () => {
    const empty = renderPage({});
    expect(Buffer.byteLength(empty)).toBeLessThanOrEqual(250_000);
    expect(empty).toMatch(/default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'/);
    expect(empty).not.toMatch(/src="https?:|href="https?:/);
  });

  it("follows the system's theme, and a switch overrides it", async () => {
    for (const scheme of ["light", "dark"] as const) {
      page = await viewer.open({ timelines: [SMALL] }, { colorScheme: scheme });
      expect(await page.locator("html").getAttribute("data-theme")).toBe(scheme);
      await page.getByRole("button", { name: /^Switch to the/ }).click();
      const other = scheme === "light" ? "dark" : "light";
      expect(await page.locator("html").getAttribute("data-theme")).toBe(other);
      await page.reload();
      await page.locator(".view").waitFor();
      expect(await page.locator("html").getAttribute("data-theme")).toBe(other);
      await page.context().close();
    }
    page = await viewer.open({});
  });

  it("never scrolls sideways, from 560 × 800 to 3840 × 2160", async () => {
    const file = viewer.write({ ...BUNDLE, timelines: [NONE, BALANCED, ...BUNDLE.timelines] });
    for (const [width, height] of [
      [560, 800],
      [1024, 640],
      [1280, 720],
      [3840, 2160],
    ] as const) {
      for (const view of ["#doc=0", "#doc=1", "#doc=1&view=plan", "#doc=1&other=2&view=compare"]) {
        page = await viewer.openFile(file, { hash: view, viewport: { width, height } });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(overflow, `${view} at ${width}`).toBeLessThanOrEqual(0);
        await page.context().close();
      }
    }
    page = await viewer.open({});
  });

  it("keeps search and buttons on one line of their own in a small window, whatever is open", async () => {
    for (const bundle of [BUNDLE, { timelines: [NONE] }, { timelines: [NONE, BALANCED] }]) {
      page = await viewer.open(bundle, { viewport: { width: 800, height: 600 } });
      const tops = await page
        .locator(".bar > .search, .bar > .plain, .bar > .menu-button, .bar > .icon")
        .evaluateAll((parts) => parts.map((part) => part.getBoundingClientRect().top));
      expect(tops).toHaveLength(5);
      expect(new Set(tops).size).toBe(1);
      expect(tops[0]).toBeGreaterThan((await page.locator(".brand").boundingBox())!.y + 20);
      await page.context().close();
    }
    page = await viewer.open({});
  });

  it("cuts no figure off on a phone", async () => {
    page = await viewer.open(BUNDLE, { viewport: { width: 390, height: 844 } });
    const ends = await page
      .locator(".figure")
      .evaluateAll((all) => all.map((one) => one.getBoundingClientRect().right));
    expect(Math.max(...ends)).toBeLessThanOrEqual(390);
    expect(Math.max(...ends)).toBeGreaterThan(0);
  });

  it("puts the panel below the picture where both do not fit beside each other, and neither over the other", async () => {
    const file = viewer.write({ ...BUNDLE, timelines: [NONE, BALANCED] });
    for (const view of ["#doc=0", "#doc=1", "#doc=1&view=plan", "#doc=1&other=2&view=compare"]) {
      page = await viewer.openFile(file, { hash: view, viewport: { width: 700, height: 900 } });
      await settle(page);
      const [picture, panel] = await page.evaluate(() => {
        const side = document.querySelector(".side")!;
        const { scrollHeight, clientHeight } = side;
        const chart = side.previousElementSibling!;
        const lowest = Math.max(
          ...[...chart.querySelectorAll("canvas")].map((one) => one.getBoundingClientRect().bottom),
        );
        return [lowest, [side.getBoundingClientRect().top, scrollHeight - clientHeight]] as const;
      });
      expect(panel[0], view).toBeGreaterThan(picture);
      // It is as tall as what is in it: the page scrolls, not the panel.
      expect(panel[1], view).toBeLessThanOrEqual(0);
      await page.context().close();
    }
    page = await viewer.open({});
  });

  it("has no accessibility violation that axe can find, in any view or theme", async () => {
    const file = viewer.write({ ...BUNDLE, timelines: [NONE, BALANCED] });
    const hashes = [
      "#doc=0&request=201",
      "#doc=2&pin=3&table=1",
      "#doc=1&request=0",
      "#doc=2&view=plan&job=0",
      "#doc=1&other=2&view=compare",
    ];
    for (const colorScheme of ["light", "dark"] as const) {
      for (const view of hashes) {
        page = await viewer.openFile(file, { hash: view, colorScheme });
        await settle(page);
        await page.evaluate(axe.source);
        const violations = await page.evaluate(async () => {
          const { axe } = window as unknown as {
            axe: {
              run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
            };
          };
          return (await axe.run()).violations.map(
            ({ id, nodes }) =>
              `${id}: ${nodes.map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join(" | ")}`,
          );
        });
        expect(violations, `${view} ${colorScheme}`).toEqual([]);
        await page.context().close();
      }
    }
    page = await viewer.open({});
    await page.evaluate(axe.source);
    await press("?");
  });
});
