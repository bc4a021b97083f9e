// Measures the viewer in a real Chromium against its targets: opening, drawing, hovering and summing 13.2 M slices.
//
//   npm run bench -w @isochron/viz [-- SLICES_PER_ROW]
//
// A frame is what the page computes and paints into its canvases between two animation frames (JavaScript time, software
// rasteriser); the interval between frames is given beside it. Memory is the renderer's resident set.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { encodeBinaryDocument, serveViewer } from "@isochron/viz";
import type { Browser, Page } from "playwright-core";
import { BusyIndex } from "../../../packages/viz/app/model/busy-index.ts";
import { launchChromium } from "../../support/browser.ts";
import { bigTimeline } from "./big-timeline.ts";

const ROWS = 132;
const slicesPerRow = Number(process.argv[2] ?? 100_000);

interface Row {
  readonly what: string;
  readonly measured: string;
  readonly target: string;
}
const rows: Row[] = [];

const timeline = bigTimeline(ROWS, slicesPerRow);
const file = join(tmpdir(), `isochron-bench-${process.pid}.bin`);
const encoded = encodeBinaryDocument(timeline);
writeFileSync(file, encoded);
console.log(
  `${ROWS} rows × ${slicesPerRow} slices, ${(encoded.length / 2 ** 20).toFixed(0)} MiB, ${availableParallelism()} cores`,
);

benchIndex();
const server = await serveViewer({ files: [file] });
const browser = await launchChromium();
try {
  await benchPage(browser);
} finally {
  await browser.close();
  await server.close();
  rmSync(file);
}
console.table(rows);

/** Look-ups of the index alone, in this process: the same engine runs it in the page. */
function benchIndex(): void {
  const { slices, durationUs } = timeline;
  const data = {
    laneCount: ROWS,
    offset: Int32Array.from({ length: ROWS + 1 }, (_, row) => row * slicesPerRow),
    start: slices.startUs as Float64Array,
    end: slices.endUs as Float64Array,
    spanUs: durationUs,
  };
  const begun = performance.now();
  const index = new BusyIndex(data);
  rows.push({ what: "build the index", measured: `${(performance.now() - begun).toFixed(0)} ms`, target: "" });
  const repeat = 20_000;
  let sink = 0;
  const hits = performance.now();
  for (let k = 0; k < repeat; k++) sink += index.sliceAt(k % ROWS, ((k * 7919) % repeat) * (durationUs / repeat), 0.5);
  const perHit = ((performance.now() - hits) / repeat) * 1e3;
  rows.push({ what: "find the slice at a point", measured: `${perHit.toFixed(2)} µs`, target: "≤ 1 ms" });
  const totals = performance.now();
  for (let k = 0; k < 100; k++) {
    for (let lane = 0; lane < ROWS; lane++)
      sink += index.busyIn(lane, (durationUs * k) / 400, durationUs * (0.5 + k / 400));
  }
  const perTotal = (performance.now() - totals) / 100;
  rows.push({ what: "busy time of an area, all rows", measured: `${perTotal.toFixed(3)} ms`, target: "≤ 1 ms" });
  if (Number.isNaN(sink)) throw new Error("the index answered NaN");
}

async function benchPage(chromium: Browser): Promise<void> {
  const page = await chromium.newPage({ viewport: { width: 1280, height: 720 } });
  await page.addInitScript(recordFrames);
  await page.goto(server.url);
  await page.locator("canvas.lanes").waitFor({ timeout: 120_000 });
  await page.waitForFunction(() => (window as unknown as Recorder).frames.some((frame) => frame.drawn));
  const opened = await page.evaluate(() => {
    const { frames } = window as unknown as Recorder;
    return frames.find((frame) => frame.drawn)?.endMs ?? Number.NaN;
  });
  rows.push({ what: "open: navigation to first picture", measured: `${opened.toFixed(0)} ms`, target: "≤ 2,000 ms" });
  await page.waitForFunction(() => document.querySelector(".overview-note") === null, null, { timeout: 120_000 });
  const complete = await page.evaluate(() => performance.now());
  rows.push({ what: "open: all slices read, checked and indexed", measured: `${complete.toFixed(0)} ms`, target: "" });
  const longest = await page.evaluate(() => Math.max(...(window as unknown as Recorder).gaps));
  rows.push({ what: "longest time without a frame meanwhile", measured: `${longest.toFixed(0)} ms`, target: "" });
  await page.waitForTimeout(3_000);
  const session = await page.context().newCDPSession(page);
  const heap = async (): Promise<string> => {
    const usage = (await session.send("Runtime.getHeapUsage")) as { usedSize: number; backingStorageSize?: number };
    return `${((usage.usedSize + (usage.backingStorageSize ?? 0)) / 1e6).toFixed(0)} MB`;
  };
  rows.push({ what: "memory: heap and typed arrays", measured: await heap(), target: "≤ 500 MB" });
  rows.push({ what: "memory: renderer process", measured: await rendererMemory(chromium), target: "" });
  await session.send("HeapProfiler.collectGarbage");
  await page.waitForTimeout(1_000);
  rows.push({
    what: "… after collecting garbage",
    measured: `${await heap()}, ${await rendererMemory(chromium)}`,
    target: "",
  });
  for (const zoom of [1, 4, 16, 64, 256, 1024, 4096, 16_384]) await benchZoom(page, zoom);
  await benchHover(page);
}

