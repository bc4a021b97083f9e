// Plan, compare and replay in a real browser, and the ways from one to the other.

import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { makeBundle, makeReport, makeTimeline } from "../support/documents.ts";
import { actionsOn, holdViewer, settle, type ViewerBrowser } from "../support/viewer-page.ts";

const NONE = makeTimeline({ policy: "none" });
const BALANCED = makeTimeline({ policy: "balanced" });
const MEASURED = makeTimeline({ policy: "balanced", source: "measured" });
const BUNDLE = makeBundle();

let viewer: ViewerBrowser;
let page: Page;
holdViewer(
  (started) => {
    viewer = started;
  },
  () => page,
);
const { headline, hash, press } = actionsOn(() => page);

describe("the plan view", () => {
  it("shows jobs with their cuts, and the merge of a chosen one", async () => {
    page = await viewer.open({ timelines: [BALANCED] }, { hash: "#view=plan" });
    expect(await headline()).toBe("512 jobs in 712 pieces on 264 of 264 workers");
    await page.locator("canvas.job-canvas").click({ position: { x: 300, y: 10 } });
    await settle(page);
    expect(await page.locator(".merge-tree .piece-box").count()).toBe(26);
    expect(await page.locator(".merge-tree .merge-box").count()).toBe(1);
    await page.getByRole("button", { name: "Same width" }).click();
    await page.getByRole("button", { name: "Pieces", exact: true }).click();
    expect(await hash()).toMatch(/scale=share&jobs=pieces/);
    await page.getByRole("button", { name: "Show on the SMs" }).click();
    await settle(page);
    expect(await page.locator(".overlay .join").count()).toBe(26);
  });
});

describe("the compare view", () => {
  it("names the faster policy and links selections", async () => {
    page = await viewer.open({ timelines: [NONE, BALANCED] }, { hash: "#view=compare" });
    expect(await headline()).toMatch(/^B \(balanced\) is 24\.\d+× as fast as A \(none\)/);
    await page.getByRole("button", { name: "Show request 0 in both" }).click();
    await settle(page);
    expect(await hash()).toContain("request=0");
    expect(await page.locator("canvas.lanes").count()).toBe(2);
  });

  it("cuts no column off its table of differences", async () => {
    for (const width of [880, 1024, 1400]) {
      page = await viewer.open(
        { timelines: [NONE, BALANCED] },
        { hash: "#view=compare", viewport: { width, height: 800 } },
      );
      await settle(page);
      const hidden = await page.locator(".side").evaluate((side) => side.scrollWidth - side.clientWidth);
      expect(hidden, `${width} px`).toBe(0);
      if (width < 1400) await page.context().close();
    }
  });

  it("measures the simulation by the measurement, worker by worker", async () => {
    page = await viewer.open({ timelines: [BALANCED, MEASURED] }, { hash: "#view=compare" });
    expect(await headline()).toMatch(/^The simulation is [\d.]+ % (above|below) the measurement/);
    expect(await page.locator(".side").innerText()).toContain("Workers with the largest error");
  });
});

