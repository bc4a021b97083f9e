import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeBinaryDocument, renderPage, serveViewer } from "@isochron/viz";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeBundle, makeReport, makeTimeline } from "../support/documents.ts";
import { downloadOf, drop, lanePixels, settle, ViewerBrowser } from "../support/viewer-page.ts";

const NONE = makeTimeline({ policy: "none" });
const BALANCED = makeTimeline({ policy: "balanced" });
const MEASURED = makeTimeline({ policy: "balanced", source: "measured" });
const SMALL = makeTimeline({ kvLens: [4096, 64, 64], smCount: 4, title: "small" });
const BUNDLE = makeBundle();

let viewer: ViewerBrowser;
let page: Page;

beforeAll(async () => {
  viewer = await ViewerBrowser.start();
});
afterAll(() => viewer.close());
afterEach(async () => {
  await page?.context().close();
  expect(viewer.trouble.splice(0)).toEqual([]);
});

const headline = (): Promise<string> => page.locator("h1").innerText();
const hash = async (): Promise<string> => {
  await page.waitForTimeout(200);
  return new URL(page.url()).hash;
};
const press = async (key: string): Promise<void> => {
  await page.keyboard.press(key);
  await settle(page);
};
/** A point of the lanes, as shares of width and height. */
const point = async (x: number, y: number): Promise<{ x: number; y: number }> => {
  const box = (await page.locator("canvas.lanes").first().boundingBox())!;
  return { x: box.x + box.width * x, y: box.y + box.height * y };
};

