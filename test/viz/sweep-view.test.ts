// The results of a sweep in the viewer: what the pictures, the tables and the links say, in a real browser.

import { type SweepDocument, sweepCsv } from "@isochron/simulator";
import axe from "axe-core";
import { parse } from "csv-parse/sync";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { readDocuments } from "../../packages/viz/app/documents/read.ts";
import type { SweepResultsDocument } from "../../packages/viz/app/documents/sweep.ts";
import { frontOf, Sweep } from "../../packages/viz/app/model/sweep.ts";
import { makeSweepResults } from "../support/sweeps.ts";
import { actionsOn, downloadOf, drop, holdViewer, settle, type ViewerBrowser } from "../support/viewer-page.ts";

const DOCUMENT: SweepDocument = {
  isochron: "sweep/1",
  name: "<b>twelve</b>",
  base: { trace: "azure-conv-2023" },
  axes: { gpu: ["h100-sxm", "l40s"], replicas: [1, 2, 4], maxBatchedTokens: [512, null] },
  cost: { perGpuHour: { "h100-sxm": 3, l40s: 1 }, currency: "€" },
  slo: { ttftMs: { p99: 1000 }, tpotMs: { p99: 40 } },
};

/** The slow GPU is cheap and needs four replicas; one configuration does not fit. */
const RESULTS = makeSweepResults(DOCUMENT, ({ index, fields }) => {
  if (index === 11) return { error: "weights <i>do not</i> fit" };
  const gpus = Number(fields["replicas"]);
  const slow = fields["gpu"] === "l40s" ? 6 : 1;
  const large = fields["maxBatchedTokens"] === undefined;
  return { gpus, ttftMs: (slow * (large ? 800 : 1200)) / gpus ** 2, tpotMs: (slow * (large ? 30 : 20)) / gpus };
});

const REPEATED = makeSweepResults(
  {
    isochron: "sweep/1",
    base: { trace: "azure-conv-2023" },
    axes: { rate: [1, 2], maxBatchedTokens: [1, 2, 3, 4, 5, 6, 7, 8], seed: [0, 1] },
  },
  ({ fields }) => ({
    gpus: 2,
    ttftMs: Number(fields["rate"]) * (100 + Number(fields["seed"]) + 10 * Number(fields["maxBatchedTokens"])),
    tpotMs: 50 - Number(fields["maxBatchedTokens"]),
  }),
);

const asDocument = async (value: unknown): Promise<SweepResultsDocument> =>
  (await readDocuments(new TextEncoder().encode(JSON.stringify(value)), "sweep.json"))[0] as SweepResultsDocument;

let viewer: ViewerBrowser;
let page: Page;
holdViewer(
  (started) => {
    viewer = started;
  },
  () => page,
);
const { hash, press } = actionsOn(() => page);
const selection = (): Promise<string> => page.locator(".selection").innerText();
const choose = async (label: string, value: string): Promise<void> => {
  await page.getByLabel(label, { exact: true }).selectOption(value);
  await settle(page);
};
/** Centres of the marks of a picture, by their order in the page. */
const marks = (picture: number): Promise<{ x: number; y: number; filled: boolean }[]> =>
  page
    .locator(".scatter-stage")
    .nth(picture)
    .locator("path[transform]")
    .evaluateAll((paths) =>
      paths.map((path) => {
        const box = path.getBoundingClientRect();
        const ground = path.closest("svg")!.querySelector("rect")!.getAttribute("fill");
        return { x: box.x + box.width / 2, y: box.y + box.height / 2, filled: path.getAttribute("fill") !== ground };
      }),
    );