interface Recorder {
  /** Time from one frame to the next, from the start on. */
  gaps: number[];
  frames: { costMs: number; endMs: number; drawn: boolean }[];
}

/** Times every animation-frame callback of the page. */
function recordFrames(): void {
  const recorder = window as unknown as Recorder;
  recorder.frames = [];
  recorder.gaps = [];
  const original = window.requestAnimationFrame.bind(window);
  let before = 0;
  original(function tick(now) {
    if (before > 0) recorder.gaps.push(now - before);
    before = now;
    original(tick);
  });
  window.requestAnimationFrame = (callback) =>
    original((now) => {
      const startMs = performance.now();
      callback(now);
      const endMs = performance.now();
      const lanes = document.querySelector<HTMLCanvasElement>("canvas.lanes");
      // A canvas is 300 pixels wide until something is drawn on it.
      recorder.frames.push({ costMs: endMs - startMs, endMs, drawn: lanes !== null && lanes.width !== 300 });
    });
}

/** Pans at one zoom for 40 frames. */
async function benchZoom(page: Page, zoom: number): Promise<void> {
  const span = (timeline.durationUs * 1.02) / zoom;
  const from = Math.min(timeline.durationUs * 0.4, timeline.durationUs * 1.02 - span);
  await page.evaluate(
    (hash) => {
      location.hash = hash;
    },
    `#time=${Math.max(from, 0)}~${Math.max(from, 0) + span}`,
  );
  await page.waitForTimeout(300);
  const frames = await page.evaluate(async () => {
    const recorder = window as unknown as Recorder;
    const canvas = document.querySelector("canvas.lanes")!;
    recorder.frames = [];
    for (let k = 0; k < 40; k++) {
      const deltaX = k % 2 === 0 ? 24 : -23;
      canvas.dispatchEvent(new WheelEvent("wheel", { deltaX, bubbles: true, cancelable: true }));
      if (k === 20) canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: 1, bubbles: true, cancelable: true }));
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    return recorder.frames;
  });
  const costs = frames.map((frame) => frame.costMs).sort((a, b) => a - b);
  const median = costs[costs.length >> 1] ?? Number.NaN;
  const p95 = costs[Math.floor(costs.length * 0.95)] ?? Number.NaN;
  const measured = `${median.toFixed(1)} ms median, ${p95.toFixed(1)} ms p95 of ${costs.length}`;
  rows.push({ what: `a frame at zoom ${zoom}`, measured, target: "≤ 16 ms" });
}

/** The pointer's answer: which bar, and its card. */
async function benchHover(page: Page): Promise<void> {
  const median = await page.evaluate(() => {
    const canvas = document.querySelector("canvas.lanes")!;
    const box = canvas.getBoundingClientRect();
    const costs: number[] = [];
    for (let k = 0; k < 200; k++) {
      const at = {
        clientX: box.left + ((k * 37) % box.width),
        clientY: box.top + ((k * 53) % box.height),
        bubbles: true,
      };
      const begun = performance.now();
      canvas.dispatchEvent(new PointerEvent("pointermove", at));
      costs.push(performance.now() - begun);
    }
    return costs.sort((a, b) => a - b)[100]!;
  });
  rows.push({ what: "hover: bar and card", measured: `${median.toFixed(2)} ms median`, target: "≤ 1 ms" });
}

/** Resident memory of the largest renderer. */
async function rendererMemory(chromium: Browser): Promise<string> {
  const session = await chromium.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const sizes = processInfo
    .filter((info) => info.type === "renderer")
    .map(({ id }) => {
      const status = readFileSync(`/proc/${id}/status`, "utf8");
      const kilobytes = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
      return { now: kilobytes("VmRSS") / 1024, peak: kilobytes("VmHWM") / 1024 };
    })
    .sort((a, b) => b.now - a.now);
  return `${sizes[0]!.now.toFixed(0)} MiB (peak ${sizes[0]!.peak.toFixed(0)} MiB)`;
}
