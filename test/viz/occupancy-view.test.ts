// SM occupancy in a real browser: what it says, what a pointer, fingers and keys do, and what a link restores.

import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { makeReport, makeTimeline } from "../support/documents.ts";
import { actionsOn, holdViewer, lanePixels, settle, type ViewerBrowser } from "../support/viewer-page.ts";

const NONE = makeTimeline({ policy: "none" });
const BALANCED = makeTimeline({ policy: "balanced" });
const SMALL = makeTimeline({ kvLens: [4096, 64, 64], smCount: 4, title: "small" });

let viewer: ViewerBrowser;
let page: Page;
holdViewer(
  (started) => {
    viewer = started;
  },
  () => page,
);
const { headline, hash, press } = actionsOn(() => page);
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

  it("fills its height with rows of equal height, whatever the window", async () => {
    for (const [width, height] of [
      [1280, 720],
      [1400, 900],
      [1000, 1000],
    ] as const) {
      page = await viewer.open({ timelines: [NONE] }, { viewport: { width, height } });
      const lanes = page.locator("canvas.lanes");
      const rowsOf = (canvas: Element): { height: number; end: number } => {
        const { width, height } = canvas as HTMLCanvasElement;
        const { data } = (canvas as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, width, height);
        let end = height;
        while (end > 0 && data.subarray((end - 1) * width * 4, end * width * 4).every((part) => part === 255)) end--;
        return { height, end };
      };
      const { height: plot, end } = await lanes.evaluate(rowsOf);
      // A row may end with a gap of a pixel, and a pixel cannot be divided between the tracks.
      expect(plot - end).toBeLessThanOrEqual(3);
      if (height !== 1000) await page.context().close();
    }
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

  it("walks along the bars while nothing has the focus, and leaves arrows to a page that scrolls", async () => {
    page = await viewer.open({ timelines: [SMALL] });
    await press("ArrowRight");
    expect(await hash()).toContain("pin=0");
    await page.context().close();
    page = await viewer.open({ timelines: [SMALL] }, { viewport: { width: 700, height: 500 } });
    await press("ArrowDown");
    expect(await hash()).not.toContain("pin=");
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
    expect(await page.locator("[role=option]").innerText()).toBe("No match; try request 3, SM 7, worker 4 or merge");
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