describe("the sweep view", () => {
  it("says at once which deployment is the smallest, and what it costs and takes", async () => {
    page = await viewer.open({ sweeps: [RESULTS] });
    // 3 € for one H100 that misses its TTFT at 512 tokens and keeps it without a limit of tokens.
    expect(await page.locator("h1").innerText()).toBe("Smallest within limits: h100-sxm · replicas 1");
    expect(await page.locator(".summary .figures").innerText()).toMatch(
      /€ per hour\s+3 €\s+GPUs\s+1\s+TTFT p99\s+800\.0 ms\s+TPOT p99\s+30\.00 ms/,
    );
    const notes = await page.locator(".summary p").innerText();
    expect(notes).toContain("<b>twelve</b>");
    expect(notes).toContain("11 of 12 configurations replayed to the end");
    expect(notes).toContain("TTFT p99 ≤ 1.00 s, TPOT p99 ≤ 40.00 ms");
    expect(await page.locator(".sweep b").count()).toBe(1);
    expect(await page.locator(".findings").innerText()).toMatch(
      /l40s · replicas 4 does not fit: weights <i>do not<\/i> fit/,
    );
  });

  it("draws a mark for every configuration in each picture, hollow where a limit is missed, and the limits", async () => {
    page = await viewer.open({ sweeps: [RESULTS] });
    const missing = RESULTS.rows!.filter(({ misses }) => misses !== null && misses.length > 0).length;
    expect(missing).toBeGreaterThan(2);
    for (const picture of [0, 1]) {
      const drawn = await marks(picture);
      expect(drawn).toHaveLength(11);
      expect(drawn.filter(({ filled }) => !filled)).toHaveLength(missing);
    }
    const texts = await page.locator(".scatter-stage").allInnerTexts();
    expect(texts[0]).toContain("limit 1 s");
    expect(texts[1]).toContain("limit 40 ms");
    expect(texts[0]).toContain("smallest");
    expect(texts[2]).toMatch(
      /gpu[\s\S]*replicas[\s\S]*maxBatchedTokens[\s\S]*€ per hour[\s\S]*TTFT p99[\s\S]*TPOT p99/,
    );
  });

  it("puts marks where their numbers are: cheaper to the left, faster below", async () => {
    page = await viewer.open({ sweeps: [RESULTS] }, { hash: "#view=sweep&x=gpus&y=ttftMs.p99" });
    const { document } = new Sweep(await asDocument(RESULTS));
    const rows = document.rows.filter(({ metrics }) => metrics !== undefined);
    const drawn = await marks(0);
    const byX = [...new Set(drawn.map(({ x }) => Math.round(x)))].sort((a, b) => a - b);
    expect(byX).toHaveLength(3);
    const lowest = drawn.reduce((a, b) => (a.y > b.y ? a : b));
    const fastest = Math.min(...rows.map(({ metrics }) => metrics!.ttftMs.p99!));
    expect(fastest).toBe(50);
    expect(Math.round(lowest.x)).toBe(byX[2]);
  });

  it("tells about the mark under the pointer, selects it on a click, and gives its command", async () => {
    page = await viewer.open({ sweeps: [RESULTS] });
    const [mark] = await marks(0);
    await page.mouse.move(mark!.x, mark!.y);
    await settle(page);
    expect(await page.locator(".tooltip").innerText()).toMatch(/replicas \d[\s\S]*TTFT p99/);
    await page.mouse.click(mark!.x, mark!.y);
    await settle(page);
    expect(await selection()).toMatch(/Configuration \d+[\s\S]*isochron replay azure-conv-2023/);
    expect(await hash()).toMatch(/point=\d+/);
    await page.mouse.move(5, 5);
    await settle(page);
    expect(await page.locator(".tooltip").isVisible()).toBe(false);
    await press("Escape");
    expect(await page.locator(".selection").count()).toBe(0);
  });

  it("walks along the front with the arrows, cheapest first, and lists it", async () => {
    page = await viewer.open({ sweeps: [RESULTS] });
    const { front } = RESULTS.groups[0]!;
    expect(await page.locator(".sweep-row").count()).toBe(front.length);
    for (const { configurations } of front.slice(0, 3)) {
      await press("ArrowRight");
      expect(await selection()).toContain(`Configuration ${configurations[0]}\n`);
    }
    await press("ArrowLeft");
    expect(await selection()).toContain(`Configuration ${front[1]!.configurations[0]}\n`);
    expect(await page.locator('.sweep-row[aria-pressed="true"]').count()).toBe(1);
    await page.locator(".sweep-row").last().click();
    await settle(page);
    expect(await selection()).toContain(`Configuration ${front.at(-1)!.configurations[0]}\n`);
  });

  it("changes measures and marks, and a link shows the same again", async () => {
    page = await viewer.open({ sweeps: [RESULTS] });
    await choose("Across", "tokensPerGpu");
    await choose("Up, first picture", "e2eMs.p90");
    await choose("Marks by", "replicas");
    await press("ArrowRight");
    const link = await hash();
    const seen = async (): Promise<string> => (await page.locator(".sweep").innerText()).replace(/\s+/g, " ");
    const before = await seen();
    expect(before).toContain("Output tokens/s per GPU, more is better →");
    const file = page.url().replace(/#.*/, "");
    await page.context().close();
    page = await viewer.openUrl(file + link, { offline: true });
    expect(await seen()).toBe(before);
    await press("c");
    expect(await hash()).toContain("by=maxBatchedTokens");
  });

  it("weighs each workload alone, says which value is the worst of how many, and finds axes where all cost the same", async () => {
    page = await viewer.open({ sweeps: [REPEATED] });
    expect(await page.locator("h1").innerText()).toMatch(/^8 of 8 deployments on the front$/);
    expect(await page.getByLabel("Across", { exact: true }).inputValue()).toBe("ttftMs.p99");
    expect(await page.locator(".sweep-row").first().innerText()).toMatch(
      /maxBatchedTokens 1\s+2 · 111\.0 ms · 49\.00 ms\s+worst of 2/,
    );
    expect(await marks(0)).toHaveLength(16);
    await choose("Workload", "1");
    expect(await page.locator(".sweep-row").first().innerText()).toContain("222.0 ms");
  });

  it("selects the deployment with most goodput for its cost", async () => {
    page = await viewer.open({ sweeps: [RESULTS] });
    const { mostGoodput } = RESULTS.groups[0]!;
    await page.locator(".sweep-front .link").click();
    await settle(page);
    expect(await selection()).toContain(`Configuration ${mostGoodput!.configurations[0]}\n`);
  });

  it("says which deployment comes nearest where none keeps the limits", async () => {
    const strict = makeSweepResults({ ...DOCUMENT, slo: { ttftMs: { p99: 10 } } }, ({ index }) => ({
      gpus: 1,
      ttftMs: 100 - index,
      tpotMs: 5,
    }));
    page = await viewer.open({ sweeps: [strict] });
    expect(await page.locator("h1").innerText()).toBe("No deployment of 12 keeps the limits");
    expect(await page.locator(".summary p").innerText()).toContain("nearest: l40s · replicas 4");
    expect(await page.locator(".summary").getAttribute("class")).toContain("bad");
  });

  it("weighs the latencies of those that turn away equally few, and says that a rejection is what all miss", async () => {
    const strict = makeSweepResults({ ...DOCUMENT, cost: undefined }, ({ index }) => ({
      gpus: 12 - index,
      ttftMs: index < 4 ? 5000 : 500,
      tpotMs: 30,
      rejected: index === 11 ? 20 : 1,
    }));
    page = await viewer.open({ sweeps: [strict] });
    expect(await page.locator("h1").innerText()).toBe("No deployment of 11 keeps the limits: each rejects requests");
    const notes = await page.locator(".summary p").innerText();
    expect(notes).toContain("TPOT p99 ≤ 40.00 ms, rejected ≤ 0 %");
    expect(notes).toContain("nearest: l40s · replicas 4 · maxBatchedTokens 512");
    expect(await page.locator(".sweep-row").last().innerText()).toMatch(/misses rejected$/);
    await page.locator(".sweep-row").last().click();
    await settle(page);
    expect(await selection()).toMatch(/Misses\s+rejected ≤ 0 % \(2\.5 %\)/);
  });

  it("breaks the names of axes that stand close, so that none lies on another", async () => {
    const axes = {
      speculativeTokens: [1, 2],
      acceptanceRate: [0.5, 0.6],
      prefillReplicas: [1, 2],
      maxBatchedTokens: [1, 2],
    };
    const many = { ...DOCUMENT, axes: { ...axes, kvBlocks: [50, 60], maxRunning: [1, 2] } };
    const results = makeSweepResults({ ...many, cost: undefined }, ({ index }) => ({
      gpus: 1,
      ttftMs: 1 + index,
      tpotMs: 9,
    }));
    for (const width of [1280, 700]) {
      page = await viewer.open({ sweeps: [results] }, { viewport: { width, height: 900 } });
      const boxes = await page
        .locator(".parallel text[font-weight='600']")
        .evaluateAll((names) =>
          names.map((name) => [name.getBoundingClientRect().left, name.getBoundingClientRect().right]),
        );
      expect(boxes).toHaveLength(9);
      for (let i = 1; i < boxes.length; i++) expect(boxes[i]![0]!).toBeGreaterThan(boxes[i - 1]![1]!);
      expect(await page.locator(".parallel title").first().textContent()).toBe("speculativeTokens");
      if (width === 1280) await page.context().close();
    }
  });

  it("has everything as a table, and as files", async () => {
    page = await viewer.open({ sweeps: [RESULTS] });
    await press("t");
    const table = page.locator(".text-table table");
    expect(await table.locator("tbody tr").count()).toBe(12);
    expect(await table.innerText()).toMatch(/11\s+l40s\s+4\s+default[^\n]*does not fit: weights/);
    await table.getByRole("button", { name: "Select configuration 3", exact: true }).click();
    await settle(page);
    expect(await selection()).toContain("Configuration 3");
    const save = async (label: string): Promise<string> => {
      await page.getByRole("button", { name: "Export ▾" }).click();
      return (await downloadOf(page, () => page.getByRole("menuitem", { name: label }).click())).content.toString();
    };
    const saved = parse(await save("Configurations (CSV)"), { columns: true }) as Record<string, string>[];
    const whole = parse([...sweepCsv(RESULTS)].join(""), { columns: true }) as Record<string, string>[];
    expect(saved.map((row) => [row["configuration"], row["gpu"], row["ttftMs.p99"], row["status"]])).toEqual(
      whole.map((row) => [row["configuration"], row["gpu"], row["ttftMs.p99"], row["status"]]),
    );
    const picture = await save("First picture (SVG)");
    expect(picture).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    expect(picture).toContain("&lt;b&gt;twelve");
    expect(picture.match(/<path [^>]*transform/g)).toHaveLength(11);
  });

  it("opens results that are dropped on it, and says what a summary without rows lacks", async () => {
    page = await viewer.open({});
    const { rows: _, ...summary } = RESULTS;
    await drop(page, [{ name: "summary.json", content: JSON.stringify(summary) }]);
    await page.locator(".notice.problem").waitFor();
    expect(await page.locator(".notice.problem").innerText()).toMatch(/Rows is missing[\s\S]*isochron view FOLDER/);
    await drop(page, [{ name: "all.json", content: JSON.stringify(RESULTS) }]);
    await page.locator(".sweep").waitFor();
    expect(await page.locator("h1").innerText()).toContain("Smallest within limits");
    await press("5");
    expect(await hash()).toContain("view=sweep");
  });

  it("never scrolls sideways, and has no accessibility violation that axe can find, in both themes", async () => {
    const file = viewer.write({ sweeps: [RESULTS, REPEATED] });
    for (const [width, height, colorScheme, view] of [
      [1024, 640, "light", "#point=3"],
      [1280, 720, "dark", "#doc=1&by=maxBatchedTokens"],
      [3840, 2160, "light", "#table=1"],
    ] as const) {
      page = await viewer.openFile(file, { hash: view, viewport: { width, height }, colorScheme });
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      await page.evaluate(axe.source);
      const violations = await page.evaluate(async () => {
        const found = await (window as never as { axe: { run(): Promise<{ violations: object[] }> } }).axe.run();
        return found.violations;
      });
      expect(violations, `${view} ${colorScheme}`).toEqual([]);
      await page.context().close();
    }
    page = await viewer.open({});
  });
});

describe("the front of two measures", () => {
  it("has exactly the points that no other beats in both", async () => {
    const sweep = new Sweep(await asDocument(RESULTS));
    const rows = sweep.workloads[0]!.completed;
    for (const x of sweep.measureGroups.flatMap(({ measures }) => measures)) {
      const y = sweep.measure("ttftMs.p99", "");
      const sign = (measure: typeof x): number => (measure.better === "less" ? 1 : -1);
      const front = new Set(frontOf(rows, x, y));
      for (const row of rows) {
        const [rx, ry] = [sign(x) * x.of(row)!, sign(y) * y.of(row)!];
        const isBeaten = rows.some((other) => {
          const [ox, oy] = [sign(x) * x.of(other)!, sign(y) * y.of(other)!];
          return ox <= rx && oy <= ry && (ox < rx || oy < ry);
        });
        // Of points that are equal in both, one is enough.
        if (front.has(row)) expect(isBeaten).toBe(false);
        else {
          const twin = rows.some((other) => front.has(other) && x.of(other) === x.of(row) && y.of(other) === y.of(row));
          expect(isBeaten || twin, `${x.key} of ${row.configuration}`).toBe(true);
        }
      }
    }
  });
});

describe("documents of sweeps in the viewer", () => {
  it.each<[string, (results: Record<string, never>) => unknown, RegExp]>([
    ["a text for rows", (results) => ({ ...results, rows: "x" }), /rows is "x".*Expected an array/],
    ["another objective", (results) => ({ ...results, objectives: ["p99"] }), /objectives\[0\] is "p99".*ttftMs\.p99/],
    ["a later version", (results) => ({ ...results, isochron: "sweep-results/2" }), /newer than this viewer reads/],
    ["the sweep itself", () => DOCUMENT, /this is a "sweep\/1" document.*isochron sweep SWEEP --html FILE/],
  ])("that have %s are refused by the name of the field", async (_, change, message) => {
    await expect(asDocument(change(RESULTS as never))).rejects.toThrow(message);
  });
});