describe("the occupancy view", () => {
  it("says at once why a launch is slow, and shows whose work it is", async () => {
    page = await viewer.open({ timelines: [NONE] });
    expect(await headline()).toMatch(/^25\.\d+× the lower bound.*96\.\d % of worker time is idle/);
    const findings = await page.locator(".findings").innerText();
    expect(findings).toContain("8 workers carry the rest");
    expect(findings).toMatch(/Request 0 \(131,072 KV tokens.*one piece alone takes/);
    expect(await page.locator(".overlay .bound-label").textContent()).toMatch(/lower bound 228\.2 µs.*waste/);
    expect(await page.locator(".request-row").first().innerText()).toContain("request 0");
  });

  it("says that a balanced launch is near its bound", async () => {
    page = await viewer.open({ timelines: [BALANCED] });
    expect(await headline()).toMatch(/^Near the bound: 1\.05×/);
  });

  it("tells everything about a bar under the pointer", async () => {
    page = await viewer.open({ timelines: [NONE] });
    const { x, y } = await point(0.5, 0.002);
    await page.mouse.move(x, y);
    await settle(page);
    const card = await page.locator(".tooltip").innerText();
    expect(card).toContain("Request 0 · decode");
    expect(card).toContain("SM 0, worker 0");
    expect(card).toContain("0 – 131,072");
    await page.mouse.move(x, y + 200);
    await settle(page);
    expect(await page.locator(".tooltip").isVisible()).toBe(false);
  });

  it("pins a bar on a click, keeps its job bright, joins its pieces to their merge, and lets go on Escape", async () => {
    page = await viewer.open({ timelines: [BALANCED] });
    await settle(page);
    const before = await lanePixels(page);
    const { x, y } = await point(0.5, 0.01);
    await page.mouse.click(x, y);
    await settle(page);
    expect(await page.locator(".selection").innerText()).toMatch(/26 pieces on 26 workers/);
    expect(await page.locator(".overlay .join").count()).toBe(26);
    expect(await lanePixels(page)).not.toBe(before);
    await press("Escape");
    expect(await page.locator(".selection").count()).toBe(0);
    await page.mouse.move(5, 5);
    await settle(page);
    expect(await lanePixels(page)).toBe(before);
  });

  it("lets one request stand out from the list", async () => {
    page = await viewer.open({ timelines: [BALANCED] });
    await page.locator(".request-row").first().click();
    await settle(page);
    expect(await page.locator(".request-row").first().getAttribute("aria-pressed")).toBe("true");
    expect(await hash()).toContain("request=0");
  });

  it("zooms at the pointer with the wheel and pans with a drag", async () => {
    page = await viewer.open({ timelines: [BALANCED] });
    const { x, y } = await point(0.75, 0.5);
    await page.mouse.move(x, y);
    await page.mouse.wheel(0, -480);
    const zoomed = /time=([\d.]+)~([\d.]+)/
      .exec(await hash())!
      .slice(1)
      .map(Number) as [number, number];
    const all = (BALANCED.durationUs * 1.02) as number;
    // The time under the pointer stays under it.
    expect(zoomed[0] + 0.75 * (zoomed[1] - zoomed[0])).toBeCloseTo(0.75 * all, 0);
    await page.mouse.down();
    await page.mouse.move(x - 100, y, { steps: 4 });
    await page.mouse.up();
    const panned = /time=([\d.]+)~([\d.]+)/
      .exec(await hash())!
      .slice(1)
      .map(Number) as [number, number];
    expect(panned[1] - panned[0]).toBeCloseTo(zoomed[1] - zoomed[0], 6);
    expect(panned[0]).toBeGreaterThan(zoomed[0]);
    expect(await hash()).not.toContain("pin=");
  });

  it("selects a range with shift and a drag, sums it, and zooms to it with f", async () => {
    page = await viewer.open({ timelines: [BALANCED] });
    const from = await point(0.25, 0.5);
    const to = await point(0.5, 0.5);
    await page.keyboard.down("Shift");
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.mouse.move(to.x, to.y, { steps: 4 });
    await page.mouse.up();
    await page.keyboard.up("Shift");
    await settle(page);
    const text = await page.locator(".selection").innerText();
    expect(text).toContain("Selected range");
    expect(text).toMatch(/Busy\s+100 %, 264\.0 workers on average/);
    await press("f");
    const state = await hash();
    const [range, time] = [/range=([^&]+)/.exec(state)![1], /time=([^&]+)/.exec(state)![1]];
    expect(time).toBe(range);
  });

  it("answers every key", async () => {
    page = await viewer.open(
      { timelines: [BALANCED, NONE], reports: [makeReport({ requests: 30 })] },
      { hash: "#doc=1" },
    );
    await settle(page);
    await press("w");
    expect(await hash()).toContain("time=");
    await press("a");
    await press("d");
    await press("s");
    await press("s");
    await press("f");
    expect(await hash()).not.toContain("time=");
    await press("c");
    expect(await hash()).toContain("color=kind");
    await press("c");
    expect(await hash()).toContain("color=kv");
    await press("o");
    expect(await hash()).toContain("sort=finish");
    await press("t");
    expect(await page.locator(".text-table table").count()).toBe(2);
    expect(await page.locator(".text-table tbody tr").count()).toBe(132 + 64);
    await press("Escape");
    expect(await page.locator(".text-table").isVisible()).toBe(false);
    await press("?");
    expect(await page.locator("dialog").innerText()).toContain("Keys and gestures");
    await press("Escape");
    expect(await page.locator("dialog").count()).toBe(0);
    for (const [key, view] of [
      ["2", "plan"],
      ["3", "compare"],
      ["4", "replay"],
      ["1", "occupancy"],
    ] as const) {
      await press(key);
      expect(await page.locator(`.${view}.view`).count()).toBe(1);
    }
  });

  it("walks along the bars with the arrow keys and reads them out", async () => {
    page = await viewer.open({ timelines: [SMALL] });
    await page.locator("canvas.lanes").focus();
    await press("ArrowRight");
    expect(await hash()).toContain("pin=0");
    await press("ArrowRight");
    expect(await hash()).toContain("pin=1");
    await press("ArrowDown");
    expect(await page.locator("[aria-live=polite].visually-hidden").innerText()).toMatch(
      /Request \d+ · \w+\. Where SM/,
    );
    await press("Home");
    await press("End");
    await press("ArrowLeft");
    await press("ArrowUp");
    await press("f");
    expect(await hash()).toContain("time=");
  });

  it("finds requests, SMs, workers and kinds", async () => {
    page = await viewer.open({ timelines: [BALANCED] });
    for (const [text, first] of [
      ["request 63", "request 63"],
      ["sm 131", "SM 131"],
      ["worker 200", "worker 200"],
      ["merge", "merge (longest)"],
    ] as const) {
      await press("/");
      await page.keyboard.type(text);
      expect(await page.locator("[role=option]").first().innerText()).toContain(first);
      await page.keyboard.press("Enter");
      await settle(page);
      expect(await hash()).toMatch(/pin=|request=/);
      await press("Escape");
    }
    await press("/");
    await page.keyboard.type("nonsense");
    expect(await page.locator("[role=option]").innerText()).toBe("No match");
  });

  it("orders rows by finish and load, and groups by worker", async () => {
    page = await viewer.open({ timelines: [NONE] });
    await settle(page);
    const pictures = new Set([await lanePixels(page)]);
    for (const label of ["Worker", "Finish", "Load"]) {
      await page.getByRole("button", { name: label, exact: true }).click();
      await settle(page);
      pictures.add(await lanePixels(page));
    }
    expect(pictures.size).toBeGreaterThanOrEqual(3);
  });
});

describe("links", () => {
  it("restore exactly what was shown", async () => {
    const file = viewer.write({ timelines: [NONE, BALANCED] });
    page = await viewer.openFile(file);
    await page.locator(".picker").selectOption("1");
    await settle(page);
    const { x, y } = await point(0.4, 0.2);
    await page.mouse.move(x, y);
    await page.mouse.wheel(0, -600);
    await page.keyboard.down("Alt");
    await page.mouse.wheel(0, -400);
    await page.keyboard.up("Alt");
    await page.mouse.click(x, y);
    await press("c");
    await press("o");
    await page.mouse.move(5, 5);
    await settle(page);
    const link = await hash();
    const [picture, panel] = [await lanePixels(page), await page.locator(".side").innerText()];
    await page.context().close();
    page = await viewer.openFile(file, { hash: link });
    await settle(page);
    expect(await lanePixels(page)).toBe(picture);
    expect(await page.locator(".side").innerText()).toBe(panel);
    expect(await hash()).toBe(link);
  });

  it("that make no sense open the page as if there were none", async () => {
    page = await viewer.open(
      { timelines: [SMALL] },
      { hash: "#view=replay&doc=99&time=9~1&pin=123456&rows=-1~x&color=%00&range=NaN~2&sort=constructor" },
    );
    expect(await headline()).toContain("bound");
    await settle(page);
  });
});

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

describe("fingers", () => {
  /** Puts fingers down at the first places, moves them to the others in steps, and lifts them; in pixels of the lanes. */
  async function touch(from: readonly [number, number][], to: readonly [number, number][]): Promise<void> {
    const box = (await page.locator("canvas.lanes").boundingBox())!;
    const session = await page.context().newCDPSession(page);
    const STEPS = 6;
    const send = (type: "touchStart" | "touchMove" | "touchEnd", share: number): Promise<unknown> =>
      session.send("Input.dispatchTouchEvent", {
        type,
        touchPoints:
          type === "touchEnd"
            ? []
            : from.map(([x, y], id) => ({
                id,
                x: box.x + x + (to[id]![0] - x) * share,
                y: box.y + y + (to[id]![1] - y) * share,
              })),
      });
    await send("touchStart", 0);
    for (let step = 1; step <= STEPS; step++) await send("touchMove", step / STEPS);
    await send("touchEnd", 1);
    await settle(page);
  }

  const shown = async (): Promise<[number, number]> => {
    const text = /time=([^&]*)/.exec(await hash())?.[1];
    return text === undefined
      ? [0, BALANCED.durationUs * 1.02]
      : (decodeURIComponent(text).split("~").map(Number) as [number, number]);
  };

  it("pinch to zoom at the point between them, apart and together", async () => {
    page = await viewer.open({ timelines: [BALANCED] }, { hasTouch: true });
    const { width } = (await page.locator("canvas.lanes").boundingBox())!;
    const all = await shown();
    const at = (span: readonly number[], x: number): number => span[0]! + (x / width) * (span[1]! - span[0]!);
    await touch(
      [
        [250, 100],
        [350, 100],
      ],
      [
        [150, 100],
        [450, 100],
      ],
    );
    const zoomed = await shown();
    // Three times as far apart: a third of the time, and what lay between the fingers stays there.
    expect((zoomed[1] - zoomed[0]) / (all[1] - all[0])).toBeCloseTo(1 / 3, 2);
    expect(at(zoomed, 300)).toBeCloseTo(at(all, 300), 2);
    expect(await page.evaluate(() => visualViewport?.scale)).toBe(1);
    expect(await hash()).not.toContain("pin=");
    await touch(
      [
        [150, 100],
        [450, 100],
      ],
      [
        [250, 100],
        [350, 100],
      ],
    );
    const back = await shown();
    expect((back[1] - back[0]) / (all[1] - all[0])).toBeCloseTo(1, 2);
  });

  it("follow the fingers where both move, one above the other too, and leave one finger to pan", async () => {
    page = await viewer.open({ timelines: [BALANCED] }, { hasTouch: true, hash: "#time=10~30" });
    const { width } = (await page.locator("canvas.lanes").boundingBox())!;
    const before = await shown();
    const perPixel = (before[1] - before[0]) / width;
    await touch(
      [
        [250, 100],
        [450, 100],
      ],
      [
        [330, 100],
        [530, 100],
      ],
    );
    const moved = await shown();
    expect(moved[1] - moved[0]).toBeCloseTo(before[1] - before[0], 3);
    expect(moved[0]).toBeCloseTo(before[0] - 80 * perPixel, 2);
    await touch(
      [
        [300, 60],
        [300, 160],
      ],
      [
        [300, 10],
        [300, 210],
      ],
    );
    const tall = await shown();
    expect((tall[1] - tall[0]) / (moved[1] - moved[0])).toBeCloseTo(0.5, 2);
    await touch([[400, 100]], [[300, 100]]);
    const panned = await shown();
    expect(panned[0]).toBeGreaterThan(tall[0]);
    expect(panned[1] - panned[0]).toBeCloseTo(tall[1] - tall[0], 6);
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