describe("the replay view", () => {
  it("shows the whole replay and opens a step's SM occupancy from its mark", async () => {
    page = await viewer.open(BUNDLE);
    expect(await headline()).toMatch(/^400 requests in .* met every limit/);
    expect(await page.locator("figure").count()).toBeGreaterThanOrEqual(9);
    const step = BUNDLE.reports[0]!.stepBatches[1]!;
    const row = BUNDLE.reports[0]!.steps.step.indexOf(step.step);
    const { startUs, durationUs } = BUNDLE.reports[0]!.steps;
    const end = Math.max(BUNDLE.reports[0]!.metrics.durationS * 1e6, startUs.at(-1)! + durationUs.at(-1)!);
    const box = (await page.locator("canvas.time-canvas").nth(1).boundingBox())!;
    const share = (startUs[row]! + durationUs[row]! / 2) / end;
    await page.mouse.click(box.x + 52 + share * (box.width - 53), box.y + 10);
    await settle(page);
    expect(await page.locator(".occupancy.view").count()).toBe(1);
    expect(await page.locator(".summary").innerText()).toContain(`replica 0 · step ${step.step}`);
    // How long the whole step took, and how much of it attention was, stands beside the launch.
    const facts = await page.locator(".side .step").innerText();
    expect(facts).toContain(`Step ${step.step}`);
    expect(facts).toMatch(/Took\s+[\d.,]+ ms/);
    expect(facts).toMatch(/Attention, all layers\s+[\d.,]+ ms \([\d.]+ %\)/);
  });

  it("keeps its charts where they are while the pointer moves over them", async () => {
    page = await viewer.open(BUNDLE);
    const tops = (): Promise<number[]> =>
      page.locator(".time-chart canvas").evaluateAll((all) => all.map((one) => one.getBoundingClientRect().top));
    const before = await tops();
    expect(before.length).toBe(5);
    const box = (await page.locator("canvas.time-canvas").nth(1).boundingBox())!;
    await page.mouse.move(box.x + box.width / 2, box.y + 30);
    await settle(page);
    expect(await page.locator(".crosshair:visible").count()).toBeGreaterThan(0);
    expect(await tops()).toEqual(before);
  });

  it("says a duration for every step of the list, and scrolls nothing sideways", async () => {
    for (const width of [1280, 1920]) {
      page = await viewer.open(BUNDLE, { viewport: { width, height: 720 } });
      await page.locator(".steps .step-row").first().waitFor();
      const rows = await page.locator(".steps .step-row").allInnerTexts();
      expect(rows.length).toBe(BUNDLE.reports[0]!.stepBatches.length);
      for (const row of rows) expect(row).toMatch(/ · [\d.,]+ (µs|ms|s)/);
      expect(rows[0]).toContain("longest step");
      const [scrolled, shown] = await page
        .locator(".replay-side")
        .evaluate((side) => [side.scrollWidth, side.clientWidth] as const);
      expect(scrolled).toBe(shown);
      await page.close();
    }
  });

  it("opens steps from the list, and goes from a percentile to a request to its steps", async () => {
    page = await viewer.open(BUNDLE);
    const cdf = page.locator(".cdf.pickable canvas").first();
    await cdf.scrollIntoViewIfNeeded();
    const box = (await cdf.boundingBox())!;
    await page.mouse.click(box.x + box.width / 2, box.y + 8);
    await settle(page);
    const card = await page.locator(".selection").innerText();
    expect(card).toMatch(/Request \d+/);
    expect(card).toContain("Its steps that open");
    await page.locator(".selection .step-row").first().click();
    await settle(page);
    expect(await page.locator(".occupancy.view").count()).toBe(1);
  });

  it("zooms every chart with one drag, and selects the worst request from the table", async () => {
    page = await viewer.open(BUNDLE);
    const box = (await page.locator("canvas.time-canvas").first().boundingBox())!;
    await page.mouse.move(box.x + 300, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + 500, box.y + 40, { steps: 4 });
    await page.mouse.up();
    expect(await hash()).toContain("brush=");
    await press("Escape");
    expect(await hash()).not.toContain("brush=");
    await page.locator(".worst .link").first().click();
    await settle(page);
    const worst = await page.locator(".worst .link").first().innerText();
    expect(await page.locator(".selection h2").innerText()).toBe(`Request ${worst}`);
    await press("f");
    expect(await hash()).toMatch(/brush=.*|request=/);
  });

  it("does without per-request records, and says that a replay is partial", async () => {
    page = await viewer.open({ reports: [makeReport({ requests: 40, withRequests: false, partial: true })] });
    expect(await page.locator(".badge").innerText()).toBe("stopped before its end");
    expect(await page.locator(".worst").innerText()).toContain("no per-request records");
  });

  it("says how a replica's GPUs share the model, and what steps wait for", async () => {
    const report = makeReport({ requests: 40 });
    const { deployment, metrics } = report;
    const shares = { attention: 0.2, gemm: 0.3, collective: 0.1, other: 0.1, host: 0.05, wait: 0.25 };
    const piped = {
      ...report,
      deployment: { ...deployment, tensorParallel: 2, pipelineParallel: 4, gpus: 8, asyncScheduling: true },
      metrics: { ...metrics, stepTimeShare: shares },
    };
    page = await viewer.open({ reports: [piped] });
    const summary = await page.locator("section.summary").first().innerText();
    expect(summary).toContain("(TP 2, PP 4)");
    expect(summary).toContain("asynchronous vllm batching");
    expect(await page.locator("main").innerText()).toContain("waiting for others 25");
  });
});
