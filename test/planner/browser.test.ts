// The planner in a browser: its built modules run unchanged in Chromium and give the bytes that Node gives.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchChromium } from "../support/browser.ts";
import { relativeError } from "./support.ts";

type Planner = typeof import("@isochron/planner");

const dist = mkdtempSync(join(tmpdir(), "isochron-planner-dist-"));
let server: Server;
let browser: Browser;
let page: Page;
let origin = "";
const requested: string[] = [];

beforeAll(async () => {
  // The modules that are published, compiled anew so that an old build cannot hide a change.
  const tsc = createRequire(import.meta.url)
    .resolve("typescript/package.json")
    .replace("package.json", "bin/tsc");
  const project = fileURLToPath(new URL("../../packages/planner", import.meta.url));
  execFileSync(process.execPath, [
    tsc,
    ...["-p", project, "--outDir", dist, "--tsBuildInfoFile", join(dist, ".tsbuildinfo")],
  ]);
  server = createServer((request, response) => {
    const path = normalize(new URL(request.url!, "http://localhost").pathname);
    requested.push(path);
    if (path === "/") {
      response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>planner</title>");
      return;
    }
    try {
      const body = readFileSync(join(dist, path));
      response.writeHead(200, { "content-type": path.endsWith(".js") ? "text/javascript" : "text/plain" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await launchChromium();
  page = await browser.newPage();
  await page.goto(origin);
});

afterAll(async () => {
  await browser?.close();
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  rmSync(dist, { recursive: true });
});

interface Result {
  /** Bytes of the plan in hex. */
  readonly plan: string;
  readonly json: string;
  readonly partialSlots: number;
  readonly output: number[];
  readonly lse: number[];
  /** Largest difference between the plan's output and unsplit attention in the same host. */
  readonly difference: number;
}

/** Runs in both hosts, so it may use nothing from outside. */
async function planAndRun(planner: Planner, policy: string): Promise<Result> {
  const attention = {
    queryHeads: 8,
    kvHeads: 2,
    headDim: 8,
    dtype: "fp32",
    kvDtype: "fp32",
    pageSize: 16,
    mask: { kind: "causal" },
    softCap: 20,
  } as const;
  const device = { ...planner.H100_SXM, name: "small", smCount: 20 };
  const batch = { qoLens: [1, 1, 40, 0, 1], kvLens: [3000, 70, 500, 64, 1] };
  const plan = planner.createPlanner({ attention, device, policy: policy as "balanced" }).plan(batch);
  planner.verifyPlan(plan, batch, device);
  const encoded = planner.encodePlan(plan);
  planner.verifyPlan(planner.decodePlan(encoded), batch, device);

  const pageCounts = batch.kvLens.map((kvLen) => Math.ceil(kvLen / attention.pageSize));
  const pageIndptr = [0];
  for (const count of pageCounts) pageIndptr.push(pageIndptr[pageIndptr.length - 1]! + count);
  const pages = pageIndptr[pageIndptr.length - 1]!;
  let state = 1;
  const random = (length: number): Float64Array =>
    Float64Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 31 - 1;
    });
  const tensors = {
    query: random(43 * attention.queryHeads * attention.headDim),
    key: random(pages * attention.pageSize * attention.kvHeads * attention.headDim),
    value: random(pages * attention.pageSize * attention.kvHeads * attention.headDim),
    pageIndptr,
    pageIndices: Array.from({ length: pages }, (_, p) => pages - 1 - p),
  };
  const executor = new planner.ReferenceExecutor();
  const { output, lse } = await executor.execute(plan, tensors);
  await executor.close();
  const expected = planner.unsplitAttention(attention, batch, tensors).output;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) difference = Math.max(difference, Math.abs(output[i]! - expected[i]!));
  return {
    plan: Array.from(encoded, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    json: JSON.stringify(planner.planToJson(plan)),
    partialSlots: plan.stats.partialSlots,
    output: Array.from(output),
    lse: Array.from(lse),
    difference,
  };
}

describe("the planner's build", () => {
  test("imports nothing but its own files, so nothing of Node", () => {
    const files = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) => /\.(js|d\.ts)$/.test(file));
    expect(files.length).toBeGreaterThan(40);
    for (const file of files) {
      const source = readFileSync(join(dist, file), "utf8");
      const imports = [...source.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']/g)].map(([, from]) => from);
      expect(
        imports.filter((from) => !/^\.\.?\/.*\.(js|ts)$/.test(from!)),
        file,
      ).toEqual([]);
      const code = source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
      expect(code, file).not.toMatch(/\b(process|Buffer|require|__dirname)\b|reference types="node"/);
    }
  });

  test.each(["balanced", "none", "tight", "invariant", "auto", "fixed-split", "flashinfer-fa2"])(
    "plans, verifies and runs %s in Chromium with the bytes of Node",
    async (policy) => {
      const inNode = await planAndRun((await import(pathToFileURL(join(dist, "index.js")).href)) as Planner, policy);
      // As text: the test runner rewrites import() in functions.
      const inChromium = await page.evaluate<Result>(
        `import("/index.js").then((planner) => (${planAndRun})(planner, ${JSON.stringify(policy)}))`,
      );
      expect(inChromium.plan === inNode.plan, "bytes of the plan").toBe(true);
      expect(inChromium.json === inNode.json, "JSON of the plan").toBe(true);
      if (policy !== "none" && policy !== "auto") expect(inChromium.partialSlots).toBeGreaterThan(0);
      expect(inChromium.difference).toBeLessThan(1e-13);
      // Not bit for bit: the language leaves the last bit of Math.exp and Math.tanh to the engine, and engines differ in it.
      expect(relativeError(inChromium.output, inNode.output)).toBeLessThan(1e-14);
      expect(relativeError(inChromium.lse, inNode.lse)).toBeLessThan(1e-14);
    },
  );

  test("loads from the page's own server and from nowhere else", () => {
    expect(requested).toContain("/index.js");
    expect(requested.filter((path) => path !== "/" && path !== "/favicon.ico" && !path.endsWith(".js"))).toEqual([]);
  });
});
